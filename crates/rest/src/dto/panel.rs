//! The panel's own JSON; AMS has none of it.

use std::net::IpAddr;

use contract::audit::{AuditEntry, Deed};
use contract::auth::Guessed;
use contract::registry::{PlayerCounts, SessionPage, SessionView, StreamRow};
use contract::settings::{SettingKind, SettingRow};
use contract::{Action, AppName, Standing, StreamId, SubscriberId, WallMs};
use media::{AudioTrack, VideoTrack};
use serde::Serialize;
use serde_json::Value;

/// Players by protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Players {
    webrtc: usize,
    hls: usize,
    rtmp: usize,
}

impl Players {
    fn add(&mut self, players: PlayerCounts) {
        self.webrtc += players.webrtc;
        self.hls += players.hls;
        self.rtmp += players.rtmp;
    }
}

#[derive(Debug, Serialize)]
struct Video {
    codec: String,
    width: u32,
    height: u32,
}

impl From<&VideoTrack> for Video {
    fn from(track: &VideoTrack) -> Self {
        Self { codec: format!("{:?}", track.codec), width: track.width, height: track.height }
    }
}

#[derive(Debug, Serialize)]
struct Audio {
    codec: String,
    rate: u32,
    channels: u8,
}

impl From<&AudioTrack> for Audio {
    fn from(track: &AudioTrack) -> Self {
        Self { codec: format!("{:?}", track.codec), rate: track.sample_rate, channels: track.channels }
    }
}

/// A stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamLine {
    app: AppName,
    id: StreamId,
    name: Option<String>,
    live: bool,
    registered: bool,
    protocol: Option<&'static str>,
    publisher: Option<SubscriberId>,
    peer: Option<IpAddr>,
    since: Option<WallMs>,
    video: Option<Video>,
    audio: Option<Audio>,
    received_bytes: u64,
    players: Players,
    keyframes_only: bool,
}

impl From<&StreamRow> for StreamLine {
    fn from(row: &StreamRow) -> Self {
        let live = row.live.as_ref();
        let mut players = Players::default();
        players.add(row.players);
        Self {
            app: row.key.app.clone(),
            id: row.key.id.clone(),
            name: row.name.clone(),
            live: live.is_some(),
            registered: row.registered,
            protocol: live.map(|live| live.protocol.as_str()),
            publisher: live.and_then(|live| live.subscriber.clone()),
            peer: live.map(|live| live.peer),
            since: live.map(|live| live.since),
            video: live.and_then(|live| live.tracks.video.as_ref()).map(Video::from),
            audio: live.and_then(|live| live.tracks.audio.as_ref()).map(Audio::from),
            received_bytes: live.map_or(0, |live| live.received_bytes),
            players,
            keyframes_only: live.is_some_and(|live| live.keyframes_only),
        }
    }
}

/// Which codes are being guessed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuessedCodes {
    derived: bool,
    subscribers: Vec<SubscriberId>,
}

impl From<Guessed> for GuessedCodes {
    fn from(guessed: Guessed) -> Self {
        Self { derived: guessed.derived, subscribers: guessed.subscribers }
    }
}

/// Some streams, and all of them together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamBoard {
    at: WallMs,
    live: usize,
    matching: usize,
    players: Players,
    received_bytes: u64,
    streams: Vec<StreamLine>,
}

impl StreamBoard {
    /// `all` are those of the application that is looked at, whatever is searched.
    pub(crate) fn new<'a>(
        at: WallMs,
        all: impl IntoIterator<Item = &'a StreamRow>,
        matching: usize,
        streams: Vec<StreamLine>,
    ) -> Self {
        let mut board =
            Self { at, live: 0, matching, players: Players::default(), received_bytes: 0, streams };
        for row in all {
            board.players.add(row.players);
            if let Some(live) = &row.live {
                board.live += 1;
                board.received_bytes += live.received_bytes;
            }
        }
        board
    }
}

/// One stream with who is there.
#[derive(Debug, Serialize)]
pub(crate) struct StreamDetail {
    at: WallMs,
    stream: StreamLine,
    /// How many sessions it has.
    total: usize,
    /// How many of them match.
    matching: usize,
    sessions: Vec<Session>,
}

impl From<SessionPage> for StreamDetail {
    fn from(page: SessionPage) -> Self {
        let SessionPage { at, stream, total, matching, sessions } = page;
        let sessions = sessions.into_iter().map(Session::from).collect();
        Self { at, stream: StreamLine::from(&stream), total, matching, sessions }
    }
}

/// One connection in one role.
#[derive(Debug, Serialize)]
pub(crate) struct Session {
    id: String,
    role: &'static str,
    protocol: &'static str,
    subscriber: Option<SubscriberId>,
    peer: IpAddr,
    since: WallMs,
    bytes: u64,
    gaps: u64,
    /// Milliseconds.
    lag: Option<u64>,
    standing: &'static str,
}

impl From<SessionView> for Session {
    fn from(view: SessionView) -> Self {
        Self {
            id: view.id.to_string(),
            role: match view.role {
                Action::Publish => "publisher",
                Action::Play => "player",
            },
            protocol: view.protocol.as_str(),
            subscriber: view.subscriber,
            peer: view.peer,
            since: view.since,
            bytes: view.bytes,
            gaps: view.gaps,
            lag: view.lag.and_then(|lag| u64::try_from(lag.as_millis()).ok()),
            standing: match view.standing {
                Standing::Granted => "granted",
                Standing::Suspended => "suspended",
                Standing::Revoked => "revoked",
            },
        }
    }
}

/// Where publishers and players reach us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Addresses {
    /// RTMP.
    pub(crate) rtmp: Reach,
    /// RTMP over TLS.
    pub(crate) rtmps: Option<Reach>,
    /// HTTP.
    pub(crate) http: Reach,
    /// HTTPS.
    pub(crate) https: Option<Reach>,
}

/// A port, and the host if the operator named one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reach {
    /// `None`: the name that the caller used.
    pub(crate) host: Option<String>,
    /// On which it listens.
    pub(crate) port: u16,
}

/// A setting, for a form.
#[derive(Debug, Serialize)]
pub(crate) struct Setting {
    name: &'static str,
    group: &'static str,
    kind: &'static str,
    default: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<i64>,
    label: &'static str,
    help: &'static str,
}

impl From<SettingRow> for Setting {
    fn from(row: SettingRow) -> Self {
        Self {
            name: row.name,
            group: row.group,
            kind: match row.kind {
                SettingKind::Flag => "flag",
                SettingKind::Whole => "whole",
                SettingKind::Text => "text",
                SettingKind::Secret => "secret",
                SettingKind::Networks => "networks",
            },
            default: row.default,
            min: row.min,
            max: row.max,
            label: row.label,
            help: row.help,
        }
    }
}

/// Some of the audit log.
#[derive(Debug, Serialize)]
pub(crate) struct AuditList {
    /// How many match in all.
    pub(crate) matching: usize,
    /// Newest first.
    pub(crate) entries: Vec<AuditLine>,
}

/// Somebody did something.
#[derive(Debug, Serialize)]
pub(crate) struct AuditLine {
    at: WallMs,
    who: String,
    from: IpAddr,
    what: &'static str,
    title: &'static str,
    app: Option<AppName>,
    stream: Option<StreamId>,
    subscriber: Option<SubscriberId>,
    detail: String,
}

/// Who has no account.
const fn nobody(what: Deed) -> &'static str {
    match what {
        Deed::LogInFailed => "unknown",
        Deed::AddAccount => "set-up",
        _ => "REST",
    }
}

impl From<AuditEntry> for AuditLine {
    fn from(entry: AuditEntry) -> Self {
        Self {
            at: entry.at,
            who: entry.who.unwrap_or_else(|| nobody(entry.what).to_owned()),
            from: entry.from,
            what: entry.what.as_str(),
            title: entry.what.title(),
            app: entry.about.app,
            stream: entry.about.stream,
            subscriber: entry.about.subscriber,
            detail: entry.detail,
        }
    }
}
