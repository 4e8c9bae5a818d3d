//! Subscribers and what happened to them (C§3.2, C§3.3).

use contract::auth::{Change, ConnectionEvent, SubscriberView};
use contract::{Action, StreamId, SubscriberId, WallMs};
use serde::Serialize;

/// A subscriber. The secret has no field here, so it cannot be shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscriber {
    subscriber_id: SubscriberId,
    subscriber_name: Option<String>,
    stream_id: StreamId,
    #[serde(rename = "type")]
    kind: Option<Action>,
    connected: bool,
    current_concurrent_connections: usize,
    concurrent_connections_limit: i32,
    blocked_type: Option<&'static str>,
    blocked_until_unit_time_stamp_ms: u64,
    publish_blocked_until_ms: u64,
    play_blocked_until_ms: u64,
    registered_node_ip: Option<String>,
    avg_video_bitrate: u64,
    avg_audio_bitrate: u64,
    totp_expiry_period_seconds: Option<u32>,
}

impl From<SubscriberView> for Subscriber {
    fn from(view: SubscriberView) -> Self {
        let (publish, play) = (view.publish_blocked_until, view.play_blocked_until);
        let (blocked_type, until) = legacy_block(publish, play);
        Self {
            subscriber_id: view.id,
            subscriber_name: view.name,
            stream_id: view.stream.id,
            kind: view.kind,
            connected: view.sessions > 0,
            current_concurrent_connections: view.sessions,
            concurrent_connections_limit: view.limit,
            blocked_type,
            blocked_until_unit_time_stamp_ms: until,
            publish_blocked_until_ms: publish.unwrap_or_default().0,
            play_blocked_until_ms: play.unwrap_or_default().0,
            registered_node_ip: None,
            avg_video_bitrate: 0,
            avg_audio_bitrate: 0,
            totp_expiry_period_seconds: view.period,
        }
    }
}

/// Two deadlines in the words of one (C§16.13).
fn legacy_block(publish: Option<WallMs>, play: Option<WallMs>) -> (Option<&'static str>, u64) {
    match (publish, play) {
        (Some(publish), Some(play)) => (Some("publish_play"), publish.max(play).0),
        (Some(publish), None) => (Some("publish"), publish.0),
        (None, Some(play)) => (Some("play"), play.0),
        (None, None) => (None, 0),
    }
}

/// A session began or ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    timestamp: u64,
    event_type: Change,
    #[serde(rename = "instanceIP")]
    instance_ip: Option<String>,
    #[serde(rename = "type")]
    kind: Action,
    event_protocol: &'static str,
    stream_id: StreamId,
    subscriber_id: SubscriberId,
}

impl Event {
    /// `node` is our own address as others know it.
    pub(crate) fn new(event: ConnectionEvent, node: &str) -> Self {
        Self {
            timestamp: event.at.0,
            event_type: event.change,
            instance_ip: Some(node.to_owned()),
            kind: event.action,
            event_protocol: event.protocol.as_str(),
            stream_id: event.stream.id,
            subscriber_id: event.subscriber,
        }
    }
}

/// A subscriber's events together (C§2.1.3).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    subscriber_id: SubscriberId,
    stream_id: StreamId,
    connection_events: Vec<Event>,
    avg_video_bitrate: u64,
    avg_audio_bitrate: u64,
}

impl Stats {
    /// Of one subscriber of one stream.
    pub(crate) const fn new(subscriber_id: SubscriberId, stream_id: StreamId, events: Vec<Event>) -> Self {
        Self {
            subscriber_id,
            stream_id,
            connection_events: events,
            avg_video_bitrate: 0,
            avg_audio_bitrate: 0,
        }
    }
}
