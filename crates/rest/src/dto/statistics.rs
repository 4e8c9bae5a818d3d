//! Counts (C§2.4).

use contract::registry::{LiveView, PlayerCounts};
use serde::Serialize;

/// A single number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Number {
    /// It.
    pub(crate) number: usize,
}

/// Players of a stream. -1 everywhere means that there is no such stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct StreamStatistics {
    #[serde(rename = "totalRTMPWatchersCount")]
    rtmp: i64,
    #[serde(rename = "totalHLSWatchersCount")]
    hls: i64,
    #[serde(rename = "totalWebRTCWatchersCount")]
    webrtc: i64,
    #[serde(rename = "totalDASHWatchersCount")]
    dash: i64,
}

impl StreamStatistics {
    /// `None`: no such stream.
    pub(crate) fn new(players: Option<PlayerCounts>) -> Self {
        let Some(players) = players else { return Self { rtmp: -1, hls: -1, webrtc: -1, dash: -1 } };
        Self { rtmp: count(players.rtmp), hls: count(players.hls), webrtc: count(players.webrtc), dash: 0 }
    }
}

/// Players of an application. AMS does not count RTMP here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct AppStatistics {
    #[serde(flatten)]
    players: StreamStatistics,
    #[serde(rename = "activeLiveStreamCount")]
    live: i64,
}

impl AppStatistics {
    /// All players together, and how many streams are live.
    pub(crate) fn new(players: PlayerCounts, live: usize) -> Self {
        Self {
            players: StreamStatistics { rtmp: -1, ..StreamStatistics::new(Some(players)) },
            live: count(live),
        }
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
    /// Sound alone is `NOVIDEO`. Bit rates are not measured per track.
    pub(crate) fn new(live: &LiveView) -> Self {
        let video = live.tracks.video.as_ref();
        Self {
            video_height: video.map_or(0, |v| v.height),
            video_width: video.map_or(0, |v| v.width),
            video_bitrate: 0,
            audio_bitrate: 0,
            video_codec: video.map_or_else(|| "NOVIDEO".to_owned(), |v| format!("{:?}", v.codec)),
        }
    }
}
