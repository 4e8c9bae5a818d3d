//! Streams in AMS's words (C§3.1): one table says for each field what type it has,
//! what it is when nobody set it, and who sets it.

use contract::registry::{LiveView, MAX_RECORD, StreamRecord, StreamView};
use contract::{Protocol, WallMs};
use serde_json::{Map, Value, json};

use crate::body::Fields;
use crate::dialect::{CannotCreate, Refused};
use crate::dto::statistics::bit_rate;

/// Who sets a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// We do; what callers say is ignored.
    Shown,
    /// Callers do, and we only keep it.
    Kept,
    /// Callers do, and we act on it; part of the record itself.
    Record,
}

/// A JSON type.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Whole,
    Number,
    List,
    Object,
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Whole => value.is_i64(),
            Self::Number => value.is_number(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Flag => "true or false",
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// What a field is when nobody set it.
#[derive(Clone, Copy)]
enum Unset {
    Null,
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(&'static str),
}

impl From<Unset> for Value {
    fn from(unset: Unset) -> Self {
        match unset {
            Unset::Null => Self::Null,
            Unset::Flag(flag) => flag.into(),
            Unset::Whole(n) => n.into(),
            Unset::Number(n) => n.into(),
            Unset::Text(text) => text.into(),
        }
    }
}

struct Field {
    name: &'static str,
    kind: Kind,
    source: Source,
    unset: Unset,
}

macro_rules! fields {
    ($($source:ident $name:ident: $kind:ident = $unset:expr;)*) => {
        &[$(Field { name: stringify!($name), kind: Kind::$kind, source: Source::$source, unset: $unset }),*]
    };
}

use Unset::{Flag, Null, Number, Text, Whole};

/// All fields. `password` is never kept, since nothing here pulls from a camera;
/// `originAdress` is AMS's own spelling. AMS has no `webRTCKeyframesOnly`: it is true
/// while WebRTC players get key frames only, for want of room to transcode
/// ([`KeyframesOnly`](contract::registry::KeyframesOnly)).
#[rustfmt::skip]
const FIELDS: &[Field] = fields! {
    Shown streamId: Text = Null;
    Shown status: Text = Text("created");
    Kept playListStatus: Text = Null;
    Shown type: Text = Text("liveStream");
    Shown publishType: Text = Null;
    Record name: Text = Null;
    Kept description: Text = Null;
    Kept category: Text = Null;
    Kept publish: Flag = Flag(true);
    Shown date: Whole = Whole(0);
    Record plannedStartDate: Whole = Whole(0);
    Record plannedEndDate: Whole = Whole(0);
    Kept duration: Whole = Whole(0);
    Kept endPointList: List = Null;
    Kept playListItemList: List = Null;
    Kept publicStream: Flag = Flag(true);
    Kept is360: Flag = Flag(false);
    Kept listenerHookURL: Text = Null;
    Kept ipAddr: Text = Null;
    Kept username: Text = Null;
    Shown password: Text = Null;
    Kept streamUrl: Text = Null;
    Shown quality: Text = Null;
    Shown speed: Number = Number(0.0);
    Shown originAdress: Text = Null;
    Kept mp4Enabled: Whole = Whole(0);
    Kept webMEnabled: Whole = Whole(0);
    Kept seekTimeInMs: Whole = Whole(0);
    Kept subtracksLimit: Whole = Whole(-1);
    Record expireDurationMS: Whole = Whole(0);
    Shown rtmpURL: Text = Null;
    Shown zombi: Flag = Flag(false);
    Shown pendingPacketSize: Whole = Whole(0);
    Shown encoderQueueSize: Whole = Whole(0);
    Shown dropPacketCountInIngestion: Whole = Whole(0);
    Shown dropFrameCountInEncoding: Whole = Whole(0);
    Shown hlsViewerCount: Whole = Whole(0);
    Shown dashViewerCount: Whole = Whole(0);
    Shown webRTCViewerCount: Whole = Whole(0);
    Shown rtmpViewerCount: Whole = Whole(0);
    Shown startTime: Whole = Whole(0);
    Shown updateTime: Whole = Whole(0);
    Shown absoluteStartTimeMs: Whole = Whole(0);
    Shown receivedBytes: Whole = Whole(0);
    Shown bitrate: Whole = Whole(0);
    Shown width: Whole = Whole(0);
    Shown height: Whole = Whole(0);
    Shown packetLostRatio: Number = Number(0.0);
    Shown packetsLost: Whole = Whole(0);
    Shown jitterMs: Whole = Whole(0);
    Shown rttMs: Whole = Whole(0);
    Shown userAgent: Text = Text("N/A");
    Shown remoteIp: Text = Null;
    Kept latitude: Text = Null;
    Kept longitude: Text = Null;
    Kept altitude: Text = Null;
    Kept mainTrackStreamId: Text = Null;
    Record webRTCViewerLimit: Whole = Whole(-1);
    Record hlsViewerLimit: Whole = Whole(-1);
    Kept dashViewerLimit: Whole = Whole(-1);
    Kept subFolder: Text = Null;
    Kept metaData: Text = Null;
    Kept role: Text = Null;
    Kept currentPlayIndex: Whole = Whole(0);
    Kept playlistLoopEnabled: Flag = Flag(true);
    Kept hlsParameters: Object = Null;
    Kept autoStartStopEnabled: Flag = Flag(false);
    Kept encoderSettingsList: List = Null;
    Kept virtual: Flag = Flag(false);
    Kept maxIdleTime: Whole = Whole(0);
    Shown anyoneWatching: Flag = Flag(false);
    Shown webRTCKeyframesOnly: Flag = Flag(false);
};

/// Where a stream is shown from.
pub(crate) struct Site<'a> {
    /// The host by which publishers reach us.
    pub(crate) host: &'a str,
    /// The RTMP port.
    pub(crate) rtmp_port: u16,
    /// Now.
    pub(crate) now: WallMs,
}

/// A stream as a `Broadcast`.
pub(crate) fn broadcast(view: &StreamView, site: &Site<'_>) -> Map<String, Value> {
    let record = &view.record;
    let mut shown: Map<_, _> = FIELDS.iter().map(|f| (f.name.to_owned(), f.unset.into())).collect();
    let kept = FIELDS.iter().filter(|f| f.source == Source::Kept);
    let kept = kept.filter_map(|f| Some((f.name.to_owned(), record.attributes.get(f.name)?.clone())));
    shown.extend(kept);
    shown.extend(object(from_record(record)));
    shown.extend(object(from_view(view, site)));
    if let Some(live) = &view.live {
        shown.extend(object(from_live(live, site.now)));
    }
    shown
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn from_record(record: &StreamRecord) -> Value {
    json!({
        "streamId": record.key.id,
        "name": record.name,
        "date": record.created,
        "plannedStartDate": record.planned_start,
        "plannedEndDate": record.planned_end,
        "expireDurationMS": record.expires_after,
        "webRTCViewerLimit": record.webrtc_limit,
        "hlsViewerLimit": record.hls_limit,
    })
}

fn from_view(view: &StreamView, site: &Site<'_>) -> Value {
    let status = match (&view.live, view.record.finished) {
        (Some(_), _) => "broadcasting",
        (None, true) => "finished",
        (None, false) => "created",
    };
    let players = view.players;
    json!({
        "status": status,
        "zombi": !view.registered,
        "originAdress": site.host,
        "rtmpURL": rtmp_url(&view.record, site),
        "hlsViewerCount": players.hls,
        "webRTCViewerCount": players.webrtc,
        "rtmpViewerCount": players.rtmp,
        "anyoneWatching": players.hls + players.webrtc + players.rtmp > 0,
    })
}

fn rtmp_url(record: &StreamRecord, site: &Site<'_>) -> String {
    let port = if site.rtmp_port == 1935 { String::new() } else { format!(":{}", site.rtmp_port) };
    format!("rtmp://{}{port}/{}", site.host, record.key)
}

fn from_live(live: &LiveView, now: WallMs) -> Value {
    let video = live.tracks.video.as_ref();
    json!({
        "publishType": publish_type(live.protocol),
        "startTime": live.since,
        "absoluteStartTimeMs": live.since,
        "updateTime": now,
        "receivedBytes": live.received_bytes,
        "bitrate": bit_rate(live, live.received_bytes, now),
        "width": video.map_or(0, |v| v.width),
        "height": video.map_or(0, |v| v.height),
        "remoteIp": live.peer,
        "webRTCKeyframesOnly": live.keyframes_only,
    })
}

const fn publish_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Rtmp => "RTMP",
        Protocol::Webrtc | Protocol::Whip | Protocol::Whep => "WebRTC",
        Protocol::Hls => "Pull",
    }
}

/// What a `Broadcast` or `BroadcastUpdate` body asks for. Unknown fields, and
/// those that we set ourselves, are ignored: a `Broadcast` may be sent back.
#[derive(Debug, Default)]
pub(crate) struct BroadcastEdit {
    name: Option<String>,
    planned_start: Option<u64>,
    planned_end: Option<u64>,
    expires_after: Option<u64>,
    webrtc_limit: Option<i64>,
    hls_limit: Option<i64>,
    kept: Map<String, Value>,
}

impl BroadcastEdit {
    /// Reads a body; a field of the wrong type refuses all of it.
    pub(crate) fn parse(fields: &Fields) -> Result<Self, Refused> {
        if fields.text("type")?.is_some_and(|kind| kind != "liveStream") {
            return Err(CannotCreate::Kind.into());
        }
        if fields.text("subFolder")?.is_some_and(|folder| folder.contains("..")) {
            return Err(CannotCreate::Subfolder.into());
        }
        Ok(Self {
            name: fields.text("name")?,
            planned_start: fields.natural("plannedStartDate")?,
            planned_end: fields.natural("plannedEndDate")?,
            expires_after: fields.natural("expireDurationMS")?,
            webrtc_limit: fields.long("webRTCViewerLimit")?,
            hls_limit: fields.long("hlsViewerLimit")?,
            kept: kept(fields)?,
        })
    }

    /// Makes the change; what the body did not name stays.
    pub(crate) fn apply(self, record: &mut StreamRecord) -> Result<(), Refused> {
        record.name = self.name.or_else(|| record.name.take());
        record.planned_start = self.planned_start.unwrap_or(record.planned_start);
        record.planned_end = self.planned_end.unwrap_or(record.planned_end);
        record.expires_after = self.expires_after.unwrap_or(record.expires_after);
        record.webrtc_limit = self.webrtc_limit.unwrap_or(record.webrtc_limit);
        record.hls_limit = self.hls_limit.unwrap_or(record.hls_limit);
        record.attributes.extend(self.kept);
        if record.fits() { Ok(()) } else { Err(Refused::RecordTooLarge(MAX_RECORD)) }
    }
}

fn kept(fields: &Fields) -> Result<Map<String, Value>, Refused> {
    let mut kept = Map::new();
    for field in FIELDS.iter().filter(|f| f.source == Source::Kept) {
        let Some(value) = fields.0.get(field.name).filter(|v| !v.is_null()) else { continue };
        if !field.kind.admits(value) {
            return Err(Refused::Field { name: field.name, expected: field.kind.name() });
        }
        kept.insert(field.name.to_owned(), value.clone());
    }
    Ok(kept)
}
