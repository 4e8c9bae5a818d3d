//! RTMP's 32-bit milliseconds to media time.

use media::{MediaTime, TrackKind};

/// A track that goes back further than this has started anew; anything less is
/// jitter and stands still. Milliseconds.
const BACK_IN_TRACK: i64 = 500;
/// How far one track may lie behind the other. Milliseconds.
const BACK_ACROSS: i64 = 5_000;
/// Encoders do not skip this much: the clock was set. Milliseconds.
const FORWARD: i64 = 30_000;
/// Step over a clock that was set: about a picture. Milliseconds.
const SPLICE: i64 = 40;
/// Longest believable wait between decoding and showing. Milliseconds.
const MAX_OFFSET: i32 = 10_000;

/// Unwraps the timestamps of both tracks of one stream, which share a clock, and
/// bridges jumps, so that times never decrease within a track.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    last_raw: Option<u32>,
    now: i64,
    video: Option<i64>,
    audio: Option<i64>,
}

impl Timeline {
    /// Decode time and show time of a message. `offset` is FLV's composition time,
    /// in milliseconds; a negative one would show a picture before it is decoded,
    /// and counts as 0.
    pub(crate) fn place(&mut self, track: TrackKind, raw: u32, offset: i32) -> (MediaTime, MediaTime) {
        let now = self.unwrap(track, raw);
        let last = self.last(track);
        let dts = last.map_or(now, |last| last.max(now));
        *last = Some(dts);
        let pts = (now + i64::from(offset.clamp(0, MAX_OFFSET))).max(dts);
        (MediaTime::from_millis(dts), MediaTime::from_millis(pts))
    }

    fn unwrap(&mut self, track: TrackKind, raw: u32) -> i64 {
        let Some(last_raw) = self.last_raw.replace(raw) else {
            self.now = i64::from(raw);
            return self.now;
        };
        let delta = i64::from(raw.wrapping_sub(last_raw).cast_signed());
        let behind = self.last(track).is_some_and(|last| self.now_at(delta) < last - BACK_IN_TRACK);
        self.now = if behind || !(-BACK_ACROSS..=FORWARD).contains(&delta) {
            self.now.max(self.video.unwrap_or(self.now)).max(self.audio.unwrap_or(self.now)) + SPLICE
        } else {
            self.now_at(delta)
        };
        self.now
    }

    fn now_at(&self, delta: i64) -> i64 {
        self.now + delta
    }

    fn last(&mut self, track: TrackKind) -> &mut Option<i64> {
        match track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TrackKind::{Audio, Video};

    fn dts(timeline: &mut Timeline, track: TrackKind, raw: u32) -> i64 {
        timeline.place(track, raw, 0).0.as_millis()
    }

    #[test]
    fn the_clock_runs_on_over_32_bits() {
        let line = &mut Timeline::default();
        assert_eq!(dts(line, Video, 0xffff_fff0), 0xffff_fff0);
        assert_eq!(dts(line, Video, 0x10), 0x1_0000_0010);
        assert_eq!(
            dts(line, Audio, 0xffff_ffff),
            0xffff_ffff,
            "the other track may still be before the wrap"
        );
    }

    #[test]
    fn a_restarted_clock_continues_where_it_was() {
        let line = &mut Timeline::default();
        dts(line, Video, 100_000);
        dts(line, Audio, 100_010);
        assert_eq!(dts(line, Video, 0), 100_050);
        assert_eq!(dts(line, Video, 33), 100_083);
        assert_eq!(dts(line, Audio, 40), 100_090);
        assert_eq!(dts(line, Video, 4_000_000_000), 100_130, "as far ahead as behind");
    }

    #[test]
    fn jitter_stands_still_and_offsets_are_kept_sane() {
        let line = &mut Timeline::default();
        dts(line, Video, 1000);
        assert_eq!(dts(line, Video, 990), 1000);
        let (dts, pts) = line.place(Video, 1040, -80);
        assert_eq!((dts, pts), (MediaTime::from_millis(1040), MediaTime::from_millis(1040)));
        assert_eq!(line.place(Video, 1080, i32::MAX).1.as_millis(), 11_080);
    }

    proptest::proptest! {
        #[test]
        fn times_never_decrease_within_a_track(steps: Vec<(bool, u32, i32)>) {
            let line = &mut Timeline::default();
            let mut last = [MediaTime::from_millis(i64::MIN / 2000); 2];
            for (video, raw, offset) in steps {
                let (dts, pts) = line.place(if video { Video } else { Audio }, raw, offset);
                proptest::prop_assert!(dts >= last[usize::from(video)] && pts >= dts);
                last[usize::from(video)] = dts;
            }
        }
    }
}
