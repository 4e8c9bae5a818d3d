//! Who may do what now: subscribers, blocks, permits, gates, connection events.
//!
//! [`start`] gives the actor that answers the messages of `contract::auth`. Who
//! may administer the server is another question, and another actor: [`Accounts`].

mod accounts;
mod actor;
mod code;
mod counters;
mod disk;
mod gates;
mod guess;
mod homes;
mod lane;
mod lru;
mod meter;
mod previews;
mod record;
mod state;
#[cfg(test)]
mod testing;

pub use accounts::{Accounts, AccountsError};
pub use actor::{Auth, Config, start};
pub use counters::Counters;
pub use record::LoadError;
