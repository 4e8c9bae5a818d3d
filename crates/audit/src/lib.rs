//! Who did what: the newest entries, on disk.
//!
//! [`Audit`] answers the messages of `contract::audit`. [`log`] decides what is kept;
//! it is pure.

mod actor;
mod log;

pub use actor::{Audit, LoadError};
