//! The whole HTTP interface over scripted owners: routes, statuses and whole bodies.

#![recursion_limit = "512"]
mod access;
mod broadcasts;
mod console;
mod hostile;
mod pages;
mod subscribers;
mod world;
