//! Everything that needs the whole server and real clients.
//!
//! `crash`, `hostile`, `silence`, `table` and `tour` lie beside this file and are
//! not part of the binary yet: they were written and have not been run.

mod drivers;
