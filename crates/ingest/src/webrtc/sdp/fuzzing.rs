//! What `scripts/fuzz` calls. Only our own look at a description: str0m's parser is not ours
//! to fuzz here.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is a finding")]

use super::look;
use super::outline::{MAX_SECTIONS, NEEDLESS, outline};

/// A description.
pub fn sdp(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _worth = look(text);
    let Ok(left) = outline(text) else { return };
    assert!((1..=MAX_SECTIONS).contains(&left.sections.len()), "so many sections");
    let needless = |line: &str| NEEDLESS.iter().any(|kind| line.starts_with(kind));
    assert!(!left.text.lines().any(needless), "a line that is of no use is passed on");
    let again = outline(&left.text).expect("what is left is within bounds");
    assert_eq!((again.text, again.sections), (left.text, left.sections), "a second look sees another text");
}
