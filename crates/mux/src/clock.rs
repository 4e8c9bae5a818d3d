//! Lanes: the samples of one track, given durations and a place on the timeline.
//!
//! A sample's duration is known only when the next one comes, so each lane holds
//! the newest sample back. That is also what lets sound be corrected: a hole
//! becomes a longer last sample instead of a gap between two segments, at which
//! players stall.

use std::time::Duration;

use bytes::Bytes;
use media::{MediaTime, TrackKind};

use crate::segment::{Fragment, Sample};

/// How far counted sound may be from its timestamps before it is corrected. RTMP
/// rounds to milliseconds and encoders stamp in bursts, so less would cut into
/// sound that is fine; 40 ms is about where lips start to look wrong.
const DRIFT: Duration = Duration::from_millis(40);

/// The newest sample, whose end is not known yet.
#[derive(Debug)]
struct Held {
    at: u64,
    /// Its duration if nothing follows.
    nominal: u32,
    composition: u32,
    sync: bool,
    data: Bytes,
}

impl Held {
    fn end(&self) -> u64 {
        self.at + u64::from(self.nominal)
    }

    fn ending_at(self, end: u64) -> Sample {
        let duration = u32::try_from(end.saturating_sub(self.at)).unwrap_or(u32::MAX);
        Sample { duration, composition: self.composition, sync: self.sync, data: self.data }
    }
}

/// One track's share of the open segment.
#[derive(Debug)]
pub(crate) struct Lane {
    kind: TrackKind,
    rate: u32,
    /// Decode time of `done[0]`, or of what comes first.
    start: u64,
    done: Vec<Sample>,
    held: Option<Held>,
    bytes: usize,
}

impl Lane {
    pub(crate) fn new(kind: TrackKind, rate: u32) -> Self {
        Self { kind, rate, start: 0, done: Vec::new(), held: None, bytes: 0 }
    }

    /// Adds a picture. Pictures keep their timestamps; one that does not come
    /// after its predecessor is moved a tick behind it.
    pub(crate) fn push_video(&mut self, dts: MediaTime, pts: MediaTime, sync: bool, data: Bytes) {
        let earliest = self.held.as_ref().map_or(0, |h| h.at + 1);
        let at = self.ticks(dts).max(earliest);
        let composition = u32::try_from(self.ticks(pts).saturating_sub(at)).unwrap_or(0);
        // The last picture of all lasts as long as the one before it.
        let nominal = match (&self.held, self.done.last()) {
            (Some(held), _) => u32::try_from(at - held.at).unwrap_or(u32::MAX),
            (None, Some(last)) => last.duration,
            (None, None) => self.rate / 30,
        };
        self.hold(Held { at, nominal, composition, sync, data });
    }

    /// Adds a block of sound of `samples` ticks. Sound is counted, not stamped,
    /// so that it has neither cracks nor overlaps; only when the count is
    /// [`DRIFT`] away from the stamps it is brought back: forwards by a longer
    /// last block, backwards by leaving this one out.
    pub(crate) fn push_audio(&mut self, pts: MediaTime, samples: u32, data: Bytes) {
        let stamped = self.ticks(pts);
        let counted = self.held.as_ref().map_or(stamped, Held::end);
        let allowed = (DRIFT.as_millis() as u64 * u64::from(self.rate) / 1000).max(u64::from(samples));
        if counted > stamped + allowed {
            return;
        }
        let at = if stamped > counted + allowed { stamped } else { counted };
        self.hold(Held { at, nominal: samples, composition: 0, sync: true, data });
    }

    fn hold(&mut self, next: Held) {
        self.bytes += next.data.len();
        let at = next.at;
        match self.held.replace(next) {
            Some(before) => self.done.push(before.ending_at(at)),
            None => self.start = at,
        }
    }

    /// Ends the newest sample by its nominal duration.
    pub(crate) fn finish(&mut self) {
        if let Some(held) = self.held.take() {
            let end = held.end();
            self.done.push(held.ending_at(end));
        }
    }

    /// Takes the samples that are complete; the held one opens the next segment.
    pub(crate) fn cut(&mut self) -> Option<Fragment> {
        if self.done.is_empty() {
            return None;
        }
        let samples = std::mem::take(&mut self.done);
        let start = self.start;
        self.start += samples.iter().map(|s| u64::from(s.duration)).sum::<u64>();
        self.bytes = self.held.as_ref().map_or(0, |h| h.data.len());
        Some(Fragment { kind: self.kind, start, samples })
    }

    /// Where the newest sample starts; where the lane stands when it has none.
    pub(crate) fn position(&self) -> MediaTime {
        self.time(self.held.as_ref().map_or(self.start, |h| h.at))
    }

    /// Where the newest sample ends; where the lane stands when it has none.
    pub(crate) fn end(&self) -> MediaTime {
        self.time(self.held.as_ref().map_or(self.start, Held::end))
    }

    /// Whether the open segment begins with a sync sample, or has none yet.
    pub(crate) fn starts_in_sync(&self) -> bool {
        self.done.first().map(|s| s.sync).or(self.held.as_ref().map(|h| h.sync)).unwrap_or(true)
    }

    /// Payload bytes of the open segment, held sample included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn time(&self, ticks: u64) -> MediaTime {
        MediaTime::from_ticks(i64::try_from(ticks).unwrap_or(i64::MAX), self.rate)
    }

    fn ticks(&self, at: MediaTime) -> u64 {
        u64::try_from(at.in_ticks(self.rate)).unwrap_or(0)
    }
}
