//! H.264 in FLV: the decoder configuration, parameter sets in band, NAL units.

use bytes::{BufMut, Bytes, BytesMut};
use media::{VideoCodec, VideoTrack};

use super::FlvError;
use super::bits::Bits;
use super::sps::Sps;
use crate::limits::MAX_CONFIG;

/// NAL unit types (H.264 table 7-1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const AUD: u8 = 9;
const FILLER: u8 = 12;

/// Most sets of a kind: a record counts them in 5 and in 8 bits (ISO/IEC 14496-15
/// §5.3.3.1), although there are 32 and 256 ids. Encoders use one or two.
const MAX_SPS: usize = 31;
const MAX_PPS: usize = 255;

/// Bytes of a NAL unit's length in everything we pass on.
const LENGTH: usize = 4;

/// The parameter sets of a video track, whichever way they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AvcConfig {
    sps: Vec<Set>,
    pps: Vec<Set>,
    /// What follows the sets in the record of a High profile.
    tail: Bytes,
    /// 1, 2, 3 or 4: of the frames that follow this configuration.
    length_size: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    id: u32,
    nal: Bytes,
}

/// One access unit, as the rest of the server wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// NAL units behind 4-byte lengths; empty when only parameter sets came.
    pub(crate) units: Bytes,
    /// It holds an IDR picture.
    pub(crate) keyframe: bool,
    /// It brought parameter sets that differ from those known.
    pub(crate) new_sets: bool,
}

impl AvcConfig {
    /// No parameter sets yet, for a publisher that sends them in band only.
    pub(crate) fn empty() -> Self {
        Self { sps: Vec::new(), pps: Vec::new(), tail: Bytes::new(), length_size: LENGTH }
    }

    /// Reads an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).
    pub(crate) fn parse(record: &[u8]) -> Result<Self, FlvError> {
        if record.len() > MAX_CONFIG || record.first() != Some(&1) {
            return Err(FlvError::Config);
        }
        let mut config = Self::empty();
        config.length_size = usize::from(record.get(4).ok_or(FlvError::Truncated)? & 3) + 1;
        let rest = config.take_sets(&record[5..], 0x1f)?;
        let rest = config.take_sets(rest, 0xff)?;
        config.tail = Bytes::copy_from_slice(rest);
        Ok(config)
    }

    fn take_sets<'a>(&mut self, bytes: &'a [u8], count_mask: u8) -> Result<&'a [u8], FlvError> {
        let (&count, mut rest) = bytes.split_first().ok_or(FlvError::Truncated)?;
        for _ in 0..count & count_mask {
            let (nal, after) = split_nal(rest, 2)?;
            self.insert(nal);
            rest = after;
        }
        Ok(rest)
    }

    /// Adds or replaces a set; whether that changed anything. Sets of another type,
    /// without an id, or beyond what a configuration can have are left out.
    fn insert(&mut self, nal: &[u8]) -> bool {
        let room = MAX_CONFIG.saturating_sub(self.size());
        let (sets, most) = match nal.first().map(|first| first & 0x1f) {
            Some(SPS) => (&mut self.sps, MAX_SPS),
            Some(PPS) => (&mut self.pps, MAX_PPS),
            _ => return false,
        };
        let Ok(id) = set_id(nal) else { return false };
        let has_place = sets.len() < most;
        match sets.iter_mut().find(|set| set.id == id) {
            Some(set) if set.nal == nal => false,
            Some(set) if nal.len() <= room + set.nal.len() => {
                set.nal = Bytes::copy_from_slice(nal);
                true
            }
            None if nal.len() <= room && has_place => {
                sets.push(Set { id, nal: Bytes::copy_from_slice(nal) });
                true
            }
            _ => false,
        }
    }

    fn size(&self) -> usize {
        self.sps.iter().chain(&self.pps).map(|set| set.nal.len() + 2).sum::<usize>() + self.tail.len()
    }

    /// The track that these sets describe.
    pub(crate) fn track(&self) -> Result<VideoTrack, FlvError> {
        let first = self.sps.first().ok_or(FlvError::Config)?;
        if self.pps.is_empty() {
            return Err(FlvError::Config);
        }
        let sps = Sps::parse(&first.nal)?;
        Ok(VideoTrack {
            codec: VideoCodec::H264,
            config: self.record(&first.nal),
            width: sps.width,
            height: sps.height,
            reordered: sps.reordered(),
        })
    }

    fn record(&self, sps: &Bytes) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.size());
        out.put_u8(1);
        out.put_slice(sps.get(1..4).unwrap_or(&[0; 3]));
        out.put_u8(0xfc | (LENGTH as u8 - 1));
        // Counts fit into their fields: see `MAX_SPS` and `MAX_PPS`.
        out.put_u8(0xe0 | self.sps.len() as u8);
        put_sets(&mut out, &self.sps);
        out.put_u8(self.pps.len() as u8);
        put_sets(&mut out, &self.pps);
        out.put_slice(&self.tail);
        out.freeze()
    }

    /// Turns the NAL units of one FLV tag into an access unit, learning parameter
    /// sets on the way. When nothing needs to change, the result shares `bytes`.
    pub(crate) fn access_unit(&mut self, bytes: &Bytes) -> Result<AccessUnit, FlvError> {
        let mut unit = AccessUnit { units: Bytes::new(), keyframe: false, new_sets: false };
        let (mut kept, mut units, mut size) = (0, 0, 0);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (nal, after) = split_nal(rest, self.length_size)?;
            rest = after;
            units += 1;
            if stays(nal) {
                kept += 1;
                size += LENGTH + nal.len();
            }
            unit.keyframe |= kind(nal) == Some(IDR);
            unit.new_sets |= self.insert(nal);
        }
        let whole = kept == units && self.length_size == LENGTH;
        unit.units = if whole { bytes.clone() } else { self.rewrite(bytes, size)? };
        Ok(unit)
    }

    /// The units that stay, behind lengths of 4 bytes: `size` bytes, so that no more
    /// are held than the frame has.
    fn rewrite(&self, bytes: &[u8], size: usize) -> Result<Bytes, FlvError> {
        let mut out = BytesMut::with_capacity(size);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (nal, after) = split_nal(rest, self.length_size)?;
            rest = after;
            if stays(nal) {
                out.put_u32(nal.len() as u32);
                out.put_slice(nal);
            }
        }
        Ok(out.freeze())
    }
}

/// The NAL unit at the front, and what follows it.
fn split_nal(bytes: &[u8], length_size: usize) -> Result<(&[u8], &[u8]), FlvError> {
    let (length, rest) = bytes.split_at_checked(length_size).ok_or(FlvError::Truncated)?;
    let length = length.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
    rest.split_at_checked(length).ok_or(FlvError::Truncated)
}

fn kind(nal: &[u8]) -> Option<u8> {
    nal.first().map(|first| first & 0x1f)
}

/// Parameter sets live in the configuration; delimiters and filler carry nothing;
/// a unit of no bytes upsets decoders.
fn stays(nal: &[u8]) -> bool {
    !matches!(kind(nal), None | Some(SPS | PPS | AUD | FILLER))
}

/// seq_parameter_set_id or pic_parameter_set_id, if in range.
fn set_id(nal: &[u8]) -> Result<u32, FlvError> {
    let is_sps = kind(nal) == Some(SPS);
    // An SPS has profile, constraints and level first. The ids end within a few
    // bytes, before emulation prevention could matter: that needs two zero bytes.
    let body = nal.get(if is_sps { 4 } else { 1 }..).ok_or(FlvError::Truncated)?;
    let id = Bits::new(body).ue()?;
    let limit = if is_sps { 32 } else { 256 };
    if id < limit { Ok(id) } else { Err(FlvError::Config) }
}

fn put_sets(out: &mut BytesMut, sets: &[Set]) {
    for set in sets {
        // Fits: a set is shorter than MAX_CONFIG.
        out.put_u16(set.nal.len() as u16);
        out.put_slice(&set.nal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPS_360: &[u8] = b"\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48";
    const SPS_720: &[u8] =
        b"\x67\x64\x00\x1f\xac\xb2\x00\xa0\x0b\x76\x02\x20\x00\x00\x03\x00\x20\x00\x00\x07\x91\xe3\x06\x49";
    const PPS_0: &[u8] = b"\x68\xcb\x83\xcb\x20";

    fn record(length_size: u8, sps: &[u8]) -> Vec<u8> {
        let mut out = vec![1, sps[1], sps[2], sps[3], 0xfc | (length_size - 1), 0xe1, 0, sps.len() as u8];
        out.extend_from_slice(sps);
        out.extend_from_slice(&[1, 0, PPS_0.len() as u8]);
        out.extend_from_slice(PPS_0);
        out
    }

    fn tag(length_size: usize, nals: &[&[u8]]) -> Bytes {
        let length = |nal: &&[u8]| (nal.len() as u32).to_be_bytes()[4 - length_size..].to_vec();
        nals.iter().flat_map(|nal| [length(nal), nal.to_vec()].concat()).collect()
    }

    #[test]
    fn a_record_keeps_its_sets_and_gets_lengths_of_four() {
        let config = AvcConfig::parse(&record(2, SPS_360)).unwrap();
        let track = config.track().unwrap();
        assert_eq!((track.width, track.height, track.reordered), (640, 360, false));
        assert_eq!(track.config, record(4, SPS_360));
    }

    #[test]
    fn short_lengths_are_widened() {
        let mut config = AvcConfig::parse(&record(2, SPS_360)).unwrap();
        let unit = config.access_unit(&tag(2, &[&[0x65, 1, 2], &[0x06, 5]])).unwrap();
        assert_eq!(unit.units, tag(4, &[&[0x65, 1, 2], &[0x06, 5]]));
        assert!(unit.keyframe && !unit.new_sets);
    }

    #[test]
    fn an_access_unit_that_needs_no_change_is_not_copied() {
        let mut config = AvcConfig::parse(&record(4, SPS_360)).unwrap();
        let body = tag(4, &[&[0x41, 1, 2]]);
        let unit = config.access_unit(&body).unwrap();
        assert_eq!((unit.units.as_ptr(), unit.keyframe), (body.as_ptr(), false));
    }

    #[test]
    fn delimiters_filler_and_sets_leave_the_frame() {
        let mut config = AvcConfig::parse(&record(4, SPS_360)).unwrap();
        let body = tag(4, &[&[0x09, 0xf0], SPS_360, PPS_0, &[0x65, 1], &[0x0c, 0xff, 0xff], &[]]);
        let unit = config.access_unit(&body).unwrap();
        assert_eq!(unit.units, tag(4, &[&[0x65, 1]]));
        assert!(!unit.new_sets, "the sets are those of the record");
    }

    #[test]
    fn a_frame_without_its_filler_holds_nothing_of_it() {
        let mut config = AvcConfig::parse(&record(2, SPS_360)).unwrap();
        let unit = config.access_unit(&tag(2, &[&[0x65, 1], &[0x0c; 5000]])).unwrap();
        let held = unit.units.try_into_mut().unwrap().capacity();
        assert!(held <= 6 + super::super::SLACK, "{held} bytes");
    }

    #[test]
    fn sets_that_change_in_band_change_the_configuration() {
        let mut config = AvcConfig::parse(&record(4, SPS_360)).unwrap();
        let unit = config.access_unit(&tag(4, &[SPS_720, PPS_0, &[0x65, 1]])).unwrap();
        assert!(unit.new_sets);
        assert_eq!(config.track().unwrap().config, record(4, SPS_720));
    }

    #[test]
    fn lengths_that_point_past_the_end_are_refused() {
        let mut config = AvcConfig::parse(&record(4, SPS_360)).unwrap();
        assert_eq!(config.access_unit(&Bytes::from_static(&[0xff; 8])), Err(FlvError::Truncated));
        assert_eq!(AvcConfig::parse(&record(4, SPS_360)[..20]), Err(FlvError::Truncated));
    }

    /// The id's Exp-Golomb code behind these bytes, and padding.
    fn with_id(head: &[u8], id: u32) -> Vec<u8> {
        let code = (id + 1) << (31 - 2 * (31 - (id + 1).leading_zeros()));
        [head, &code.to_be_bytes(), &[1]].concat()
    }

    #[test]
    fn a_record_says_how_many_sets_it_has() {
        let mut config = AvcConfig::parse(&record(4, SPS_360)).unwrap();
        for id in 0..300 {
            config.insert(&with_id(&SPS_360[..4], id));
            config.insert(&with_id(&[0x68], id));
        }
        let written = AvcConfig::parse(&config.record(&config.sps[0].nal)).unwrap();
        assert_eq!((written.sps.len(), written.pps.len()), (MAX_SPS, MAX_PPS));
        assert_eq!(written, config);
    }

    #[test]
    fn parameter_sets_never_grow_past_the_greatest_configuration() {
        let mut config = AvcConfig::empty();
        for id in 0..200u32 {
            // PPS id as ue(v) of 15 bits, then padding.
            let code = (id + 1) << (31 - 2 * (31 - (id + 1).leading_zeros()));
            let nal = [&[0x68][..], &code.to_be_bytes(), &[1; 1000]].concat();
            config.insert(&nal);
        }
        assert!(config.pps.len() > 10 && config.size() <= MAX_CONFIG, "{}", config.size());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            config in prop::collection::vec(any::<u8>(), 0..64), body in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let mut config = AvcConfig::parse(&[&[1][..], &config].concat()).unwrap_or(AvcConfig::empty());
            let _ = config.access_unit(&Bytes::from(body));
            let _ = config.track();
        }
    }
}
