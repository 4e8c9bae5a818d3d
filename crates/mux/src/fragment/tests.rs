use media::{VideoCodec, VideoTrack};
use proptest::prelude::*;
use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use super::*;
use crate::InitSegment;

const AVCC: &[u8] = &[1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0];

fn video() -> VideoTrack {
    let config = Bytes::from_static(AVCC);
    VideoTrack { codec: VideoCodec::H264, config, width: 320, height: 180, reordered: false }
}

fn aac() -> AudioTrack {
    let config = Bytes::from_static(&[0x11, 0x90]);
    AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 }
}

fn both() -> Tracks {
    Tracks { video: Some(video()), audio: Some(aac()) }
}

fn frame(track: TrackKind, us: i64, keyframe: bool) -> Frame {
    let at = MediaTime::from_micros(us);
    Frame { track, pts: at, dts: at, keyframe, data: Bytes::from_static(b"payload") }
}

fn picture(us: i64, keyframe: bool) -> Frame {
    frame(TrackKind::Video, us, keyframe)
}

fn sound(us: i64) -> Frame {
    frame(TrackKind::Audio, us, true)
}

fn push(f: &mut Fragmenter, frame: &Frame) {
    assert_eq!(f.push(frame), Placed::Kept, "{frame:?}");
}

/// One sample as an independent reader sees it.
struct Read {
    track: u32,
    at: u64,
    duration: u32,
    data: Vec<u8>,
}

/// The reader knows no `styp`, which is 24 bytes long.
fn read(tracks: &Tracks, segment: &Segment) -> Vec<Read> {
    let bytes = segment.bytes.slice(24..);
    let mut demuxer = Fmp4SegmentDemuxer::new();
    demuxer.handle_init_segment(&InitSegment::new(tracks).unwrap().bytes()).unwrap();
    let samples = demuxer.handle_media_segment(&bytes).unwrap();
    let data = |at: u64, len: usize| bytes[at as usize..at as usize + len].to_vec();
    samples
        .iter()
        .map(|s| Read {
            track: s.track.track_id,
            at: s.timestamp,
            duration: s.duration,
            data: data(s.data_offset, s.data_size),
        })
        .collect()
}

/// Decode time and duration of each sample of one track.
fn of(track: u32, tracks: &Tracks, segment: &Segment) -> Vec<(u64, u32)> {
    let samples = read(tracks, segment);
    assert!(samples.iter().all(|s| s.data == b"payload"));
    samples.iter().filter(|s| s.track == track).map(|s| (s.at, s.duration)).collect()
}

#[test]
fn a_run_starts_with_a_keyframe_and_drops_what_came_before() {
    let mut f = Fragmenter::new(&both(), MediaTime::ZERO).unwrap();
    assert_eq!(f.push(&sound(0)), Placed::Dropped);
    assert_eq!(f.push(&picture(10_000, false)), Placed::Dropped);
    push(&mut f, &picture(50_000, true));
    assert_eq!(f.push(&sound(40_000)), Placed::Dropped);
    push(&mut f, &sound(60_000));
    let segment = f.finish(1).unwrap();
    assert_eq!(of(1, &both(), &segment), [(0, 3000)]);
    assert_eq!(of(2, &both(), &segment), [(480, 1024)], "10 ms after the picture");
}

#[test]
fn segments_join_without_a_seam() {
    let mut f = Fragmenter::new(&both(), MediaTime::from_millis(1500)).unwrap();
    let mut cuts = Vec::new();
    for n in 0..90 {
        // RTMP: whole milliseconds.
        push(&mut f, &picture(n * 1001 / 30 * 1000, n % 30 == 0));
        if n > 0 && n % 30 == 0 {
            cuts.push(f.cut(0).unwrap());
        }
    }
    cuts.push(f.finish(0).unwrap());
    let mut next = 1500 * 90;
    for cut in &cuts {
        assert!(cut.independent);
        for (at, duration) in of(1, &both(), cut) {
            assert_eq!(at, next);
            next = at + u64::from(duration);
        }
    }
    assert_eq!(cuts[1].start, cuts[0].start + cuts[0].duration);
    assert_eq!(cuts[1].duration, Duration::from_millis(1001));
}

#[test]
fn sound_is_counted_while_its_stamps_are_near() {
    let tracks = Tracks { video: None, audio: Some(aac()) };
    let mut f = Fragmenter::new(&tracks, MediaTime::ZERO).unwrap();
    // 1024 / 48 kHz is 21.33 ms; stamps are rounded and jitter by up to 15 ms.
    for n in 0..200 {
        push(&mut f, &sound((n * 64 / 3 + [0, 15, -15][n as usize % 3] * i64::from(n != 0)) * 1000));
    }
    let got = of(2, &tracks, &f.finish(1).unwrap());
    assert_eq!(got.len(), 200);
    assert!(got.iter().enumerate().all(|(n, s)| *s == (n as u64 * 1024, 1024)));
}

#[test]
fn a_hole_in_the_sound_becomes_a_longer_block() {
    let tracks = Tracks { video: None, audio: Some(aac()) };
    let mut f = Fragmenter::new(&tracks, MediaTime::ZERO).unwrap();
    push(&mut f, &sound(0));
    push(&mut f, &sound(500_000));
    let got = of(2, &tracks, &f.finish(1).unwrap());
    assert_eq!(got, [(0, 24_000), (24_000, 1024)]);
}

#[test]
fn sound_that_runs_ahead_of_its_stamps_loses_a_block() {
    let tracks = Tracks { video: None, audio: Some(aac()) };
    let mut f = Fragmenter::new(&tracks, MediaTime::ZERO).unwrap();
    // The publisher's clock runs 1 % slow: 20 s of stamps, 20.2 s of samples.
    let blocks = 947;
    for n in 0..blocks {
        push(&mut f, &sound(n * 21_333 * 99 / 100));
    }
    let got = of(2, &tracks, &f.finish(1).unwrap());
    let end = got.last().unwrap().0 as i64 * 1000 / 48;
    assert!((end - (blocks - 1) * 21_333 * 99 / 100).abs() <= 64_000, "{end}");
    assert!(got.windows(2).all(|w| w[1].0 == w[0].0 + 1024), "no overlap and no hole");
}

#[test]
fn another_timeline_is_a_leap_and_a_hole_is_not() {
    let mut f = Fragmenter::new(&both(), MediaTime::ZERO).unwrap();
    push(&mut f, &picture(0, true));
    push(&mut f, &picture(9_000_000, false));
    assert_eq!(f.push(&picture(19_500_000, false)), Placed::Leap);
    assert_eq!(f.push(&picture(-1_000_000, false)), Placed::Leap);
    push(&mut f, &picture(8_900_000, false));
}

#[test]
fn a_camera_that_pauses_comes_back_into_the_same_run() {
    let mut f = Fragmenter::new(&both(), MediaTime::ZERO).unwrap();
    push(&mut f, &picture(0, true));
    for n in 0..1500 {
        push(&mut f, &sound(n * 21_333));
    }
    assert!(f.elapsed() > Duration::from_secs(31));
    push(&mut f, &picture(32_000_000, true));
    assert_eq!(f.elapsed(), Duration::from_secs(32));
}

/// Any frame a publisher could make up.
fn any_frame() -> impl Strategy<Value = Frame> {
    let times = prop_oneof![0i64..5_000_000, -20_000_000i64..20_000_000, any::<i64>()];
    (any::<bool>(), any::<bool>(), times, 0i64..200_000, prop::collection::vec(any::<u8>(), 0..4)).prop_map(
        |(video, keyframe, dts, offset, data)| Frame {
            track: if video { TrackKind::Video } else { TrackKind::Audio },
            pts: MediaTime::from_micros(dts.saturating_add(offset)),
            dts: MediaTime::from_micros(dts),
            keyframe,
            data: data.into(),
        },
    )
}

proptest! {
    #[test]
    fn decode_times_never_go_back(
        frames in prop::collection::vec((any_frame(), prop::bool::weighted(0.1)), 0..200),
        opus: bool,
    ) {
        let head = Bytes::from_static(b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0");
        let audio = AudioTrack { codec: AudioCodec::Opus, config: head, ..aac() };
        let tracks = Tracks { audio: Some(if opus { audio } else { aac() }), ..both() };
        let mut segments = Vec::new();
        let mut f = Fragmenter::new(&tracks, MediaTime::ZERO).unwrap();
        for (frame, cut) in frames {
            if f.push(&frame) == Placed::Leap {
                let end = f.end();
                segments.extend(f.finish(0));
                f = Fragmenter::new(&tracks, end).unwrap();
                prop_assert!(f.push(&frame) != Placed::Leap);
            }
            if cut {
                segments.extend(f.cut(0));
            }
        }
        segments.extend(f.finish(0));
        let mut next = [0u64; 3];
        let mut at = MediaTime::ZERO;
        for segment in segments {
            prop_assert!(segment.start >= at);
            at = segment.start + segment.duration;
            for s in read(&tracks, &segment) {
                let next = &mut next[s.track as usize];
                prop_assert!(s.at >= *next, "{} < {next}", s.at);
                *next = s.at + u64::from(s.duration);
            }
        }
    }
}
