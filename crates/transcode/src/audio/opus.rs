//! ropus, the only file that names it.

use bytes::Bytes;
use media::{AudioCodec, AudioTrack};
use ropus::{Application, Bitrate, Channels, Encoder};

/// Opus' clock in Hz (RFC 7587 §4.1).
pub(super) const RATE: u32 = 48_000;

/// Samples per channel in a packet: 20 ms, what browsers send themselves.
pub(super) const PACKET: usize = 960;

/// Bits per second, by number of channels.
const BITRATE: [u32; 2] = [64_000, 96_000];

/// Longest packet (RFC 6716 §3.4: a frame has at most 1275 bytes), and its first byte.
const MAX_PACKET: usize = 1276;

/// Samples that a decoder discards at the start of a file (RFC 7845 §5.1);
/// 312 is the encoder's look-ahead at 48 kHz.
const PRE_SKIP: u16 = 312;

pub(super) struct Opus {
    encoder: Encoder,
    channels: usize,
}

impl Opus {
    /// For one or two channels.
    pub(super) fn new(channels: usize) -> Option<Self> {
        let layout = if channels == 1 { Channels::Mono } else { Channels::Stereo };
        let encoder = Encoder::builder(RATE, layout, Application::Audio)
            .bitrate(Bitrate::Bits(*BITRATE.get(channels.checked_sub(1)?)?))
            .complexity(5)
            .build();
        Some(Self { encoder: encoder.ok()?, channels })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// One packet of interleaved samples; `None` if the encoder refuses them.
    pub(super) fn encode(&mut self, samples: &[f32]) -> Option<Bytes> {
        let mut packet = [0; MAX_PACKET];
        let length = self.encoder.encode_float(samples, &mut packet).ok()?;
        Some(Bytes::copy_from_slice(packet.get(..length)?))
    }

    /// What the packets belong to.
    pub(super) fn track(&self) -> AudioTrack {
        AudioTrack {
            codec: AudioCodec::Opus,
            config: head(self.channels as u8),
            sample_rate: RATE,
            channels: self.channels as u8,
        }
    }
}

/// The identification header (RFC 7845 §5.1), mapping family 0.
fn head(channels: u8) -> Bytes {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend_from_slice(&PRE_SKIP.to_le_bytes());
    head.extend_from_slice(&RATE.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head.into()
}
