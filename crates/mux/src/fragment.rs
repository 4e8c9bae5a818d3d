//! From frames to media segments.

use std::time::Duration;

use bytes::Bytes;
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks};

use crate::aac::AacConfig;
use crate::clock::Lane;
use crate::init::{InitError, OPUS_RATE, VIDEO_RATE};
use crate::opus::packet_samples;
use crate::segment::media_segment;

/// A step of the timestamps beyond this is another timeline, not a hole: a
/// publisher that slept, or wrapped. Under it, the last picture stays that long.
const LEAP: Duration = Duration::from_secs(10);
/// Backwards, pictures are only squeezed together for so long.
const STEP_BACK: Duration = Duration::from_secs(1);

/// Microseconds round ticks to the nearest; this takes the rest.
const ROUNDING: Duration = Duration::from_micros(1);

/// A finished media segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// `styp`, `moof` and `mdat`.
    pub bytes: Bytes,
    /// Where it starts on the fragmenter's timeline: where the one before it ended.
    pub start: MediaTime,
    /// Time to where the next one starts. Sound may reach over either end by a
    /// block.
    pub duration: Duration,
    /// A decoder can start with it.
    pub independent: bool,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Placed {
    /// It is in the open segment.
    Kept,
    /// It is left out: before the first keyframe, of a track that is not there,
    /// or sound that belongs to no time near the pictures.
    Dropped,
    /// Its time does not continue this run. Nothing was changed; start another
    /// fragmenter at [`Fragmenter::end`] and declare a discontinuity.
    Leap,
}

/// Turns the frames of one run of media into segments.
///
/// A run has one set of tracks and one clock. Its first frame (a keyframe, where
/// there are pictures) is placed at the `base` that the owner gives, and sound
/// keeps its distance to it.
#[derive(Debug)]
pub struct Fragmenter {
    base: MediaTime,
    /// What the publisher's clock said at `base`.
    origin: Option<MediaTime>,
    /// Newest time seen, publisher's clock: of the leading track, and of any.
    newest_lead: MediaTime,
    newest: MediaTime,
    /// Where the open segment starts, and how far it has come.
    open: MediaTime,
    at: MediaTime,
    video: Option<Lane>,
    audio: Option<AudioLane>,
}

#[derive(Debug)]
struct AudioLane {
    lane: Lane,
    /// Samples of every block, or `None`: each packet tells.
    block: Option<u32>,
}

impl AudioLane {
    fn new(track: &AudioTrack) -> Result<Self, InitError> {
        let (rate, block) = match track.codec {
            AudioCodec::Aac => {
                let config = AacConfig::parse(&track.config)?;
                (config.core_rate, Some(config.frame_samples))
            }
            AudioCodec::Opus => (OPUS_RATE, None),
        };
        Ok(Self { lane: Lane::new(TrackKind::Audio, rate), block })
    }
}

impl Fragmenter {
    /// A run of these tracks that starts at `base`, which is not negative.
    pub fn new(tracks: &Tracks, base: MediaTime) -> Result<Self, InitError> {
        let audio = tracks.audio.as_ref().map(AudioLane::new).transpose()?;
        let video = tracks.video.as_ref().map(|_| Lane::new(TrackKind::Video, VIDEO_RATE));
        if audio.is_none() && video.is_none() {
            return Err(InitError::NoTrack);
        }
        let (base, zero) = (base.max(MediaTime::ZERO), MediaTime::ZERO);
        Ok(Self { base, origin: None, newest_lead: zero, newest: zero, open: base, at: base, video, audio })
    }

    /// Places a frame.
    pub fn push(&mut self, frame: &Frame) -> Placed {
        match (frame.track, self.video.is_some(), self.audio.is_some()) {
            (TrackKind::Video, true, _) => self.lead(frame, frame.keyframe),
            (TrackKind::Audio, true, true) => self.follow(frame),
            (TrackKind::Audio, false, true) => self.lead(frame, true),
            (TrackKind::Video, false, _) | (TrackKind::Audio, _, false) => Placed::Dropped,
        }
    }

    /// A frame of the track that decides where the run starts and ends.
    fn lead(&mut self, frame: &Frame, can_start: bool) -> Placed {
        match self.origin {
            None if can_start => self.start(frame),
            None => Placed::Dropped,
            Some(_) if self.leaps(frame.dts) => Placed::Leap,
            Some(_) => {
                self.newest_lead = frame.dts;
                self.place(frame)
            }
        }
    }

    fn start(&mut self, frame: &Frame) -> Placed {
        (self.origin, self.newest, self.newest_lead) = (Some(frame.dts), frame.dts, frame.dts);
        let placed = self.place(frame);
        // Ticks of the other track may round to before where the last run ended.
        self.open = self.at.max(self.base - MediaTime::from_micros(1));
        placed
    }

    /// Forwards, sound that went on without pictures bridges a hole; backwards,
    /// only the track itself tells, because tracks may be interleaved loosely.
    fn leaps(&self, dts: MediaTime) -> bool {
        dts.since(self.newest) > LEAP || self.newest_lead.since(dts) > STEP_BACK
    }

    /// Sound beside pictures: it never starts a run, and counts only near them.
    fn follow(&mut self, frame: &Frame) -> Placed {
        let Some(origin) = self.origin else { return Placed::Dropped };
        let near = frame.pts.since(self.newest) <= LEAP && self.newest.since(frame.pts) <= LEAP;
        if frame.pts < origin || !near {
            return Placed::Dropped;
        }
        self.place(frame)
    }

    fn place(&mut self, frame: &Frame) -> Placed {
        let (dts, pts) = (self.on_timeline(frame.dts), self.on_timeline(frame.pts));
        match (frame.track, &mut self.video, &mut self.audio) {
            (TrackKind::Video, Some(video), _) => {
                video.push_video(dts, pts, frame.keyframe, frame.data.clone());
                self.at = video.position();
            }
            (TrackKind::Audio, _, Some(audio)) => {
                let Some(samples) = audio.block.or_else(|| packet_samples(&frame.data)) else {
                    return Placed::Dropped;
                };
                audio.lane.push_audio(pts, samples, frame.data.clone());
                self.at = audio.lane.position();
            }
            _ => return Placed::Dropped,
        }
        self.newest = self.newest.max(frame.dts);
        Placed::Kept
    }

    fn on_timeline(&self, at: MediaTime) -> MediaTime {
        let since = at - self.origin.unwrap_or(at);
        self.base - (MediaTime::ZERO - since)
    }

    /// Where the newest frame is on the timeline.
    pub fn position(&self) -> MediaTime {
        self.at
    }

    /// Time in the open segment, up to the newest frame.
    pub fn elapsed(&self) -> Duration {
        self.at.since(self.open)
    }

    /// Payload bytes of the open segment.
    pub fn bytes(&self) -> usize {
        self.lanes().map(Lane::bytes).sum()
    }

    /// Whether a decoder could start with the open segment.
    pub fn independent(&self) -> bool {
        self.video.as_ref().is_none_or(Lane::starts_in_sync)
    }

    /// Where the newest frame ends on the timeline, or just after: a run that
    /// starts here overlaps no sample of this one.
    pub fn end(&self) -> MediaTime {
        self.last().max(self.base) + ROUNDING
    }

    fn last(&self) -> MediaTime {
        self.lanes().map(Lane::end).max().unwrap_or(self.base)
    }

    /// Closes the open segment before the newest frame of each track, which
    /// opens the next one. So a cut after a keyframe was pushed falls before it.
    /// `None` when there is nothing to close.
    pub fn cut(&mut self, sequence: u32) -> Option<Segment> {
        let video = self.video.as_mut().and_then(Lane::cut);
        let independent = video.as_ref().is_none_or(|v| v.samples.first().is_some_and(|s| s.sync));
        let audio = self.audio.as_mut().and_then(|audio| audio.lane.cut());
        let fragments: Vec<_> = video.into_iter().chain(audio).collect();
        if fragments.is_empty() {
            return None;
        }
        let (start, end) = (self.open, self.at.max(self.open));
        self.open = end;
        let bytes = media_segment(sequence, &fragments);
        Some(Segment { bytes, start, duration: end.since(start), independent })
    }

    /// Closes the open segment with everything in it. The run is over; nothing
    /// more is to be pushed.
    pub fn finish(&mut self, sequence: u32) -> Option<Segment> {
        self.at = self.last();
        self.video.iter_mut().for_each(Lane::finish);
        self.audio.iter_mut().for_each(|audio| audio.lane.finish());
        self.cut(sequence)
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.video.iter().chain(self.audio.iter().map(|a| &a.lane))
    }
}

#[cfg(test)]
mod tests;
