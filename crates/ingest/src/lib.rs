//! Connections that carry media: RTMP and WebRTC, publishing and playing.

mod arrivals;
pub mod rtmp;
pub mod webrtc;
