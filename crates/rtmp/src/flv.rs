//! FLV tag bodies, as RTMP audio and video messages carry them, and the decoder
//! configurations inside (Adobe FLV 10.1 annex E; Enhanced RTMP v1 and v2, Veovera).

pub(crate) mod aac;
pub(crate) mod avc;
mod bits;
pub(crate) mod opus;
mod sps;
pub(crate) mod tag;

use bytes::Bytes;
use thiserror::Error;

/// Bytes of a message that its media may leave unused and share its buffer all the same:
/// more than the headers of any usual tag, and small beside what an allocation costs.
pub(crate) const SLACK: usize = 64;

/// Media of a message of `message` bytes, in a buffer that holds no more than [`SLACK`]
/// beside it. It is copied only where it would pin more: a usual message is all media.
pub(crate) fn keep(media: Bytes, message: usize) -> Bytes {
    if message - media.len().min(message) > SLACK { Bytes::copy_from_slice(&media) } else { media }
}

/// Width and height that a sequence parameter set says, for `scripts/fuzz`.
#[cfg(any(fuzzing, test))]
pub(crate) fn picture_size(nal: &[u8]) -> Option<(u32, u32)> {
    sps::Sps::parse(nal).ok().map(|sps| (sps.width, sps.height))
}

/// Why a tag body or configuration was left out. The publisher's encoder is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FlvError {
    /// It ends too early, or a length inside points past its end.
    #[error("media is cut off")]
    Truncated,
    /// A decoder configuration that says nothing usable.
    #[error("decoder configuration is not valid")]
    Config,
}
