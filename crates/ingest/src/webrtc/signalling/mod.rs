//! The AMS WebSocket (C§8): words in one file, the connection in another, and what
//! keeps a stranger from filling the memory before either.

pub(crate) mod dialect;
pub(crate) mod frames;
pub(crate) mod socket;
