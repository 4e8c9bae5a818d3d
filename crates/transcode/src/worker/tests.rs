//! Tests that need no H.264 coder; the others are in `coded`.

#[cfg(feature = "video")]
mod coded;

use std::sync::mpsc::{Receiver, channel};

use media::{BusWriter, MediaTime, bus};

use super::*;
use crate::process::Decoding;
use crate::testing::Clip;

fn settings() -> WorkerSettings {
    WorkerSettings { video: VideoSettings::default(), transcoding: Transcoding::new(1, Decoding::Here) }
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

/// A worker of `transcoding` on a stream of one sound.
fn passing(clip: &Clip, transcoding: &Transcoding) -> (BusWriter, Worker, Receiver<Output>) {
    let writer = bus(clip.tracks.clone());
    let (say, said) = channel();
    let settings = WorkerSettings { video: VideoSettings::default(), transcoding: transcoding.clone() };
    let output = move |output| drop(say.send(output));
    let worker = Worker::start(writer.ring().reader(), settings, output).unwrap();
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

#[test]
fn streams_that_pass_share_a_few_threads() {
    let clip = Clip::tone(48_000, 2, 1);
    let transcoding = Transcoding::new(1, Decoding::Here);
    let mut workers: Vec<_> = (0..100).map(|_| passing(&clip, &transcoding)).collect();
    for (writer, ..) in &mut workers {
        clip.frames.iter().for_each(|frame| writer.push((**frame).clone()));
    }
    for (_, _, said) in &workers {
        while next_frame(said).pts < MediaTime::from_millis(800) {}
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    let (common, own) = transcoding.crew.threads();
    assert!((1..=cores).contains(&common), "{common} threads for {cores} cores");
    assert_eq!(own, 0);
}

#[test]
fn an_output_that_panics_ends_its_stream_alone() {
    let clip = Clip::tone(48_000, 2, 1);
    let transcoding = Transcoding::new(0, Decoding::Here);
    let settings = WorkerSettings { video: VideoSettings::default(), transcoding: transcoding.clone() };
    let mut bad = bus(clip.tracks.clone());
    let (say, said) = channel::<()>();
    let output = move |_| {
        let _held = &say;
        panic!("a test of panics");
    };
    let _worker = Worker::start(bad.ring().reader(), settings, output).unwrap();
    bad.push((*clip.frames[0]).clone());
    assert!(said.recv().is_err(), "it is gone");
    assert_eq!(bad.ring().readers(), 0);
    let cores = std::thread::available_parallelism().unwrap().get();
    let good: Vec<_> = (0..=cores).map(|_| passing(&clip, &transcoding)).collect();
    for (mut writer, _worker, said) in good {
        clip.frames.iter().for_each(|frame| writer.push((**frame).clone()));
        next_frame(&said);
    }
}
