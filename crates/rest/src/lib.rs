//! The HTTP control API in Ant Media Server's dialect, and the routes of
//! the web panel and the player pages.
//!
//! Nothing is decided here: a request is checked for access (`access`, `gate`), parsed
//! into typed words, sent to the owner of the table as a message, and the typed
//! answer is put into AMS's words. Those words are in `dialect.rs` and `dto/`
//! and nowhere else, and golden tests hold them (C§14).
//!
//! Ids that AMS would clean up are refused instead (C§1.2): with `success:false`
//! where the answer is a `Result`, with 400 where it is a list.

mod access;
mod api;
mod audit;
mod body;
mod broadcasts;
mod console;
mod dialect;
mod dto;
mod gate;
mod logins;
mod operations;
mod pages;
mod panel;
mod path;
mod statistics;
mod subscribers;
mod users;

pub use access::{AddressRules, Listener};
pub use api::{Api, Links, Options, Ports};
pub use operations::{Operations, Readiness, Vitals};
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub use panel::fuzzing;
