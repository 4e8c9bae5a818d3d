//! What `scripts/fuzz` calls: what a peer sends over WebRTC, as far as our own code reads
//! it. Compiled for fuzzing and for the tests here.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is a finding")]

use bytes::Bytes;

use super::payload::h264::{Depacketiser, begins};
use super::payload::{avc, opus, sps};
use super::signalling::{dialect, frames};

pub use super::door::fuzzing::door;
pub use super::sdp::fuzzing::sdp;

/// Payloads of RTP packets, each behind two bytes of length, whose first bit is the
/// marker.
pub fn rtp(bytes: &[u8]) {
    let mut units = Depacketiser::default();
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk() {
        let head = u16::from_be_bytes(*head);
        let (payload, after) = after.split_at(usize::from(head & 0x7ff).min(after.len()));
        rest = after;
        let payload = Bytes::copy_from_slice(payload);
        let _sound = opus::depacketise(&payload);
        for begun in begins(&payload) {
            assert!(!begun.bytes.is_empty() || payload.len() == 2, "a unit begins with nothing");
        }
        if units.push(&payload).is_err() {
            units.reset();
        } else if head & 0x8000 != 0 {
            joined(&units.take(), bytes.len());
        }
    }
}

/// What a picture becomes on its way to players.
fn joined(nals: &[Bytes], sent: usize) {
    let total: usize = nals.iter().map(Bytes::len).sum();
    assert!(total <= sent, "more came out than went in");
    let unit = avc::join(nals);
    assert_eq!(avc::split(&unit), nals, "an access unit does not split as it was joined");
    for nal in nals {
        let _set = sps::parse(nal);
    }
}

/// A connection of frames in pieces (the first byte says how large), and a message.
pub fn signalling(bytes: &[u8]) {
    let Some((piece, rest)) = bytes.split_first() else { return };
    let max = dialect::MAX_MESSAGE as u64;
    let whole = frames::fuzzing::walk(rest, rest.len().max(1), max);
    assert_eq!(frames::fuzzing::walk(rest, usize::from(*piece) + 1, max), whole, "a split matters");
    if let Ok(text) = std::str::from_utf8(rest) {
        message(text);
    }
}

fn message(text: &str) {
    if let Err(unclear) = dialect::parse(text) {
        let answer = dialect::problem(dialect::Problem::Unclear(unclear), None);
        assert!(answer.starts_with('{') && answer.len() < 256, "an answer of another size: {answer}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read() {
        rtp(b"\x80\x04\x65\x01\x02\x03\x00\x03\x7c\x85\x01\x80\x03\x7c\x45\x02");
        signalling(b"\x03{\"command\":\"play\",\"streamId\":\"cam\",\"subscriberCode\":123456}");
        signalling(b"\x00\x81\x85\0\0\0\0hello\x81\xfe\0\x80");
        door(b"\x01\x02\x00\x14\0\x11\0\0\x21\x12\xa4\x42............\x01\x02\x00\x01\x16");
        sdp(b"v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n");
    }
}
