//! Everything that needs the whole server and real clients.
//!
//! `tour` lies beside this file and joins when the README has a block marked `sh tour`.

mod crash;
mod drivers;
mod hostile;
mod silence;
mod table;
