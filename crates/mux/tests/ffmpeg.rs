//! ffmpeg and ffprobe read what we write.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test binary")]

#[allow(dead_code, unreachable_pub)]
mod clip;

use std::path::Path;
use std::process::Command;

use media::{MediaTime, TrackKind};
use sluice_mux::{Fragmenter, InitSegment, Placed, codec_string};

use clip::{Clip, VIDEO};

/// Cuts at each keyframe and writes init and segments one after the other.
fn mux(clip: &Clip, file: &Path) -> usize {
    let mut out = InitSegment::new(&clip.tracks).unwrap().bytes().to_vec();
    let mut fragmenter = Fragmenter::new(&clip.tracks, MediaTime::ZERO).unwrap();
    let mut segments = 0;
    for frame in &clip.frames {
        assert_eq!(fragmenter.push(frame), Placed::Kept);
        let cuts = frame.track == TrackKind::Video && frame.keyframe;
        if let Some(segment) = cuts.then(|| fragmenter.cut(segments)).flatten() {
            assert!(segment.independent);
            out.extend_from_slice(&segment.bytes);
            segments += 1;
        }
    }
    out.extend_from_slice(&fragmenter.finish(segments).unwrap().bytes);
    std::fs::write(file, out).unwrap();
    segments as usize + 1
}

fn run(tool: &str, args: &[&str], file: &Path) -> String {
    let out = Command::new(tool).args(args).arg(file).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && errors.is_empty(), "{tool}: {errors}");
    String::from_utf8(out.stdout).unwrap()
}

fn decode(file: &Path) {
    let args = ["-v", "error", "-xerror", "-i"];
    let out = Command::new("ffmpeg").args(args).arg(file).args(["-f", "null", "-"]).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && errors.is_empty(), "{errors}");
}

fn packets(file: &Path, stream: &str) -> Vec<(f64, f64)> {
    let args = ["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time,dts_time", "-of"];
    let csv = run("ffprobe", &[&args[..], &["csv=p=0"]].concat(), file);
    csv.lines()
        .map(|line| {
            let mut fields = line.trim_end_matches(',').split(',').map(|f| f.parse().unwrap());
            (fields.next().unwrap(), fields.next().unwrap())
        })
        .collect()
}

fn count(clip: &Clip, kind: TrackKind) -> usize {
    clip.frames.iter().filter(|f| f.track == kind).count()
}

fn reads_back(codec: &str, codecs: &str, names: &str) {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip::encode(dir.path(), &format!("{VIDEO} {codec}"));
    let file = dir.path().join("out.mp4");
    assert_eq!(mux(&clip, &file), 6);
    let got = codec_string(&clip.tracks);
    assert!(got.starts_with("avc1.") && got.ends_with(codecs), "{got}");

    let args = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"];
    assert_eq!(run("ffprobe", &args, &file).split_whitespace().collect::<Vec<_>>().join(","), names);
    let video = packets(&file, "v");
    let audio = packets(&file, "a");
    assert_eq!(video.len(), count(&clip, TrackKind::Video));
    assert_eq!(audio.len(), count(&clip, TrackKind::Audio));
    // Times as they went in: ffprobe prints six digits.
    for ((pts, dts), frame) in video.iter().zip(clip.frames.iter().filter(|f| f.track == TrackKind::Video)) {
        assert!((dts - frame.dts.as_micros() as f64 / 1e6).abs() < 2e-5, "{dts} {frame:?}");
        assert!((pts - frame.pts.as_micros() as f64 / 1e6).abs() < 2e-5, "{pts} {frame:?}");
    }
    for ((pts, _), frame) in audio.iter().zip(clip.frames.iter().filter(|f| f.track == TrackKind::Audio)) {
        assert!((pts - frame.pts.as_micros() as f64 / 1e6).abs() < 5e-5, "{pts} {frame:?}");
    }
    decode(&file);
}

#[test]
fn h264_with_aac() {
    reads_back("-c:a aac", ",mp4a.40.2", "h264,aac");
}

#[test]
fn h264_with_opus() {
    reads_back("-c:a libopus", ",opus", "h264,opus");
}
