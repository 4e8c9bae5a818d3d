//! A stream to point players at: `cargo run -p sluice-hls --example hls_dev`.
//!
//! Prints `http://…/live/streams/cam.m3u8` and publishes there in real time, by
//! turns 320x180 with AAC and 640x360 with Opus, 12 s each with a second between.
//! With the argument `totp`, `?subscriberId=alice&subscriberCode=451222` is
//! needed; with `block`, the player is blocked from second 8 to second 12.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a tool for development")]

#[path = "../../mux/tests/clip/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod clip;
#[path = "../tests/world/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod world;

use std::time::Duration;

use clip::VIDEO;
use contract::WallMs;
use contract::session::SetStanding;
use media::{Frame, MediaTime};
use tokio::time::{Instant, sleep, sleep_until};
use world::{Do, Server};

#[actix_rt::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let dir = tempfile::tempdir().unwrap();
    let clips = [
        clip::encode(dir.path(), &format!("{VIDEO} -c:a aac")),
        clip::encode(dir.path(), &format!("{VIDEO} -s 640x360 -c:a libopus")),
    ];
    let mut server = Server::start(has("totp")).await;
    println!("http://{}/live/streams/cam.m3u8", server.http);
    if has("block") {
        let world = server.world.clone();
        actix_rt::spawn(async move {
            sleep(Duration::from_secs(8)).await;
            world.send(Do::Stand(SetStanding::Suspend { until: WallMs(0) })).await.unwrap();
            println!("blocked");
            sleep(Duration::from_secs(4)).await;
            world.send(Do::Stand(SetStanding::Grant)).await.unwrap();
            println!("unblocked");
        });
    }
    for clip in clips.iter().cycle() {
        let mut writer = server.publish_tracks(clip.tracks.clone()).await;
        println!(
            "live {}x{}",
            clip.tracks.video.as_ref().unwrap().width,
            clip.tracks.video.as_ref().unwrap().height
        );
        let start = Instant::now();
        for round in 0..2 {
            let offset = Duration::from_secs(6 * round);
            for frame in &clip.frames {
                let due = offset + frame.dts.since(MediaTime::ZERO);
                sleep_until(start + due).await;
                writer.push(Frame { pts: frame.pts + offset, dts: frame.dts + offset, ..frame.clone() });
            }
        }
        server.act(Do::Over).await;
        drop(writer);
        sleep(Duration::from_secs(1)).await;
    }
}
