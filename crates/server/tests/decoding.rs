//! Processes that decode: this program's own, killed and without memory. What is decoded
//! is harmless; it is the limit that is small.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use media::{Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack, bus};
use rustix::process::{Pid, Signal, kill_process};
use transcode::{
    Decoding, MEMORY, Output, Program, StillError, Transcoding, Treatment, VideoSettings, VideoUnsupported,
    Worker, WorkerSettings,
};

const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");

/// Enough for the program itself and for no picture of 1920x1080.
const LITTLE: u64 = 12 << 20;

/// Enough to encode 1920x1080, and not for its 16 reference frames.
const SOME: u64 = 64 << 20;

/// `memory` also tells the processes of one test from those of the others.
fn decoding(memory: u64) -> Decoding {
    Decoding::Apart(Program::new(SLUICE, [OsString::from("transcode-child"), memory.to_string().into()]))
}

struct Clip {
    track: VideoTrack,
    frames: Vec<Frame>,
}

/// A moving picture with B-frames and a key frame every ten.
fn clip(size: &str, frames: u32) -> Clip {
    make(size, frames, "-g 10")
}

fn make(size: &str, frames: u32, options: &str) -> Clip {
    let args = format!(
        "-nostdin -v error -f lavfi -i testsrc2=size={size}:rate=25 -frames:v {frames} -pix_fmt yuv420p \
         -c:v libx264 -preset veryfast -bf 2 {options} -f flv -flvflags no_duration_filesize pipe:1"
    );
    let flv = Command::new("ffmpeg").args(args.split_whitespace()).output().unwrap().stdout;
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |n, &byte| n << 8 | i64::from(byte));
    let (mut config, mut frames, mut rest) = (Bytes::new(), Vec::new(), &flv[13..]);
    while rest.len() > 11 {
        let length = number(&rest[1..4]) as usize;
        let (time, body) = (number(&rest[4..7]), &rest[11..11 + length]);
        match (rest[0], body) {
            (9, [_, 0, _, _, _, record @ ..]) => config = Bytes::copy_from_slice(record),
            (9, [head, 1, a, b, c, data @ ..]) => frames.push(Frame {
                track: TrackKind::Video,
                pts: MediaTime::from_millis(time + number(&[*a, *b, *c])),
                dts: MediaTime::from_millis(time),
                keyframe: head >> 4 == 1,
                data: Bytes::copy_from_slice(data),
            }),
            _ => {}
        }
        rest = &rest[11 + length + 4..];
    }
    let track = VideoTrack { codec: VideoCodec::H264, config, width: 0, height: 0, reordered: true };
    Clip { track, frames }
}

fn worker(clip: &Clip, decoding: Decoding) -> (media::BusWriter, Worker, Receiver<Output>) {
    let writer = bus(Tracks { video: Some(clip.track.clone()), audio: None });
    let (say, said) = channel();
    let transcoding = Transcoding::new(1, decoding);
    let settings = WorkerSettings { video: VideoSettings::default(), transcoding };
    let worker = Worker::start(writer.ring().reader(), settings, move |output| drop(say.send(output)));
    (writer, worker.unwrap(), said)
}

/// How pictures come out from here on.
fn next_treatment(said: &Receiver<Output>) -> Treatment {
    said.iter().find_map(|o| if let Output::Tracks { video, .. } = o { Some(video) } else { None }).unwrap()
}

fn next_frame(said: &Receiver<Output>) -> Frame {
    said.iter().find_map(|output| if let Output::Frame(frame) = output { Some(frame) } else { None }).unwrap()
}

/// Processes that were started with so much memory.
fn processes(memory: u64) -> Vec<PathBuf> {
    let arguments = format!("transcode-child\0{memory}\0");
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| {
        std::fs::read(path.join("cmdline")).is_ok_and(|line| line.ends_with(arguments.as_bytes()))
    })
    .collect()
}

fn kill(process: &std::path::Path) {
    let id = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_process_that_is_killed_costs_pictures_until_a_later_key_frame() {
    let (clip, memory) = (clip("320x180", 60), MEMORY + 1);
    let decoding = decoding(memory);
    let (mut writer, worker, said) = worker(&clip, decoding.clone());
    clip.frames[..5].iter().for_each(|frame| writer.push(frame.clone()));
    assert_eq!(next_treatment(&said), Treatment::Transcoded);
    assert!(next_frame(&said).keyframe);
    let [process] = &processes(memory)[..] else { panic!("one process") };
    kill(process);
    clip.frames[5..20].iter().for_each(|frame| writer.push(frame.clone()));
    assert_eq!(next_treatment(&said), Treatment::KeyframesOnly(VideoUnsupported::Ended));
    assert_eq!(next_frame(&said), clip.frames[10], "as it was published");
    clip.frames[20..].iter().for_each(|frame| writer.push(frame.clone()));
    assert_eq!(next_treatment(&said), Treatment::Transcoded);
    assert!(next_frame(&said).keyframe);
    assert_eq!((decoding.failures(), processes(memory).len()), (1, 1));
    drop(worker);
    assert!(said.iter().all(|output| !matches!(output, Output::Ended(_))), "the channel closed");
    assert_eq!(processes(memory).len(), 0, "it ended with its stream");
}

#[test]
fn a_stream_that_needs_more_memory_than_there_is_comes_as_key_frames() {
    let large = make("1920x1080", 40, "-refs 16 -g 35");
    let decoding = decoding(SOME);
    let (mut writer, _worker, said) = worker(&large, decoding.clone());
    large.frames.iter().for_each(|frame| writer.push(frame.clone()));
    assert_eq!(next_treatment(&said), Treatment::Transcoded, "it begins");
    assert_eq!(next_treatment(&said), Treatment::KeyframesOnly(VideoUnsupported::Ended));
    assert!(next_frame(&said).keyframe);
    assert!(decoding.failures() >= 1);
}

#[test]
fn a_thumbnail_is_made_apart_and_its_failure_is_an_answer() {
    let large = clip("1920x1080", 1);
    let still = |memory| transcode::still(&decoding(memory), &large.track, &large.frames[0], 320);
    assert!(still(MEMORY).unwrap().starts_with(&[0xFF, 0xD8]));
    assert_eq!(still(LITTLE), Err(StillError::Ended));
    let Decoding::Apart(program) = decoding(LITTLE) else { panic!() };
    assert_eq!(program.probe(), Ok(()), "it was not for want of a process");
}

#[test]
fn a_process_holds_its_pipes_and_nothing_else_and_ends_with_its_input() {
    let memory = MEMORY + 2;
    let mut process = Command::new(SLUICE)
        .args(["transcode-child", &memory.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A request to flush, and the length of its answer.
    process.stdin.as_mut().unwrap().write_all(&[0, 0, 0, 1, 3]).unwrap();
    process.stdout.as_mut().unwrap().read_exact(&mut [0; 4]).unwrap();
    let [there] = &processes(memory)[..] else { panic!("one process") };
    for descriptor in std::fs::read_dir(there.join("fd")).unwrap() {
        let held = std::fs::read_link(descriptor.unwrap().path()).unwrap();
        let held = held.to_str().unwrap();
        assert!(held.starts_with("pipe:") || held == "/dev/null", "{held}");
    }
    let limits = std::fs::read_to_string(there.join("limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(
        (limit("Max data size"), limit("Max open files"), limit("Max core file size")),
        (memory, 0, 0)
    );
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_process_of_the_server_has_no_environment() {
    let memory = MEMORY + 3;
    let clip = clip("320x180", 1);
    let (mut writer, _worker, said) = worker(&clip, decoding(memory));
    writer.push(clip.frames[0].clone());
    assert_eq!(next_treatment(&said), Treatment::Transcoded);
    let [process] = &processes(memory)[..] else { panic!("one process") };
    assert!(std::fs::read(process.join("environ")).unwrap().is_empty());
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    println!("{}", status.lines().filter(|line| line.starts_with("Vm")).collect::<Vec<_>>().join("\n"));
}

/// User and system time of a process and of those that it waited for, in hundredths of a
/// second.
fn ticks(process: &std::path::Path) -> u64 {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
#[ignore = "a measurement: cargo test -p sluice-server --test decoding costs -- --ignored --nocapture"]
fn costs() {
    let here = std::path::Path::new("/proc/self");
    let patience = std::time::Duration::from_secs(1);
    for (size, frames, memory) in [("1280x720", 250, MEMORY + 4), ("1920x1080", 60, MEMORY + 5)] {
        let clip = clip(size, frames);
        for apart in [false, true, false, true] {
            let before = ticks(here);
            let decoding = if apart { decoding(memory) } else { Decoding::Here };
            let (mut writer, worker, said) = worker(&clip, decoding);
            let (mut shown, mut never, start) = (0, 0, std::time::Instant::now());
            for (n, frame) in (1..).zip(&clip.frames) {
                writer.push(frame.clone());
                // As a camera would, not before the last is done; two are held back.
                while shown + never + 2 < n {
                    match said.recv_timeout(patience) {
                        Ok(output) => shown += usize::from(matches!(output, Output::Frame(_))),
                        Err(_) => never += 1,
                    }
                }
            }
            let lasted = start.elapsed();
            let status = processes(memory).first().map(|process| {
                let status = std::fs::read_to_string(process.join("status")).unwrap();
                let memory =
                    |line: &&str| ["VmPeak", "VmHWM", "VmData"].iter().any(|name| line.starts_with(name));
                status.lines().filter(memory).collect::<Vec<_>>().join(" ")
            });
            drop(worker);
            while said.recv().is_ok() {}
            let ticks = ticks(here) - before;
            println!("{size} apart={apart}: {shown} shown in {lasted:?}, {ticks} ticks {status:?}");
        }
    }
}
