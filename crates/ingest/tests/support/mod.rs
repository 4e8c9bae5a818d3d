//! A control plane for tests: everybody is who he says he is, with the code
//! 123456 or without any, and streams live in one table.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use contract::auth::{Authorize, Change, Denied, Permit, PermitChanged, PermitId};
use contract::registry::{
    End, Form, GetStream, KeyframesOnly, Live, LiveView, Place, Play, PlayLease, PlayRefused, PlayerCounts,
    Publish, PublishLease, PublishRefused, Silence, StreamRecord, StreamView,
};
use contract::session::{Fenced, Hush, SessionRef, SetStanding};
use contract::{
    AppName, AppSettings, Protocol, SessionId, SettingsView, Standing, StandingCell, StreamKey, SubscriberId,
    WallMs,
};
use media::{BusWriter, Tracks};
use session::{Admission, Links};
use tokio::sync::watch;

type Leave = (StreamKey, Option<SubscriberId>, Arc<StandingCell>, SessionRef);

/// Auth and registry in one.
#[derive(Default)]
pub struct Plane {
    rows: HashMap<StreamKey, Row>,
    permits: HashMap<PermitId, Leave>,
    next: u64,
    asked: usize,
}

struct Row {
    live: watch::Sender<Option<Arc<Live>>>,
    publisher: Option<SessionId>,
    players: HashMap<SessionId, SessionRef>,
}

impl Row {
    fn new() -> Self {
        Self { live: watch::channel(None).0, publisher: None, players: HashMap::new() }
    }
}

impl Actor for Plane {
    type Context = Context<Self>;
}

impl Plane {
    /// Starts it with the application `live`.
    pub fn start_here(settings: AppSettings) -> (Addr<Self>, Admission) {
        let plane = Self::default().start();
        let links = Links {
            authorize: plane.clone().recipient(),
            get_stream: plane.clone().recipient(),
            publish: plane.clone().recipient(),
            play: plane.clone().recipient(),
            silence: plane.clone().recipient(),
        };
        let app = AppName::parse("live").expect("a name");
        let view = SettingsView::fixed(app, settings);
        (plane, Admission::new(links, view, Arbiter::current()))
    }
}

impl Handler<Authorize> for Plane {
    type Result = Result<Permit, Denied>;

    fn handle(&mut self, ask: Authorize, ctx: &mut Self::Context) -> Self::Result {
        self.asked += 1;
        if ask.credentials.code.as_ref().is_some_and(|code| code.reveal() != "123456") {
            return Err(Denied::Credentials);
        }
        self.next += 1;
        let id = PermitId(self.next);
        let standing = Arc::new(StandingCell::new(Standing::Granted));
        let leave = (ask.stream, ask.credentials.subscriber, standing.clone(), ask.session);
        self.permits.insert(id, leave);
        Ok(Permit::new(id, standing, None, ctx.address().recipient()))
    }
}

impl Handler<PermitChanged> for Plane {
    type Result = ();

    fn handle(&mut self, msg: PermitChanged, _: &mut Self::Context) {
        if msg.change == Change::Disconnected {
            self.permits.remove(&msg.permit);
        }
    }
}

impl Handler<GetStream> for Plane {
    type Result = Option<StreamView>;

    fn handle(&mut self, msg: GetStream, _: &mut Self::Context) -> Self::Result {
        let row = self.rows.get(&msg.stream)?;
        let live = row.live.borrow().clone();
        let live = live.map(|live| LiveView {
            protocol: live.protocol,
            subscriber: None,
            peer: [127, 0, 0, 1].into(),
            since: WallMs(0),
            tracks: live.frames.tracks(),
            received_bytes: 0,
            video_bytes: 0,
            audio_bytes: 0,
            keyframes_only: live.keyframes_only.is_claimed(),
        });
        let record = StreamRecord::new(msg.stream, WallMs(0));
        Some(StreamView { record, registered: false, live, players: PlayerCounts::default() })
    }
}

impl Handler<Publish> for Plane {
    type Result = Result<PublishLease, PublishRefused>;

    fn handle(&mut self, msg: Publish, ctx: &mut Self::Context) -> Self::Result {
        let row = self.rows.entry(msg.stream.clone()).or_insert_with(Row::new);
        if row.publisher.is_some() {
            return Err(PublishRefused::AlreadyPublishing);
        }
        row.publisher = Some(msg.session.id);
        self.next += 1;
        let frames = media::bus(msg.tracks.clone());
        let packets = (msg.form == Form::FramesAndPackets).then(|| media::packet_ring(msg.tracks));
        row.live.send_replace(Some(Arc::new(Live {
            generation: self.next,
            protocol: msg.protocol,
            frames: frames.ring(),
            packets: packets.as_ref().map(media::PacketWriter::ring),
            keyframes_only: KeyframesOnly::default(),
        })));
        let place = Place::new(msg.stream, msg.session.id, ctx.address().recipient());
        Ok(PublishLease { frames, packets, place })
    }
}

impl Handler<Play> for Plane {
    type Result = Result<PlayLease, PlayRefused>;

    fn handle(&mut self, msg: Play, ctx: &mut Self::Context) -> Self::Result {
        let row = self.rows.get_mut(&msg.stream).ok_or(PlayRefused::NotLive)?;
        if row.publisher.is_none() {
            return Err(PlayRefused::NotLive);
        }
        row.players.insert(msg.session.id, msg.session.clone());
        let place = Place::new(msg.stream, msg.session.id, ctx.address().recipient());
        Ok(PlayLease { live: row.live.subscribe(), place })
    }
}

impl Handler<End> for Plane {
    type Result = ();

    fn handle(&mut self, msg: End, _: &mut Self::Context) {
        let Some(row) = self.rows.get_mut(&msg.stream) else { return };
        row.players.remove(&msg.session);
        if row.publisher == Some(msg.session) {
            row.publisher = None;
            row.live.send_replace(None);
        }
    }
}

impl Handler<Silence> for Plane {
    type Result = ResponseFuture<Fenced>;

    fn handle(&mut self, msg: Silence, _: &mut Self::Context) -> Self::Result {
        let mut hushes = Vec::new();
        if let Some(row) = self.rows.get_mut(&msg.stream).filter(|row| row.publisher == Some(msg.session)) {
            if let Some(live) = row.live.send_replace(None) {
                live.frames.silence();
                if let Some(packets) = &live.packets {
                    packets.silence();
                }
            }
            hushes.extend(row.players.values().map(|player| player.hush.send(Hush)));
        }
        Box::pin(async move {
            for hush in hushes {
                let _ = hush.await;
            }
            Fenced::Confirmed
        })
    }
}

/// Makes a stream live whose publisher brings frames, as RTMP does.
#[derive(Message)]
#[rtype(result = "BusWriter")]
pub struct PublishFrames {
    /// Which stream.
    pub stream: StreamKey,
    /// What it consists of.
    pub tracks: Tracks,
}

impl Handler<PublishFrames> for Plane {
    type Result = MessageResult<PublishFrames>;

    fn handle(&mut self, msg: PublishFrames, _: &mut Self::Context) -> Self::Result {
        let frames = media::bus(msg.tracks);
        self.next += 1;
        let (generation, protocol, packets) = (self.next, Protocol::Rtmp, None);
        let keyframes_only = KeyframesOnly::default();
        let live = Live { generation, protocol, frames: frames.ring(), packets, keyframes_only };
        let row = self.rows.entry(msg.stream).or_insert_with(Row::new);
        row.publisher = Some(SessionId::new());
        row.live.send_replace(Some(Arc::new(live)));
        MessageResult(frames)
    }
}

/// How far behind a stream's players are; `None` for who was given nothing.
#[derive(Message)]
#[rtype(result = "Vec<Option<Duration>>")]
pub struct Lags {
    /// Which stream.
    pub stream: StreamKey,
}

impl Handler<Lags> for Plane {
    type Result = Vec<Option<Duration>>;

    fn handle(&mut self, msg: Lags, _: &mut Self::Context) -> Self::Result {
        let Some(row) = self.rows.get(&msg.stream) else { return Vec::new() };
        let newest = row.live.borrow().as_ref().and_then(|live| live.newest());
        row.players.values().map(|player| player.traffic.lag(newest?)).collect()
    }
}

/// How often [`Authorize`] was asked.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct Asked;

impl Handler<Asked> for Plane {
    type Result = usize;

    fn handle(&mut self, _: Asked, _: &mut Self::Context) -> Self::Result {
        self.asked
    }
}

/// Orders all players of a stream to hush, but silences nothing; answers how many
/// confirmed.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct HushLate {
    /// Which stream.
    pub stream: StreamKey,
}

impl Handler<HushLate> for Plane {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, msg: HushLate, _: &mut Self::Context) -> Self::Result {
        let players = self.rows.get(&msg.stream).into_iter().flat_map(|row| row.players.values());
        let hushes: Vec<_> = players.map(|player| player.hush.send(Hush)).collect();
        Box::pin(async move {
            let mut confirmed = 0;
            for hush in hushes {
                confirmed += usize::from(matches!(hush.await, Ok(Fenced::Confirmed)));
            }
            confirmed
        })
    }
}

/// Sets the standing of everybody of a subscriber on a stream, as a block does;
/// answers how many fences confirmed.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct SetAll {
    /// On which stream.
    pub stream: StreamKey,
    /// Whose.
    pub subscriber: SubscriberId,
    /// To what.
    pub set: SetStanding,
}

impl Handler<SetAll> for Plane {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, msg: SetAll, _: &mut Self::Context) -> Self::Result {
        let his = |leave: &&Leave| leave.0 == msg.stream && leave.1.as_ref() == Some(&msg.subscriber);
        let mut orders = Vec::new();
        for (_, _, cell, session) in self.permits.values().filter(his) {
            cell.set(msg.set.standing());
            orders.push(session.standing.send(msg.set));
        }
        Box::pin(async move {
            let mut confirmed = 0;
            for order in orders {
                confirmed += usize::from(matches!(order.await, Ok(Fenced::Confirmed)));
            }
            confirmed
        })
    }
}
