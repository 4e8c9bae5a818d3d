//! Frames, and the bus that carries them to RTMP and HLS.

use bytes::Bytes;

use crate::ring::{self, Item, Limits};
use crate::{Charge, MediaTime, Memory, TrackKind};

/// One access unit of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whose.
    pub track: TrackKind,
    /// When to show or sound it.
    pub pts: MediaTime,
    /// When to decode it; never after `pts`, never decreasing within a track.
    pub dts: MediaTime,
    /// A decoder can start here (an IDR picture). True for every audio frame.
    pub keyframe: bool,
    /// H.264: NAL units, each behind a 4-byte big-endian length, parameter sets
    /// left to [`VideoTrack::config`](crate::VideoTrack). AAC: one raw access
    /// unit. Opus: one packet.
    pub data: Bytes,
}

impl Item for Frame {
    fn cost(&self) -> usize {
        self.data.len()
    }

    fn counted(mut self, charge: Charge) -> Self {
        self.data = charge.hold(self.data);
        self
    }

    fn is_video(&self) -> bool {
        self.track == TrackKind::Video
    }

    fn starts_gop(&self) -> bool {
        self.is_video() && self.keyframe
    }
}

/// The shared side of a frame bus: makes readers.
pub type Bus = ring::Ring<Frame>;
/// The one writer of a frame bus.
pub type BusWriter = ring::Writer<Frame>;
/// One reader of a frame bus.
pub type BusReader = ring::Reader<Frame>;

/// 32 MiB hold a default OBS group of pictures (8.3 s) at 30 Mbit/s; 4096 frames
/// are a minute of 30 fps video with AAC.
const LIMITS: Limits = Limits { bytes: 32 << 20, items: 4096 };

/// Makes a frame bus for a stream with these tracks.
pub fn bus(tracks: crate::Tracks) -> BusWriter {
    ring::ring(tracks, LIMITS)
}

/// The same, which counts what it holds against a budget.
pub fn bus_in(tracks: crate::Tracks, memory: &Memory) -> BusWriter {
    ring::ring_in(tracks, LIMITS, memory)
}
