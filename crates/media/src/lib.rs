//! What flows through Sluice, and nothing about how it got here or where it goes.
//!
//! Two forms of media exist. A [`Frame`] is one coded picture or one block of
//! coded sound; RTMP and HLS work with frames. A [`Packet`] is one RTP payload;
//! WebRTC works with packets. Each form travels in a [`ring`]: one writer, any
//! number of readers, a bound in bytes, and a reader that falls behind loses
//! its own media, never the writer's time.
//!
//! No runtime, socket, file or clock: the rings speak [`std::task`], so any
//! executor or thread can wait on them.

mod frame;
mod memory;
mod packet;
pub mod ring;
mod time;
mod track;

pub use frame::{Bus, BusReader, BusWriter, Frame, bus, bus_in};
pub use memory::{Charge, Exhausted, Losses, Memory};
pub use packet::{Packet, PacketReader, PacketRing, PacketWriter, packet_ring, packet_ring_in};
pub use ring::{EndReason, Event};
pub use time::MediaTime;
pub use track::{AudioCodec, AudioTrack, TrackKind, Tracks, VideoCodec, VideoTrack};
