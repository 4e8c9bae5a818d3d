//! What stands behind the RTP header: H.264 and Opus payloads, pure and bounded.

pub mod avc;
mod bits;
pub mod h264;
pub mod opus;
pub mod sps;
