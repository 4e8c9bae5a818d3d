//! The writer thread. Started by `Store::open`; stopped when the last handle
//! goes, after it has written what is queued. Nothing bypasses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::batch::Batch;
use crate::core::Core;
use crate::store::StoreError;

/// Batches that wait. A disk that stalls for as long as it takes to queue these
/// will not be helped by a longer queue; the asker is told.
const QUEUE: usize = 1024;

/// Batches that share one sync, so that the first of them is not kept waiting
/// by an endless stream of others.
const GROUP: usize = 256;

pub(crate) type Answer = oneshot::Receiver<Result<(), StoreError>>;

struct Job {
    batch: Batch,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

/// The queue and the thread behind it. Dropping it waits for the thread.
pub(crate) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(core: Core, healthy: Arc<AtomicBool>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let named = std::thread::Builder::new().name("store".into());
        let thread = named.spawn(move || run(core, &jobs, &healthy))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a batch; its place in the order is fixed here.
    pub(crate) fn enqueue(&self, batch: Batch) -> Result<Answer, StoreError> {
        let (answer, receiver) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::ReadOnly)?;
        match queue.try_send(Job { batch, answer }) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::ReadOnly),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        // A thread that panicked has said so through `UnhealthyOnPanic`.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Sled panics on some IO errors. A thread that dies of one leaves no store
/// behind that claims to work.
struct UnhealthyOnPanic<'a>(&'a AtomicBool);

impl Drop for UnhealthyOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(false, Ordering::SeqCst);
        }
    }
}

fn run(mut core: Core, jobs: &Receiver<Job>, healthy: &AtomicBool) {
    while let Ok(first) = jobs.recv() {
        let group = std::iter::once(first).chain(jobs.try_iter()).take(GROUP);
        let (batches, answers): (Vec<_>, Vec<_>) = group.map(|job| (job.batch, job.answer)).unzip();
        // Declared last, so that it acts before the askers learn of the panic.
        let _guard = UnhealthyOnPanic(healthy);
        let results = core.write(batches);
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever no longer waits still had his batch written.
            let _ = answer.send(result);
        }
    }
}
