//! Tracks: what a stream consists of, and what a decoder must know first.

use bytes::Bytes;

/// Which of a stream's two tracks something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

impl TrackKind {
    /// Ticks in a second of its RTP clock: those of H.264 (RFC 6184 §8.1) and, whatever
    /// was coded, of Opus (RFC 7587 §4.1).
    pub const fn rtp_rate(self) -> u32 {
        match self {
            Self::Video => 90_000,
            Self::Audio => 48_000,
        }
    }
}

/// Coding of a video track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// ITU-T H.264.
    H264,
}

/// Coding of an audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// MPEG-4 AAC, raw access units without ADTS.
    Aac,
    /// Opus, RFC 6716; always on a 48 kHz clock.
    Opus,
}

/// The video track of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTrack {
    /// Coding.
    pub codec: VideoCodec,
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1), with SPS and
    /// PPS and a NAL length size of 4.
    pub config: Bytes,
    /// Picture width in luma samples, cropping applied.
    pub width: u32,
    /// Picture height in luma samples, cropping applied.
    pub height: u32,
    /// Whether pictures may be shown in another order than they are decoded in
    /// (B-frames). Browsers cannot play such a track over WebRTC.
    pub reordered: bool,
}

/// The audio track of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioTrack {
    /// Coding.
    pub codec: AudioCodec,
    /// AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1). Opus: the
    /// identification header (RFC 7845 §5.1), `OpusHead` magic included.
    pub config: Bytes,
    /// Samples per second of the decoded sound.
    pub sample_rate: u32,
    /// Number of channels of the decoded sound.
    pub channels: u8,
}

/// What a stream consists of. At least one of the two is present.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracks {
    /// Pictures, if any.
    pub video: Option<VideoTrack>,
    /// Sound, if any.
    pub audio: Option<AudioTrack>,
}

impl Tracks {
    /// Bytes of both configurations, as a publisher makes them.
    pub fn config_bytes(&self) -> usize {
        let video = self.video.as_ref().map_or(0, |video| video.config.len());
        video + self.audio.as_ref().map_or(0, |audio| audio.config.len())
    }
}
