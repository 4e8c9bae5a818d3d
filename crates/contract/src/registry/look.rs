//! What people who look after the server ask the registry for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::{Live, LiveView, PlayerCounts};
use crate::{Action, Protocol, SessionId, Standing, StreamKey, SubscriberId, WallMs};

/// All streams of all applications at one moment, for people who look at the whole
/// server. Costs a few microseconds for each; whoever asks shares the answer.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Arc<Board>")]
pub struct Survey;

/// All streams at one moment, in no order.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// When.
    pub at: WallMs,
    /// Those that are registered or live.
    pub streams: Vec<StreamRow>,
}

/// A stream without what its callers keep with it.
#[derive(Debug, Clone)]
pub struct StreamRow {
    /// Which.
    pub key: StreamKey,
    /// Display name.
    pub name: Option<String>,
    /// Whether it has a record on disk.
    pub registered: bool,
    /// Who publishes it, if anybody does.
    pub live: Option<LiveView>,
    /// Who plays it.
    pub players: PlayerCounts,
}

/// Who has a place in a stream: its publisher, then its players from the one who
/// came first. Costs a look at each of them; only those asked for are copied.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<SessionPage>")]
pub struct ListSessions {
    /// Which stream.
    pub stream: StreamKey,
    /// Only those whose role, protocol, address or subscriber contains this; ASCII
    /// letters in any case.
    pub search: Option<String>,
    /// How many of them to skip.
    pub offset: usize,
    /// How many at most.
    pub size: usize,
}

/// Some who have a place in a stream.
#[derive(Debug, Clone)]
pub struct SessionPage {
    /// When.
    pub at: WallMs,
    /// The stream.
    pub stream: StreamRow,
    /// How many have a place.
    pub total: usize,
    /// How many of them match.
    pub matching: usize,
    /// Those asked for, the publisher first and then who came first.
    pub sessions: Vec<SessionView>,
}

/// One connection in one role, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// Publisher or player.
    pub role: Action,
    /// How it is connected.
    pub protocol: Protocol,
    /// Who, if he said so.
    pub subscriber: Option<SubscriberId>,
    /// From where.
    pub peer: IpAddr,
    /// Since when it has the place.
    pub since: WallMs,
    /// Media bytes that came from a publisher, or went to a player.
    pub bytes: u64,
    /// How often a player was too slow and lost media.
    pub gaps: u64,
    /// How far behind the stream's newest media a player's socket is, in media time;
    /// `None` for a publisher, for who is held back, and where nobody publishes.
    pub lag: Option<Duration>,
    /// What it may do now.
    pub standing: Standing,
}

/// Ends one connection. Nothing keeps its peer from coming back: that is what a
/// block is for. Answers whether there was one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct StopSession {
    /// In which stream.
    pub stream: StreamKey,
    /// Which.
    pub session: SessionId,
}

/// A live stream's media; `None` when nobody publishes it or it was silenced.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<Arc<Live>>")]
pub struct GetLive {
    /// Which stream.
    pub stream: StreamKey,
}
