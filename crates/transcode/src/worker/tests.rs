use std::sync::mpsc::{Receiver, channel};

use media::{BusWriter, MediaTime, TrackKind, bus};

use super::*;
use crate::testing::Clip;

fn settings() -> WorkerSettings {
    WorkerSettings { video: VideoSettings::default(), slots: Slots::new(1) }
}

/// A worker on a new bus; what it says arrives at the receiver, which sees the
/// channel close when the thread has ended.
fn worker(clip: &Clip) -> (BusWriter, Worker, Receiver<Output>) {
    let writer = bus(clip.tracks.clone());
    let (say, said) = channel();
    let output = move |output| drop(say.send(output));
    let worker = Worker::start(writer.ring().reader(), settings(), output).unwrap();
    (writer, worker, said)
}

fn next_frame(said: &Receiver<Output>) -> Frame {
    loop {
        if let Output::Frame(frame) = said.recv().unwrap() {
            return frame;
        }
    }
}

#[test]
fn sound_comes_as_it_is_published_until_the_publisher_leaves() {
    let clip = Clip::tone(44_100, 2, 1);
    let (mut writer, _worker, said) = worker(&clip);
    for second in 0..3 {
        for frame in &clip.frames {
            let later = frame.pts + std::time::Duration::from_secs(second);
            writer.push(Frame { pts: later, dts: later, ..(**frame).clone() });
        }
        let reached = MediaTime::from_millis(1000 * second as i64 + 800);
        while next_frame(&said).pts < reached {}
    }
    drop(writer);
    let last = said.iter().last();
    assert!(matches!(last, Some(Output::Ended(EndReason::Finished))), "{last:?}");
}

#[test]
fn dropping_the_handle_ends_a_thread_that_waits() {
    let clip = Clip::tone(44_100, 2, 1);
    let (mut writer, worker, said) = worker(&clip);
    clip.frames.iter().for_each(|frame| writer.push((**frame).clone()));
    next_frame(&said);
    drop(worker);
    assert!(said.iter().all(|output| !matches!(output, Output::Ended(_))), "the channel closed");
    assert_eq!(writer.ring().readers(), 0);
}

#[test]
fn silence_reaches_a_thread_that_waits() {
    let clip = Clip::tone(44_100, 2, 1);
    let (mut writer, _worker, said) = worker(&clip);
    clip.frames.iter().for_each(|frame| writer.push((**frame).clone()));
    next_frame(&said);
    writer.ring().silence();
    assert!(matches!(said.iter().last(), Some(Output::Ended(EndReason::Silenced))));
}

#[cfg(feature = "video")]
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
    assert_eq!(worker.counts(), Counts { dropped: told, corrupt: 0 });
    assert_eq!(given + 1 + told, 200, "one was given before");
}

#[cfg(feature = "video")]
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
