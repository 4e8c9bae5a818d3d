//! AMS's words on the WebSocket (C§8), both ways, and nothing else.

use std::fmt;

use contract::auth::Denied;
use contract::registry::{PlayRefused, PublishRefused};
use contract::session::CloseReason;
use contract::{AppSettings, Credentials, StreamId};
use serde::Serialize;
use serde_json::{Map, Value};
use session::Refused;

use crate::webrtc::sdp::SdpError;

/// A description of 64 kB in JSON, escapes included, and room.
pub(crate) const MAX_MESSAGE: usize = 160 << 10;

/// What a page asks for.
pub(crate) enum Ask {
    Ping,
    IceServers,
    Publish {
        stream: StreamId,
        credentials: Credentials,
    },
    Play {
        stream: StreamId,
        credentials: Credentials,
    },
    Offer {
        stream: StreamId,
        sdp: String,
    },
    Answer {
        stream: StreamId,
        sdp: String,
    },
    Candidate {
        candidate: String,
    },
    Stop {
        stream: StreamId,
    },
    StreamInfo {
        stream: StreamId,
    },
    TrackList {
        stream: StreamId,
    },
    /// AMS ignores what it does not know; so do pages rely on it.
    Other,
}

/// Without descriptions and candidates: those name addresses, and the passwords
/// that ICE knows a peer by.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, stream) = match self {
            Self::Ping => ("Ping", None),
            Self::IceServers => ("IceServers", None),
            Self::Publish { stream, .. } => ("Publish", Some(stream)),
            Self::Play { stream, .. } => ("Play", Some(stream)),
            Self::Offer { stream, .. } => ("Offer", Some(stream)),
            Self::Answer { stream, .. } => ("Answer", Some(stream)),
            Self::Candidate { .. } => ("Candidate", None),
            Self::Stop { stream } => ("Stop", Some(stream)),
            Self::StreamInfo { stream } => ("StreamInfo", Some(stream)),
            Self::TrackList { stream } => ("TrackList", Some(stream)),
            Self::Other => ("Other", None),
        };
        match stream {
            Some(stream) => write!(f, "{name}({stream})"),
            None => f.write_str(name),
        }
    }
}

/// Why a message means nothing. Answered, then forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// Not a JSON object with a `command`.
    Message,
    /// It names no stream.
    NoStream,
    /// It names a stream that cannot exist.
    BadStream,
    /// A description or candidate without its text.
    Missing,
}

/// Reads one text frame.
pub(crate) fn parse(text: &str) -> Result<Ask, Unclear> {
    let value: Value = serde_json::from_str(text).map_err(|_| Unclear::Message)?;
    let message = value.as_object().ok_or(Unclear::Message)?;
    let command = text_of(message, "command").ok_or(Unclear::Message)?;
    match command {
        "ping" => return Ok(Ask::Ping),
        "getIceServerConfig" => return Ok(Ask::IceServers),
        "registerPushNotificationToken" | "sendPushNotification" => return Ok(Ask::Other),
        _ => {}
    }
    let stream = text_of(message, "streamId").unwrap_or_default();
    if stream.trim().is_empty() {
        return Err(Unclear::NoStream);
    }
    let stream = StreamId::parse(stream).map_err(|_| Unclear::BadStream)?;
    about_stream(command, stream, message)
}

fn about_stream(command: &str, stream: StreamId, message: &Map<String, Value>) -> Result<Ask, Unclear> {
    Ok(match command {
        "publish" => Ask::Publish { stream, credentials: credentials(message) },
        "play" => Ask::Play { stream, credentials: play_credentials(message) },
        "takeConfiguration" => {
            let sdp = text_of(message, "sdp").ok_or(Unclear::Missing)?.to_owned();
            match text_of(message, "type") {
                Some("offer") => Ask::Offer { stream, sdp },
                Some("answer") => Ask::Answer { stream, sdp },
                _ => return Err(Unclear::Missing),
            }
        }
        "takeCandidate" => {
            let candidate = text_of(message, "candidate").ok_or(Unclear::Missing)?.to_owned();
            Ask::Candidate { candidate }
        }
        "stop" => Ask::Stop { stream },
        "getStreamInfo" => Ask::StreamInfo { stream },
        "getTrackList" => Ask::TrackList { stream },
        _ => Ask::Other,
    })
}

fn text_of<'a>(message: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    message.get(key).and_then(Value::as_str)
}

/// A code, also as a number, whose leading zeros are lost then.
fn code_of(message: &Map<String, Value>, key: &str) -> Option<String> {
    match message.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|n| format!("{n:06}")),
        _ => None,
    }
}

fn credentials(message: &Map<String, Value>) -> Credentials {
    let code = code_of(message, "subscriberCode");
    Credentials::from_texts(text_of(message, "subscriberId"), code.as_deref(), text_of(message, "token"))
}

/// `play(stream, token, subscriber, code)` as AMS's documents write it puts the
/// subscriber into `room` and the code, as a text, into `trackList` (C§8.7).
/// Only a page that does so sends a text there.
fn play_credentials(message: &Map<String, Value>) -> Credentials {
    let blank = text_of(message, "subscriberId").is_none_or(|id| id.trim().is_empty());
    let list = text_of(message, "trackList").filter(|list| !list.is_empty());
    match list {
        Some(code) if blank => {
            Credentials::from_texts(text_of(message, "room"), Some(code), text_of(message, "token"))
        }
        _ => credentials(message),
    }
}

/// Which description a peer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Description {
    Offer,
    Answer,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    PublishStarted,
    PublishFinished,
    PlayStarted,
    PlayFinished,
    ServerWillStop,
}

impl Notice {
    const fn definition(self) -> &'static str {
        match self {
            Self::PublishStarted => "publish_started",
            Self::PublishFinished => "publish_finished",
            Self::PlayStarted => "play_started",
            Self::PlayFinished => "play_finished",
            Self::ServerWillStop => "server_will_stop",
        }
    }
}

/// Something that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    Unclear(Unclear),
    Refused(Refused),
    Sdp(&'static str),
    NoCodec,
    AlreadyPublishing,
    AlreadyPlaying,
    Disabled,
    Blocked,
    NoRoom,
    PublishTimeout,
    NoPeer,
    /// The player sees key frames only, because the stream would have to be encoded
    /// again and there is no room for that. AMS's nearest word is that an encoder
    /// was not opened. The SDK hands errors to the page and changes nothing, so
    /// sound and key frames go on, and the page may go to HLS.
    KeyframesOnly,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<SdpError> for Problem {
    fn from(error: SdpError) -> Self {
        match error {
            SdpError::NoCodec => Self::NoCodec,
            SdpError::TooLarge | SdpError::TooMany(_) => Self::Sdp("description_too_large"),
            SdpError::Malformed => Self::Sdp("description_malformed"),
            SdpError::FirstRefused => Self::Sdp("first_section_refused"),
        }
    }
}

impl Problem {
    /// AMS's name for it (C§8.6).
    const fn definition(self) -> &'static str {
        match self {
            Self::Unclear(Unclear::NoStream) => "noStreamNameSpecified",
            Self::Unclear(Unclear::BadStream) => "invalidStreamName",
            Self::Unclear(Unclear::Message | Unclear::Missing) => "missingParameter",
            Self::Refused(refused) => refusal(refused),
            Self::Sdp(_) => "notSetRemoteDescription",
            Self::NoCodec => "no_codec_enabled_in_the_server",
            Self::AlreadyPublishing => "already_publishing",
            Self::AlreadyPlaying => "already_playing",
            Self::Disabled => "no_stream_exist",
            Self::Blocked => "user_blocked",
            Self::NoRoom => "highResourceUsage",
            Self::PublishTimeout => "publishTimeoutError",
            Self::KeyframesOnly => "encoderNotOpened",
            Self::NoPeer => "no_peer_associated_before",
        }
    }

    const fn error_code(self) -> Option<&'static str> {
        match self {
            Self::Disabled | Self::Refused(Refused::Play(PlayRefused::NotLive)) => Some("404"),
            _ => None,
        }
    }

    const fn information(self) -> Option<&'static str> {
        match self {
            Self::Refused(Refused::Play(PlayRefused::NotLive)) => Some("stream_not_exist_or_not_streaming"),
            Self::Disabled => Some("webrtc_not_enabled"),
            Self::Sdp(what) => Some(what),
            Self::KeyframesOnly => Some("key_frames_only"),
            Self::Unclear(Unclear::Message) => Some("message_malformed"),
            _ => None,
        }
    }
}

const fn refusal(refused: Refused) -> &'static str {
    match refused {
        Refused::Denied(Denied::UnknownStream) => "not_allowed_unregistered_streams",
        Refused::Denied(Denied::Blocked) | Refused::Ended(CloseReason::Blocked) => "user_blocked",
        Refused::Denied(Denied::Ip | Denied::Credentials | Denied::Limit)
        | Refused::Ended(CloseReason::Withdrawn) => "unauthorized_access",
        Refused::Denied(Denied::Unavailable) => "data_store_not_available",
        // Ant Media has no word for a session that the same subscriber's next one
        // replaced; its nearest says that the stream is somebody else's now.
        Refused::Publish(PublishRefused::AlreadyPublishing) | Refused::Ended(CloseReason::TakenOver) => {
            "streamIdInUse"
        }
        Refused::Publish(PublishRefused::Dates) => "stream_not_active_or_expired",
        Refused::Publish(PublishRefused::Limit | PublishRefused::Memory) => "highResourceUsage",
        Refused::Play(PlayRefused::NotLive) | Refused::UnknownApp | Refused::Ended(CloseReason::Stopped) => {
            "no_stream_exist"
        }
        Refused::Play(PlayRefused::Limit) => "viewerLimitReached",
        Refused::Publish(PublishRefused::Unavailable)
        | Refused::Play(PlayRefused::Unavailable)
        | Refused::Unavailable => "not_initialized_yet",
    }
}

/// A message to a page; the fields of all kinds, in AMS's order.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    command: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_mapping: Option<Map<String, Value>>,
    #[serde(rename = "error_code", skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    information: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscriber_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_info: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track_list: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stun_server_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_server_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_server_credential: Option<&'a str>,
}

fn emit(message: &Message<'_>) -> String {
    // Texts and maps of texts always serialise.
    serde_json::to_string(message).unwrap_or_default()
}

/// The answer to a ping.
pub(crate) fn pong() -> String {
    emit(&Message { command: "pong", ..Message::default() })
}

/// Which STUN or TURN server to use (C§8.2).
pub(crate) fn ice_servers(settings: &AppSettings) -> String {
    let webrtc = &settings.webrtc;
    emit(&Message {
        command: "iceServerConfig",
        stun_server_uri: Some(&webrtc.stun_uri),
        turn_server_username: Some(&webrtc.turn_username),
        turn_server_credential: Some(webrtc.turn_credential.reveal()),
        ..Message::default()
    })
}

/// Whether the server that is told wants a password: TURN, not STUN.
pub(crate) fn has_password(settings: &AppSettings) -> bool {
    settings.webrtc.stun_uri.starts_with("turn")
}

/// The same for a page that was not let in: none that wants a password. The SDK keeps
/// what it has when it is told of none.
pub(crate) fn open_ice_servers(settings: &AppSettings) -> String {
    let uri = if has_password(settings) { "" } else { settings.webrtc.stun_uri.as_str() };
    emit(&Message {
        command: "iceServerConfig",
        stun_server_uri: Some(uri),
        turn_server_username: Some(""),
        turn_server_credential: Some(""),
        ..Message::default()
    })
}

/// A publisher may offer.
pub(crate) fn start(stream: &StreamId, subscriber: &str) -> String {
    let stream_id = Some(stream.as_str());
    emit(&Message { command: "start", stream_id, subscriber_id: Some(subscriber), ..Message::default() })
}

/// The stream is over for this page, which does not try again (C§8.2).
pub(crate) fn stop(stream: &StreamId) -> String {
    emit(&Message { command: "stop", stream_id: Some(stream.as_str()), ..Message::default() })
}

/// A description. An offer says for each of `mids` which track it is; the SDK
/// fails without (C§0.7).
pub(crate) fn description(
    kind: Description,
    stream: &StreamId,
    sdp: &str,
    mids: &[String],
    subscriber: &str,
) -> String {
    let (kind, id_mapping) = match kind {
        Description::Offer => ("offer", Some(mapping(stream, mids))),
        Description::Answer => ("answer", None),
    };
    emit(&Message {
        command: "takeConfiguration",
        stream_id: Some(stream.as_str()),
        kind: Some(kind),
        sdp: Some(sdp),
        id_mapping,
        subscriber_id: Some(subscriber),
        ..Message::default()
    })
}

fn mapping(stream: &StreamId, mids: &[String]) -> Map<String, Value> {
    mids.iter().map(|mid| (mid.clone(), Value::from(stream.as_str()))).collect()
}

/// Something happened, to one stream or to all.
pub(crate) fn notice(notice: Notice, stream: Option<&StreamId>, subscriber: &str) -> String {
    emit(&Message {
        command: "notification",
        definition: Some(notice.definition()),
        stream_id: stream.map(StreamId::as_str),
        subscriber_id: stream.map(|_| subscriber),
        ..Message::default()
    })
}

/// Something cannot be.
pub(crate) fn problem(problem: Problem, stream: Option<&StreamId>) -> String {
    emit(&Message {
        command: "error",
        definition: Some(problem.definition()),
        stream_id: stream.map(StreamId::as_str),
        error_code: problem.error_code(),
        information: problem.information(),
        ..Message::default()
    })
}

/// What a stream looks like (C§8.5).
pub(crate) fn stream_info(stream: &StreamId, width: u32, height: u32) -> String {
    let info = serde_json::json!([{
        "streamWidth": width, "streamHeight": height, "videoBitrate": 0, "audioBitrate": 0, "videoCodec": "h264",
    }]);
    let stream_id = Some(stream.as_str());
    emit(&Message { command: "streamInformation", stream_id, stream_info: Some(info), ..Message::default() })
}

/// The tracks of a stream: itself.
pub(crate) fn track_list(stream: &StreamId) -> String {
    let track_list = Some(Value::from(vec![stream.as_str()]));
    let stream_id = Some(stream.as_str());
    emit(&Message { command: "trackList", stream_id, track_list, ..Message::default() })
}

#[cfg(test)]
mod tests;
