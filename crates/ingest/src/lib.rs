//! Connections that carry media: RTMP and WebRTC, publishing and playing.

mod crowd;
mod pool;
pub mod rtmp;
pub mod webrtc;
