//! One connection in one role, and the one way in.
//!
//! A protocol sees of the control plane exactly this: it asks [`Admission`] with
//! a [`Request`], gets a [`Pass`], and turns the pass into a [`Publisher`] or a
//! [`Player`]. Each step consumes the one before, so the types enforce the order
//! credentials → place → media. Dropping whichever it holds ends the session
//! everywhere.
//!
//! In return it brings a [`DataPlane`]: the way in which the session's actor
//! tells the protocol's task or shard that its standing changed, and learns that
//! the change holds (the *fence*). Tasks on tokio take [`channel`].

mod actor;
mod admission;
mod plane;
mod protocol;
pub mod tcp;

pub use admission::{Admission, Link, Links, Pass, Player, Publisher, Refused, Request};
pub use plane::{ChannelPlane, DataPlane, Order, Orders, What, channel};
pub use protocol::{Protocol, ServeError};
