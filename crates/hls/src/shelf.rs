//! Shelves: a stream's packager, shared by all who fetch from it, and the task
//! that fills it.
//!
//! The task is started by the first player of a live stream and reads the frame
//! bus from its newest group of pictures, so the first segment is done when that
//! group ends. It stays while the stream is live, whether anybody watches or not:
//! the next player then starts at once. When the publisher leaves, the shelf
//! stays for the playlist's lifetime, and goes on if he returns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::registry::Live;
use contract::session::Moment;
use contract::{Clock, StreamKey};
use media::{EndReason, Event, Frame, Memory};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::grant::lock;
use crate::packager::{Outcome, Packager, Shape};

/// How long a player is kept waiting for a stream's first segment. Players give
/// up after 10 s or more without a byte.
const HOLD: Duration = Duration::from_secs(10);

/// A stream as the registry shows it.
pub(crate) type LiveView = watch::Receiver<Option<Arc<Live>>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    state: Mutex<State>,
    /// Ticks whenever there is something new to look at.
    changed: watch::Sender<()>,
    /// Where the task looks for the stream. A row of the registry that went and
    /// came again is seen only through a newer player's view.
    views: watch::Sender<LiveView>,
}

#[derive(Debug)]
struct State {
    packager: Packager,
    live: Option<Arc<Live>>,
    /// Earlier publishes of which there are segments, and the number of the first
    /// segment that is none of them any more; oldest first.
    past: VecDeque<(Arc<Live>, u64)>,
    phase: Phase,
}

/// Earlier publishes that a shelf keeps segments of; those of the oldest go.
const PAST: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is a publisher, or was when the shelf was made.
    Live,
    /// The publisher has left.
    Over,
    /// The task has ended; make another shelf.
    Closed,
}

/// Why there is nothing to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// The publisher has left.
    Over,
    /// He is there, but sent nothing that can be played in time.
    NotYet,
}

impl Shelf {
    /// What its media counts against, while it is live.
    pub(crate) fn memory(&self) -> Option<Memory> {
        lock(&self.state).live.as_ref()?.frames.memory()
    }

    pub(crate) fn new(view: LiveView, shape: Shape, clock: &Clock) -> Self {
        let packager = Packager::new(shape, clock.now().wall.0 / 1000);
        Self {
            state: Mutex::new(State { packager, live: None, past: VecDeque::new(), phase: Phase::Live }),
            changed: watch::Sender::new(()),
            views: watch::Sender::new(view),
        }
    }

    /// A newer view of the stream. False: the shelf is closed.
    pub(crate) fn offer(&self, view: &LiveView) -> bool {
        if lock(&self.state).phase == Phase::Closed {
            return false;
        }
        self.views.send_if_modified(|current| {
            let other = !current.same_channel(view);
            if other {
                *current = view.clone();
            }
            other
        });
        true
    }

    /// Whether its task has ended.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).phase == Phase::Closed
    }

    /// Looks into the packager.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Packager) -> T) -> T {
        let mut state = lock(&self.state);
        state.forget_silenced();
        look(&state.packager)
    }

    /// The moment at which a segment ends.
    pub(crate) fn until(&self, number: u64) -> Option<Moment> {
        let state = lock(&self.state);
        let earlier = state.past.iter().find(|(_, after)| number < *after).map(|(live, _)| live);
        let generation = earlier.or(state.live.as_ref())?.generation;
        Some(Moment { generation, at: state.packager.until(number)? })
    }

    /// Waits until there is something to play, a bounded time.
    pub(crate) async fn ready(&self) -> Result<(), Nothing> {
        let mut changed = self.changed.subscribe();
        let waits = async {
            loop {
                changed.borrow_and_update();
                if let Some(answer) = self.answer() {
                    return answer;
                }
                if changed.changed().await.is_err() {
                    return Err(Nothing::Over);
                }
            }
        };
        timeout(HOLD, waits).await.unwrap_or(Err(Nothing::NotYet))
    }

    /// `None`: wait.
    fn answer(&self) -> Option<Result<(), Nothing>> {
        let mut state = lock(&self.state);
        state.forget_silenced();
        match state.answer() {
            // The next publisher is there already, and the task comes to him.
            Some(Err(_)) if state.phase == Phase::Over && self.is_ahead_of(&state) => None,
            answer => answer,
        }
    }

    /// Whether the stream is live with a publish that the task has not begun.
    fn is_ahead_of(&self, state: &State) -> bool {
        let filled = state.live.as_ref().map(|live| live.generation);
        let view = self.views.borrow();
        let live = view.borrow();
        live.as_ref().is_some_and(|live| Some(live.generation) != filled)
    }

    /// The publisher was silenced: empties the shelf before the task comes to
    /// it. Orders of an earlier publisher's silence change nothing.
    pub(crate) fn hush(&self) {
        lock(&self.state).forget_silenced();
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut lock(&self.state));
        self.changed.send_replace(());
        done
    }
}

impl State {
    /// Another publish follows what was packed so far.
    fn begin(&mut self, live: Arc<Live>, shape: Shape) {
        let _ = self.packager.begin(shape);
        self.packager.count_against(live.frames.memory().unwrap_or_default());
        let next = self.packager.next();
        self.past.extend(self.live.replace(live).map(|live| (live, next)));
        if self.past.len() > PAST
            && let Some((_, number)) = self.past.pop_front()
        {
            self.packager.forget_before(number);
        }
        let packager = &self.packager;
        self.past.retain(|(_, number)| packager.has_before(*number));
        self.phase = Phase::Live;
    }

    /// Drops the segments of publishers that were silenced, also of those that had
    /// left before. What is older goes with them.
    fn forget_silenced(&mut self) {
        let silenced = |live: &Live| live.frames.ended() == Some(EndReason::Silenced);
        if let Some(at) = self.past.iter().rposition(|(live, _)| silenced(live)) {
            let number = self.past[at].1;
            self.past.drain(..=at);
            self.packager.forget_before(number);
        }
        if self.live.as_deref().is_some_and(silenced) {
            self.packager.silence();
        }
    }

    fn answer(&self) -> Option<Result<(), Nothing>> {
        match self.phase {
            _ if !self.packager.is_empty() => Some(Ok(())),
            Phase::Live => None,
            Phase::Over | Phase::Closed => Some(Err(Nothing::Over)),
        }
    }
}

/// What the task needs beside the shelf.
pub(crate) struct Filler {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) stream: StreamKey,
    pub(crate) clock: Clock,
    /// What the application wants now.
    pub(crate) shape: Box<dyn Fn() -> Shape + Send + Sync>,
}

impl Filler {
    /// Fills the shelf until the stream is over and its playlist has had its time.
    pub(crate) async fn run(self) {
        let mut views = self.shelf.views.subscribe();
        let mut view = views.borrow_and_update().clone();
        let mut generation = None;
        loop {
            let deadline = Instant::now() + (self.shape)().lifetime();
            tokio::select! {
                live = next_live(&mut view, generation) => {
                    generation = Some(live.generation);
                    self.fill(live).await;
                }
                newer = views.changed() => match newer {
                    Ok(()) => view = views.borrow_and_update().clone(),
                    Err(_) => break,
                },
                () = sleep_until(deadline) => break,
            }
        }
        self.shelf.change(|state| state.phase = Phase::Closed);
        tracing::debug!(stream = %self.stream, "HLS packager ended");
    }

    /// One publish, from its beginning to its end.
    async fn fill(&self, live: Arc<Live>) {
        let mut reader = live.frames.reader();
        let shape = (self.shape)();
        self.shelf.change(|state| state.begin(live, shape));
        loop {
            let event = reader.next().await;
            let ended = matches!(event, Event::Ended(_));
            self.take(event);
            if ended {
                return;
            }
        }
    }

    fn take(&self, event: Event<Frame>) {
        let wall = self.clock.now().wall;
        let outcome = lock(&self.shelf.state).packager.take(event, wall);
        match outcome {
            Outcome::Nothing => {}
            Outcome::Segment => self.shelf.change(|_| ()),
            Outcome::Unplayable(error) => {
                tracing::warn!(stream = %self.stream, %error, "stream cannot be played over HLS");
            }
            Outcome::Ended | Outcome::Silenced => self.shelf.change(|state| state.phase = Phase::Over),
        }
    }
}

/// The next publish after `generation`. Waits for ever when the view's row is
/// gone; a newer view or the deadline then ends the wait.
async fn next_live(view: &mut LiveView, generation: Option<u64>) -> Arc<Live> {
    loop {
        let live = view.borrow_and_update().clone();
        if let Some(live) = live.filter(|live| Some(live.generation) != generation) {
            return live;
        }
        if view.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
