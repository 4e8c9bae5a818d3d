//! Streams whose pictures are transcoded.

use super::*;
use crate::Refusal;
use crate::process::Program;

fn dropped(out: &[Output]) -> u64 {
    out.iter().map(|o| if let Output::Dropped(count) = o { *count } else { 0 }).sum()
}

#[test]
fn pictures_and_sound_are_transcoded_and_announced_first() {
    let mut clip = Clip::moving("128x96", 30, 10);
    clip.tracks.audio = Clip::tone(44_100, 2, 1).tracks.audio;
    let (mut stream, out) = started(&clip, &Slots::new(1));
    let [Output::Tracks { tracks, video, audio }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((*video, *audio), (Treatment::Transcoded, Treatment::Transcoded));
    assert!(!tracks.video.as_ref().unwrap().reordered);
    assert_eq!(tracks.audio.as_ref().unwrap().codec, AudioCodec::Opus);
    let mut out = feed(&mut stream, &clip.frames, 0);
    out.extend(on(&mut stream, Event::Ended(EndReason::Finished), 0));
    assert_eq!(frames(&out).len(), 30, "the last pictures come with the end");
    assert!(matches!(out.last(), Some(Output::Ended(EndReason::Finished))));
    assert_eq!(treatments(&out), []);
}

#[test]
fn a_silenced_stream_gives_nothing_more() {
    let clip = Clip::moving("128x96", 10, 10);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    feed(&mut stream, &clip.frames, 0);
    let out = on(&mut stream, Event::Ended(EndReason::Silenced), 0);
    assert!(matches!(out[..], [Output::Ended(EndReason::Silenced)]), "{out:?}");
}

#[test]
fn the_place_is_given_back_with_the_track() {
    let clip = Clip::moving("128x96", 10, 10);
    let slots = Slots::new(1);
    let (mut stream, _) = started(&clip, &slots);
    assert!(slots.try_acquire().is_none());
    let out = on(&mut stream, Event::Tracks(Arc::new(clip.tracks.clone())), 0);
    assert_eq!(
        treatments(&out),
        [(Treatment::Transcoded, Treatment::Absent)],
        "it takes its own place again"
    );
    on(&mut stream, Event::Tracks(Arc::new(Clip::tone(48_000, 2, 1).tracks)), 0);
    assert!(slots.try_acquire().is_some());
}

#[test]
fn a_stream_that_cannot_be_decoded_falls_back_to_keyframes_and_says_so() {
    let clip = Clip::moving("128x96", 10, 10);
    let slots = Slots::new(1);
    let (mut stream, _) = started(&clip, &slots);
    let data = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0]);
    let broken = Arc::new(Frame { data, ..(*clip.frames[0]).clone() });
    let out: Vec<_> = (0..100).flat_map(|_| on(&mut stream, Event::Item(broken.clone()), 0)).collect();
    assert_eq!(treatments(&out), [(Treatment::KeyframesOnly(VideoUnsupported::Tools), Treatment::Absent)]);
    assert_eq!(stream.counts().corrupt, 60);
    assert_eq!(frames(&out).len(), 40);
    assert!(slots.try_acquire().is_some());
}

#[test]
fn who_joins_starts_with_a_keyframe_at_the_newest_picture_and_lost_nothing() {
    let clip = Clip::moving("128x96", 100, 100);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    let mut out = Vec::new();
    for (n, frame) in clip.frames.iter().enumerate() {
        out.extend(on(&mut stream, Event::Item(frame.clone()), (80_u64).saturating_sub(n as u64)));
    }
    let shown = frames(&out);
    assert!(shown[0].keyframe);
    assert!(shown[0].pts >= clip.frames[70].dts, "the past was decoded, not shown");
    assert_eq!(stream.counts(), Counts::default());
}

#[test]
fn a_late_stream_leaves_pictures_out_counts_them_and_goes_on() {
    let clip = Clip::moving("128x96", 100, 100);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    assert_eq!(frames(&feed(&mut stream, &clip.frames[..20], 0)).len(), 18);
    assert_eq!(frames(&feed(&mut stream, &clip.frames[20..40], 70)).len(), 0);
    let out = feed(&mut stream, &clip.frames[40..], 0);
    assert_eq!(dropped(&out), 20);
    assert_eq!(frames(&out).len(), 60);
    assert_eq!(stream.counts(), Counts { dropped: 20, corrupt: 0, skipped: 0 });
}

#[test]
fn a_stream_that_cannot_even_be_decoded_in_time_skips_to_the_next_keyframe() {
    let clip = Clip::moving("128x96", 300, 200);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    feed(&mut stream, &clip.frames[..10], 0);
    // The distance never shrinks: 140 more are allowed, then it skips to 200.
    let out = feed(&mut stream, &clip.frames[10..160], 70);
    assert!(frames(&out).is_empty());
    let out = feed(&mut stream, &clip.frames[160..200], 0);
    assert!(frames(&out).is_empty(), "in time again, but without the pictures that the next ones refer to");
    let out = feed(&mut stream, &clip.frames[200..], 0);
    assert!(frames(&out).len() >= 98);
    assert_eq!(dropped(&feed(&mut stream, &clip.frames[..1], 0)), 0);
    assert_eq!(stream.counts().corrupt, 0);
    assert_eq!(stream.counts().dropped, 190);
}

#[test]
fn requests_for_keyframes_are_answered_once_in_500_ms() {
    let clip = Clip::moving("128x96", 60, 250);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    let mut keys = Vec::new();
    let mut count = 0;
    for frame in &clip.frames {
        stream.request_keyframe();
        let out = on(&mut stream, Event::Item(frame.clone()), 0);
        for frame in frames(&out) {
            if frame.keyframe {
                keys.push(count);
            }
            count += 1;
        }
    }
    let gaps: Vec<_> = keys.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(gaps.len() >= 3 && gaps.iter().all(|gap| (11..=14).contains(gap)), "{keys:?} of 25 a second");
}

#[test]
fn a_gap_is_told_and_bridged() {
    let clip = Clip::moving("128x96", 30, 10);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    feed(&mut stream, &clip.frames[..5], 0);
    let out = on(&mut stream, Event::Gap(5), 0);
    assert_eq!(dropped(&out), 5);
    let out = feed(&mut stream, &clip.frames[10..], 0);
    assert_eq!(stream.counts(), Counts { dropped: 5, corrupt: 0, skipped: 0 });
    assert!(frames(&out).windows(2).all(|w| w[0].pts < w[1].pts));
}

/// A clip that claims another level than it needs.
fn claiming(level: u8, frames: u32) -> Clip {
    let mut clip = Clip::moving("128x96", frames, 10);
    claim(&mut clip, level);
    clip
}

fn claim(clip: &mut Clip, level: u8) {
    let track = clip.tracks.video.as_mut().unwrap();
    let mut config = track.config.to_vec();
    // Behind the record's head and the length of the first parameter set.
    config[8 + 3] = level;
    track.config = config.into();
}

#[test]
fn a_stream_past_its_level_comes_as_keyframes_with_the_reason() {
    let slots = Slots::new(1);
    let (mut stream, out) = started(&claiming(33, 20), &slots);
    let refused = Treatment::KeyframesOnly(VideoUnsupported::Limits(Refusal::Level(33)));
    assert_eq!(treatments(&out), [(refused, Treatment::Absent)]);
    let clip = claiming(10, 20);
    assert_eq!(frames(&feed(&mut stream, &clip.frames, 0)), [&*clip.frames[0], &*clip.frames[10]]);
    assert!(slots.try_acquire().is_some());
}

#[test]
fn a_stream_faster_than_its_level_goes_on_at_the_next_key_frame() {
    let clip = claiming(10, 100);
    let (mut stream, _) = started(&clip, &Slots::new(1));
    // Level 1 with a quarter more has 38 of these in a second, and two seconds' at once.
    let at_once = |frame: &Arc<Frame>| Arc::new(Frame { dts: MediaTime::ZERO, ..(**frame).clone() });
    let burst: Vec<_> = clip.frames[..80].iter().map(at_once).collect();
    let mut out = feed(&mut stream, &burst, 0);
    assert_eq!(stream.counts().corrupt, 3, "from the 78th to the next key frame");
    out.extend(feed(&mut stream, &clip.frames[80..], 0));
    assert_eq!(stream.counts().corrupt, 3);
    assert_eq!(treatments(&out), []);
    assert!(frames(&out).last().unwrap().pts > clip.frames[80].pts);
}

#[test]
fn a_stream_that_claims_too_low_a_level_for_its_size_is_transcoded() {
    // It needs level 2.1, and claims 2.
    let mut clip = Clip::moving("480x352", 20, 10);
    claim(&mut clip, 20);
    let (mut stream, out) = started(&clip, &Slots::new(1));
    assert_eq!(treatments(&out), [(Treatment::Transcoded, Treatment::Absent)]);
    let mut out = feed(&mut stream, &clip.frames, 0);
    out.extend(on(&mut stream, Event::Ended(EndReason::Finished), 0));
    let Counts { dropped: 0, corrupt: 0, skipped } = stream.counts() else { panic!("{:?}", stream.counts()) };
    assert_eq!(frames(&out).len() as u64 + skipped, 20);
}

#[test]
fn a_process_that_cannot_be_started_is_no_room_and_no_failure_of_the_stream() {
    let path = std::env::temp_dir().join(format!("sluice-decodes-{}", std::process::id()));
    let decoding = Decoding::Apart(Program::new(&path, []));
    let slots = Slots::new(1);
    let transcoding = Transcoding { slots: slots.clone(), ..Transcoding::new(0, decoding) };
    let mut stream = Stream::new(WorkerSettings { video: VideoSettings::default(), transcoding });
    let clip = Clip::moving("128x96", 12, 1);
    let out = on(&mut stream, Event::Tracks(Arc::new(clip.tracks.clone())), 0);
    assert_eq!(treatments(&out), [(Treatment::NoRoom, Treatment::Absent)]);
    let (before, after) = clip.frames.split_at(10);
    let out = feed(&mut stream, before, 0);
    assert_eq!((treatments(&out), frames(&out).len()), (Vec::new(), 10), "more tries than failures count");
    assert!(slots.try_acquire().is_some());
    // Now it starts, and ends at once.
    std::os::unix::fs::symlink("/bin/false", &path).unwrap();
    let out = feed(&mut stream, after, 0);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(treatments(&out), [(ENDED, Treatment::Absent)]);
}
