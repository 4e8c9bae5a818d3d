//! What the control API says of a stream agrees with what its publisher sends and its
//! players get.

use std::ops::Range;

use anyhow::Result;
use serde_json::Value;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::machine;
use sluice_tests::peer::Peer;
use sluice_tests::proc::Process;
use sluice_tests::rest::{Rest, broadcasts};
use sluice_tests::server::{Home, Server};
use sluice_tests::wait::eventually;

/// With B-frames.
const REORDERED: &str = "reordered";
/// Without.
const PLAIN: &str = "plain";

struct Stage {
    server: Server,
    rest: Rest,
    _publishers: [Process; 2],
}

impl Stage {
    /// A server with room to transcode so many streams, and both streams live.
    fn set(transcodes: usize) -> Result<Self> {
        let server = Server::try_start(&Home::new()?, |command| {
            command.env("SLUICE__WEBRTC__TRANSCODES", transcodes.to_string());
        })?;
        let rest = server.rest();
        let clips = clips()?;
        let publish = |stream, clip| ffmpeg::publish(clip, &server.rtmp_url(stream));
        let _publishers = [publish(REORDERED, &clips.bframes)?, publish(PLAIN, &clips.plain)?];
        rest.wait_live(REORDERED)?;
        rest.wait_live(PLAIN)?;
        Ok(Self { server, rest, _publishers })
    }

    fn whep(&self, stream: &str) -> Result<Peer> {
        Peer::play(&self.server.http_url(&format!("whep/{stream}")))
    }

    /// What the broadcast and its statistics say, if they say the same.
    fn keyframes_only(&self, stream: &str) -> Option<bool> {
        let said = |tail: &str| {
            let found = self.rest.must("GET", &broadcasts(&format!("{stream}{tail}")), None).ok()?;
            found["webRTCKeyframesOnly"].as_bool()
        };
        let broadcast = said("")?;
        (said("/broadcast-statistics")? == broadcast).then_some(broadcast)
    }

    fn wait_keyframes_only(&self, stream: &str, expected: bool) -> Result<()> {
        let what = format!("webRTCKeyframesOnly of {stream} to be {expected}");
        eventually(&what, || (self.keyframes_only(stream)? == expected).then_some(()))
    }
}

#[test]
fn a_stream_that_nobody_has_room_to_transcode_is_said_to_come_as_key_frames_only() {
    let _machine = machine::whole();
    let stage = Stage::set(0).unwrap();
    let plain = stage.whep(PLAIN).unwrap();
    plain.more(30).unwrap();
    assert_eq!(stage.keyframes_only(REORDERED), Some(false), "nobody plays it over WebRTC");
    let mut reordered = stage.whep(REORDERED).unwrap();
    stage.wait_keyframes_only(REORDERED, true).unwrap();
    reordered.more(1).unwrap();
    assert_eq!(stage.keyframes_only(PLAIN), Some(false), "it has no B-frames");
    reordered.stop().unwrap();
    stage.wait_keyframes_only(REORDERED, false).unwrap();
    stage.server.stop().unwrap();
}

#[test]
fn a_stream_that_is_transcoded_is_not_said_to_come_as_key_frames_only() {
    let _machine = machine::whole();
    let stage = Stage::set(1).unwrap();
    stage.whep(REORDERED).unwrap().more(75).unwrap();
    assert_eq!(stage.keyframes_only(REORDERED), Some(false));
    stage.server.stop().unwrap();
}

#[test]
fn bit_rates_are_those_of_the_publisher_by_track() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let rest = server.rest();
    // Pictures at 1000 kbit/s; sound at up to 96, of which a beep a second needs less.
    let _ffmpeg = ffmpeg::publish(&clips().unwrap().plain, &server.rtmp_url(PLAIN)).unwrap();
    let _peer = Peer::publish(&server.http_url("whip/peer")).unwrap();
    for stream in [PLAIN, "peer"] {
        rest.wait_live(stream).unwrap();
        let within = |value: &Value, range: Range<u64>| value.as_u64().is_some_and(|n| range.contains(&n));
        eventually(&format!("bit rates of {stream}"), || {
            let info = rest.must("GET", &broadcasts(&format!("{stream}/stream-info")), None).ok()?;
            let (video, audio) = (&info[0]["videoBitrate"], &info[0]["audioBitrate"]);
            (within(video, 300_000..3_000_000) && within(audio, 2_000..200_000)).then_some(())
        })
        .unwrap();
    }
    server.stop().unwrap();
}
