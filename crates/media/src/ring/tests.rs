use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use proptest::prelude::*;

use super::audience::ABREAST;
use super::reader::Next;
use super::*;
use crate::{Frame, MediaTime, TrackKind, VideoCodec, VideoTrack};

fn tracks(width: u32) -> Tracks {
    let video =
        VideoTrack { codec: VideoCodec::H264, config: Bytes::new(), width, height: 1, reordered: false };
    Tracks { video: Some(video), audio: None }
}

fn frame(track: TrackKind, n: i64, keyframe: bool) -> Frame {
    let at = MediaTime::from_millis(n);
    Frame { track, pts: at, dts: at, keyframe, data: Bytes::from_static(&[0; 10]) }
}

fn video(n: i64, keyframe: bool) -> Frame {
    frame(TrackKind::Video, n, keyframe)
}

fn drain(reader: &mut Reader<Frame>) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(event) = reader.try_next() {
        seen.push(match event {
            Event::Tracks(t) => format!("tracks {}", t.video.as_ref().map_or(0, |v| v.width)),
            Event::Item(f) => format!("{}", f.pts.as_millis()),
            Event::Gap(n) => format!("gap {n}"),
            Event::Ended(reason) => {
                seen.push(format!("{reason:?}"));
                break;
            }
        });
    }
    seen
}

#[test]
fn a_new_reader_starts_at_the_newest_keyframe() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    for n in 0..7 {
        writer.push(video(n, n % 3 == 0));
    }
    assert_eq!(drain(&mut writer.ring().reader()), ["tracks 1", "6"]);
}

#[test]
fn a_reader_of_a_stream_without_a_keyframe_waits_for_one_but_hears_sound() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    let mut reader = writer.ring().reader();
    writer.push(video(1, false));
    writer.push(frame(TrackKind::Audio, 2, true));
    writer.push(video(3, false));
    writer.push(video(4, true));
    writer.push(video(5, false));
    assert_eq!(drain(&mut reader), ["tracks 1", "2", "4", "5"]);
}

#[test]
fn a_slow_reader_gets_a_gap_and_goes_on_at_a_keyframe() {
    let mut writer = ring(tracks(1), Limits { bytes: 50, items: 100 });
    writer.push(video(0, true));
    let mut reader = writer.ring().reader();
    assert_eq!(drain(&mut reader), ["tracks 1", "0"]);
    for n in 1..10 {
        writer.push(video(n, n == 8));
    }
    assert_eq!(drain(&mut reader), ["gap 7", "8", "9"]);
}

#[test]
fn a_gop_longer_than_the_ring_makes_the_reader_wait_for_the_next() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 3 });
    writer.push(video(0, true));
    let mut reader = writer.ring().reader();
    for n in 1..6 {
        writer.push(video(n, false));
    }
    assert_eq!(drain(&mut reader), ["gap 6"]);
    writer.push(video(6, false));
    writer.push(video(7, true));
    assert_eq!(drain(&mut reader), ["tracks 1", "7"]);
}

#[test]
fn changed_tracks_arrive_between_the_old_items_and_the_new() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    let mut reader = writer.ring().reader();
    writer.push(video(0, true));
    writer.set_tracks(tracks(2));
    writer.push(video(1, true));
    assert_eq!(drain(&mut reader), ["tracks 1", "0", "tracks 2", "1"]);
}

#[test]
fn a_finished_ring_is_played_out_and_a_silenced_one_is_empty_at_once() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    writer.push(video(0, true));
    let handle = writer.ring();
    let (mut plays_out, mut silenced) = (handle.reader(), handle.reader());
    drop(writer);
    assert_eq!(drain(&mut plays_out), ["tracks 1", "0", "Finished"]);
    handle.silence();
    assert_eq!(drain(&mut silenced), ["gap 1", "Silenced"]);
}

/// How often a waker was called.
#[derive(Default)]
struct Count(AtomicUsize);

impl std::task::Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_waiting_reader_is_woken_once_per_push_and_by_the_end() {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);

    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    let mut reader = writer.ring().reader();
    assert!(reader.poll_next(&mut cx).is_pending());
    assert!(reader.poll_next(&mut cx).is_pending());
    writer.push(video(0, true));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    drain(&mut reader);
    assert!(reader.poll_next(&mut cx).is_pending());
    drop(writer);
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
    assert!(matches!(reader.poll_next(&mut cx), Poll::Ready(Event::Ended(EndReason::Finished))));
}

#[test]
fn a_restarted_reader_goes_on_at_the_newest_keyframe() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    let mut reader = writer.ring().reader();
    for n in 0..5 {
        writer.push(video(n, n == 0 || n == 3));
    }
    assert!(matches!(reader.try_next(), Some(Event::Tracks(_))));
    reader.restart();
    assert_eq!(drain(&mut reader), ["tracks 1", "3", "4"]);
}

#[test]
fn skipping_ahead_goes_to_a_newer_keyframe_and_never_back() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    writer.push(video(0, true));
    let mut reader = writer.ring().reader();
    writer.push(video(1, false));
    assert_eq!(reader.skip_ahead(), None);
    writer.push(video(2, true));
    assert_eq!(reader.skip_ahead(), Some(2));
    assert_eq!(drain(&mut reader), ["tracks 1", "2"]);
    assert_eq!(reader.skip_ahead(), None);
}

#[test]
fn a_patient_reader_is_woken_by_a_picture_or_by_much_sound() {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let mut woken = |reader: &mut Reader<Frame>| {
        drain(reader);
        assert!(reader.poll_next(&mut cx).is_pending());
        count.0.swap(0, Ordering::SeqCst)
    };

    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    writer.push(video(0, true));
    let mut reader = writer.ring().reader().patient();
    woken(&mut reader);
    for n in 1..=2 {
        writer.push(frame(TrackKind::Audio, n, true));
    }
    assert_eq!(woken(&mut reader), 0);
    writer.push(video(3, false));
    assert_eq!(woken(&mut reader), 1);
    for n in 4..=6 {
        writer.push(frame(TrackKind::Audio, n, true));
    }
    assert_eq!(woken(&mut reader), 1);
    writer.push(frame(TrackKind::Audio, 7, true));
    drop(writer);
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "the end is never late");
}

/// A patient reader that waits, and whether it was woken.
struct Viewer {
    reader: Reader<Frame>,
    count: Arc<Count>,
    /// Does something else, and will look by itself.
    away: bool,
}

impl Viewer {
    fn new(ring: &Ring<Frame>) -> Self {
        let mut viewer = Self { reader: ring.reader().patient(), count: Arc::default(), away: false };
        assert_eq!(viewer.look(), 0);
        viewer
    }

    /// Reads all there is and waits again; how many items.
    fn look(&mut self) -> usize {
        self.away = false;
        self.count.0.store(0, Ordering::SeqCst);
        let waker = Waker::from(self.count.clone());
        let mut cx = Context::from_waker(&waker);
        let polls = std::iter::from_fn(|| match self.reader.poll_next(&mut cx) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        });
        polls.filter(|event| matches!(event, Event::Item(_))).count()
    }

    /// Begins to wait as a task does, and stops.
    fn turn_away(&mut self) {
        drop(Next(&mut self.reader));
        self.away = true;
    }

    fn woken(&self) -> bool {
        self.count.0.swap(0, Ordering::SeqCst) > 0
    }
}

fn audience(writer: &Writer<Frame>, of: usize) -> Vec<Viewer> {
    (0..of).map(|_| Viewer::new(&writer.ring())).collect()
}

#[test]
fn an_audience_is_woken_a_few_at_a_time_and_to_the_last() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    let mut viewers = audience(&writer, 3 * ABREAST);
    for n in 0..2 {
        writer.push(video(n, n == 0));
        let mut woken: VecDeque<_> = (0..viewers.len()).filter(|&v| viewers[v].woken()).collect();
        assert_eq!(woken, (0..ABREAST).collect::<VecDeque<_>>());
        let mut turns = 0;
        while let Some(turn) = woken.pop_front() {
            assert_eq!(viewers[turn].look(), 1);
            woken.extend((0..viewers.len()).filter(|&v| viewers[v].woken()));
            assert!(woken.len() <= ABREAST);
            turns += 1;
        }
        assert_eq!(turns, viewers.len(), "each was woken once");
    }
}

#[test]
fn who_leaves_or_has_something_else_to_do_holds_nobody_up() {
    let mut writer = ring(tracks(1), Limits { bytes: 1000, items: 100 });
    let mut viewers = audience(&writer, 2 * ABREAST + 2);
    // Before there is anything: they are not in the way.
    viewers.drain(..ABREAST);
    writer.push(video(0, true));
    assert_eq!(viewers.iter().filter(|viewer| viewer.woken()).count(), ABREAST);
    drop(viewers.remove(0));
    assert!(viewers[ABREAST - 1].woken(), "for one that is gone");
    viewers[0].turn_away();
    assert!(viewers[ABREAST].woken(), "for one that waits no longer");
    viewers[0].turn_away();
    assert_eq!(viewers[ABREAST].look(), 1);
}

proptest! {
    /// Whatever they do, nobody is forgotten as long as those who are woken look.
    #[test]
    fn nobody_in_an_audience_is_forgotten(acts in proptest::collection::vec((0..4u8, 0..100usize), 0..200)) {
        let mut writer = ring(tracks(1), Limits { bytes: 100_000, items: 1000 });
        let (mut viewers, mut n) = (audience(&writer, 80), 0);
        writer.push(video(0, true));
        for (act, who) in acts {
            let who = who % viewers.len();
            match act {
                0 => { n += 1; writer.push(video(n, false)); }
                // Woken or not: a ping may have woken it.
                1 => { viewers[who].look(); }
                2 => viewers[who].turn_away(),
                _ if viewers.len() > 1 => drop(viewers.swap_remove(who)),
                _ => {}
            }
        }
        viewers.iter_mut().filter(|viewer| viewer.away).for_each(|viewer| { viewer.look(); });
        while let Some(turn) = viewers.iter().position(Viewer::woken) {
            viewers[turn].look();
        }
        prop_assert!(viewers.iter_mut().all(|viewer| viewer.look() == 0));
    }
}

mod memory;
