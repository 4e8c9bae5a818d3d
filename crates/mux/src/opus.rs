//! Opus: how long a packet is, and its header in two containers.

use crate::boxes::Boxes;

/// Samples at 48 kHz in one Opus packet, by its TOC byte (RFC 6716 §3.1, §3.2).
/// `None` when it is empty or says more than the 120 ms that a packet may hold.
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let samples = frames * frame_samples(toc >> 3);
    (1..=5760).contains(&samples).then_some(samples)
}

/// Samples in one frame of this configuration (RFC 6716, table 2).
fn frame_samples(config: u8) -> u32 {
    match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    }
}

/// The identification header of RFC 7845 §5.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusHead {
    /// Number of output channels, at least 1.
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
    /// Rate of the original sound in Hz, for information only.
    pub input_rate: u32,
    /// Gain to apply, in 1/256 dB.
    pub gain: i16,
    /// Channel mapping: family 0, or another with its table.
    mapping: Vec<u8>,
}

/// Why an identification header is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Opus identification header")]
pub struct OpusHeadError;

impl OpusHead {
    /// Reads the header, `OpusHead` magic included.
    pub fn parse(head: &[u8]) -> Result<Self, OpusHeadError> {
        let fixed: &[u8; 19] = head.first_chunk().ok_or(OpusHeadError)?;
        // The major version is in the upper four bits; 0 is the only one there is.
        if &fixed[..8] != b"OpusHead" || fixed[8] >> 4 != 0 || fixed[9] == 0 {
            return Err(OpusHeadError);
        }
        let table = if fixed[18] == 0 { 0 } else { 2 + usize::from(fixed[9]) };
        Ok(Self {
            channels: fixed[9],
            pre_skip: u16::from_le_bytes([fixed[10], fixed[11]]),
            input_rate: u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]),
            gain: i16::from_le_bytes([fixed[16], fixed[17]]),
            mapping: head.get(18..19 + table).ok_or(OpusHeadError)?.to_vec(),
        })
    }

    /// `dOps`, "Encapsulation of Opus in ISO Base Media File Format" §4.3.2: the
    /// same fields in big-endian order, its own version 0 and no magic.
    pub(crate) fn write_box(&self, b: &mut Boxes) {
        b.boxed(b"dOps", |b| {
            b.u8(0);
            b.u8(self.channels);
            b.u16(self.pre_skip);
            b.u32(self.input_rate);
            b.u16(self.gain.cast_unsigned());
            b.bytes(&self.mapping);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toc_byte_gives_the_duration() {
        let cases: [(&[u8], Option<u32>); 9] = [
            (&[0xfc], Some(960)),        // CELT FB 20 ms, one frame
            (&[0xfd], Some(1920)),       // two frames
            (&[0x80], Some(120)),        // CELT NB 2.5 ms
            (&[0x18], Some(2880)),       // SILK NB 60 ms
            (&[0x60], Some(480)),        // Hybrid SWB 10 ms
            (&[0xfb, 0x06], Some(5760)), // code 3: 6 × 20 ms = 120 ms
            (&[0xfb, 0x07], None),       // 140 ms: more than a packet may hold
            (&[0xfb, 0x00], None),
            (&[0xfb], None),
        ];
        for (packet, samples) in cases {
            assert_eq!(packet_samples(packet), samples, "{packet:x?}");
        }
        assert_eq!(packet_samples(&[]), None);
    }

    #[test]
    fn header_with_a_mapping_table_keeps_it() {
        let mut head = b"OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01".to_vec();
        assert_eq!(OpusHead::parse(&head), Err(OpusHeadError), "the table is missing");
        head.extend_from_slice(&[4, 2, 0, 4, 1, 2, 3, 5]);
        let parsed = OpusHead::parse(&head).unwrap();
        assert_eq!((parsed.channels, parsed.pre_skip, parsed.input_rate), (6, 312, 48_000));
        let mut b = Boxes::default();
        parsed.write_box(&mut b);
        assert_eq!(
            b.into_vec(),
            b"\x00\x00\x00\x1bdOps\x00\x06\x01\x38\x00\x00\xbb\x80\x00\x00\x01\x04\x02\x00\x04\x01\x02\x03\x05"
        );
    }
}
