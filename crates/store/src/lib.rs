//! Key/value tables on disk (sled) or in memory. This crate knows no domain
//! type: owners declare a [`Table`], encode their own keys and values, load
//! their tables with [`Store::scan`] at boot and send changes as a [`Batch`].
//!
//! **Acknowledged means on disk.** [`Store::commit`] answers after sled's
//! `flush` and after `fdatasync` on sled's file. Batches are written whole and
//! in the order of the calls, by one thread, which lets batches that wait
//! together share one sync. The first flush or sync that fails makes the store
//! read-only until restart: what the kernel dropped once it does not write
//! later, so a second try would only look like a success.
//!
//! **Who loses.** The queue to the writer is bounded; when it is full the asker
//! gets [`StoreError::Busy`] at once.
//!
//! **Sealed tables** keep their values encrypted at rest, see [`Sealing`].

mod archive;
mod backend;
mod batch;
mod boot;
mod core;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod schema;
mod seal;
mod store;
mod syncs;
mod whole;
mod writer;

pub use archive::{Archive, ArchiveError, Overwrite, RestoreError, Restored};
pub use backend::Fault;
pub use batch::{Batch, MAX_KEY, MAX_VALUE, Pair, Sealing, Table};
pub use boot::OpenError;
pub use key::KeyError;
pub use schema::{MigrateError, Record, Schema};
pub use store::{Hold, ScanError, Store, StoreError};
pub use syncs::{SYNC_BOUNDS_US, Syncs};
pub use whole::write_whole;
