//! A measurement, not a test:
//! `cargo test --release -p sluice-transcode pace -- --ignored --nocapture`.

use std::time::Duration;

use super::*;
use crate::testing::Clip;

/// Time that this thread had a core, so that others on the machine do not count.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

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
            let (mut worst, mut bytes, mut pictures, start) = (Duration::ZERO, 0, 0, on_cpu());
            for frame in &clip.frames {
                let one = on_cpu();
                let out = transcoder.push(frame, effort);
                worst = worst.max(on_cpu() - one);
                bytes += out.iter().map(|f| f.data.len()).sum::<usize>();
                pictures += out.len();
            }
            let mean = (on_cpu() - start) / clip.frames.len() as u32;
            let kilobits = bytes * 8 * 30 / clip.frames.len() / 1000;
            println!(
                "{size} {effort:?}: {mean:?} a frame, worst {worst:?}, {pictures} pictures, {kilobits} kbit/s"
            );
        };
        time(Effort::DecodeOnly);
        time(Effort::Full);
    }
}
