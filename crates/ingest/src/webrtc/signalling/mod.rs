//! The AMS WebSocket (C§8): words in one file, the connection in another.

pub(crate) mod dialect;
pub(crate) mod socket;
