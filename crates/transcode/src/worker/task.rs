//! One worker's turns.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use media::ring::Event;
use media::{BusReader, Frame};

use super::crew::Crew;
use super::stream::Stream;
use super::{Counts, Output};
use crate::guard::guard;

/// Events of a turn, so that a stream with much to do does not keep others waiting:
/// some 4 ms of sound.
const TURN: usize = 8;

/// Nothing to do.
const WAITS: u8 = 0;
/// In a queue.
const QUEUED: u8 = 1;
/// A thread is at it.
const WORKS: u8 = 2;
/// A thread is at it, and there is more to do.
const WORKS_AGAIN: u8 = 3;

/// What the handle and the threads share.
pub(super) struct Task {
    crew: Crew,
    state: AtomicU8,
    /// Its turns are on threads for streams whose pictures are transcoded.
    own_thread: AtomicBool,
    run: Mutex<Option<Run>>,
    stop: AtomicBool,
    keyframe: AtomicBool,
    dropped: AtomicU64,
    corrupt: AtomicU64,
    skipped: AtomicU64,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("state", &self.state).finish_non_exhaustive()
    }
}

/// What a turn works with. `output` stands last, so that it is dropped last: whoever
/// sees it go knows that the reader is gone too.
struct Run {
    reader: BusReader,
    stream: Stream,
    /// Read already, and left to a thread of the other kind.
    pending: Option<Event<Frame>>,
    outputs: Vec<Output>,
    output: Box<dyn FnMut(Output) + Send>,
}

/// What comes after a turn.
enum Next {
    Wait,
    More,
    End,
}

impl Task {
    /// Gives a stream its first turn.
    pub(super) fn start(
        crew: Crew,
        reader: BusReader,
        stream: Stream,
        output: Box<dyn FnMut(Output) + Send>,
    ) -> io::Result<Arc<Self>> {
        let run = Run { reader, stream, pending: None, outputs: Vec::new(), output };
        let task = Arc::new(Self {
            crew,
            state: AtomicU8::new(QUEUED),
            own_thread: AtomicBool::new(false),
            run: Mutex::new(Some(run)),
            stop: AtomicBool::new(false),
            keyframe: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        task.crew.turn(task.clone(), false)?;
        Ok(task)
    }

    pub(super) fn stop(self: &Arc<Self>) {
        self.stop.store(true, Ordering::Release);
        self.wake_by_ref();
    }

    pub(super) fn request_keyframe(&self) {
        self.keyframe.store(true, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { dropped: read(&self.dropped), corrupt: read(&self.corrupt), skipped: read(&self.skipped) }
    }

    /// A turn, on a thread of the crew.
    pub(super) fn work(self: Arc<Self>) {
        self.state.store(WORKS, Ordering::Release);
        let next = self.turn();
        if matches!(next, Next::End) {
            return;
        }
        let rests = || self.state.compare_exchange(WORKS, WAITS, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if matches!(next, Next::Wait) && rests() {
            return;
        }
        self.state.store(QUEUED, Ordering::Release);
        self.queue();
    }

    fn turn(self: &Arc<Self>) -> Next {
        let mut held = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(run) = held.as_mut() else { return Next::End };
        // A stream that panics ends; the threads are everybody's.
        let next = guard(|| self.events(run)).unwrap_or(Next::End);
        if matches!(next, Next::End) {
            *held = None;
        }
        next
    }

    fn events(self: &Arc<Self>, run: &mut Run) -> Next {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let own_thread = self.own_thread.load(Ordering::Relaxed);
        for _ in 0..TURN {
            if self.stop.load(Ordering::Acquire) {
                return Next::End;
            }
            let event = match run.pending.take().map_or_else(|| run.reader.poll_next(&mut cx), Poll::Ready) {
                Poll::Ready(event) => event,
                Poll::Pending => return Next::Wait,
            };
            let wants_own = run.stream.needs_own_thread(&event);
            if wants_own != own_thread {
                self.own_thread.store(wants_own, Ordering::Relaxed);
                run.pending = Some(event);
                return Next::More;
            }
            if self.on(event, run) {
                return Next::End;
            }
        }
        Next::More
    }

    /// Whether it was the last.
    fn on(&self, event: Event<Frame>, run: &mut Run) -> bool {
        if self.keyframe.swap(false, Ordering::Relaxed) {
            run.stream.request_keyframe();
        }
        let ended = matches!(event, Event::Ended(_));
        run.stream.on(event, run.reader.lag(), &mut run.outputs);
        run.outputs.drain(..).for_each(&mut run.output);
        let counts = run.stream.counts();
        self.dropped.store(counts.dropped, Ordering::Relaxed);
        self.corrupt.store(counts.corrupt, Ordering::Relaxed);
        self.skipped.store(counts.skipped, Ordering::Relaxed);
        ended
    }

    fn queue(self: Arc<Self>) {
        let own_thread = self.own_thread.load(Ordering::Relaxed);
        let crew = self.crew.clone();
        if let Err(error) = crew.turn(self.clone(), own_thread) {
            tracing::error!(%error, "no thread for a stream");
            self.state.store(WAITS, Ordering::Release);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = |state| match state {
            WAITS => Some(QUEUED),
            WORKS => Some(WORKS_AGAIN),
            _ => None,
        };
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, woken) == Ok(WAITS) {
            self.clone().queue();
        }
    }
}
