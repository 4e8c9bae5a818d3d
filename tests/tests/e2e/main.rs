//! Everything that needs the whole server and real clients.

mod access;
mod commands;
mod crash;
mod drivers;
mod hostile;
mod memory;
mod operations;
mod proxy;
mod restart;
mod secrets;
mod sessions;
mod silence;
mod slow;
mod statistics;
mod table;
mod tls;
mod tour;
