//! The handle that owners hold.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::Archive;
use crate::backend::{Backend, BackendError, Fault, Memory};
use crate::batch::{Batch, Pair, Table};
use crate::boot::{self, OpenError, Opened};
use crate::core::Core;
use crate::key::SealKey;
use crate::schema::Schema;
use crate::seal::Sealer;
use crate::syncs::Syncs;
use crate::writer::{Answer, Dump, Writer};
use tokio::sync::oneshot;

/// Why a batch was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too many batches wait for the disk. Nothing was written; try later.
    #[error("too many batches wait for the disk")]
    Busy,
    /// A key or value is above [`MAX_KEY`](crate::MAX_KEY) or
    /// [`MAX_VALUE`](crate::MAX_VALUE). Nothing was written.
    #[error("a record is too large")]
    TooLarge,
    /// The disk failed under this batch: after a restart it may be there or
    /// not. The log has the cause.
    #[error("the disk failed")]
    Failed,
    /// The disk failed earlier. Nothing is written until restart.
    #[error("the store is read-only since the disk failed")]
    ReadOnly,
}

/// Why a table or a record of it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A sealed value does not open: it is damaged or was moved.
    #[error("a sealed record of table {table} does not open")]
    Unsealable {
        /// Whose record.
        table: &'static str,
    },
    /// The disk failed.
    #[error("reading table {table}: {source}")]
    Disk {
        /// Which table.
        table: &'static str,
        /// What the backend said.
        source: std::io::Error,
    },
}

impl ScanError {
    fn disk(table: Table) -> impl Fn(BackendError) -> Self {
        move |source| Self::Disk { table: table.name(), source: std::io::Error::other(source) }
    }
}

/// A handle; clones share one store. The last one to go waits until what is
/// queued is written.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// First, so that it stops before the folder is unlocked.
    way: Way,
    backend: Arc<dyn Backend>,
    sealer: Arc<Sealer>,
    healthy: Arc<AtomicBool>,
    syncs: Syncs,
    _lock: Option<File>,
}

/// How batches reach the backend.
enum Way {
    Thread(Writer),
    /// At once, in the call: memory needs no thread, and without one a test
    /// under paused time never sees the clock jump while it waits for an answer.
    Direct(Mutex<Core>),
    /// When a test says so.
    Held(Hold),
}

impl Store {
    /// Opens or makes the store in `folder`, with its key in the file
    /// `key_path`. Blocks on the disk. The folder belongs to this process until
    /// the last handle goes.
    pub fn open(folder: &Path, key_path: &Path) -> Result<Self, OpenError> {
        Self::open_with(folder, key_path, &Schema::FIRST)
    }

    /// Opens the store and carries records of an older schema over.
    pub fn open_with(folder: &Path, key_path: &Path, schema: &Schema) -> Result<Self, OpenError> {
        let Opened { backend, sealer, lock } = boot::open(folder, key_path, schema)?;
        let started = Self::threaded(backend, sealer, Some(lock));
        started.map_err(|source| OpenError::Io { path: folder.to_path_buf(), source })
    }

    /// A store that forgets with the process. Its commits are done when the
    /// call returns.
    pub fn memory() -> Self {
        Self::memory_with_fault().0
    }

    /// A store in memory whose disk a test can break.
    pub fn memory_with_fault() -> (Self, Fault) {
        let fault = Fault::default();
        let backend = Arc::new(Memory::with_fault(fault.clone()));
        // Values are sealed here too, so that both backends behave alike; the
        // key guards nothing, because nothing is written down.
        let sealer = Arc::new(Sealer::new(&SealKey { bytes: [0; 32] }, Schema::FIRST.version));
        let healthy = Arc::new(AtomicBool::new(true));
        let core = Core::new(backend.clone(), sealer.clone(), healthy.clone());
        let (syncs, way) = (core.syncs(), Way::Direct(Mutex::new(core)));
        (Self { inner: Arc::new(Inner { way, backend, sealer, healthy, syncs, _lock: None }) }, fault)
    }

    /// A store in memory whose batches a test lets through one by one.
    pub fn memory_held() -> (Self, Hold) {
        let backend = Arc::new(Memory::default());
        let sealer = Arc::new(Sealer::new(&SealKey { bytes: [0; 32] }, Schema::FIRST.version));
        let healthy = Arc::new(AtomicBool::new(true));
        let core = Core::new(backend.clone(), sealer.clone(), healthy.clone());
        let syncs = core.syncs();
        let hold = Hold(Arc::new(Mutex::new(Waiting { core, batches: VecDeque::new() })));
        let way = Way::Held(hold.clone());
        (Self { inner: Arc::new(Inner { way, backend, sealer, healthy, syncs, _lock: None }) }, hold)
    }

    pub(crate) fn threaded(
        backend: Arc<dyn Backend>,
        sealer: Sealer,
        lock: Option<File>,
    ) -> std::io::Result<Self> {
        let sealer = Arc::new(sealer);
        let healthy = Arc::new(AtomicBool::new(true));
        let core = Core::new(backend.clone(), sealer.clone(), healthy.clone());
        let syncs = core.syncs();
        let way = Way::Thread(Writer::start(core, healthy.clone())?);
        Ok(Self { inner: Arc::new(Inner { way, backend, sealer, healthy, syncs, _lock: lock }) })
    }

    /// All records of a table, ordered by key. Blocks on the disk: for boot.
    pub fn scan(&self, table: Table) -> Result<Vec<Pair>, ScanError> {
        let prefix = table.prefix();
        let found = self.inner.backend.scan(&prefix).map_err(ScanError::disk(table))?;
        let unseal = |(raw, stored): Pair| {
            let key = raw[prefix.len()..].to_vec();
            self.unseal(table, &key, stored).map(|value| (key, value))
        };
        found.into_iter().map(unseal).collect()
    }

    /// One record's value; `None` if there is no such record. What waits for the disk
    /// is not seen yet. Blocks on the disk: for when something went wrong.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ScanError> {
        let found = self.inner.backend.get(&table.raw_key(key)).map_err(ScanError::disk(table))?;
        found.map(|stored| self.unseal(table, key, stored)).transpose()
    }

    fn unseal(&self, table: Table, key: &[u8], stored: Vec<u8>) -> Result<Vec<u8>, ScanError> {
        let value = self.inner.sealer.open(table, key, stored);
        value.map_err(|_| ScanError::Unsealable { table: table.name() })
    }

    /// Writes a batch, whole or not at all, after every batch committed before.
    /// `Ok` means that it is on disk. The order is fixed when this is called,
    /// and the batch is written even if the future is never polled.
    pub fn commit(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let queued = self.enqueue(batch);
        async move {
            match queued {
                Queued::Answered(answer) => answer,
                // The thread died under this batch.
                Queued::Waiting(answer) => answer.await.unwrap_or(Err(StoreError::Failed)),
            }
        }
    }

    /// Everything that was committed before, and nothing by half; sealed values stay
    /// sealed. Held in memory as a whole.
    pub fn archive(&self) -> impl Future<Output = Result<Archive, StoreError>> + Send + use<> {
        let asked = match &self.inner.way {
            Way::Thread(writer) => writer.dump().map(Asked::Waiting),
            Way::Direct(core) => {
                core.lock().unwrap_or_else(PoisonError::into_inner).dump().map(Asked::Answered)
            }
            Way::Held(hold) => hold.dump().map(Asked::Answered),
        };
        async move {
            let records = match asked? {
                Asked::Answered(records) => records,
                Asked::Waiting(answer) => answer.await.unwrap_or(Err(StoreError::Failed))?,
            };
            Ok(Archive::new(records))
        }
    }

    /// Whether commits can succeed. Once false, false until restart.
    pub fn healthy(&self) -> bool {
        self.inner.healthy.load(Ordering::SeqCst)
    }

    /// How long the disk takes.
    pub fn syncs(&self) -> Syncs {
        self.inner.syncs.clone()
    }

    fn enqueue(&self, batch: Batch) -> Queued {
        if !batch.fits() {
            return Queued::Answered(Err(StoreError::TooLarge));
        }
        if !self.healthy() {
            return Queued::Answered(Err(StoreError::ReadOnly));
        }
        match &self.inner.way {
            Way::Thread(writer) => {
                writer.enqueue(batch).map_or_else(|e| Queued::Answered(Err(e)), Queued::Waiting)
            }
            Way::Direct(core) => Queued::Answered(write_one(core, batch)),
            Way::Held(hold) => Queued::Waiting(hold.enqueue(batch)),
        }
    }
}

/// Lets the batches of a store made by [`Store::memory_held`] through, in the order
/// of the commits.
#[derive(Clone)]
pub struct Hold(Arc<Mutex<Waiting>>);

struct Waiting {
    core: Core,
    batches: VecDeque<(Batch, oneshot::Sender<Result<(), StoreError>>)>,
}

enum Asked {
    Answered(Vec<Pair>),
    Waiting(Dump),
}

impl Hold {
    fn dump(&self) -> Result<Vec<Pair>, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).core.dump()
    }

    /// Writes and answers the batch that waits longest; false if none waits.
    pub fn sync_one(&self) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((batch, answer)) = waiting.batches.pop_front() else { return false };
        let written = waiting.core.write(vec![batch]).pop().unwrap_or(Err(StoreError::Failed));
        // Whoever no longer waits still had his batch written.
        let _ = answer.send(written);
        true
    }

    fn enqueue(&self, batch: Batch) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).batches.push_back((batch, answer));
        answered
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

enum Queued {
    Answered(Result<(), StoreError>),
    Waiting(Answer),
}

fn write_one(core: &Mutex<Core>, batch: Batch) -> Result<(), StoreError> {
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    core.write(vec![batch]).pop().unwrap_or(Err(StoreError::Failed))
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("healthy", &self.healthy()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
