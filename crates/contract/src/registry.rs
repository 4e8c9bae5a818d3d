//! Messages to the registry: which streams exist, who is live, who plays.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use media::{Bus, BusWriter, PacketRing, PacketWriter, Tracks};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::auth::NotStored;
use crate::session::{Fenced, Moment, SessionRef};
use crate::{AppName, Protocol, SessionId, StandingCell, StreamKey, SubscriberId, WallMs};

mod look;

pub use look::{Board, GetLive, ListSessions, SessionPage, SessionView, StopSession, StreamRow, Survey};

/// A stream that somebody registered, or that is live without being registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Which.
    pub key: StreamKey,
    /// Display name.
    pub name: Option<String>,
    /// When it was made.
    pub created: WallMs,
    /// Publishing is allowed from then on, in Unix seconds; 0: any time. Counts
    /// only together with `planned_end`.
    pub planned_start: u64,
    /// Publishing is allowed until then, in Unix seconds; 0: any time.
    pub planned_end: u64,
    /// Milliseconds after `created` in which publishing must start; 0: no limit.
    pub expires_after: u64,
    /// WebRTC players at a time; negative: no limit.
    pub webrtc_limit: i64,
    /// HLS players at a time; negative: no limit.
    pub hls_limit: i64,
    /// Whether it was live before and ended.
    pub finished: bool,
    /// What the control API keeps for its callers, and nobody here reads.
    pub attributes: Map<String, Value>,
}

/// Longest [`StreamRecord`] in bytes of JSON. What the control API takes the store must take,
/// whose values are 24 KiB at most; a page of fifty is then about 1 MiB.
pub const MAX_RECORD: usize = 23 << 10;

impl StreamRecord {
    /// Whether the store takes it.
    pub fn fits(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|json| json.len() <= MAX_RECORD)
    }

    /// A record with nothing but a name.
    pub fn new(key: StreamKey, created: WallMs) -> Self {
        Self {
            key,
            name: None,
            created,
            planned_start: 0,
            planned_end: 0,
            expires_after: 0,
            webrtc_limit: -1,
            hls_limit: -1,
            finished: false,
            attributes: Map::new(),
        }
    }
}

/// A stream as it is now.
#[derive(Debug, Clone)]
pub struct StreamView {
    /// Its record; made up for one that is live without being registered.
    pub record: StreamRecord,
    /// Whether the record is on disk (false: it goes with its publisher).
    pub registered: bool,
    /// Who publishes it, if anybody does.
    pub live: Option<LiveView>,
    /// Who plays it.
    pub players: PlayerCounts,
}

/// A live stream as it is now.
#[derive(Debug, Clone)]
pub struct LiveView {
    /// How it is published.
    pub protocol: Protocol,
    /// By whom, if he said so.
    pub subscriber: Option<SubscriberId>,
    /// From where.
    pub peer: IpAddr,
    /// Since when.
    pub since: WallMs,
    /// What it consists of.
    pub tracks: Arc<Tracks>,
    /// Media bytes received.
    pub received_bytes: u64,
    /// Of those, the coded pictures, in bytes.
    pub video_bytes: u64,
    /// Of those, the coded sound, in bytes.
    pub audio_bytes: u64,
    /// Whether its WebRTC players get key frames only now. See [`KeyframesOnly`].
    pub keyframes_only: bool,
}

/// Players of a stream by protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlayerCounts {
    /// RTMP.
    pub rtmp: usize,
    /// HLS.
    pub hls: usize,
    /// WebRTC, however signalled.
    pub webrtc: usize,
    /// How often those who are there now were too slow, and went on at a later
    /// picture.
    pub gaps: u64,
}

/// What a live stream is made of, shared by all who play it.
#[derive(Debug)]
pub struct Live {
    /// Tells this publish from an earlier one of the same stream.
    pub generation: u64,
    /// How it is published.
    pub protocol: Protocol,
    /// Its frames.
    pub frames: Bus,
    /// Its packets as the publisher sent them; only from a WebRTC publisher. For
    /// others the WebRTC edge makes packets of frames while somebody watches.
    pub packets: Option<PacketRing>,
    /// Whether WebRTC players get key frames only.
    pub keyframes_only: KeyframesOnly,
}

impl Live {
    /// The moment of its newest media; `None` while it holds none.
    pub fn newest(&self) -> Option<Moment> {
        // Of a WebRTC publisher packets are the whole of it; frames are made of them.
        let packet = self.packets.as_ref().and_then(PacketRing::newest).map(|packet| packet.time());
        let at = packet.or_else(|| self.frames.newest().map(|frame| frame.dts))?;
        Some(Moment { generation: self.generation, at })
    }
}

/// Whether a stream's WebRTC players get key frames only: its pictures must be
/// transcoded for them (B-frames), and there is no room to do so or no way. Said by
/// whoever makes packets for them, so it is false while none plays. Clones share one
/// count, since each of several packetisers speaks for its own players.
#[derive(Debug, Clone, Default)]
pub struct KeyframesOnly(Arc<AtomicUsize>);

impl KeyframesOnly {
    /// It is so until the answer is dropped.
    pub fn claim(&self) -> KeyframesOnlyClaim {
        self.0.fetch_add(1, Ordering::Relaxed);
        KeyframesOnlyClaim(self.clone())
    }

    /// Whether some packetiser says so now.
    pub fn is_claimed(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// A packetiser's word that its players get key frames only; withdrawn by drop.
#[derive(Debug)]
pub struct KeyframesOnlyClaim(KeyframesOnly);

impl Drop for KeyframesOnlyClaim {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Puts a publisher in a stream's one place.
#[derive(Debug, Message)]
#[rtype(result = "Result<PublishLease, PublishRefused>")]
pub struct Publish {
    /// Which stream.
    pub stream: StreamKey,
    /// What it will consist of.
    pub tracks: Tracks,
    /// Whether the publisher brings packets beside frames.
    pub form: Form,
    /// How it is published.
    pub protocol: Protocol,
    /// From where.
    pub peer: IpAddr,
    /// By whom, if he said so.
    pub subscriber: Option<SubscriberId>,
    /// The publisher.
    pub session: SessionRef,
    /// What he may do at each moment.
    pub standing: Arc<StandingCell>,
    /// The session whose place it takes over ([`Permit::replaces`](crate::auth::Permit)).
    pub replaces: Option<SessionId>,
}

/// What a publisher brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Frames.
    Frames,
    /// Frames, and the packets that they came in.
    FramesAndPackets,
}

/// Why a stream cannot be published now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishRefused {
    /// Somebody publishes it.
    #[error("stream is already published")]
    AlreadyPublishing,
    /// Outside its planned dates, or expired.
    #[error("outside the stream's dates")]
    Dates,
    /// The application has as many live streams as it may.
    #[error("too many live streams")]
    Limit,
    /// The server has no memory for the media of one more.
    #[error("no memory for another stream")]
    Memory,
    /// The registry cannot answer.
    #[error("registry unavailable")]
    Unavailable,
}

/// A publisher's place. Dropping it ends the stream.
#[derive(Debug)]
pub struct PublishLease {
    /// Writes frames.
    pub frames: BusWriter,
    /// Writes packets, for [`Form::FramesAndPackets`].
    pub packets: Option<PacketWriter>,
    /// Gives the place back.
    pub place: Place,
}

/// Puts a player in a live stream's audience.
#[derive(Debug, Message)]
#[rtype(result = "Result<PlayLease, PlayRefused>")]
pub struct Play {
    /// Which stream.
    pub stream: StreamKey,
    /// How it is played.
    pub protocol: Protocol,
    /// From where.
    pub peer: IpAddr,
    /// By whom, if he said so.
    pub subscriber: Option<SubscriberId>,
    /// The player.
    pub session: SessionRef,
    /// What he may do at each moment.
    pub standing: Arc<StandingCell>,
}

/// Why a stream cannot be played now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlayRefused {
    /// Nobody publishes it.
    #[error("stream is not live")]
    NotLive,
    /// It has as many players as it may.
    #[error("too many players")]
    Limit,
    /// The registry cannot answer.
    #[error("registry unavailable")]
    Unavailable,
}

/// A player's place. It outlives the publisher: the player stays, and continues
/// when one returns.
#[derive(Debug)]
pub struct PlayLease {
    /// The stream as it is live now; `None` while nobody publishes it.
    pub live: watch::Receiver<Option<Arc<Live>>>,
    /// Gives the place back.
    pub place: Place,
}

/// A place in a stream's row; given back by drop, so no exit can forget it.
#[derive(Debug)]
pub struct Place {
    stream: StreamKey,
    session: SessionId,
    end: Recipient<End>,
}

impl Place {
    /// The registry makes these.
    pub fn new(stream: StreamKey, session: SessionId, end: Recipient<End>) -> Self {
        Self { stream, session, end }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end.do_send(End { stream: self.stream.clone(), session: self.session });
    }
}

/// A session gives its place back. Sent by [`Place`]'s drop.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct End {
    /// Which stream.
    pub stream: StreamKey,
    /// Whose place.
    pub session: SessionId,
}

/// Silences a stream whose publisher was revoked: empties its rings, hushes all
/// its players, and answers when each of them is fenced. Does nothing if
/// `session` is not its publisher.
#[derive(Debug, Message)]
#[rtype(result = "Fenced")]
pub struct Silence {
    /// Which stream.
    pub stream: StreamKey,
    /// Its publisher.
    pub session: SessionId,
}

/// Silences what is still to be had of a publish that has ended, if it was this
/// subscriber's: a blocked publisher's playlist must not outlive the block's
/// answer because he left a moment before. Answered like [`Silence`].
#[derive(Debug, Message)]
#[rtype(result = "Fenced")]
pub struct SilenceEnded {
    /// Which stream.
    pub stream: StreamKey,
    /// Whose publish.
    pub subscriber: SubscriberId,
}

/// One stream.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<StreamView>")]
pub struct GetStream {
    /// Which.
    pub stream: StreamKey,
}

/// Streams of an application.
#[derive(Debug, Clone, Message)]
#[rtype(result = "StreamPage")]
pub struct ListStreams {
    /// Whose.
    pub app: AppName,
    /// Only those whose name or id contains this, in any case.
    pub search: Option<String>,
    /// In which order.
    pub sort: StreamSort,
    /// How many to skip.
    pub offset: usize,
    /// How many at most.
    pub size: usize,
}

/// An order of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamSort {
    /// By id.
    #[default]
    Id,
    /// By name.
    Name(Order),
    /// By creation.
    Created(Order),
    /// Live ones apart from others.
    State(Order),
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The smallest.
    Ascending,
    /// The largest.
    Descending,
}

/// Some of an application's streams.
#[derive(Debug, Clone, MessageResponse)]
pub struct StreamPage {
    /// Those asked for.
    pub streams: Vec<StreamView>,
    /// How many match in all.
    pub matching: usize,
    /// How many of the application's streams are live.
    pub live: usize,
}

/// Registers a stream.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<StreamView, CreateStreamError>")]
pub struct CreateStream {
    /// What.
    pub record: StreamRecord,
}

/// Why a stream was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreateStreamError {
    /// The id is taken.
    #[error("stream id is taken")]
    Taken,
    /// Not on disk.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// Replaces a registered stream's record. Answers whether there was one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool, NotStored>")]
pub struct UpdateStream {
    /// What it is from now on.
    pub record: StreamRecord,
}

/// Removes a stream's record and stops its publisher.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Removed, NotStored>")]
pub struct RemoveStream {
    /// Which.
    pub stream: StreamKey,
}

/// What a removal met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// No such stream.
    Nothing,
    /// A record of a stream that was not live.
    Record,
    /// A live stream, which was stopped.
    Live,
}

/// Stops a stream's publisher. Answers whether there was one.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct StopStream {
    /// Which.
    pub stream: StreamKey,
}
