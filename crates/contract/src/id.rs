//! Names of things. Parsed once at the edge, trusted afterwards.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Long enough for every generated id; short enough that ten thousand of them
/// are nothing.
const MAX_ID: usize = 255;

/// Why a text names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing but white space.
    #[error("the name is empty")]
    Empty,
    /// More than 255 bytes.
    #[error("the name is longer than 255 bytes")]
    TooLong,
    /// A character outside the allowed set.
    #[error("the name contains a character that is not allowed")]
    Character,
}

fn check(text: &str, allowed: impl Fn(char) -> bool) -> Result<Arc<str>, InvalidId> {
    if text.trim().is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID {
        return Err(InvalidId::TooLong);
    }
    if !text.chars().all(allowed) || text.chars().all(|c| c == '.') {
        return Err(InvalidId::Character);
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts a well-formed name and refuses everything else; never
            /// cleans one up, since two names could then meet.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                check(text, $allowed).map(Self)
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// An application: the first path segment of every address. Letters, digits,
    /// `_` and `-` (C§1).
    AppName, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

name! {
    /// A stream within an application. Letters, digits, `-`, `_` and `.`
    /// (C§1.2), but not dots alone, which URL paths swallow.
    StreamId, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

name! {
    /// An account that is allowed on a stream. Any text without control
    /// characters, `/` and `|`: AMS rewrites those in some places and not in
    /// others, so that one subscriber becomes two (C§1.2).
    SubscriberId, |c| !c.is_control() && !matches!(c, '/' | '|')
}

/// A stream's full name. The pair is the key everywhere; nothing ever joins the
/// two into one text, so no two pairs can meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamKey {
    /// Application.
    pub app: AppName,
    /// Stream within it.
    pub id: StreamId,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.id)
    }
}

/// One connection in one role. Unique within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// The next one.
    #[allow(clippy::new_without_default, reason = "two defaults would not be equal")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl SessionId {
    /// One that somebody was told before; it may be nobody's any more.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_parsed_not_cleaned() {
        assert!(StreamId::parse("cam_01-a.b").is_ok());
        for bad in ["", " ", ".", "..", "a/b", "a%2Fb", "a|b", "a\r\nb", "ä", "a b"] {
            assert!(StreamId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(StreamId::parse(&"a".repeat(256)), Err(InvalidId::TooLong));
        assert!(SubscriberId::parse("last peony@example.org").is_ok());
        for bad in ["a|b", "a/b", "a\nb", "a\tb", "\u{7f}"] {
            assert!(SubscriberId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(AppName::parse("Live_App-2").is_ok());
        assert!(AppName::parse("a.b").is_err());
    }
}
