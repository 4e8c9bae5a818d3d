//! Programs that are no decoders stand for processes that fail. A real one is tested
//! where there is one: crates/server/tests/decoding.rs.

use std::time::Duration;

use media::{VideoCodec, VideoTrack};

use super::*;
#[cfg(feature = "video")]
use crate::testing::Clip;
use crate::video::{Unopened, VideoSettings};

fn program(path: &str, arguments: &[&str]) -> Program {
    Program::new(path, arguments.iter().map(OsString::from))
}

fn track() -> VideoTrack {
    let config = vec![1; 64].into();
    VideoTrack { codec: VideoCodec::H264, config, width: 64, height: 64, reordered: true }
}

#[test]
fn a_process_that_fails_is_counted_and_costs_the_stream() {
    for (program, what) in [
        (program("/bin/false", &[]), "ends"),
        (program("/bin/cat", &[]), "says what it was asked"),
        (program("/bin/sh", &["-c", "printf '\\377\\377\\377\\377'; cat"]), "says too much"),
        (program("/bin/sleep", &["60"]).with_patience(Duration::from_millis(1)), "says nothing"),
    ] {
        assert_eq!(program.probe(), Err(Failed), "{what}");
        let opened = Remote::open(&program, &track(), VideoSettings::default()).err();
        assert_eq!(opened, Some(VideoUnsupported::Ended.into()), "{what}");
        assert_eq!(Decoding::Apart(program).failures(), 2, "{what}");
    }
}

#[test]
fn a_process_that_cannot_be_started_is_counted_and_is_not_the_streams_fault() {
    let program = program("/nonexistent", &[]);
    assert_eq!(program.probe(), Err(Failed));
    let opened = Remote::open(&program, &track(), VideoSettings::default()).err();
    assert_eq!(opened, Some(Unopened::NotStarted));
    assert_eq!(Decoding::Apart(program).failures(), 2);
}

#[test]
fn processes_that_do_not_start_are_one_line_in_the_log_until_one_does() {
    let program = program("/nonexistent", &[]);
    assert!(program.is_news(false));
    assert_eq!(program.start().err(), Some(Failed));
    assert!(!program.is_news(false), "the start has told so");
    assert!(program.is_news(true) && !program.is_news(true));
    assert!(program.is_news(false));
}

#[test]
#[cfg(feature = "video")]
fn a_thumbnail_of_a_process_that_fails_is_none() {
    let clip = Clip::moving("128x96", 1, 1);
    let (track, frame) = (clip.tracks.video.as_ref().unwrap(), &clip.frames[0]);
    let decoding = Decoding::Apart(program("/bin/false", &[]));
    assert_eq!(crate::still(&decoding, track, frame, 320), Err(StillError::Ended));
    assert_eq!(decoding.failures(), 1);
}

#[test]
fn what_fits_into_no_message_costs_no_process() {
    let program = program("/bin/false", &[]);
    let long = |bytes: usize| VideoTrack { config: vec![1; bytes].into(), ..track() };
    let open = |bytes| Remote::open(&program, &long(bytes), VideoSettings::default()).err();
    assert_eq!(open(wire::MAX_CONFIG + 1), Some(VideoUnsupported::Config.into()));
    let at = media::MediaTime::ZERO;
    let data = vec![0; wire::MAX_FRAME + 1].into();
    let frame = Frame { track: media::TrackKind::Video, pts: at, dts: at, keyframe: true, data };
    let none = Err(VideoUnsupported::Config.into());
    assert_eq!(program.still(&track(), &frame, 320), none);
    assert_eq!(Decoding::Apart(program.clone()).failures(), 0);
    assert_eq!(open(wire::MAX_CONFIG), Some(VideoUnsupported::Ended.into()));
}

#[test]
fn a_process_that_is_dropped_is_gone() {
    let sleeps = program("/bin/sleep", &["60"]);
    let child = sleeps.start().unwrap();
    let there = format!("/proc/{}", child.id());
    assert!(std::fs::exists(&there).unwrap());
    drop(child);
    assert!(!std::fs::exists(&there).unwrap(), "killed, and waited for");
}

#[test]
#[cfg(feature = "video")]
fn what_a_process_answers_is_what_a_transcoder_gives() {
    use child::Desk;

    use crate::video::{Effort, VideoTranscoder};

    let clip = Clip::moving("128x96", 40, 20);
    let track = clip.tracks.video.clone().unwrap();
    let mut here = VideoTranscoder::new(&track, VideoSettings::default()).unwrap();
    let mut desk = Desk::default();
    let mut ask = |request: Request| {
        let request = Request::decode(request.encode().split_off(4).into()).unwrap();
        Reply::decode(desk.answer(request).encode().split_off(4).into()).unwrap()
    };
    let opened = ask(Request::Open { track, settings: VideoSettings::default() });
    assert_eq!(opened, Reply::Opened(here.track().clone()));
    let pushed = |reply: Reply| if let Reply::Pushed(pushed) = reply { pushed } else { panic!("{reply:?}") };
    for (n, frame) in clip.frames.iter().enumerate() {
        let (keyframe, lost) = (n == 7, n == 15);
        if keyframe {
            here.force_keyframe();
        }
        if lost {
            here.lost();
        }
        let frame = Frame::clone(frame);
        let expected = here.push(&frame, Effort::Full);
        let got = pushed(ask(Request::Push { frame, effort: Effort::Full, keyframe, lost }));
        assert_eq!((got.frames, got.corrupt), (expected, here.corrupt()), "{n}");
    }
    assert_eq!(pushed(ask(Request::Flush)).frames, here.flush());
    assert_eq!(here.corrupt(), 5, "the pictures from the loss to the next key frame");
}
