//! Counts (C§2.4).

use contract::WallMs;
use contract::registry::{LiveView, PlayerCounts, StreamView};
use serde::Serialize;

/// A single number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Number {
    /// It.
    pub(crate) number: usize,
}

/// Players by protocol. -1 everywhere means that there is no such stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Watchers {
    #[serde(rename = "totalRTMPWatchersCount")]
    rtmp: i64,
    #[serde(rename = "totalHLSWatchersCount")]
    hls: i64,
    #[serde(rename = "totalWebRTCWatchersCount")]
    webrtc: i64,
    #[serde(rename = "totalDASHWatchersCount")]
    dash: i64,
}

impl Watchers {
    const NO_STREAM: Self = Self { rtmp: -1, hls: -1, webrtc: -1, dash: -1 };

    fn new(players: PlayerCounts) -> Self {
        Self { rtmp: count(players.rtmp), hls: count(players.hls), webrtc: count(players.webrtc), dash: 0 }
    }
}

/// Players of a stream, and how well they are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct StreamStatistics {
    #[serde(flatten)]
    watchers: Watchers,
    /// AMS has no such field. WebRTC players get key frames only now, for want of
    /// room to transcode.
    #[serde(rename = "webRTCKeyframesOnly")]
    keyframes_only: bool,
    /// AMS has no such field. How often players of now were too slow and skipped.
    #[serde(rename = "slowPlayerSkips")]
    skips: u64,
}

impl StreamStatistics {
    /// `None`: no such stream.
    pub(crate) fn new(stream: Option<&StreamView>) -> Self {
        let live = stream.and_then(|stream| stream.live.as_ref());
        Self {
            watchers: stream.map_or(Watchers::NO_STREAM, |stream| Watchers::new(stream.players)),
            keyframes_only: live.is_some_and(|live| live.keyframes_only),
            skips: stream.map_or(0, |stream| stream.players.gaps),
        }
    }
}

/// Players of an application. AMS does not count RTMP here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct AppStatistics {
    #[serde(flatten)]
    watchers: Watchers,
    #[serde(rename = "activeLiveStreamCount")]
    live: i64,
}

impl AppStatistics {
    /// All players together, and how many streams are live.
    pub(crate) fn new(players: PlayerCounts, live: usize) -> Self {
        Self { watchers: Watchers { rtmp: -1, ..Watchers::new(players) }, live: count(live) }
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// One video track of a live stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamInfo {
    video_height: u32,
    video_width: u32,
    video_bitrate: u64,
    audio_bitrate: u64,
    video_codec: String,
}

impl StreamInfo {
    /// Sound alone is `NOVIDEO`. Bit rates are averages from the publish until `now`.
    pub(crate) fn new(live: &LiveView, now: WallMs) -> Self {
        let video = live.tracks.video.as_ref();
        Self {
            video_height: video.map_or(0, |v| v.height),
            video_width: video.map_or(0, |v| v.width),
            video_bitrate: bit_rate(live, live.video_bytes, now),
            audio_bitrate: bit_rate(live, live.audio_bytes, now),
            video_codec: video.map_or_else(|| "NOVIDEO".to_owned(), |v| format!("{:?}", v.codec)),
        }
    }
}

/// What `bytes` are in bit/s, on average from the publish until `now`.
pub(crate) fn bit_rate(live: &LiveView, bytes: u64, now: WallMs) -> u64 {
    let lasted = u64::try_from(now.since(live.since).as_millis()).unwrap_or(u64::MAX);
    bytes.saturating_mul(8000).checked_div(lasted).unwrap_or(0)
}
