//! WebRTC: publishers and players over one UDP port, signalled by the AMS
//! WebSocket (C§8), WHIP and WHEP.

mod addresses;
mod command;
mod egress;
mod fanout;
mod ingress;
mod lipsync;
mod outbox;
mod packetiser;
pub mod payload;
mod peer;
mod picture;
mod reorder;
mod room;
mod sdp;
mod shard;
mod streams;
mod udp;
