//! Connections that carry media: RTMP and WebRTC, publishing and playing.

pub mod rtmp;
pub mod webrtc;
