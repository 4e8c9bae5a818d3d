//! Tests that need no H.264 coder; the others are in `coded`.

#[cfg(feature = "video")]
mod coded;

use std::sync::mpsc::{Receiver, channel};

use media::{BusWriter, MediaTime, bus};

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
