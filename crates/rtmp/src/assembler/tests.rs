//! When tracks are complete, and what becomes of the frames before that.

use proptest::prelude::*;

use super::*;
use crate::amf0::object;
use crate::flv::SLACK;

const RECORD: &[u8] = b"\x17\0\0\0\0\
    \x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48\
    \x01\0\x05\x68\xcb\x83\xcb\x20";
const RECORD_720: &[u8] = b"\x17\0\0\0\0\
    \x01\x64\x00\x1f\xff\xe1\0\x18\x67\x64\x00\x1f\xac\xb2\x00\xa0\x0b\x76\x02\x20\x00\x00\x03\x00\x20\x00\x00\x07\x91\xe3\x06\x49\
    \x01\0\x06\x68\xeb\xe3\xcb\x22\xc0";
const ASC: &[u8] = b"\xaf\0\x12\x10";
const KEY: &[u8] = b"\x17\x01\0\0\x28\0\0\0\x02\x65\x01";
const INTER: &[u8] = b"\x27\x01\0\0\0\0\0\0\x02\x41\x01";
const SOUND: &[u8] = b"\xaf\x01sound";

fn accepted() -> Assembler {
    let mut assembler = Assembler::new();
    assembler.accept();
    assembler
}

fn video(assembler: &mut Assembler, time: u32, body: &'static [u8]) {
    assembler.video(time, &Bytes::from_static(body)).unwrap();
}

fn audio(assembler: &mut Assembler, time: u32, body: &'static [u8]) {
    assembler.audio(time, &Bytes::from_static(body)).unwrap();
}

/// `T` with the tracks there are, `K` keyframe, `V` other picture, `A` sound, each
/// with its decode time; `U` unsupported.
fn story(assembler: &mut Assembler) -> String {
    let one = |media| match media {
        Media::Tracks(tracks) => {
            let width = tracks.video.map(|video| format!("v{}", video.width)).unwrap_or_default();
            let rate = tracks.audio.map(|audio| format!("a{}", audio.sample_rate)).unwrap_or_default();
            format!("T{width}{rate}")
        }
        Media::Frame(frame) => {
            let kind = match frame.track {
                TrackKind::Audio => "A",
                TrackKind::Video if frame.keyframe => "K",
                TrackKind::Video => "V",
            };
            format!("{kind}{}", frame.dts.as_millis())
        }
        Media::Unsupported(track, codec) => format!("U{track:?}{codec}"),
    };
    std::iter::from_fn(|| assembler.poll()).map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn tracks_come_as_soon_as_both_headers_have() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    assert_eq!(story(it), "");
    audio(it, 0, ASC);
    assert_eq!(story(it), "Tv640a44100");
    video(it, 0, KEY);
    audio(it, 10, SOUND);
    video(it, 33, INTER);
    assert_eq!(story(it), "K0 A10 V33");
}

#[test]
fn the_first_keyframe_waits_for_a_late_audio_header() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    video(it, 0, INTER);
    video(it, 33, KEY);
    video(it, 66, INTER);
    assert_eq!(story(it), "");
    audio(it, 80, ASC);
    assert_eq!(story(it), "Tv640a44100 K33 V66");
}

#[test]
fn one_track_alone_waits_a_second_for_the_other() {
    let it = &mut accepted();
    audio(it, 0, ASC);
    for time in [0, 500, 999] {
        audio(it, time, SOUND);
    }
    assert_eq!(story(it), "");
    audio(it, 1000, SOUND);
    assert_eq!(story(it), "Ta44100 A0 A500 A999 A1000");
    video(it, 1000, RECORD);
    video(it, 1001, KEY);
    assert_eq!(story(it), "Tv640a44100 K1001");
}

#[test]
fn metadata_that_names_both_codecs_lengthens_the_wait() {
    let it = &mut accepted();
    it.metadata(&object([("videocodecid", 7.0.into()), ("audiocodecid", 10.0.into())]));
    audio(it, 0, ASC);
    audio(it, 0, SOUND);
    audio(it, 2999, SOUND);
    assert_eq!(story(it), "");
    audio(it, 3000, SOUND);
    assert_eq!(story(it), "Ta44100 A0 A2999 A3000");
}

#[test]
fn metadata_that_names_one_codec_only_ends_the_wait() {
    let it = &mut accepted();
    it.metadata(&object([("videocodecid", 7.0.into())]));
    video(it, 0, RECORD);
    assert_eq!(story(it), "Tv640");

    let it = &mut accepted();
    audio(it, 0, ASC);
    it.metadata(&object([("audiocodecid", 10.0.into()), ("videocodecid", Value::Null)]));
    assert_eq!(story(it), "Ta44100");

    let it = &mut accepted();
    it.metadata(&object([("encoder", "x".into())]));
    audio(it, 0, ASC);
    assert_eq!(story(it), "", "metadata that names neither says nothing");
}

#[test]
fn nothing_comes_out_before_the_publisher_is_accepted() {
    let it = &mut Assembler::new();
    video(it, 0, RECORD);
    audio(it, 0, ASC);
    video(it, 0, KEY);
    video(it, 33, INTER);
    assert_eq!(story(it), "");
    it.accept();
    assert_eq!(story(it), "Tv640a44100 K0 V33");
}

#[test]
fn what_a_stranger_sends_is_bounded_and_resumes_with_a_keyframe() {
    let it = &mut Assembler::new();
    video(it, 0, RECORD);
    audio(it, 0, ASC);
    video(it, 0, KEY);
    let large = Bytes::from([INTER, &[0, 1, 0, 0], &vec![0x41; 1 << 16]].concat());
    it.video(33, &large).unwrap();
    assert_eq!(it.held_bytes, 0);
    video(it, 66, INTER);
    video(it, 100, KEY);
    it.accept();
    assert_eq!(story(it), "Tv640a44100 K100");
}

#[test]
fn a_changed_header_says_so_and_waits_for_its_keyframe() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    audio(it, 0, ASC);
    video(it, 0, KEY);
    video(it, 10, RECORD);
    video(it, 10, INTER);
    video(it, 20, RECORD_720);
    video(it, 20, INTER);
    video(it, 30, KEY);
    assert_eq!(story(it), "Tv640a44100 K0 V10 Tv1280a44100 K30", "the same header again changes nothing");
}

#[test]
fn a_header_that_changes_during_the_wait_drops_the_frames_of_the_old() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    video(it, 0, KEY);
    video(it, 10, RECORD_720);
    video(it, 20, KEY);
    audio(it, 20, ASC);
    assert_eq!(story(it), "Tv1280a44100 K20");
}

#[test]
fn sound_without_a_header_is_assumed_from_the_metadata() {
    let it = &mut accepted();
    it.metadata(&object([("audiosamplerate", 48_000.0.into()), ("audiocodecid", 10.0.into())]));
    audio(it, 0, SOUND);
    assert_eq!(story(it), "Ta48000 A0");
}

#[test]
fn a_coding_that_we_do_not_carry_counts_as_absent() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    audio(it, 0, b"\x2fmp3");
    audio(it, 10, b"\x2fmp3");
    video(it, 20, KEY);
    assert_eq!(story(it), "UAudio2 Tv640 K20");
}

#[test]
fn the_keyframe_flag_is_what_the_picture_says() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    audio(it, 0, ASC);
    video(it, 0, b"\x17\x01\0\0\0\0\0\0\x02\x41\x01");
    video(it, 33, b"\x27\x01\0\0\0\0\0\0\x02\x65\x01");
    assert_eq!(story(it), "Tv640a44100 K33");
}

#[test]
fn show_time_is_decode_time_and_composition_offset() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    audio(it, 0, ASC);
    video(it, 1000, KEY);
    let frame = std::iter::from_fn(|| it.poll()).find_map(|media| match media {
        Media::Frame(frame) => Some(frame),
        _ => None,
    });
    let frame = frame.unwrap();
    assert_eq!((frame.dts, frame.pts), (MediaTime::from_millis(1000), MediaTime::from_millis(1040)));
    assert_eq!(frame.data, Bytes::from_static(b"\0\0\0\x02\x65\x01"));
}

/// Bytes of `message` that `frame` keeps in memory beside its own.
fn pinned(frame: &Frame, message: &Bytes) -> usize {
    let shares = message.as_ptr_range().contains(&frame.data.as_ptr());
    if shares { message.len() - frame.data.len() } else { 0 }
}

proptest! {
    /// Whatever goes before the media in a message, or between it.
    #[test]
    fn a_frame_holds_little_more_than_it_shows(
        media in 1usize..300, padding in 0usize..250, filler in 0usize..300, length_size in 3usize..5
    ) {
        let it = &mut accepted();
        it.avc = AvcConfig::parse(&[&[1, 0x42, 0xc0, 0x1e, 0xfc | (length_size - 1) as u8], &RECORD[10..]].concat()).unwrap();
        it.set_video().unwrap();
        audio(it, 0, ASC);
        // A modifier of Enhanced RTMP of any length, then coded frames with a filler unit.
        let modifier = [&[0x97, padding as u8][..], &vec![0; padding + 1]].concat();
        let unit = |kind: u8, len: usize| {
            [&(len as u32 + 1).to_be_bytes()[4 - length_size..], &[kind][..], &vec![1; len]].concat()
        };
        let picture = [&modifier[..], &[0x03], b"avc1", &unit(0x65, media), &unit(0x0c, filler)].concat();
        let sound = [&modifier[..], &[0x01], b"mp4a", &vec![1; media]].concat();
        let (picture, sound) = (Bytes::from(picture), Bytes::from(sound));
        it.video(0, &picture).unwrap();
        it.audio(0, &sound).unwrap();
        let frames: Vec<_> = std::iter::from_fn(|| it.poll())
            .filter_map(|media| if let Media::Frame(frame) = media { Some(frame) } else { None })
            .collect();
        prop_assert_eq!(frames.len(), 2);
        for (frame, message) in frames.iter().zip([picture, sound]) {
            prop_assert!(pinned(frame, &message) <= SLACK, "{:?} of {}", frame, message.len());
        }
    }
}

#[test]
fn a_frame_that_is_nearly_all_of_its_message_shares_its_buffer() {
    let it = &mut accepted();
    video(it, 0, RECORD);
    audio(it, 0, ASC);
    let message = Bytes::from([KEY, &[0, 0, 1, 0], &vec![0x41; 256]].concat());
    it.video(0, &message).unwrap();
    let frame = std::iter::from_fn(|| it.poll()).find_map(|media| match media {
        Media::Frame(frame) => Some(frame),
        _ => None,
    });
    assert!(message.as_ptr_range().contains(&frame.unwrap().data.as_ptr()));
}
