//! Connections that carry media: RTMP and WebRTC, publishing and playing.

mod crowd;
pub mod rtmp;
pub mod webrtc;
