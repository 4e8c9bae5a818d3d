//! One clock for a publisher's two tracks.
//!
//! RTP gives each track a clock with an origin of its own. At first the two are
//! laid together by arrival; when the publisher's sender reports tell how they
//! really relate, the picture is moved towards the sound, a little with every
//! picture: a jump in sound is heard, a millisecond between pictures is not
//! seen.

use std::time::{Duration, Instant};

use media::TrackKind;

/// Largest correction per picture, in microseconds.
const STEP: i64 = 2_000;
/// A report that is further off than this is wrong, or wants the impossible.
const ABSURD: i64 = 5_000_000;

#[derive(Debug)]
struct Track {
    rate: u32,
    /// RTP time, unwrapped, of its first packet.
    first: u64,
    /// Where that lies on the common clock, in microseconds.
    base: i64,
    /// Last sender report: publisher's wall clock in microseconds, and RTP time.
    report: Option<(i64, u64)>,
}

impl Track {
    fn at(&self, ticks: u64) -> i64 {
        self.base + scale(ticks as i64 - self.first as i64, 1_000_000, self.rate)
    }

    /// Common time at a moment of the publisher's wall clock.
    fn at_wall(&self, wall: i64) -> Option<i64> {
        let (report, ticks) = self.report?;
        Some(self.at(ticks) + (wall - report))
    }
}

fn scale(value: i64, to: u32, from: u32) -> i64 {
    (i128::from(value) * i128::from(to)).div_euclid(i128::from(from.max(1))) as i64
}

/// Maps both tracks' RTP times to one clock that starts at 0 with the first
/// packet.
#[derive(Debug, Default)]
pub(crate) struct Lipsync {
    start: Option<Instant>,
    video: Option<Track>,
    audio: Option<Track>,
}

impl Lipsync {
    /// The common time of a packet, in ticks of its track's clock. `ticks` is its
    /// RTP time, unwrapped; `now` is its arrival.
    pub(crate) fn map(&mut self, kind: TrackKind, ticks: u64, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        let slot = match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let rate = kind.rtp_rate();
        let base = now.saturating_duration_since(start).as_micros() as i64;
        let track = slot.get_or_insert(Track { rate, first: ticks, base, report: None });
        let ticks = ticks as i64 - track.first as i64 + scale(track.base, rate, 1_000_000);
        ticks.max(0) as u64
    }

    /// A sender report: the publisher's wall clock since any fixed origin, and
    /// the RTP time of the same moment.
    pub(crate) fn report(&mut self, kind: TrackKind, wall: Duration, ticks: u64) {
        let slot = match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        if let Some(track) = slot {
            let near = ticks.abs_diff(track.first) < u64::from(u32::MAX);
            track.report = near.then_some((wall.as_micros() as i64, ticks));
        }
    }

    /// Between two pictures: moves the picture towards the sound.
    pub(crate) fn step(&mut self) {
        let (Some(video), Some(audio)) = (&mut self.video, &self.audio) else { return };
        let Some((wall, _)) = video.report else { return };
        let (Some(seen), Some(heard)) = (video.at_wall(wall), audio.at_wall(wall)) else { return };
        let off = heard - seen;
        if off.abs() < ABSURD {
            video.base += off.clamp(-STEP, STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_bring_the_tracks_together_without_moving_the_sound() {
        let (mut sync, now) = (Lipsync::default(), Instant::now());
        // Captured at the same moment, but the picture arrives 80 ms later.
        assert_eq!(sync.map(TrackKind::Audio, 1_000_000, now), 0);
        let late = now + Duration::from_millis(80);
        assert_eq!(sync.map(TrackKind::Video, 5_000_000, late), 7200);
        sync.report(TrackKind::Audio, Duration::from_secs(7), 1_000_000);
        sync.report(TrackKind::Video, Duration::from_secs(7), 5_000_000);
        for _ in 0..60 {
            sync.step();
        }
        assert_eq!(sync.map(TrackKind::Video, 5_090_000, late), 90_000);
        assert_eq!(sync.map(TrackKind::Audio, 1_048_000, late), 48_000);
    }

    #[test]
    fn an_absurd_report_changes_nothing() {
        let (mut sync, now) = (Lipsync::default(), Instant::now());
        sync.map(TrackKind::Audio, 0, now);
        sync.map(TrackKind::Video, 0, now);
        sync.report(TrackKind::Audio, Duration::from_secs(7), 0);
        sync.report(TrackKind::Video, Duration::from_secs(4000), 0);
        sync.step();
        assert_eq!(sync.map(TrackKind::Video, 90_000, now), 90_000);
    }
}
