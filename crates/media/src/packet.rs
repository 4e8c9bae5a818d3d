//! RTP payloads, and the ring that carries them to WebRTC players.

use bytes::Bytes;

use crate::ring::{self, Item, Limits};
use crate::{Charge, MediaTime, Memory, TrackKind};

/// One RTP payload of one track, without the header: sequence number, SSRC and
/// payload type belong to each player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Whose.
    pub track: TrackKind,
    /// RTP timestamp, unwrapped to 64 bits, in ticks of [`TrackKind::rtp_rate`].
    pub timestamp: u64,
    /// Marker bit: the last packet of a picture.
    pub marker: bool,
    /// First packet of an access unit at which a decoder can start (parameter
    /// sets included). False for audio.
    pub starts_gop: bool,
    /// RTP payload (RFC 6184 for H.264, RFC 7587 for Opus).
    pub payload: Bytes,
}

impl Packet {
    /// Its time.
    pub fn time(&self) -> MediaTime {
        MediaTime::from_ticks(self.timestamp as i64, self.track.rtp_rate())
    }
}

impl Item for Packet {
    fn cost(&self) -> usize {
        self.payload.len()
    }

    fn counted(mut self, charge: Charge) -> Self {
        self.payload = charge.hold(self.payload);
        self
    }

    fn is_video(&self) -> bool {
        self.track == TrackKind::Video
    }

    fn starts_gop(&self) -> bool {
        self.starts_gop
    }
}

/// The shared side of a packet ring: makes readers.
pub type PacketRing = ring::Ring<Packet>;
/// The one writer of a packet ring.
pub type PacketWriter = ring::Writer<Packet>;
/// One reader of a packet ring.
pub type PacketReader = ring::Reader<Packet>;

/// 16 MiB and 16,384 packets hold 10 s of 10 Mbit/s.
const LIMITS: Limits = Limits { bytes: 16 << 20, items: 16_384 };

/// Makes a packet ring for a stream with these tracks.
pub fn packet_ring(tracks: crate::Tracks) -> PacketWriter {
    ring::ring(tracks, LIMITS)
}

/// The same, which counts what it holds against a budget.
pub fn packet_ring_in(tracks: crate::Tracks, memory: &Memory) -> PacketWriter {
    ring::ring_in(tracks, LIMITS, memory)
}
