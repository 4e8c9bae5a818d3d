//! RTMP without IO: bytes in, events and bytes out. No runtime, socket or clock.
//!
//! # The server's side
//! One [`Engine`] per connection:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use sluice_rtmp as rtmp;
//! use rtmp::{Engine, Event, Status};
//! let mut engine = Engine::new(&[7; rtmp::HANDSHAKE_LEN]); // random bytes, in earnest
//! # let (read, mut written) = (Vec::new(), Vec::new());
//! engine.receive(&read)?; // whatever came from the socket
//! while let Some(event) = engine.poll_event() {
//!     match event {
//!         Event::Connect(_) => {
//!             engine.accept_connect(&Status::good("NetConnection.Connect.Success", "Connected."));
//!         }
//!         Event::Publish(request) => {
//!             engine.accept_publish(request.id, &Status::good("NetStream.Publish.Start", "Go."))?;
//!         }
//!         Event::Play(request) => {
//!             engine.refuse(request.id, &Status::error("NetStream.Failed", "Not today."))?;
//!         }
//!         Event::Tracks(tracks) => { /* the publisher's tracks are complete, or changed */ }
//!         Event::Frame(frame) => { /* belongs to the tracks said last */ }
//!         _ => {}
//!     }
//! }
//! written.extend_from_slice(&engine.take_output()); // to the socket
//! # Ok(()) }
//! ```
//!
//! A publisher's life: [`Event::HandshakeDone`], [`Event::Connect`],
//! [`Event::Publish`], after acceptance [`Event::Tracks`] and [`Event::Frame`]s,
//! [`Event::Ended`] or the end of the connection. A player's: the same up to
//! [`Event::Play`]; after [`Engine::accept_play`] the caller calls
//! [`Engine::send_tracks`] and writes what [`Engine::outgoing`] gives it. [`publish_target`] takes
//! application and stream name apart. The words of a [`Status`] are the caller's.
//!
//! # What is accepted
//! H.264 and AAC in legacy FLV tags; `avc1`, `mp4a` and `Opus` by Enhanced RTMP.
//! Out go H.264 and AAC as legacy tags, and Opus by Enhanced RTMP.
//!
//! # Bounds
//! Every size that a peer controls has a cap in [`limits`]. A peer that was not
//! allowed to publish makes the engine hold at most some 300 KB, provided that the
//! caller feeds it no more than 64 KiB at a time, drains events and output after
//! each, and does not read on while it cannot write. Input that makes many events is read
//! in turns: [`Engine::is_reading`] says that more of it waits when there is no event, and
//! [`Engine::held`] how many bytes a peer makes the engine hold.

mod amf0;
mod assembler;
mod chunk;
mod client;
mod egress;
mod engine;
mod flv;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
pub mod limits;
mod link;
mod status;
mod target;
mod timeline;

pub use amf0::Amf0Error;
pub use chunk::ChunkError;
pub use client::{Client, ClientError, ClientEvent, Purpose};
pub use egress::Outgoing;
pub use engine::{Connect, Engine, EngineError, Event, Request, RequestId, Stale};
pub use flv::tag::CodecName;
pub use handshake::{HandshakeError, PACKET as HANDSHAKE_LEN};
pub use link::LinkError;
pub use status::{Level, Status};
pub use target::{Target, publish_target};
