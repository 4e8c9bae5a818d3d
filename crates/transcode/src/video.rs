//! H.264 with B-frames into H.264 without.

mod coder;
#[cfg(feature = "video")]
mod h264;
#[cfg(not(feature = "video"))]
#[path = "video/absent.rs"]
mod h264;
mod refusal;

use std::time::Duration;

pub(crate) use coder::{Coder, Unopened};
#[cfg(all(feature = "video", any(fuzzing, test)))]
pub use h264::fuzzing;
pub(crate) use h264::shot;
pub use h264::{Effort, VideoTranscoder};
pub use refusal::{Bound, Refusal};

/// Why a track cannot be transcoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VideoUnsupported {
    /// Built without the cargo feature `video`.
    #[error("built without video transcoding")]
    NotBuilt,
    /// The decoder configuration record or a parameter set in it is malformed.
    #[error("malformed decoder configuration")]
    Config,
    /// Not 8-bit 4:2:0.
    #[error("not 8-bit 4:2:0")]
    Format,
    /// More luma samples than [`VideoSettings::max_samples`], or fewer than 16
    /// in one direction.
    #[error("picture size {width}x{height}")]
    Size {
        /// In luma samples.
        width: u32,
        /// In luma samples.
        height: u32,
    },
    /// Too many frames in a row did not decode: a coding tool that the decoder
    /// lacks, such as interlace.
    #[error("the decoder cannot read this stream")]
    Tools,
    /// Past the limits of its level, or of our own.
    #[error("past the limits of its level: {0}")]
    Limits(#[from] Refusal),
    /// The process that decodes it ended, or did not answer. Tried again at a later
    /// key frame, a few times.
    #[error("the process that decodes it ended")]
    Ended,
    /// The encoder did not start.
    #[error("the encoder did not start")]
    Encoder,
}

/// How to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoSettings {
    /// Bits per second; `None` chooses by picture size and frame rate: 2.5 Mbit/s
    /// for 1280x720 at 30 fps, in proportion for others, between 0.3 and 8 Mbit/s.
    pub bitrate: Option<u32>,
    /// Most luma samples in a picture. A larger one is refused: it costs more
    /// than a core can give, and up to 50 MB for the reference pictures of
    /// 1920x1088.
    pub max_samples: u32,
    /// Longest time from keyframe to keyframe, so that who joins finds one in the
    /// packet ring.
    pub keyframe_every: Duration,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self { bitrate: None, max_samples: 1920 * 1088, keyframe_every: Duration::from_secs(4) }
    }
}
