//! Clips from ffmpeg, read from FLV.

use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};

/// Runs ffmpeg with these arguments and gives what it writes to its output.
pub(crate) fn ffmpeg(args: &str) -> Vec<u8> {
    let quiet = ["-nostdin", "-v", "error", "-y", "-threads", "1"];
    let done = Command::new("ffmpeg").args(quiet).args(args.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "ffmpeg {args}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// A stream's tracks and frames, in the order of the file.
#[derive(Clone)]
pub(crate) struct Clip {
    pub(crate) tracks: Tracks,
    pub(crate) frames: Vec<Arc<Frame>>,
}

impl Clip {
    /// What ffmpeg makes of these arguments, which must not name an output.
    pub(crate) fn make(args: &str) -> Self {
        read_flv(&ffmpeg(&format!("{args} -f flv -flvflags no_duration_filesize pipe:1")))
    }

    /// A moving picture with B-frames in a pyramid, a keyframe every `gop`.
    pub(crate) fn moving(size: &str, frames: u32, gop: u32) -> Self {
        Self::make(&format!(
            "-f lavfi -i testsrc2=size={size}:rate=25 -frames:v {frames} -pix_fmt yuv420p -c:v libx264 \
             -preset veryfast -profile:v high -bf 3 -x264-params b-pyramid=normal:b-adapt=0:scenecut=0 -g {gop}"
        ))
    }

    /// `seconds` of a sine of 1 kHz at an eighth of full scale.
    pub(crate) fn tone(rate: u32, channels: u32, seconds: u32) -> Self {
        let wave = vec!["0.125*sin(2000*PI*t)"; channels as usize].join("|");
        Self::make(&format!("-f lavfi -i aevalsrc={wave}:s={rate}:d={seconds} -c:a aac -b:a 128k"))
    }

    pub(crate) fn audio(&self) -> &AudioTrack {
        self.tracks.audio.as_ref().unwrap()
    }
}

fn read_flv(mut file: &[u8]) -> Clip {
    file = &file[13..];
    let mut clip = Clip { tracks: Tracks::default(), frames: Vec::new() };
    while file.len() >= 11 {
        let length = be(&file[1..4]) as usize;
        let time = i64::from(be(&file[4..7]) | u32::from(file[7]) << 24);
        read_tag(&mut clip, file[0], time, &file[11..11 + length]);
        file = &file[11 + length + 4..];
    }
    clip
}

fn be(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn read_tag(clip: &mut Clip, kind: u8, time: i64, body: &[u8]) {
    let dts = MediaTime::from_millis(time);
    let frame = |track, keyframe, offset: i64, data: &[u8]| {
        let pts = MediaTime::from_millis(time + offset);
        Arc::new(Frame { track, pts, dts, keyframe, data: Bytes::copy_from_slice(data) })
    };
    match (kind, body) {
        (8, [_, 0, config @ ..]) => clip.tracks.audio = Some(aac_track(config)),
        (8, [_, 1, data @ ..]) => clip.frames.push(frame(TrackKind::Audio, true, 0, data)),
        (9, [_, 0, _, _, _, config @ ..]) if !config.is_empty() => {
            clip.tracks.video = Some(avc_track(config));
        }
        (9, [head, 1, a, b, c, data @ ..]) => {
            clip.frames.push(frame(TrackKind::Video, head >> 4 == 1, i64::from(be(&[*a, *b, *c])), data));
        }
        _ => {}
    }
}

/// The transcoders read rate, channels and size from the configurations.
fn aac_track(config: &[u8]) -> AudioTrack {
    let config = Bytes::copy_from_slice(config);
    AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 0, channels: 0 }
}

fn avc_track(config: &[u8]) -> VideoTrack {
    let config = Bytes::copy_from_slice(config);
    VideoTrack { codec: VideoCodec::H264, config, width: 0, height: 0, reordered: true }
}

/// Numbers that are the same in every run (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }

    /// Changes, cuts or lengthens in a few places.
    pub(crate) fn mutate(&mut self, data: &[u8]) -> Bytes {
        let mut data = data.to_vec();
        for _ in 0..=self.below(8) {
            let at = self.below(data.len());
            match self.below(8) {
                0 => data.truncate(at),
                1 => data.insert(at, self.below(256) as u8),
                _ if !data.is_empty() => data[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
        data.into()
    }
}
