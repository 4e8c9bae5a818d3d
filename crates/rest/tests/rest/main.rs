//! The whole HTTP interface over scripted owners: routes, statuses and whole bodies.

mod subscribers;
mod world;
