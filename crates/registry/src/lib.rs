//! Which streams exist, who is live, who plays.
//!
//! One actor owns two tables: the *records* that somebody registered, which are
//! on disk, and the *live* rows, which are not: after a restart nobody is live,
//! so nothing needs repair. `state` holds both and decides; [`Registry`] is
//! the shell that awaits disk and fences.

mod actor;
mod record;
mod state;

pub use actor::{LoadError, Registry};
