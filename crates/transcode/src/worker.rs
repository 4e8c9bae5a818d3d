//! One stream's thread between its frame bus and whoever packetises it.
//!
//! Started by the stream's packetiser with the first WebRTC player; ends when
//! the [`Worker`] is dropped or the bus ends. Its input queue is the bus itself,
//! which is bounded and never waits: a worker that falls behind loses its own
//! pictures ([`Output::Dropped`]), the publisher nothing.

mod late;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use media::ring::{EndReason, Event};
use media::{BusReader, Frame, Tracks};

use crate::audio::AudioUnsupported;
use crate::slots::Slots;
use crate::video::{VideoSettings, VideoUnsupported};
use stream::Stream;

/// What happens to a track on its way through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// The stream has no such track.
    Absent,
    /// Frames pass as they are.
    Passed,
    /// Frames are transcoded.
    Transcoded,
    /// Nothing but keyframes passes: there is no free [`Slot`](crate::Slot).
    /// Tried again at each keyframe.
    NoRoom,
    /// Nothing but keyframes passes: this stream cannot be transcoded.
    KeyframesOnly(VideoUnsupported),
    /// The track is left out.
    Refused(AudioUnsupported),
}

/// What a worker says, in the order of the stream.
#[derive(Debug, Clone)]
pub enum Output {
    /// The frames that follow belong to these tracks. Comes first, and again at
    /// each change.
    Tracks {
        /// What comes out.
        tracks: Arc<Tracks>,
        /// How its pictures come about.
        video: Treatment,
        /// How its sound comes about.
        audio: Treatment,
    },
    /// A frame.
    Frame(Frame),
    /// So many of the publisher's frames were left out here to catch up.
    Dropped(u64),
    /// Nothing follows. After [`EndReason::Silenced`] what was given before must
    /// not be sent either.
    Ended(EndReason),
}

/// How to transcode.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// For pictures.
    pub video: VideoSettings,
    /// Shared by all workers of the server.
    pub slots: Slots,
}

/// What a worker has lost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames left out because the worker was late.
    pub dropped: u64,
    /// Frames that did not decode.
    pub corrupt: u64,
    /// Pictures that the encoder skipped to keep its bit rate.
    pub skipped: u64,
}

#[derive(Default)]
struct Control {
    stop: AtomicBool,
    keyframe: AtomicBool,
    dropped: AtomicU64,
    corrupt: AtomicU64,
    skipped: AtomicU64,
}

impl Control {
    fn store(&self, counts: Counts) {
        self.dropped.store(counts.dropped, Ordering::Relaxed);
        self.corrupt.store(counts.corrupt, Ordering::Relaxed);
        self.skipped.store(counts.skipped, Ordering::Relaxed);
    }

    fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { dropped: read(&self.dropped), corrupt: read(&self.corrupt), skipped: read(&self.skipped) }
    }
}

/// The handle. Dropping it stops the thread after the frame it is at, without
/// waiting for it.
pub struct Worker {
    control: Arc<Control>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread. `output` is called on it and must not block for long;
    /// it is dropped when the thread ends.
    pub fn start(
        reader: BusReader,
        settings: WorkerSettings,
        output: impl FnMut(Output) + Send + 'static,
    ) -> std::io::Result<Self> {
        let control = Arc::new(Control::default());
        let thread = std::thread::Builder::new().name("transcode".into()).spawn({
            let control = control.clone();
            move || run(output, reader, Stream::new(settings), &control)
        })?;
        Ok(Self { control, thread })
    }

    /// The next transcoded picture becomes a keyframe, at most one in 500 ms of
    /// the stream's time. Pictures that pass as they are do not change.
    pub fn request_keyframe(&self) {
        self.control.keyframe.store(true, Ordering::Relaxed);
    }

    /// What was lost so far.
    pub fn counts(&self) -> Counts {
        self.control.counts()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.control.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }
}

/// Wakes the thread that sleeps in [`next`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// `output` stands first, so that it is dropped last: whoever sees it go knows
/// that the reader is gone too.
fn run(mut output: impl FnMut(Output), mut reader: BusReader, mut stream: Stream, control: &Control) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut outputs = Vec::new();
    while let Some(event) = next(&mut reader, &waker, control) {
        if control.keyframe.swap(false, Ordering::Relaxed) {
            stream.request_keyframe();
        }
        let ended = matches!(event, Event::Ended(_));
        stream.on(event, reader.lag(), &mut outputs);
        outputs.drain(..).for_each(&mut output);
        control.store(stream.counts());
        if ended {
            return;
        }
    }
}

/// Sleeps until there is an event; `None` when the handle is gone.
fn next(reader: &mut BusReader, waker: &Waker, control: &Control) -> Option<Event<Frame>> {
    let mut cx = Context::from_waker(waker);
    loop {
        if control.stop.load(Ordering::Acquire) {
            return None;
        }
        match reader.poll_next(&mut cx) {
            Poll::Ready(event) => return Some(event),
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests;
