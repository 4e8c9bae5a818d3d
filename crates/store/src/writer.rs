//! The writer thread. Started by `Store::open`; stopped when the last handle
//! goes, after it has written what is queued. Nothing bypasses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::batch::{Batch, Pair};
use crate::core::Core;
use crate::store::StoreError;

/// Batches that wait. A disk that stalls for as long as it takes to queue these
/// will not be helped by a longer queue; the asker is told.
const QUEUE: usize = 1024;

/// Batches that share one sync, so that the first of them is not kept waiting
/// by an endless stream of others.
const GROUP: usize = 256;

pub(crate) type Answer = oneshot::Receiver<Result<(), StoreError>>;

/// Everything in the store, as the backend holds it.
pub(crate) type Dump = oneshot::Receiver<Result<Vec<Pair>, StoreError>>;

enum Job {
    Write {
        batch: Batch,
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Between two groups of batches, so that no batch is in it by half.
    Dump {
        answer: oneshot::Sender<Result<Vec<Pair>, StoreError>>,
    },
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
        self.send(Job::Write { batch, answer }).map(|()| receiver)
    }

    /// Asks for everything that was written before.
    pub(crate) fn dump(&self) -> Result<Dump, StoreError> {
        let (answer, receiver) = oneshot::channel();
        self.send(Job::Dump { answer }).map(|()| receiver)
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::ReadOnly)?;
        match queue.try_send(job) {
            Ok(()) => Ok(()),
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
        // Whoever queued this may be about to queue more, a block's audit entry for one:
        // with one core for both of us he may run first. Nothing but speed depends on it.
        std::thread::yield_now();
        let group = std::iter::once(first).chain(jobs.try_iter()).take(GROUP);
        let (mut batches, mut answers, mut dumps) = (Vec::new(), Vec::new(), Vec::new());
        for job in group {
            match job {
                Job::Write { batch, answer } => {
                    batches.push(batch);
                    answers.push(answer);
                }
                Job::Dump { answer } => dumps.push(answer),
            }
        }
        // Declared last, so that it acts before the askers learn of the panic.
        let _guard = UnhealthyOnPanic(healthy);
        let results = if batches.is_empty() { Vec::new() } else { core.write(batches) };
        // Whoever no longer waits still had his batch written.
        answers.into_iter().zip(results).for_each(|(answer, result)| _ = answer.send(result));
        dumps.into_iter().for_each(|answer| _ = answer.send(core.dump()));
    }
}
