//! What the writer does, without its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::backend::{Backend, BackendError, RawChange};
use crate::batch::{Batch, Change, Pair};
use crate::seal::{NoNonce, Sealer};
use crate::store::StoreError;
use crate::syncs::Syncs;

/// Writes groups of batches and remembers the first failure.
pub(crate) struct Core {
    backend: Arc<dyn Backend>,
    sealer: Arc<Sealer>,
    healthy: Arc<AtomicBool>,
    syncs: Syncs,
}

impl Core {
    pub(crate) fn new(backend: Arc<dyn Backend>, sealer: Arc<Sealer>, healthy: Arc<AtomicBool>) -> Self {
        Self { backend, sealer, healthy, syncs: Syncs::default() }
    }

    pub(crate) fn syncs(&self) -> Syncs {
        self.syncs.clone()
    }

    /// Writes the batches in order and syncs once; one answer each. They go to
    /// the backend as one change of state, because sled writes its log twice for
    /// every batch it is given. A batch that cannot be sealed fails alone. A
    /// disk that fails, fails them all: whether it holds them, nobody knows.
    pub(crate) fn write(&mut self, group: Vec<Batch>) -> Vec<Result<(), StoreError>> {
        let count = group.len();
        if !self.healthy.load(Ordering::SeqCst) {
            return vec![Err(StoreError::ReadOnly); count];
        }
        let sealed: Vec<_> = group.into_iter().map(|batch| self.seal(batch)).collect();
        let answers = sealed.iter().map(|s| s.as_ref().map(|_| ()).map_err(|_| StoreError::Failed)).collect();
        match self.apply(sealed.into_iter().flatten().flatten().collect()) {
            Ok(()) => answers,
            Err(cause) => {
                self.healthy.store(false, Ordering::SeqCst);
                tracing::error!(%cause, "the store failed and is read-only until restart");
                vec![Err(StoreError::Failed); count]
            }
        }
    }

    /// Everything, as the backend holds it: what is sealed stays sealed.
    pub(crate) fn dump(&self) -> Result<Vec<Pair>, StoreError> {
        self.backend.scan(&[]).map_err(|cause| {
            tracing::error!(%cause, "the store cannot be read");
            StoreError::Failed
        })
    }

    fn seal(&self, batch: Batch) -> Result<Vec<RawChange>, NoNonce> {
        let raw = |change: Change| {
            let value = change.value.map(|v| self.sealer.close(change.table, &change.key, v)).transpose()?;
            Ok((change.table.raw_key(&change.key), value))
        };
        batch.changes.into_iter().map(raw).collect()
    }

    fn apply(&self, changes: Vec<RawChange>) -> Result<(), BackendError> {
        if !changes.is_empty() {
            self.backend.apply(changes)?;
        }
        let start = Instant::now();
        self.backend.sync()?;
        self.syncs.took(start.elapsed());
        Ok(())
    }
}
