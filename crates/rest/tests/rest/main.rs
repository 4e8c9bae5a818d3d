//! The whole HTTP interface over scripted owners: routes, statuses and whole bodies.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
mod access;
mod broadcasts;
mod console;
mod hostile;
mod pages;
mod subscribers;
mod world;
