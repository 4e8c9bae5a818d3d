//! A small picture of one key frame.

use media::{Frame, VideoTrack};

use crate::process::Decoding;
use crate::video::{VideoUnsupported, shot};

/// Most luma samples in a key frame: 3840x2176. Decoding one takes some 30 ms of a
/// core and 15 MiB.
const MAX_SAMPLES: u32 = 3840 * 2176;

/// Why there is no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StillError {
    /// The track cannot be decoded here, or this frame of it.
    #[error(transparent)]
    Unsupported(#[from] VideoUnsupported),
    /// The picture was not encoded.
    #[error("the picture was not encoded")]
    Encoder,
    /// The process that decodes ended, or did not answer.
    #[error("the process that decodes ended")]
    Ended,
}

/// A key frame as a JPEG of at most `width` by twice that, in its own shape. Uses a
/// core for some milliseconds, or waits for a process that does, so it is not for a
/// thread that others wait for.
pub fn still(
    decoding: &Decoding,
    track: &VideoTrack,
    keyframe: &Frame,
    width: u32,
) -> Result<Vec<u8>, StillError> {
    match decoding {
        Decoding::Apart(program) if cfg!(feature = "video") => program.still(track, keyframe, width),
        _ => make(track, keyframe, width as usize),
    }
}

/// The same in this process.
pub(crate) fn make(track: &VideoTrack, keyframe: &Frame, width: usize) -> Result<Vec<u8>, StillError> {
    shot(track, keyframe, MAX_SAMPLES)?.jpeg(width).ok_or(StillError::Encoder)
}

#[cfg(test)]
#[cfg(feature = "video")]
mod tests;
