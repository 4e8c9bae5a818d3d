use std::collections::HashMap;

use media::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};
use proptest::prelude::*;
use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use super::*;

const SHAPE: Shape = Shape { segment: Duration::from_secs(2), list_size: 5 };
/// 2026-11-24T08:42:45Z.
const WALL: u64 = 1_795_509_765_000;
const NAMES: Names<'_> = Names { id: "cam", query: "" };

fn video(level: u8) -> VideoTrack {
    let config = vec![1, 0x42, 0xc0, level, 0xff, 0xe0, 0].into();
    VideoTrack { codec: VideoCodec::H264, config, width: 320, height: 180, reordered: false }
}

fn aac() -> AudioTrack {
    let config = Bytes::from_static(&[0x11, 0x90]);
    AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 }
}

fn tracks(level: u8) -> Arc<Tracks> {
    Arc::new(Tracks { video: Some(video(level)), audio: Some(aac()) })
}

fn picture(ms: i64, keyframe: bool) -> Event<Frame> {
    let at = MediaTime::from_millis(ms);
    let data = Bytes::from_static(&[0; 1000]);
    Event::Item(Arc::new(Frame { track: TrackKind::Video, pts: at, dts: at, keyframe, data }))
}

fn sound(ms: i64) -> Event<Frame> {
    let at = MediaTime::from_millis(ms);
    let data = Bytes::from_static(&[0; 100]);
    Event::Item(Arc::new(Frame { track: TrackKind::Audio, pts: at, dts: at, keyframe: true, data }))
}

/// Takes what the test does not look at.
fn take(p: &mut Packager, event: Event<Frame>) {
    let _ = p.take(event, WallMs(WALL));
}

/// Publishes pictures, 25 a second, from `from` to `to` seconds, each sent when
/// it is due.
fn publish(p: &mut Packager, from: i64, to: i64, gop: i64) {
    for n in from * 25..to * 25 {
        let _ = p.take(picture(n * 40, n % (gop * 25) == 0), WallMs(WALL + n as u64 * 40));
    }
}

fn packager() -> Packager {
    let mut p = Packager::new(SHAPE, 100);
    let _ = p.begin(SHAPE);
    take(&mut p, Event::Tracks(tracks(30)));
    p
}

#[test]
fn segments_are_cut_at_keyframes_at_or_after_the_wanted_time() {
    let mut p = packager();
    assert_eq!(p.playlist(&NAMES), None);
    publish(&mut p, 0, 7, 1);
    assert_eq!(
        p.playlist(&NAMES).unwrap(),
        "#EXTM3U\n\
         #EXT-X-VERSION:7\n\
         #EXT-X-TARGETDURATION:2\n\
         #EXT-X-MEDIA-SEQUENCE:100\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:1\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"cam~100.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-24T08:42:45.000Z\n\
         #EXTINF:2.000000,\n\
         cam~100.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-24T08:42:47.000Z\n\
         #EXTINF:2.000000,\n\
         cam~101.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-24T08:42:49.000Z\n\
         #EXTINF:2.000000,\n\
         cam~102.m4s\n"
    );
}

#[test]
fn a_burst_from_the_cache_does_not_shift_wall_time() {
    let mut p = packager();
    // The first second arrives at once, when the second has passed.
    for n in 0..25 {
        let _ = p.take(picture(n * 40, n == 0), WallMs(WALL + 960));
    }
    publish(&mut p, 1, 3, 2);
    assert!(p.playlist(&NAMES).unwrap().contains("PROGRAM-DATE-TIME:2026-11-24T08:42:45.000Z"));
}

#[test]
fn the_list_slides_and_late_players_still_get_what_left_it() {
    let mut p = packager();
    publish(&mut p, 0, 41, 2);
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("#EXT-X-MEDIA-SEQUENCE:115\n") && list.contains("cam~119.m4s"), "{list}");
    assert!(!list.contains("cam~114.m4s"));
    assert!(p.segment(112).is_some() && p.segment(111).is_none() && p.segment(120).is_none());
    assert!(p.init(100).is_some());
}

#[test]
fn long_groups_raise_the_target_duration() {
    let mut p = packager();
    publish(&mut p, 0, 17, 8);
    assert!(p.playlist(&NAMES).unwrap().contains("TARGETDURATION:8\n"));
}

#[test]
fn a_publisher_who_returns_with_other_parameters_gets_a_new_init_segment() {
    let mut p = packager();
    publish(&mut p, 0, 5, 2);
    assert_eq!(p.take(Event::Ended(EndReason::Finished), WallMs(WALL)), Outcome::Ended);
    let _ = p.begin(SHAPE);
    take(&mut p, Event::Tracks(tracks(31)));
    publish(&mut p, 100, 103, 2);
    let list = p.playlist(&NAMES).unwrap();
    let tags: Vec<_> = list.lines().filter(|l| !l.contains("DATE-TIME") && !l.contains("EXTINF")).collect();
    assert_eq!(
        tags[5..],
        [
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-MAP:URI=\"cam~100.mp4\"",
            "cam~100.m4s",
            "cam~101.m4s",
            "cam~102.m4s",
            "#EXT-X-DISCONTINUITY",
            "#EXT-X-MAP:URI=\"cam~101.mp4\"",
            "cam~103.m4s",
        ][..]
    );
    assert_ne!(p.init(100), p.init(101));
    assert!(list.contains("#EXTINF:1.000000,\ncam~102.m4s"), "what was left of the first publish: {list}");
}

#[test]
fn a_publisher_who_returns_unchanged_keeps_the_init_segment() {
    let mut p = packager();
    publish(&mut p, 0, 4, 2);
    let _ = p.begin(SHAPE);
    take(&mut p, Event::Tracks(tracks(30)));
    publish(&mut p, 0, 3, 2);
    let list = p.playlist(&NAMES).unwrap();
    assert_eq!((list.matches("EXT-X-DISCONTINUITY\n").count(), list.matches("EXT-X-MAP").count()), (1, 1));
}

#[test]
fn the_discontinuity_sequence_counts_those_that_left_the_list() {
    let mut p = packager();
    publish(&mut p, 0, 5, 2);
    take(&mut p, Event::Gap(7));
    publish(&mut p, 6, 19, 2);
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("DISCONTINUITY-SEQUENCE:2\n") && !list.contains("EXT-X-DISCONTINUITY\n"), "{list}");
}

#[test]
fn repeated_tracks_are_not_a_discontinuity() {
    let mut p = packager();
    publish(&mut p, 0, 3, 1);
    take(&mut p, Event::Tracks(tracks(30)));
    publish(&mut p, 3, 7, 1);
    assert!(!p.playlist(&NAMES).unwrap().contains("EXT-X-DISCONTINUITY\n"));
}

#[test]
fn a_stream_without_keyframes_is_cut_anyway_and_recovers_at_the_next() {
    let mut p = packager();
    publish(&mut p, 0, 30, 1000);
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("TARGETDURATION:12\n") && list.contains("EXTINF:12.000000"), "{list}");
    assert!(!list.contains("INDEPENDENT"));
    assert_eq!(
        p.take(picture(30_000, true), WallMs(WALL)),
        Outcome::Segment,
        "ends the part without keyframe"
    );
}

#[test]
fn a_segment_is_bounded_in_bytes() {
    let mut p = packager();
    let data = Bytes::from(vec![0; 8 << 20]);
    for n in 0..5 {
        let at = MediaTime::from_millis(n);
        let frame = Frame { track: TrackKind::Video, pts: at, dts: at, keyframe: n == 0, data: data.clone() };
        take(&mut p, Event::Item(Arc::new(frame)));
    }
    assert!(p.segment(100).is_some_and(|s| s.len() < 40 << 20));
}

#[test]
fn sound_alone_is_cut_by_time() {
    let mut p = Packager::new(SHAPE, 100);
    take(&mut p, Event::Tracks(Arc::new(Tracks { video: None, audio: Some(aac()) })));
    for n in 0..200 {
        take(&mut p, sound(n * 64 / 3));
    }
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("#EXTINF:1.962") && list.contains("INDEPENDENT"), "{list}");
    assert_eq!(p.variant().unwrap().codecs, "mp4a.40.2");
}

#[test]
fn sound_goes_on_when_the_camera_pauses() {
    let mut p = packager();
    take(&mut p, picture(0, true));
    for n in 0..1500 {
        take(&mut p, sound(n * 64 / 3));
    }
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("cam~101.m4s"), "{list}");
}

#[test]
fn a_silenced_stream_has_nothing_left_and_numbers_go_on() {
    let mut p = packager();
    publish(&mut p, 0, 7, 2);
    assert_eq!(p.take(Event::Ended(EndReason::Silenced), WallMs(WALL)), Outcome::Silenced);
    assert_eq!((p.playlist(&NAMES), p.segment(101), p.init(100), p.variant()), (None, None, None, None));
    take(&mut p, picture(8_000, true));
    assert!(p.is_empty(), "a straggler from the silenced run");
    let _ = p.begin(SHAPE);
    take(&mut p, Event::Tracks(tracks(30)));
    publish(&mut p, 0, 3, 2);
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("MEDIA-SEQUENCE:103\n") && list.contains("DISCONTINUITY-SEQUENCE:2\n"), "{list}");
}

#[test]
fn urls_carry_the_query() {
    let mut p = packager();
    publish(&mut p, 0, 3, 2);
    let list = p.playlist(&Names { id: "cam", query: "grant=x" }).unwrap();
    assert!(list.contains("URI=\"cam~100.mp4?grant=x\"") && list.contains("\ncam~100.m4s?grant=x\n"));
    let variant = p.variant().unwrap();
    assert_eq!((variant.bandwidth, variant.resolution), (variant.average_bandwidth, Some((320, 180))));
    assert_eq!(
        variant.playlist("cam.m3u8?grant=x"),
        format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH={0},AVERAGE-BANDWIDTH={0},\
             CODECS=\"avc1.42C01E,mp4a.40.2\",RESOLUTION=320x180\ncam.m3u8?grant=x\n",
            variant.bandwidth
        )
    );
    assert!((200_000..220_000).contains(&variant.bandwidth), "25 kB/s and boxes: {}", variant.bandwidth);
}

/// What a player remembers of one playlist, to hold against the next.
#[derive(Default)]
struct Player {
    sequence: u64,
    /// Of each segment ever listed: discontinuity sequence, init segment, duration.
    seen: HashMap<u64, (u64, String, String)>,
    next_decode: [u64; 3],
    newest: u64,
}

impl Player {
    fn read(&mut self, p: &Packager) {
        let Some(list) = p.playlist(&NAMES) else { return };
        let value =
            |tag: &str| list.lines().find_map(|l| l.strip_prefix(tag)).unwrap().parse::<u64>().unwrap();
        let target = value("#EXT-X-TARGETDURATION:");
        let mut sequence = value("#EXT-X-MEDIA-SEQUENCE:");
        let mut run = value("#EXT-X-DISCONTINUITY-SEQUENCE:");
        assert!(sequence >= self.sequence);
        self.sequence = sequence;
        let (mut map, mut duration) = (String::new(), String::new());
        for line in list.lines() {
            if line == "#EXT-X-DISCONTINUITY" {
                run += 1;
            } else if let Some(uri) = line.strip_prefix("#EXT-X-MAP:URI=") {
                map = uri.trim_matches('"').to_owned();
            } else if let Some(inf) = line.strip_prefix("#EXTINF:") {
                duration = inf.trim_end_matches(',').to_owned();
                assert!(duration.parse::<f64>().unwrap().round() as u64 <= target, "{list}");
            } else if !line.starts_with('#') {
                assert_eq!(line, crate::name::segment("cam", sequence));
                let told = (run, map.clone(), duration.clone());
                assert_eq!(self.seen.entry(sequence).or_insert_with(|| told.clone()), &told, "{list}");
                self.fetch(p, sequence, &map);
                sequence += 1;
            }
        }
    }

    fn fetch(&mut self, p: &Packager, sequence: u64, map: &str) {
        let Some(crate::name::FileName { file: crate::name::File::Init(init), .. }) =
            crate::name::FileName::parse(map)
        else {
            panic!("{map}");
        };
        let (init, segment) = (p.init(init).unwrap(), p.segment(sequence).unwrap());
        if sequence <= self.newest {
            return;
        }
        self.newest = sequence;
        let mut demuxer = Fmp4SegmentDemuxer::new();
        demuxer.handle_init_segment(&init).unwrap();
        for s in demuxer.handle_media_segment(&segment[24..]).unwrap() {
            let next = &mut self.next_decode[s.track.track_id as usize];
            assert!(s.timestamp >= *next, "decode time goes back: {} < {next}", s.timestamp);
            *next = s.timestamp + u64::from(s.duration);
        }
    }
}

fn any_event() -> impl Strategy<Value = Event<Frame>> {
    let jump = prop_oneof![9 => 0i64..1, 1 => -30_000i64..30_000];
    prop_oneof![
        40 => (any::<bool>(), prop::bool::weighted(0.2), jump).prop_map(|(video, key, jump)| {
            if video { picture(jump, key) } else { sound(jump) }
        }),
        1 => (30u8..33).prop_map(|level| Event::Tracks(tracks(level))),
        1 => Just(()).prop_map(|()| Event::Tracks(Arc::new(Tracks { video: None, audio: Some(aac()) }))),
        1 => Just(()).prop_map(|()| Event::Gap(3)),
        1 => any::<bool>().prop_map(|s| {
            Event::Ended(if s { EndReason::Silenced } else { EndReason::Finished })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_events_give_a_playlist_that_a_player_can_follow(
        events in prop::collection::vec((any_event(), 0i64..900), 0..300),
        again in prop::collection::vec(0usize..300, 0..4),
    ) {
        let mut p = packager();
        let mut player = Player::default();
        let mut clock = 0;
        for (n, (event, step)) in events.into_iter().enumerate() {
            clock += step;
            let event = match event {
                // The jump becomes a place on a clock that goes on.
                Event::Item(f) => {
                    let at = f.pts + Duration::from_millis(clock as u64);
                    Event::Item(Arc::new(Frame { pts: at, dts: at, ..(*f).clone() }))
                }
                other => other,
            };
            let _ = p.take(event, WallMs(WALL + clock as u64));
            player.read(&p);
            if again.contains(&n) {
                let _ = p.begin(SHAPE);
                take(&mut p, Event::Tracks(tracks(30)));
                player.read(&p);
            }
        }
    }
}

#[test]
fn a_segment_ends_where_its_publishers_clock_says() {
    let mut p = packager();
    let ms = |ms| Some(MediaTime::from_millis(ms));
    publish(&mut p, 8, 12, 2);
    assert_eq!((p.until(100), p.until(101)), (ms(10_000), None));
    // The last one ends with its last picture.
    let _ = p.begin(SHAPE);
    assert_eq!(p.until(101), ms(11_960));
    take(&mut p, Event::Tracks(tracks(30)));
    publish(&mut p, 0, 3, 2);
    assert_eq!((p.until(102), p.until(103)), (ms(2000), None));
}

/// Numbers of the segments that are listed, and of all that are kept.
fn numbers(p: &Packager) -> [Vec<u64>; 2] {
    let list = p.playlist(&NAMES).unwrap_or_default();
    let listed = |n: &u64| list.contains(&crate::name::segment("cam", *n));
    [(100..140).filter(listed).collect(), (100..140).filter(|n| p.segment(*n).is_some()).collect()]
}

#[test]
fn a_playlist_is_whole_when_memory_is_tight_and_short_when_it_is_scarce() {
    let memory = Memory::new(8 << 20);
    let mut p = packager();
    p.count_against(memory.clone());
    let mut others = memory.charge(6 << 20).unwrap();
    publish(&mut p, 0, 21, 2);
    assert!(memory.is_tight() && !memory.is_scarce());
    assert_eq!(numbers(&p), [(105..110).collect::<Vec<_>>(), (102..110).collect()]);
    assert_eq!(memory.losses().cut, 0);
    others.resize(7 << 20).unwrap();
    publish(&mut p, 21, 23, 2);
    assert_eq!(numbers(&p), [(108..111).collect::<Vec<_>>(), (105..111).collect()], "late ones stay");
    assert_eq!(memory.losses().cut, 3);
    // What has left the playlist does not come back to it.
    others.resize(6 << 20).unwrap();
    publish(&mut p, 23, 25, 2);
    assert_eq!(numbers(&p), [(108..112).collect::<Vec<_>>(), (105..112).collect()]);
    publish(&mut p, 25, 29, 2);
    assert_eq!(numbers(&p), [(109..114).collect::<Vec<_>>(), (106..114).collect()]);
    assert_eq!(memory.losses(), media::Losses { cut: 3, ..Default::default() });
}

#[test]
fn a_playlist_begins_anew_when_there_is_no_memory() {
    let memory = Memory::new(8 << 20);
    let mut p = packager();
    p.count_against(memory.clone());
    publish(&mut p, 0, 11, 2);
    let [_, kept] = numbers(&p);
    let read: Vec<_> = kept.iter().filter_map(|n| p.segment(*n)).collect();
    assert_eq!((read.len(), memory.used()), (5, read.iter().map(bytes::Bytes::len).sum()));
    // Somebody reads all of them, and so their memory does not come back.
    let others = memory.charge(memory.limit() - memory.used()).unwrap();
    publish(&mut p, 11, 13, 2);
    assert_eq!((p.is_empty(), memory.losses().lost), (true, 1));
    drop((read, others));
    publish(&mut p, 13, 15, 2);
    let list = p.playlist(&NAMES).unwrap();
    assert!(list.contains("MEDIA-SEQUENCE:105\n") && list.contains("DISCONTINUITY-SEQUENCE:2\n"), "{list}");
    drop(p);
    assert_eq!(memory.used(), 0);
}
