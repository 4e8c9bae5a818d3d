//! The threads that all workers of a server share.
//!
//! A stream that passes, or whose sound alone is transcoded, has its turns on a few
//! common threads: as many as there are cores, however many streams there are. One
//! whose pictures are transcoded waits for a process or uses a core for long, so it
//! has its turns on others, of which there are as many as there is room for such
//! streams. So it never waits for a thread, and nothing waits for it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::task::Task;

/// A thread without work for so long ends.
const IDLE: Duration = Duration::from_secs(10);

/// Threads for streams that pass; more than these cores would have no more to do.
const MOST_COMMON: usize = 16;

/// Clones share the threads.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    common: Arc<Queue>,
    own: Arc<Queue>,
}

impl Crew {
    /// With threads of their own for so many streams.
    pub(crate) fn new(own: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let queue =
            |name, most| Arc::new(Queue { name, most, ready: Mutex::default(), bell: Condvar::new() });
        Self { common: queue("packetise", cores.min(MOST_COMMON)), own: queue("transcode", own.max(1)) }
    }

    /// Gives a task a turn. An error if there is no thread that could ever take it.
    pub(super) fn turn(&self, task: Arc<Task>, own_thread: bool) -> io::Result<()> {
        let queue = if own_thread { &self.own } else { &self.common };
        queue.push(task)
    }

    /// Threads that there are, common ones and others.
    #[cfg(test)]
    pub(crate) fn threads(&self) -> (usize, usize) {
        (self.common.ready().threads, self.own.ready().threads)
    }
}

#[derive(Debug)]
struct Queue {
    name: &'static str,
    /// Threads that there may be.
    most: usize,
    ready: Mutex<Ready>,
    bell: Condvar,
}

/// Each task is in a queue once at most, so its length is the number of streams.
#[derive(Debug, Default)]
struct Ready {
    tasks: VecDeque<Arc<Task>>,
    threads: usize,
    idle: usize,
}

impl Queue {
    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, task: Arc<Task>) -> io::Result<()> {
        let mut ready = self.ready();
        ready.tasks.push_back(task);
        if ready.tasks.len() > ready.idle && ready.threads < self.most {
            let queue = self.clone();
            let started = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || queue.work());
            match started {
                Ok(_) => ready.threads += 1,
                Err(error) if ready.threads == 0 => {
                    ready.tasks.pop_back();
                    return Err(error);
                }
                // Those that there are take it.
                Err(_) => {}
            }
        }
        drop(ready);
        self.bell.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            task.work();
        }
    }

    /// The next task; `None` when there was none for long, and the thread is no more.
    fn next(&self) -> Option<Arc<Task>> {
        let mut ready = self.ready();
        loop {
            if let Some(task) = ready.tasks.pop_front() {
                return Some(task);
            }
            ready.idle += 1;
            let waited = self.bell.wait_timeout(ready, IDLE);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            ready = after;
            ready.idle -= 1;
            if timeout.timed_out() && ready.tasks.is_empty() {
                ready.threads -= 1;
                return None;
            }
        }
    }
}
