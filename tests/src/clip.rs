//! The test clips, made once by ffmpeg and kept beside cargo's other products.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::machine;

/// Changes whenever the clips below do, so that old ones are not taken for them.
const EDITION: &str = "clips-1";
/// Seconds of each clip; they are looped where more is needed.
const SECONDS: u32 = 60;

/// Moving picture, flash in the first 3 frames of each second, strip with the frame's number.
/// See [`crate::picture`].
const VIDEO: &str = "testsrc2=s=640x320:r=30,drawbox=x=220:y=60:w=200:h=200:c=white:t=fill:enable='lt(mod(n,30),3)'[top];\
color=s=40x4:r=30,format=yuv420p,geq=lum='st(0,floor(X/2));16+219*abs(gte(Y,2)-(eq(ld(0),0)+eq(ld(0),19)\
+between(ld(0),2,17)*mod(floor(N/pow(2,ld(0)-2)),2)+eq(ld(0),18)*lt(mod(N,30),3)))':cb=128:cr=128,\
scale=640:40:flags=neighbor[strip];[top][strip]vstack,format=yuv420p";

/// A beep of 100 ms in each second.
const AUDIO: &str = "aevalsrc='if(lt(mod(t,1),0.1),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo";

/// All clips; paths are absolute.
#[derive(Debug, Clone)]
pub struct Clips {
    /// H.264 High without B-frames, a keyframe each second, and AAC.
    pub plain: PathBuf,
    /// The same with B-frames, as encoders send by default.
    pub bframes: PathBuf,
    /// `plain` as MPEG transport stream, Annex B.
    pub annexb: PathBuf,
    /// `plain` at half its width and height.
    pub small: PathBuf,
    /// Pictures alone, at 12 Mbit/s: a segment is more than all buffers on its way hold.
    pub heavy: PathBuf,
    /// What Chromium's fake camera shows.
    pub camera: PathBuf,
    /// What Chromium's fake microphone hears.
    pub microphone: PathBuf,
}

/// Makes the clips if they are not there.
pub fn clips() -> Result<&'static Clips> {
    static CLIPS: OnceLock<Result<Clips, String>> = OnceLock::new();
    let made = CLIPS.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow::anyhow!("the clips could not be made: {error}"))
}

fn make() -> Result<Clips> {
    let folder = machine::profile_folder()?.with_file_name(EDITION);
    std::fs::create_dir_all(&folder)?;
    let clips = Clips {
        plain: folder.join("plain.mp4"),
        bframes: folder.join("bframes.mp4"),
        annexb: folder.join("plain.ts"),
        small: folder.join("small.mp4"),
        heavy: folder.join("heavy.mp4"),
        camera: folder.join("camera.y4m"),
        microphone: folder.join("microphone.wav"),
    };
    encode(&clips.plain, &["-bf", "0", "-g", "30"])?;
    encode(&clips.bframes, &["-bf", "2", "-g", "60"])?;
    convert(&clips.plain, &clips.annexb, &["-c", "copy"])?;
    convert(&clips.plain, &clips.small, &SMALLER)?;
    ffmpeg(&clips.heavy, &HEAVY)?;
    convert(&clips.plain, &clips.camera, &["-an", "-t", "10", "-pix_fmt", "yuv420p"])?;
    convert(&clips.plain, &clips.microphone, &["-vn", "-t", "10", "-ac", "1", "-ar", "48000"])?;
    Ok(clips)
}

/// H.264 without B-frames and a keyframe each second, as `plain` is.
const SMALLER: [&str; 12] = [
    "-vf",
    "scale=320:180",
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-bf",
    "0",
    "-g",
    "30",
    "-c:a",
    "copy",
];

/// Noise, which no encoder makes small.
const HEAVY: [&str; 20] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=s=640x360:r=30,noise=alls=80:allf=t,format=yuv420p",
    "-t",
    "10",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-bf",
    "0",
    "-g",
    "30",
    "-b:v",
    "12M",
    "-maxrate",
    "12M",
    "-bufsize",
    "12M",
];

fn encode(to: &Path, gop: &[&str]) -> Result<()> {
    let seconds = SECONDS.to_string();
    let inputs = ["-f", "lavfi", "-i", VIDEO, "-f", "lavfi", "-i", AUDIO, "-t", &seconds];
    let video =
        ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "1000k", "-maxrate", "1000k", "-bufsize", "1000k"];
    let audio = ["-c:a", "aac", "-b:a", "96k"];
    ffmpeg(to, &[&inputs[..], &video[..], gop, &audio[..]].concat())
}

fn convert(from: &Path, to: &Path, how: &[&str]) -> Result<()> {
    let from = from.to_str().context("the target folder's name is not UTF-8")?;
    ffmpeg(to, &[&["-i", from][..], how].concat())
}

/// Writes beside the goal and renames, so that a clip is whole or not there.
fn ffmpeg(to: &Path, arguments: &[&str]) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    let name = to.file_name().context("a clip has a name")?.to_string_lossy().into_owned();
    let draft = to.with_file_name(format!("draft-{}-{name}", std::process::id()));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(&draft).stdin(Stdio::null());
    let output = command.output().context("ffmpeg could not be started")?;
    ensure!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::rename(draft, to)?)
}
