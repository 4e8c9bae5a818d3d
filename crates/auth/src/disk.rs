//! What auth needs of the store; tests hold its answers back.

use futures_util::future::{FutureExt, LocalBoxFuture};
use store::{Batch, Pair, ScanError, Store, StoreError, Table};

/// A place where records are kept.
pub(crate) trait Disk {
    /// All records of a table. Blocks.
    fn scan(&self, table: Table) -> Result<Vec<Pair>, ScanError>;
    /// Writes a batch. Its place in the order is fixed by the call, and it is
    /// written even if nobody waits.
    fn commit(&self, batch: Batch) -> LocalBoxFuture<'static, Result<(), StoreError>>;
}

impl Disk for Store {
    fn scan(&self, table: Table) -> Result<Vec<Pair>, ScanError> {
        Self::scan(self, table)
    }

    fn commit(&self, batch: Batch) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        Self::commit(self, batch).boxed_local()
    }
}
