//! The packager of one stream: frames in, segments and playlists out.
//!
//! Pure. It outlives its publishers: a stream that comes back goes on in the same
//! playlist, behind a discontinuity. Numbers of segments and init segments start
//! at an `epoch` that the owner takes from the clock, in seconds; since nothing
//! is numbered faster than that, numbers never come again, not even after a
//! restart of the server.

mod playlist;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::WallMs;
use media::{EndReason, Event, Frame, MediaTime, Memory, TrackKind, Tracks};
use mux::{Fragmenter, InitError, InitSegment, Placed, Segment};

pub use playlist::{Names, Variant};
use window::Window;

/// No segment is longer, keyframe or not: otherwise a publisher without keyframes
/// fills the memory and his players see nothing. The default distance of x264 is
/// 250 frames, 10.4 s at 24 fps, which must still be cut at its keyframes.
const LONGEST: Duration = Duration::from_secs(12);
/// Nor is one larger: as much as the frame bus holds.
const LARGEST: usize = 32 << 20;
/// Encoders and RTMP's whole milliseconds miss the wanted length by a little, and
/// waiting for the next keyframe would then double it.
const EARLY: Duration = Duration::from_millis(50);

/// What an application wants of its playlists (C§3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Length at which a segment is cut at the next keyframe. (`hlsTime`)
    pub segment: Duration,
    /// Segments in the playlist. (`hlsListSize`)
    pub list_size: usize,
}

impl From<&contract::settings::Hls> for Shape {
    fn from(hls: &contract::settings::Hls) -> Self {
        Self { segment: hls.segment, list_size: hls.list_size }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self::from(&contract::settings::Hls::default())
    }
}

impl Shape {
    /// How long a playlist stays after its publisher has ended (C§16.19).
    pub fn lifetime(&self) -> Duration {
        self.segment.saturating_mul(u32::try_from(self.list_size).unwrap_or(u32::MAX))
    }
}

/// What an event led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Nothing that anybody waits for.
    Nothing,
    /// There is a new segment.
    Segment,
    /// These tracks cannot be played over HLS; their frames are dropped.
    Unplayable(InitError),
    /// The publisher has ended; the playlist stays.
    Ended,
    /// The publisher was silenced; the playlist is gone.
    Silenced,
}

/// One uninterrupted run of media: one set of tracks, one clock.
#[derive(Debug)]
struct Run {
    fragmenter: Fragmenter,
    init: u64,
    /// Wall time of the timeline's zero: the earliest that any frame says. A
    /// stream is joined with a burst from its GOP cache, whose last frame is the
    /// one that is live.
    zero: Option<i64>,
    /// The publisher's time of the newest frame.
    newest: MediaTime,
}

impl Run {
    fn hear(&mut self, wall: WallMs) {
        let at = self.fragmenter.position().as_millis();
        let zero = i64::try_from(wall.0).unwrap_or(i64::MAX).saturating_sub(at);
        self.zero = Some(self.zero.map_or(zero, |before| before.min(zero)));
    }

    fn cut(&mut self, number: u64) -> Option<(Segment, WallMs)> {
        let segment = self.fragmenter.cut(number as u32)?;
        let wall = self.wall(&segment);
        Some((segment, wall))
    }

    fn finish(&mut self, number: u64) -> Option<(Segment, WallMs)> {
        let segment = self.fragmenter.finish(number as u32)?;
        let wall = self.wall(&segment);
        Some((segment, wall))
    }

    fn wall(&self, segment: &Segment) -> WallMs {
        let ms = self.zero.unwrap_or(0).saturating_add(segment.start.as_millis());
        WallMs(u64::try_from(ms).unwrap_or(0))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Packager {
    shape: Shape,
    tracks: Option<Arc<Tracks>>,
    run: Option<Run>,
    /// Where the next run begins on the timeline.
    end: MediaTime,
    window: Window,
}

impl Packager {
    /// An empty one. `epoch` is the Unix time in seconds.
    pub fn new(shape: Shape, epoch: u64) -> Self {
        Self { shape, tracks: None, run: None, end: MediaTime::ZERO, window: Window::new(epoch) }
    }

    /// Segments count against this budget from here on.
    pub fn count_against(&mut self, memory: Memory) {
        self.window.count_against(memory);
    }

    /// A publisher begins, or begins again; from here `shape` holds (C§16.19).
    pub fn begin(&mut self, shape: Shape) -> Outcome {
        let outcome = self.end_run();
        self.tracks = None;
        self.shape = shape;
        self.window.resize(shape.list_size);
        outcome
    }

    /// Takes the next event of the stream's frame bus; `wall` is the time now.
    pub fn take(&mut self, event: Event<Frame>, wall: WallMs) -> Outcome {
        match event {
            Event::Tracks(tracks) => self.set_tracks(tracks),
            Event::Item(frame) => self.push(&frame, wall),
            Event::Gap(_) => self.restart(),
            Event::Ended(EndReason::Finished) => match self.end_run() {
                Outcome::Nothing | Outcome::Segment => Outcome::Ended,
                other => other,
            },
            Event::Ended(EndReason::Silenced) => {
                self.silence();
                Outcome::Silenced
            }
        }
    }

    /// Number of the next segment: all before it are of what was packed so far.
    pub(crate) fn next(&self) -> u64 {
        self.window.next()
    }

    /// Whether there is any segment with a lower number than this.
    pub(crate) fn has_before(&self, number: u64) -> bool {
        self.window.has_before(number)
    }

    /// Drops all segments with lower numbers than this.
    pub(crate) fn forget_before(&mut self, number: u64) {
        self.window.forget_before(number);
    }

    /// Drops playlist and segments at once: the publisher is blocked. Numbering
    /// goes on.
    pub fn silence(&mut self) {
        if let Some(run) = self.run.take() {
            self.end = self.end.max(run.fragmenter.end());
        }
        self.tracks = None;
        self.window.clear();
    }

    /// A reader may repeat tracks that have not changed; only others end a run.
    fn set_tracks(&mut self, tracks: Arc<Tracks>) -> Outcome {
        if self.run.is_some() && self.tracks.as_ref() == Some(&tracks) {
            return Outcome::Nothing;
        }
        let outcome = self.end_run();
        self.tracks = Some(tracks);
        match self.begin_run() {
            Ok(()) => outcome,
            Err(error) => Outcome::Unplayable(error),
        }
    }

    /// Media is missing, or jumps to another time: same tracks, new run.
    fn restart(&mut self) -> Outcome {
        let outcome = self.end_run();
        // These tracks have made an init segment before, so they will again.
        let _ = self.begin_run();
        outcome
    }

    fn begin_run(&mut self) -> Result<(), InitError> {
        let Some(tracks) = &self.tracks else { return Ok(()) };
        let init = InitSegment::new(tracks)?;
        let fragmenter = Fragmenter::new(tracks, self.end)?;
        let init = self.window.add_init(init.bytes());
        self.run = Some(Run { fragmenter, init, zero: None, newest: MediaTime::ZERO });
        Ok(())
    }

    fn end_run(&mut self) -> Outcome {
        let Some(mut run) = self.run.take() else { return Outcome::Nothing };
        self.end = self.end.max(run.fragmenter.end());
        let last = run.finish(self.window.next());
        let outcome = self.keep(last, run.init, run.newest);
        self.window.break_here();
        outcome
    }

    /// `until` is the publisher's time at its end.
    fn keep(&mut self, segment: Option<(Segment, WallMs)>, init: u64, until: MediaTime) -> Outcome {
        let Some((segment, wall)) = segment else { return Outcome::Nothing };
        self.window.push(segment, init, wall, until);
        Outcome::Segment
    }

    fn push(&mut self, frame: &Frame, wall: WallMs) -> Outcome {
        match self.place(frame, wall) {
            Placed::Kept => self.cut_after(frame),
            Placed::Dropped => Outcome::Nothing,
            Placed::Leap => {
                let outcome = self.restart();
                // It opens the new run, or waits with it for a keyframe.
                let _ = self.place(frame, wall);
                outcome
            }
        }
    }

    fn place(&mut self, frame: &Frame, wall: WallMs) -> Placed {
        let Some(run) = &mut self.run else { return Placed::Dropped };
        let placed = run.fragmenter.push(frame);
        if placed == Placed::Kept {
            run.hear(wall);
            run.newest = frame.dts;
        }
        placed
    }

    /// Cuts before `frame`, which was just pushed, if that is a good place or the
    /// last one.
    fn cut_after(&mut self, frame: &Frame) -> Outcome {
        let Some(run) = &mut self.run else { return Outcome::Nothing };
        let elapsed = run.fragmenter.elapsed();
        let clean = frame.keyframe && self.tracks.as_ref().is_some_and(|t| leads(t, frame));
        // A segment that was cut without a keyframe ends at the next one.
        let wanted = clean && (elapsed + EARLY >= self.shape.segment || !run.fragmenter.independent());
        let longest = LONGEST.max(self.shape.segment * 2);
        if !wanted && elapsed < longest && run.fragmenter.bytes() < LARGEST {
            return Outcome::Nothing;
        }
        let (segment, init) = (run.cut(self.window.next()), run.init);
        self.keep(segment, init, frame.dts)
    }

    /// What is playable, as a media playlist; `None` while there is nothing.
    pub fn playlist(&self, names: &Names<'_>) -> Option<String> {
        playlist::media(&self.window, self.shape.segment, names)
    }

    /// What a multivariant playlist says of this stream; `None` while there is
    /// nothing to play.
    pub fn variant(&self) -> Option<Variant> {
        playlist::variant(&self.window, self.tracks.as_ref()?)
    }

    /// A media segment by number, also one that has just left the playlist.
    pub fn segment(&self, number: u64) -> Option<Bytes> {
        self.window.segment(number)
    }

    /// How long a media segment plays.
    pub fn plays(&self, number: u64) -> Option<Duration> {
        self.window.plays(number)
    }

    /// Where a media segment ends, on its publisher's clock.
    pub fn until(&self, number: u64) -> Option<MediaTime> {
        self.window.until(number)
    }

    /// An init segment by number.
    pub fn init(&self, number: u64) -> Option<Bytes> {
        self.window.init(number)
    }

    /// Whether there is anything to play.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }
}

/// Whether a run may be cut at frames of this track.
fn leads(tracks: &Tracks, frame: &Frame) -> bool {
    match frame.track {
        TrackKind::Video => true,
        TrackKind::Audio => tracks.video.is_none(),
    }
}

#[cfg(test)]
mod tests;
