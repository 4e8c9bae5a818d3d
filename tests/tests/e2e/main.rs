//! Everything that needs the whole server and real clients.

mod drivers;
