//! What `scripts/fuzz` calls: what is judged before a decoder sees it. Nothing is decoded.
#![allow(clippy::missing_panics_doc, reason = "a panic is a finding")]

use media::MediaTime;

use super::avcc::{self, ParameterSets};
use super::limits::{Limits, MAX_SLICES};
use super::sps::Sps;

/// A decoder configuration record, then access units 40 ms apart; each behind two bytes of
/// length.
pub fn h264(bytes: &[u8]) {
    let mut rest = bytes;
    let mut piece = || {
        let (length, after) = rest.split_first_chunk()?;
        let (piece, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        rest = after;
        Some(piece)
    };
    let Some(sets) = piece().and_then(ParameterSets::parse) else { return };
    let Ok(mut limits) = Limits::of(&sets) else { return };
    assert!(limits.reorder() <= 16, "more pictures wait than the standard knows");
    let mut at = 0;
    while let Some(unit) = piece() {
        at += 40;
        let Some(slices) = avcc::slices(unit) else { continue };
        if limits.admit(&slices, Some(MediaTime::from_millis(at))).is_ok() {
            assert!(slices.nals().count() <= MAX_SLICES, "more slices than there may be");
            assert!(limits.kept() <= 16, "more references than the standard knows");
        }
    }
}

/// A parameter set, as this crate reads it: width and height. Other formats than 4:2:0 are
/// refused after it, so their crop is not read.
pub fn sps(nal: &[u8]) -> Option<(u32, u32)> {
    Sps::parse(nal).filter(|sps| sps.plain).map(|sps| (sps.width, sps.height))
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_are_read() {
        let record = b"\x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48\x01\0\x05\x68\xcb\x83\xcb\x20";
        let unit = b"\0\x0c\0\0\0\x08\x65\x88\x84\x04\xff\xff\xff\xff";
        super::h264(&[&[0, record.len() as u8][..], record, unit].concat());
        assert_eq!(super::sps(&record[8..33]), Some((640, 360)));
    }
}
