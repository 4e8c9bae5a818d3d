//! Tests that need no H.264 coder; the others are in `coded`.

#[cfg(feature = "video")]
mod coded;

use bytes::Bytes;
use media::{VideoCodec, VideoTrack};

use super::*;
use crate::process::Decoding;
use crate::slots::Slots;
use crate::testing::Clip;
use crate::transcoding::Transcoding;
use crate::video::{VideoSettings, VideoUnsupported};

fn stream(slots: &Slots) -> Stream {
    let slots = slots.clone();
    let transcoding = Transcoding { slots, ..Transcoding::new(0, Decoding::Here) };
    Stream::new(WorkerSettings { video: VideoSettings::default(), transcoding })
}

fn started(clip: &Clip, slots: &Slots) -> (Stream, Vec<Output>) {
    let mut stream = stream(slots);
    let out = on(&mut stream, Event::Tracks(Arc::new(clip.tracks.clone())), 0);
    (stream, out)
}

fn on(stream: &mut Stream, event: Event<Frame>, lag: u64) -> Vec<Output> {
    let mut out = Vec::new();
    stream.on(event, lag, &mut out);
    out
}

fn feed(stream: &mut Stream, frames: &[Arc<Frame>], lag: u64) -> Vec<Output> {
    frames.iter().flat_map(|frame| on(stream, Event::Item(frame.clone()), lag)).collect()
}

fn frames(out: &[Output]) -> Vec<&Frame> {
    out.iter().filter_map(|o| if let Output::Frame(frame) = o { Some(frame) } else { None }).collect()
}

fn treatments(out: &[Output]) -> Vec<(Treatment, Treatment)> {
    let of =
        |o: &Output| if let Output::Tracks { video, audio, .. } = o { Some((*video, *audio)) } else { None };
    out.iter().filter_map(of).collect()
}

#[test]
fn what_needs_no_transcoding_passes_untouched() {
    let mut clip = Clip::moving("128x96", 10, 10);
    clip.tracks.video.as_mut().unwrap().reordered = false;
    let config = Bytes::from_static(b"OpusHead");
    clip.tracks.audio =
        Some(AudioTrack { codec: AudioCodec::Opus, config, sample_rate: 48_000, channels: 2 });
    let sound = Frame {
        track: TrackKind::Audio,
        pts: MediaTime::ZERO,
        dts: MediaTime::ZERO,
        keyframe: true,
        data: Bytes::from_static(b"packet"),
    };
    clip.frames.push(Arc::new(sound));
    let (mut stream, out) = started(&clip, &Slots::new(0));
    assert_eq!(treatments(&out), [(Treatment::Passed, Treatment::Passed)]);
    let out = feed(&mut stream, &clip.frames, 0);
    let given: Vec<Frame> = clip.frames.iter().map(|frame| (**frame).clone()).collect();
    assert_eq!(frames(&out), given.iter().collect::<Vec<_>>());
}

#[test]
fn without_room_only_keyframes_pass_until_there_is_room() {
    let clip = Clip::moving("128x96", 30, 10);
    let slots = Slots::new(1);
    let other = slots.try_acquire();
    let (mut stream, out) = started(&clip, &slots);
    assert_eq!(treatments(&out), [(Treatment::NoRoom, Treatment::Absent)]);
    let out = feed(&mut stream, &clip.frames[..15], 0);
    assert_eq!(frames(&out), [&*clip.frames[0], &*clip.frames[10]]);
    drop(other);
    let out = feed(&mut stream, &clip.frames[15..], 0);
    let expected = if cfg!(feature = "video") {
        Treatment::Transcoded
    } else {
        Treatment::KeyframesOnly(VideoUnsupported::NotBuilt)
    };
    assert_eq!(treatments(&out), [(expected, Treatment::Absent)]);
    assert!(frames(&out)[0].keyframe);
}

#[test]
fn refused_parts_are_named_and_the_rest_goes_on() {
    let config = Bytes::from_static(&[0x11, 0xB0]);
    let audio = AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 6 };
    let config = Bytes::from_static(&[1]);
    let video = VideoTrack { codec: VideoCodec::H264, config, width: 2, height: 2, reordered: true };
    let tracks = Tracks { video: Some(video), audio: Some(audio) };
    let out = on(&mut stream(&Slots::new(1)), Event::Tracks(Arc::new(tracks)), 0);
    let [Output::Tracks { tracks, video, audio }] = &out[..] else { panic!("{out:?}") };
    assert!(matches!(video, Treatment::KeyframesOnly(_)));
    assert_eq!(*audio, Treatment::Refused(crate::AudioUnsupported::Profile));
    assert!(tracks.audio.is_none());
}

#[test]
fn late_sound_beside_pictures_is_left_out_and_sound_alone_is_not() {
    let tone = Clip::tone(48_000, 2, 1);
    let (mut alone, _) = started(&tone, &Slots::new(1));
    assert!(frames(&feed(&mut alone, &tone.frames, 500)).len() > 40);
    let mut both = tone.clone();
    both.tracks.video = Clip::moving("128x96", 2, 2).tracks.video;
    let (mut beside, _) = started(&both, &Slots::new(1));
    assert!(frames(&feed(&mut beside, &tone.frames, 500)).is_empty());
    assert!(frames(&feed(&mut beside, &tone.frames, 0)).len() > 40);
}
