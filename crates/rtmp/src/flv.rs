//! FLV tag bodies, as RTMP audio and video messages carry them, and the decoder
//! configurations inside (Adobe FLV 10.1 annex E; Enhanced RTMP v1 and v2, Veovera).

pub(crate) mod aac;
pub(crate) mod avc;
mod bits;
pub(crate) mod opus;
mod sps;
pub(crate) mod tag;

use thiserror::Error;

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
