//! ffmpeg plays what we serve, over a publisher's return. (Not with other
//! parameters: its fMP4 demuxer skips a second `moov`, whoever serves it. hls.js
//! does that part.)
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test binary")]

#[path = "../../mux/tests/clip/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod clip;
#[allow(dead_code, unreachable_pub)]
mod world;

use std::process::Stdio;
use std::time::Duration;

use clip::{Clip, VIDEO};
use media::BusWriter;
use tokio::process::Command;
use tokio::time::sleep;
use world::{CODE, Do, Server};

/// Sends a clip eight times as fast as it plays: a player then finds its next
/// segment whenever it looks.
async fn send(writer: &mut BusWriter, clip: &Clip) {
    let mut at = 0;
    for frame in &clip.frames {
        let due = frame.dts.as_micros();
        if due > at {
            sleep(Duration::from_micros((due - at) as u64 / 8)).await;
            at = due;
        }
        writer.push(frame.clone());
    }
}

#[actix_rt::test]
async fn ffmpeg_plays_on_when_the_publisher_returns() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip::encode(dir.path(), &format!("{VIDEO} -c:a aac"));
    let mut server = Server::start(true).await;
    let mut writer = server.publish_tracks(clip.tracks.clone()).await;
    let url =
        format!("http://{}/live/streams/cam.m3u8?subscriberId=alice&subscriberCode={CODE}", server.http);
    let player = Command::new("ffmpeg")
        .args(["-v", "info", "-nostdin", "-live_start_index", "0", "-i", &url])
        .args(["-t", "9", "-f", "null", "-"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let publisher = async {
        send(&mut writer, &clip).await;
        server.act(Do::Over).await;
        drop(writer);
        let mut writer = server.publish_tracks(clip.tracks.clone()).await;
        send(&mut writer, &clip).await;
        drop(writer);
    };
    let deadline = tokio::time::timeout(Duration::from_secs(60), player.wait_with_output());
    let ((), output) = tokio::join!(publisher, deadline);
    let output = output.expect("ffmpeg ends").unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let frames: u32 =
        log.rsplit("frame=").next().unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!((265..=275).contains(&frames), "9 s at 30 fps: {frames}\n{log}");
    for fault in ["rror", "Non-monotonous", "non monotonically", "Invalid", "corrupt"] {
        assert!(!log.contains(fault), "{fault}\n{log}");
    }
}
