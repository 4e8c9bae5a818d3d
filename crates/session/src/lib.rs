//! One connection in one role, and the one way in.
//!
//! A protocol sees of the control plane exactly this: it asks [`Admission`] with
//! a [`Request`] and gets a [`Pass`]; it attaches a [`DataPlane`] and becomes an
//! [`Entrant`]; and it turns that into a [`Publisher`] or a [`Player`]. Each step
//! consumes the one before, so the types enforce the order credentials → orders →
//! place → media. Dropping whichever it holds ends the session everywhere.
//!
//! The data plane is the way in which the session's actor tells the protocol's
//! task or shard that its standing changed, and learns that the change holds (the
//! *fence*). Tasks on tokio take [`channel`].

mod actor;
mod admission;
mod census;
mod plane;
mod protocol;
pub mod tcp;

pub use admission::{Admission, Entrant, Link, Links, Pass, Player, Publisher, Refused, Request};
pub use census::{Census, Total};
pub use plane::{ChannelPlane, DataPlane, Order, Orders, Socket, What, channel};
pub use protocol::{Protocol, ServeError};
