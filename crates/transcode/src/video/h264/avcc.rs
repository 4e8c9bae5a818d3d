//! NAL units behind lengths, and the record that describes them.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

/// NAL unit types (ITU-T H.264 table 7-1).
pub(super) const SLICE: u8 = 1;
pub(super) const IDR: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The type of a NAL unit; 0, which is unspecified, for an empty one.
pub(super) fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |head| head & 0x1F)
}

/// Parameter sets of a decoder configuration record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ParameterSets {
    pub(super) sps: Vec<Bytes>,
    pub(super) pps: Vec<Bytes>,
}

impl ParameterSets {
    /// Reads an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let (head, rest) = record.split_at_checked(6)?;
        if head[0] != 1 || head[4] & 3 != 3 {
            return None;
        }
        let (sps, rest) = take_sets(rest, head[5] & 0x1F, SPS)?;
        let (&count, rest) = rest.split_first()?;
        let (pps, _) = take_sets(rest, count, PPS)?;
        (!sps.is_empty() && !pps.is_empty()).then_some(Self { sps, pps })
    }

    /// The record of one SPS and one PPS, as our own encoder makes them.
    pub(super) fn record(&self) -> Option<Bytes> {
        let (sps, pps) = (self.sps.first()?, self.pps.first()?);
        let mut record = BytesMut::new();
        // Version, profile, compatibility and level; NAL lengths of 4; one SPS.
        record.put_slice(&[1, *sps.get(1)?, *sps.get(2)?, *sps.get(3)?, 0xFF, 0xE1]);
        record.put_u16(u16::try_from(sps.len()).ok()?);
        record.put_slice(sps);
        record.put_u8(1);
        record.put_u16(u16::try_from(pps.len()).ok()?);
        record.put_slice(pps);
        Some(record.freeze())
    }

    /// All of them behind start codes (ITU-T H.264 Annex B).
    pub(super) fn annex_b(&self) -> Vec<u8> {
        self.sps.iter().chain(&self.pps).flat_map(|nal| [&START_CODE[..], nal].concat()).collect()
    }
}

fn take_sets(mut rest: &[u8], count: u8, kind: u8) -> Option<(Vec<Bytes>, &[u8])> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_at_checked(2)?;
        let (set, after) = after.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        if nal_type(set) != kind || holds_start_code(set) {
            return None;
        }
        sets.push(Bytes::copy_from_slice(set));
        rest = after;
    }
    Some((sets, rest))
}

/// The slices of an access unit behind start codes, and nothing else: a
/// parameter set between them could ask the decoder for more memory than the one
/// we judged. `None` when there are none or a length is wrong.
pub(super) fn slices(au: &[u8]) -> Option<Slices> {
    let (mut annex_b, mut units) = (Vec::with_capacity(au.len() + 16), Vec::new());
    let (mut idr, mut rest) = (false, au);
    while !rest.is_empty() {
        let (length, after) = rest.split_at_checked(4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let (nal, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        if !matches!(nal_type(nal), SLICE | IDR) {
            continue;
        }
        if holds_start_code(nal) {
            return None;
        }
        idr |= nal_type(nal) == IDR;
        annex_b.extend_from_slice(&START_CODE);
        units.push(annex_b.len()..annex_b.len() + nal.len());
        annex_b.extend_from_slice(nal);
    }
    (!annex_b.is_empty()).then_some(Slices { annex_b, units, idr })
}

/// What a decoder gets of an access unit.
pub(super) struct Slices {
    pub(super) annex_b: Vec<u8>,
    /// Where in it each NAL unit is, without its start code.
    units: Vec<Range<usize>>,
    /// The picture is an IDR picture.
    pub(super) idr: bool,
}

impl Slices {
    /// Its NAL units.
    pub(super) fn nals(&self) -> impl Iterator<Item = &[u8]> {
        self.units.iter().map(|unit| &self.annex_b[unit.clone()])
    }
}

/// A NAL unit never holds one (ITU-T H.264 §7.4.1); one that does would smuggle
/// another unit past the filter above.
fn holds_start_code(nal: &[u8]) -> bool {
    nal.windows(3).any(|w| w == [0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect()
    }

    #[test]
    fn only_slices_reach_the_decoder() {
        let got = slices(&unit(&[&[0x67, 1], &[0x06, 5], &[0x65, 9], &[0x68, 2], &[0x41, 8]])).unwrap();
        assert_eq!(got.annex_b, [0, 0, 0, 1, 0x65, 9, 0, 0, 0, 1, 0x41, 8]);
        assert!(got.idr);
        assert!(slices(&unit(&[&[0x67, 1]])).is_none());
    }

    #[test]
    fn a_unit_cannot_smuggle_another() {
        assert!(slices(&unit(&[&[0x41, 0, 0, 1, 0x67, 1]])).is_none());
        assert!(slices(&unit(&[&[0x41, 0, 0, 3, 1, 0x67, 1]])).is_some());
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert!(slices(&[0, 0, 0]).is_none());
        assert!(slices(&[0, 0, 0, 2, 0x41]).is_none());
        assert!(slices(&[0xFF, 0xFF, 0xFF, 0xFF, 0x41]).is_none());
        for cut in 0..11 {
            let record = [1, 66, 0xC0, 31, 0xFF, 0xE1, 0, 1, 0x67, 1, 0, 1, 0x68];
            assert!(ParameterSets::parse(&record[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let sets = ParameterSets {
            sps: vec![Bytes::from_static(&[0x67, 66, 0xC0, 31, 5])],
            pps: vec![Bytes::from_static(&[0x68, 7])],
        };
        assert_eq!(ParameterSets::parse(&sets.record().unwrap()), Some(sets));
    }
}
