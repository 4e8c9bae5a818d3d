//! Opus in RTP payloads (RFC 7587): one Opus packet is one payload.

use bytes::{BufMut, Bytes, BytesMut};

/// Three frames of the largest coded size in 120 ms are well below this
/// (RFC 6716 §3.2.1: 1275 bytes a frame, at most 48 frames).
const MAX_PACKET: usize = 1275 * 48 + 100;

/// Sound on the RTP clock of Opus, in Hz, whatever was coded (RFC 7587 §4.1).
pub const CLOCK: u32 = 48_000;

/// The payload of one Opus packet, or none when it is not one.
pub fn packetise(packet: &Bytes) -> Option<Bytes> {
    samples(packet).map(|_| packet.clone())
}

/// The Opus packet of one payload, or none when it is not one.
pub fn depacketise(payload: &Bytes) -> Option<Bytes> {
    samples(payload).map(|_| payload.clone())
}

/// How long a packet sounds, in samples of [`CLOCK`] (RFC 6716 §3.1); none when
/// it is empty, too large, or longer than the 120 ms that a packet may last.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let &toc = packet.first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let total = frames * frame_samples(toc >> 3);
    (packet.len() <= MAX_PACKET && (1..=5760).contains(&total)).then_some(total)
}

fn frame_samples(config: u8) -> u32 {
    match config {
        // SILK: 10, 20, 40, 60 ms.
        0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..16 => [480, 960][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 120 << (config & 3),
    }
}

/// The identification header of a stream (RFC 7845 §5.1), family 0.
pub fn head(channels: u8) -> Bytes {
    let mut buf = BytesMut::with_capacity(19);
    buf.put_slice(b"OpusHead");
    buf.put_u8(1);
    buf.put_u8(channels);
    // Pre-skip: nothing of a live stream has to be cut off.
    buf.put_u16_le(0);
    buf.put_u32_le(CLOCK);
    buf.put_i16_le(0);
    buf.put_u8(0);
    buf.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packetised_comes_back(body in proptest::collection::vec(any::<u8>(), 0..1500)) {
            let packet = Bytes::from(body);
            if let Some(payload) = packetise(&packet) {
                prop_assert_eq!(depacketise(&payload), Some(packet));
            }
        }
    }

    #[test]
    fn durations_follow_the_table_of_contents() {
        assert_eq!(samples(&[0x78, 0]), Some(960)); // hybrid fullband, 20 ms, one frame
        assert_eq!(samples(&[0xfc, 0]), Some(960)); // CELT fullband, 20 ms
        assert_eq!(samples(&[0xe1, 0]), Some(240)); // CELT fullband, 2.5 ms, two frames
        assert_eq!(samples(&[0x1b, 2]), Some(5760)); // SILK, 60 ms, twice
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        assert_eq!(samples(&[]), None);
        assert_eq!(samples(&[0x03]), None);
        assert_eq!(samples(&[0x03, 0]), None); // no frames
        assert_eq!(samples(&[0x1b, 3]), None); // 180 ms
    }

    #[test]
    fn the_head_is_nineteen_bytes_with_the_channel_count() {
        assert_eq!(head(2).len(), 19);
        assert_eq!(head(2)[9], 2);
    }
}
