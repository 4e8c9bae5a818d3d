//! The settings that have an effect, in words for people. Kinds and defaults come
//! from the dialect, bounds from the parser; a test holds this table equal to what
//! the parser heeds.

use contract::settings::{SettingKind, SettingRow};

use crate::dialect::{self as key, Kind, SECRETS};
use crate::document::default;
use crate::parse::{LIST_SIZE, MAX_START_MS, PERIOD, SEGMENT_SECONDS};

/// A row's heading, name, label and help.
type Words = (&'static str, &'static str, &'static str, &'static str);

const CODES: &str = "One-time codes";
const ACCESS: &str = "Who may connect";
const LIMITS: &str = "Limits and records";
const OUTPUT: &str = "HLS and RTMP playback";
const REALTIME: &str = "WebRTC";

const ROWS: &[Words] = &[
    (
        CODES,
        key::TOTP_PUBLISH,
        "Publishing needs a code",
        "Publishers must show a subscriber's id and code of the moment. Streams that are live stay live.",
    ),
    (
        CODES,
        key::TOTP_PLAY,
        "Watching needs a code",
        "Players must show a subscriber's id and code of the moment. Who is watching goes on watching.",
    ),
    (
        CODES,
        key::SECRET_PUBLISH,
        "Secret for publishing",
        "Codes of publishers who are not registered, or have no secret of their own, are made from this.",
    ),
    (
        CODES,
        key::SECRET_PLAY,
        "Secret for watching",
        "Codes of players who are not registered, or have no secret of their own, are made from this.",
    ),
    (
        CODES,
        key::PERIOD,
        "Seconds that a code lives",
        "A subscriber keeps the period that held at registration. A code is also taken during the \
         period after its own.",
    ),
    (
        CODES,
        key::TOTP_BOTH,
        "Codes for both (old name)",
        "For clients of Ant Media Server up to 2.17: with both switches above off, it stands for both on.",
    ),
    (
        ACCESS,
        key::REGISTERED_ONLY,
        "Only registered streams",
        "Refuses to publish a stream that nobody registered; where codes are needed, refuses subscribers \
         that nobody registered too.",
    ),
    (
        ACCESS,
        key::PUBLISHER_NETWORKS,
        "Networks of publishers",
        "Publishers must come from one of these addresses or networks. Empty: from anywhere.",
    ),
    (
        ACCESS,
        key::REST_FILTER,
        "Filter addresses of the REST API",
        "Lets only the networks below call the REST API without a login. Off: anybody who reaches the \
         server may block, register and read codes.",
    ),
    (
        ACCESS,
        key::REST_NETWORKS,
        "Networks of the REST API",
        "Addresses or networks that may call the REST API without a login, while the filter is on.",
    ),
    (
        ACCESS,
        key::HLS_BOUND,
        "Bind HLS to the address",
        "An HLS player's access counts only at the address that showed the code. Players that change \
         networks must log in again.",
    ),
    (LIMITS, key::LIVE_LIMIT, "Live streams at a time", "A publisher beyond it is refused. -1: no limit."),
    (
        LIMITS,
        key::PLAYER_LIMIT,
        "WebRTC players of a stream",
        "A player beyond it is refused, if the stream itself does not say less. -1: no limit.",
    ),
    (
        LIMITS,
        key::WRITE_EVENTS,
        "Record connections",
        "Keeps when subscribers connect and disconnect, the newest 10,000 of each stream.",
    ),
    (OUTPUT, key::HLS, "HLS", "Serves streams over HLS."),
    (
        OUTPUT,
        key::HLS_TIME,
        "Seconds of an HLS segment",
        "Shorter is less delay, longer fewer requests; a segment ends at a key frame. From the next publish on.",
    ),
    (
        OUTPUT,
        key::HLS_LIST,
        "Segments of an HLS playlist",
        "How many a player is offered, and how many are kept in memory. From the next publish on.",
    ),
    (OUTPUT, key::RTMP_PLAY, "RTMP playback", "Serves streams to RTMP players. Publishing is not affected."),
    (
        REALTIME,
        key::WEBRTC,
        "WebRTC",
        "Serves WebRTC to browsers, to publish and to watch, and WHIP and WHEP.",
    ),
    (
        REALTIME,
        key::START_TIMEOUT,
        "Milliseconds for a publisher to start",
        "A WebRTC publisher who sends no media for so long after the offer is closed.",
    ),
    (
        REALTIME,
        key::STUN,
        "STUN or TURN server",
        "What clients of the SDK, of WHIP and of WHEP are told to use to find their way, such as \
         stun:stun.example.org:3478. Empty: none. The server's own pages do not use it.",
    ),
    (REALTIME, key::TURN_USER, "TURN user name", "For a TURN server that asks for one."),
    (
        REALTIME,
        key::TURN_CREDENTIAL,
        "TURN password",
        "For a TURN server that asks for one. Told to clients that were let in only.",
    ),
];

/// All rows, in the order to show them.
pub(crate) fn rows() -> Vec<SettingRow> {
    ROWS.iter().filter_map(row).collect()
}

fn row(&(group, name, label, help): &Words) -> Option<SettingRow> {
    let kind = key::kind(name)?;
    let (min, max) = bounds(name);
    Some(SettingRow { name, group, kind: shown(name, kind), default: default(kind), min, max, label, help })
}

fn shown(name: &str, kind: Kind) -> SettingKind {
    match kind {
        _ if SECRETS.contains(&name) => SettingKind::Secret,
        _ if [key::REST_NETWORKS, key::PUBLISHER_NETWORKS].contains(&name) => SettingKind::Networks,
        Kind::Bool(_) => SettingKind::Flag,
        Kind::Int(_) | Kind::Number(_) => SettingKind::Whole,
        _ => SettingKind::Text,
    }
}

/// Smallest and largest of a number. Whole, so nothing is lost.
fn bounds(name: &str) -> (Option<i64>, Option<i64>) {
    match name {
        key::PERIOD => (Some(*PERIOD.start()), Some(*PERIOD.end())),
        key::START_TIMEOUT => (Some(1), Some(MAX_START_MS)),
        key::HLS_TIME => (Some(*SEGMENT_SECONDS.start() as i64), Some(*SEGMENT_SECONDS.end() as i64)),
        key::HLS_LIST => (Some(*LIST_SIZE.start() as i64), Some(*LIST_SIZE.end() as i64)),
        key::LIVE_LIMIT | key::PLAYER_LIMIT => (Some(-1), None),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests;
