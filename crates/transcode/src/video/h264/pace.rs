//! A measurement, not a test:
//! `cargo test --release -p sluice-transcode pace -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::*;
use crate::testing::Clip;

#[test]
#[ignore = "a measurement"]
fn pace() {
    for (size, bitrate) in [("640x360", "1M"), ("1280x720", "3M"), ("1920x1080", "6M")] {
        let clip = Clip::make(&format!(
            "-f lavfi -i testsrc2=size={size}:rate=30,noise=alls=12:allf=t -frames:v 300 -pix_fmt yuv420p \
             -c:v libx264 -preset veryfast -profile:v high -bf 3 -g 250 -b:v {bitrate}"
        ));
        let time = |effort| {
            let track = clip.tracks.video.as_ref().unwrap();
            let mut transcoder = VideoTranscoder::new(track, VideoSettings::default()).unwrap();
            let (mut worst, mut bytes, start) = (Duration::ZERO, 0, Instant::now());
            for frame in &clip.frames {
                let one = Instant::now();
                bytes += transcoder.push(frame, effort).iter().map(|f| f.data.len()).sum::<usize>();
                worst = worst.max(one.elapsed());
            }
            let mean = start.elapsed() / clip.frames.len() as u32;
            let kilobits = bytes * 8 * 30 / clip.frames.len() / 1000;
            println!("{size} {effort:?}: {mean:?} a frame, worst {worst:?}, {kilobits} kbit/s");
        };
        time(Effort::DecodeOnly);
        time(Effort::Full);
    }
}
