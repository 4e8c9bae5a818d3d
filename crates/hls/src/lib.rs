//! Playback over HTTP Live Streaming (RFC 8216): fragmented MP4, in memory.

pub mod name;
pub mod packager;
