//! The whole HTTP interface over scripted owners: routes, statuses and whole bodies.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
mod access;
mod audit;
mod broadcasts;
mod console;
mod files;
mod gate;
mod hostile;
mod pages;
mod panel;
mod subscribers;
mod thumbnail;
mod users;
mod watch;
mod world;
