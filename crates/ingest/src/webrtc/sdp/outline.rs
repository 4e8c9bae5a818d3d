//! What a description says line by line, before anything parses it.
//!
//! str0m's parser tries each line against every attribute that it knows, and then
//! compares lists with lists. So lines are counted here by kind, in one walk over the
//! text, and what we have no use for does not get to it: a candidate is made an
//! address that the ICE agent keeps, and ICE-lite learns addresses from checks.

use str0m::media::MediaKind;

use super::{SdpError, Section};

/// Chromium's offers have 4-8 kB; the SDK's with every codec stays below 20.
const MAX_SDP: usize = 64 << 10;
/// Lines of such an SDP.
const MAX_LINES: usize = 1500;
/// The longest lines are those of a section with every payload type, and of parameter
/// sets in base64: some 300 bytes.
const MAX_LINE: usize = 1024;
/// A publisher or player has three sections here.
pub(super) const MAX_SECTIONS: usize = 8;

/// How each kind of line begins, and how many there may be in all sections. Chromium
/// with every codec has 50 payload types and 120 kinds of feedback per section of
/// pictures.
const KINDS: [(&str, usize); 8] = [
    ("a=rtpmap:", 128),
    ("a=fmtp:", 128),
    ("a=rtcp-fb:", 512),
    ("a=extmap:", 64),
    ("a=ssrc:", 64),
    ("a=ssrc-group:", 16),
    ("a=rid:", 16),
    ("a=fingerprint:", 16),
];
/// Lines of all other kinds: some 15 per section, and as many before the first.
const OTHERS: usize = 200;

/// Lines that are not passed on.
pub(super) const NEEDLESS: [&str; 3] = ["a=candidate:", "a=remote-candidates:", "a=end-of-candidates"];
/// Without these there is no connection (RFC 8829 §5.2.1).
const NEEDED: [&str; 3] = ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"];

/// A description of bounded size.
pub(super) struct Outline {
    /// What is left to parse.
    pub(super) text: String,
    /// Its `m=` sections.
    pub(super) sections: Vec<Section>,
}

/// Looks at a description.
pub(super) fn outline(sdp: &str) -> Result<Outline, SdpError> {
    if sdp.len() > MAX_SDP {
        return Err(SdpError::TooLarge);
    }
    count(sdp)?;
    let sections = sections(sdp);
    match sections.len() {
        0 => return Err(SdpError::Malformed),
        n if n > MAX_SECTIONS => return Err(SdpError::TooLarge),
        _ => {}
    }
    let has = |needed: &&str| sdp.lines().any(|line| line.starts_with(*needed));
    if !NEEDED.iter().all(has) {
        return Err(SdpError::Malformed);
    }
    let needed = |line: &&str| !NEEDLESS.iter().any(|kind| line.starts_with(kind));
    let text = sdp.lines().filter(needed).flat_map(|line| [line, "\r\n"]).collect();
    Ok(Outline { text, sections })
}

/// Whether there are no more lines than there may be, of each kind and in all.
fn count(sdp: &str) -> Result<(), SdpError> {
    let (mut lines, mut others, mut counts) = (0, 0, [0; KINDS.len()]);
    for line in sdp.lines() {
        lines += 1;
        if lines > MAX_LINES || line.len() > MAX_LINE {
            return Err(SdpError::TooLarge);
        }
        let of = KINDS.iter().position(|(kind, _)| line.starts_with(kind));
        if let Some(of) = of {
            let (kind, most) = KINDS[of];
            counts[of] += 1;
            if counts[of] > most {
                return Err(SdpError::TooMany(kind));
            }
        } else if !NEEDLESS.iter().any(|kind| line.starts_with(kind)) {
            others += 1;
        }
        if others > OTHERS {
            return Err(SdpError::TooMany("other"));
        }
    }
    Ok(())
}

/// The `m=` sections of a description.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::new();
    for line in sdp.lines() {
        if let (Some(codec), Some(last)) = (codec(line), out.last_mut()) {
            last.has_codec |= last.kind == Some(codec);
        } else if let Some(line) = line.strip_prefix("m=") {
            let mut words = line.split(' ');
            let kind = match words.next() {
                Some("audio") => Some(MediaKind::Audio),
                Some("video") => Some(MediaKind::Video),
                _ => None,
            };
            out.push(Section { kind, refused: words.next() == Some("0"), has_codec: false });
        } else if line.trim_end() == "a=bundle-only"
            && let Some(last) = out.last_mut()
        {
            // Port 0 then only says that another section carries it (RFC 8843 §7.2.1).
            last.refused = false;
        }
    }
    out
}

/// What a payload type of a codec of ours carries.
fn codec(line: &str) -> Option<MediaKind> {
    let (_, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
    let is = |codec: &str| name.get(..codec.len()).is_some_and(|name| name.eq_ignore_ascii_case(codec));
    match (is("opus/48000"), is("H264/90000")) {
        (true, _) => Some(MediaKind::Audio),
        (_, true) => Some(MediaKind::Video),
        _ => None,
    }
}
