//! The backend of tests and of servers that need not remember.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Backend, BackendError, RawChange};
use crate::batch::Pair;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Records in memory; "on disk" as soon as applied.
#[derive(Default)]
pub(crate) struct Memory {
    records: Mutex<Records>,
    fault: Fault,
}

impl Memory {
    /// A memory whose sync fails when `fault` says so.
    pub(crate) fn with_fault(fault: Fault) -> Self {
        Self { records: Mutex::default(), fault }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // Nothing panics between two related writes; a poisoned map is whole.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.records().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, BackendError> {
        let records = self.records();
        let from_prefix = records.range(prefix.to_vec()..);
        let with_prefix = from_prefix.take_while(|(key, _)| key.starts_with(prefix));
        Ok(with_prefix.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, changes: Vec<RawChange>) -> Result<(), BackendError> {
        let mut records = self.records();
        for (key, value) in changes {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), BackendError> {
        if self.fault.breaks() { Err(BackendError::Injected) } else { Ok(()) }
    }
}

/// Breaks the disk of a store made by
/// [`Store::memory_with_fault`](crate::Store::memory_with_fault).
#[derive(Debug, Clone, Default)]
pub struct Fault(Arc<AtomicBool>);

impl Fault {
    /// From now on every sync fails.
    pub fn break_disk(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// From now on syncs succeed again. A store that saw a failure stays
    /// read-only nevertheless.
    pub fn mend_disk(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn breaks(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
