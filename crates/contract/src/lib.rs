//! The words that Sluice's parts say to each other.
//!
//! Actors never import one another; they meet through the messages here and
//! through injected `actix::Recipient`s. Nothing in this crate decides anything:
//! it parses what names a thing, carries it, and keeps secrets out of logs.

mod access;
pub mod accounts;
pub mod audit;
pub mod auth;
mod clock;
mod id;
mod peer;
pub mod registry;
mod secret;
pub mod session;
pub mod settings;
mod standing;

pub use access::{Action, Actions, Credentials, Protocol, TotpCode};
pub use clock::{Clock, ManualClock, Now, WallMs};
pub use id::{AppName, InvalidId, SessionId, StreamId, StreamKey, SubscriberId};
pub use peer::{TrustedProxies, UNKNOWN_PEER, canonical, is_over_tls, network, site};
pub use secret::Secret;
pub use settings::{AppSettings, SettingsView};
pub use standing::{Standing, StandingCell};
