//! Threads whose pictures are transcoded.

use media::TrackKind;

use super::*;

#[test]
fn an_output_that_is_slow_loses_pictures_and_the_publisher_never_waits() {
    let clip = Clip::moving("128x96", 200, 200);
    let mut writer = bus(clip.tracks.clone());
    let (say, said) = channel();
    let (let_go, leave) = channel::<()>();
    let mut blocked = false;
    let output = move |output| {
        let first_frame = matches!(output, Output::Frame(_)) && !std::mem::replace(&mut blocked, true);
        drop(say.send(output));
        if first_frame {
            leave.recv().unwrap();
        }
    };
    let worker = Worker::start(writer.ring().reader(), settings(), output).unwrap();
    clip.frames[..4].iter().for_each(|frame| writer.push((**frame).clone()));
    next_frame(&said);
    clip.frames[4..].iter().for_each(|frame| writer.push((**frame).clone()));
    let_go.send(()).unwrap();
    drop(writer);
    let out: Vec<_> = said.iter().collect();
    let given =
        out.iter().filter(|o| matches!(o, Output::Frame(f) if f.track == TrackKind::Video)).count() as u64;
    let told: u64 = out.iter().map(|o| if let Output::Dropped(n) = o { *n } else { 0 }).sum();
    assert!(told > 100, "{told} of 200 were left out");
    assert_eq!(worker.counts(), Counts { dropped: told, corrupt: 0, skipped: 0 });
    assert_eq!(given + 1 + told, 200, "one was given before");
}

#[test]
fn a_requested_keyframe_comes() {
    let clip = Clip::moving("128x96", 60, 250);
    let (mut writer, worker, said) = worker(&clip);
    clip.frames[..3].iter().for_each(|frame| writer.push((**frame).clone()));
    assert!(next_frame(&said).keyframe);
    worker.request_keyframe();
    clip.frames[3..].iter().for_each(|frame| writer.push((**frame).clone()));
    drop(writer);
    let keys = said.iter().filter(|o| matches!(o, Output::Frame(frame) if frame.keyframe)).count();
    assert_eq!(keys, 1);
}

#[test]
fn a_stream_changes_threads_with_its_pictures_and_keeps_its_order() {
    let (moving, mut still) = (Clip::moving("128x96", 20, 10), Clip::moving("128x96", 20, 10));
    still.tracks.video.as_mut().unwrap().reordered = false;
    let (mut writer, worker, said) = worker(&still);
    let mut seen = Vec::new();
    let mut see = |count: usize| {
        let mut left = count;
        while left > 0 {
            match said.recv().unwrap() {
                Output::Tracks { video, .. } => seen.push(video),
                Output::Frame(_) => left -= 1,
                output => panic!("{output:?}"),
            }
        }
    };
    still.frames.iter().for_each(|frame| writer.push((**frame).clone()));
    see(20);
    writer.set_tracks(moving.tracks.clone());
    moving.frames.iter().for_each(|frame| writer.push((**frame).clone()));
    see(18);
    writer.set_tracks(still.tracks.clone());
    still.frames.iter().for_each(|frame| writer.push((**frame).clone()));
    see(20);
    assert_eq!(seen, [Treatment::Passed, Treatment::Transcoded, Treatment::Passed]);
    assert_eq!(worker.counts(), Counts::default());
}
