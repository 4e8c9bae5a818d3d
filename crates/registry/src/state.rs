//! The two tables, pure: a message and the time in, a reply and effects out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use contract::registry::{
    CreateStreamError, Form, KeyframesOnly, ListStreams, Live, LiveView, Order, Play, PlayRefused,
    PlayerCounts, Publish, PublishRefused, Removed, StreamPage, StreamRecord, StreamSort, StreamView,
};
use contract::session::SessionRef;
use contract::{AppName, AppSettings, Protocol, SessionId, StandingCell, StreamKey, SubscriberId, WallMs};
use media::{BusWriter, Memory, PacketWriter, TrackKind};
use tokio::sync::watch;

mod look;

/// Who publishes a stream.
#[derive(Debug)]
struct Publisher {
    seat: Seat,
    live: Arc<Live>,
}

impl Publisher {
    fn view(&self) -> LiveView {
        let Seat { session, protocol, subscriber, peer, since, .. } = &self.seat;
        let traffic = &session.traffic;
        LiveView {
            protocol: *protocol,
            subscriber: subscriber.clone(),
            peer: *peer,
            since: *since,
            tracks: self.live.frames.tracks(),
            received_bytes: traffic.received_bytes(),
            video_bytes: traffic.track_bytes(TrackKind::Video),
            audio_bytes: traffic.track_bytes(TrackKind::Audio),
            keyframes_only: self.live.keyframes_only.is_claimed(),
        }
    }
}

/// A session's place in a stream.
#[derive(Debug)]
struct Seat {
    session: SessionRef,
    protocol: Protocol,
    subscriber: Option<SubscriberId>,
    peer: IpAddr,
    since: WallMs,
    standing: Arc<StandingCell>,
}

impl Seat {
    /// Whether he is still there, as far as that can be known.
    fn is_taken(&self, settings: &AppSettings, now: WallMs) -> bool {
        !settings.hls.has_left(self.protocol, &self.session.traffic, now)
    }
}

#[derive(Debug)]
struct Row {
    record: Option<StreamRecord>,
    publisher: Option<Publisher>,
    players: BTreeMap<SessionId, Seat>,
    /// What players follow; says the same as `publisher`.
    live: watch::Sender<Option<Arc<Live>>>,
}

impl Row {
    fn new() -> Self {
        Self { record: None, publisher: None, players: BTreeMap::new(), live: watch::Sender::new(None) }
    }

    fn is_idle(&self) -> bool {
        self.record.is_none() && self.publisher.is_none() && self.players.is_empty()
    }

    /// Puts another in the publisher's place, or nobody; who was there before.
    fn set_publisher(&mut self, publisher: Option<Publisher>) -> Option<Publisher> {
        self.live.send_replace(publisher.as_ref().map(|p| p.live.clone()));
        std::mem::replace(&mut self.publisher, publisher)
    }

    fn audience(&self) -> Vec<SessionRef> {
        self.players.values().map(|seat| seat.session.clone()).collect()
    }

    /// Who is there.
    fn counts(&self, settings: &AppSettings, now: WallMs) -> PlayerCounts {
        let mut counts = PlayerCounts::default();
        for seat in self.players.values().filter(|seat| seat.is_taken(settings, now)) {
            match seat.protocol {
                Protocol::Rtmp => counts.rtmp += 1,
                Protocol::Hls => counts.hls += 1,
                Protocol::Webrtc | Protocol::Whip | Protocol::Whep => counts.webrtc += 1,
            }
            counts.gaps += seat.session.traffic.gaps();
        }
        counts
    }

    fn view(&self, key: &StreamKey, settings: &AppSettings, now: WallMs) -> StreamView {
        let live = self.publisher.as_ref().map(Publisher::view);
        let since = live.as_ref().map_or_else(WallMs::default, |l| l.since);
        StreamView {
            record: self.record.clone().unwrap_or_else(|| StreamRecord::new(key.clone(), since)),
            registered: self.record.is_some(),
            live,
            players: self.counts(settings, now),
        }
    }
}

/// A publish that ended, of which HLS may still have segments.
#[derive(Debug)]
struct Past {
    stream: StreamKey,
    subscriber: Option<SubscriberId>,
    live: Weak<Live>,
}

/// Empties a publish's rings.
fn silence(live: &Live) {
    live.frames.silence();
    if let Some(packets) = &live.packets {
        packets.silence();
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct State {
    rows: HashMap<StreamKey, Row>,
    /// As long as somebody holds anything of them; whoever publishes meanwhile.
    past: Vec<Past>,
    generations: u64,
    /// What all rings together may hold.
    pub(crate) memory: Memory,
}

/// A publisher's place was given.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) frames: BusWriter,
    pub(crate) packets: Option<PacketWriter>,
    /// The record to write, when this is a registered stream's first publish.
    pub(crate) write: Option<StreamRecord>,
}

impl State {
    /// What was on disk.
    pub(crate) fn load(records: impl IntoIterator<Item = StreamRecord>) -> Self {
        let mut state = Self::default();
        for record in records {
            let row = state.row(&record.key);
            row.record = Some(record);
        }
        state
    }

    fn row(&mut self, key: &StreamKey) -> &mut Row {
        self.rows.entry(key.clone()).or_insert_with(Row::new)
    }

    fn forget_idle(&mut self, key: &StreamKey) {
        if self.rows.get(key).is_some_and(Row::is_idle) {
            self.rows.remove(key);
        }
    }

    /// Gives a publisher the stream's one place, or takes it over for him.
    pub(crate) fn publish(
        &mut self,
        ask: &Publish,
        settings: &AppSettings,
        now: WallMs,
    ) -> Result<Granted, PublishRefused> {
        let taken_over = self.may_publish(ask, now)?;
        let live = self.live_count(&ask.stream.app);
        if !taken_over && settings.streams.live_limit.is_some_and(|limit| live as u64 >= limit) {
            return Err(PublishRefused::Limit);
        }
        if !taken_over && !self.memory.admits() {
            return Err(PublishRefused::Memory);
        }
        self.generations += 1;
        let frames = media::bus_in(ask.tracks.clone(), &self.memory);
        let packets = (ask.form == Form::FramesAndPackets)
            .then(|| media::packet_ring_in(ask.tracks.clone(), &self.memory));
        let live = Live {
            generation: self.generations,
            protocol: ask.protocol,
            frames: frames.ring(),
            packets: packets.as_ref().map(PacketWriter::ring),
            keyframes_only: KeyframesOnly::default(),
        };
        let row = self.row(&ask.stream);
        let seat = Seat {
            session: ask.session.clone(),
            protocol: ask.protocol,
            subscriber: ask.subscriber.clone(),
            peer: ask.peer,
            since: now,
            standing: ask.standing.clone(),
        };
        let before = row.set_publisher(Some(Publisher { seat, live: Arc::new(live) }));
        let first = row.record.as_mut().filter(|record| !record.finished).map(|record| {
            record.finished = true;
            record.clone()
        });
        self.remember(&ask.stream, before);
        Ok(Granted { frames, packets, write: first })
    }

    /// Whether the publisher takes another's place; or why he may not publish.
    fn may_publish(&self, ask: &Publish, now: WallMs) -> Result<bool, PublishRefused> {
        let Some(row) = self.rows.get(&ask.stream) else { return Ok(false) };
        if row.record.as_ref().is_some_and(|record| !within_dates(record, now)) {
            return Err(PublishRefused::Dates);
        }
        match &row.publisher {
            Some(current) if ask.replaces != Some(current.seat.session.id) => {
                Err(PublishRefused::AlreadyPublishing)
            }
            current => Ok(current.is_some()),
        }
    }

    fn remember(&mut self, stream: &StreamKey, ended: Option<Publisher>) {
        self.past.retain(|past| past.live.strong_count() > 0);
        if let Some(Publisher { seat, live }) = ended
            && Arc::strong_count(&live) > 1
        {
            let (stream, live) = (stream.clone(), Arc::downgrade(&live));
            self.past.push(Past { stream, subscriber: seat.subscriber, live });
        }
    }

    /// Silences what is left of a subscriber's earlier publishes, or of everybody's
    /// (`None`); whether anything was.
    fn silence_past(&self, stream: &StreamKey, whose: Option<&SubscriberId>) -> bool {
        let his = |past: &&Past| {
            past.stream == *stream && whose.is_none_or(|whose| past.subscriber.as_ref() == Some(whose))
        };
        let left: Vec<_> = self.past.iter().filter(his).filter_map(|past| past.live.upgrade()).collect();
        left.iter().for_each(|live| silence(live));
        !left.is_empty()
    }

    fn live_count(&self, app: &AppName) -> usize {
        self.rows.iter().filter(|(key, row)| key.app == *app && row.publisher.is_some()).count()
    }

    /// Adds a player to a live stream.
    pub(crate) fn play(
        &mut self,
        ask: &Play,
        settings: &AppSettings,
        now: WallMs,
    ) -> Result<watch::Receiver<Option<Arc<Live>>>, PlayRefused> {
        let row = self.rows.get_mut(&ask.stream).filter(|row| row.publisher.is_some());
        let row = row.ok_or(PlayRefused::NotLive)?;
        if over_limit(row, ask.protocol, settings, now) {
            return Err(PlayRefused::Limit);
        }
        row.players.insert(
            ask.session.id,
            Seat {
                session: ask.session.clone(),
                protocol: ask.protocol,
                subscriber: ask.subscriber.clone(),
                peer: ask.peer,
                since: now,
                standing: ask.standing.clone(),
            },
        );
        Ok(row.live.subscribe())
    }

    /// A session gives its place back, whichever it was.
    pub(crate) fn end(&mut self, key: &StreamKey, session: SessionId) {
        let Some(row) = self.rows.get_mut(key) else { return };
        row.players.remove(&session);
        if row.publisher.as_ref().is_some_and(|p| p.seat.session.id == session) {
            let ended = row.set_publisher(None);
            self.remember(key, ended);
        }
        self.forget_idle(key);
    }

    /// Ends a revoked publisher's stream: rings empty at once; the players that
    /// are to be hushed are returned.
    pub(crate) fn silence(&mut self, key: &StreamKey, session: SessionId) -> Vec<SessionRef> {
        let Some(row) = self.rows.get_mut(key) else { return Vec::new() };
        let Some(publisher) = row.publisher.take_if(|p| p.seat.session.id == session) else {
            return Vec::new();
        };
        row.set_publisher(None);
        silence(&publisher.live);
        let players = row.audience();
        if let Some(subscriber) = &publisher.seat.subscriber {
            self.silence_past(key, Some(subscriber));
        }
        self.forget_idle(key);
        players
    }

    /// The same for this subscriber's publishes that have ended, whoever publishes
    /// now.
    pub(crate) fn silence_ended(&mut self, key: &StreamKey, subscriber: &SubscriberId) -> Vec<SessionRef> {
        let something = self.silence_past(key, Some(subscriber));
        let row = self.rows.get(key).filter(|_| something);
        row.map(Row::audience).unwrap_or_default()
    }

    /// The publisher's session, if there is one.
    pub(crate) fn publisher(&self, key: &StreamKey) -> Option<SessionRef> {
        Some(self.rows.get(key)?.publisher.as_ref()?.seat.session.clone())
    }

    /// One stream.
    pub(crate) fn get(&self, key: &StreamKey, settings: &AppSettings, now: WallMs) -> Option<StreamView> {
        self.rows
            .get(key)
            .filter(|row| row.record.is_some() || row.publisher.is_some())
            .map(|row| row.view(key, settings, now))
    }

    /// Some streams.
    pub(crate) fn list(&self, ask: &ListStreams, settings: &AppSettings, now: WallMs) -> StreamPage {
        let needle = ask.search.as_deref().unwrap_or_default().to_lowercase();
        let mut views: Vec<_> = self
            .rows
            .iter()
            .filter(|(key, row)| key.app == ask.app && (row.record.is_some() || row.publisher.is_some()))
            .filter(|(key, row)| matches(key, row, &needle))
            .map(|(key, row)| row.view(key, settings, now))
            .collect();
        sort(&mut views, ask.sort);
        StreamPage {
            matching: views.len(),
            live: self.live_count(&ask.app),
            streams: views.into_iter().skip(ask.offset).take(ask.size).collect(),
        }
    }

    /// Whether the id is free for a new record. A stream that is live without a
    /// record may be registered.
    pub(crate) fn create(
        &mut self,
        record: StreamRecord,
        settings: &AppSettings,
        now: WallMs,
    ) -> Result<StreamView, CreateStreamError> {
        let key = record.key.clone();
        let row = self.row(&key);
        if row.record.is_some() {
            return Err(CreateStreamError::Taken);
        }
        row.record = Some(record);
        Ok(row.view(&key, settings, now))
    }

    /// Replaces a record; false when there is none.
    pub(crate) fn update(&mut self, record: StreamRecord) -> bool {
        let Some(slot) = self.rows.get_mut(&record.key).and_then(|row| row.record.as_mut()) else {
            return false;
        };
        *slot = StreamRecord { finished: slot.finished, ..record };
        true
    }

    /// Puts back what was there before a write that failed.
    pub(crate) fn restore(&mut self, key: &StreamKey, record: Option<StreamRecord>) {
        self.row(key).record = record;
        self.forget_idle(key);
    }

    /// The record as it is.
    pub(crate) fn record(&self, key: &StreamKey) -> Option<StreamRecord> {
        self.rows.get(key)?.record.clone()
    }

    /// Everybody who has a place in a stream, and what is still to be had of it
    /// emptied: for a stream that is removed.
    pub(crate) fn evict(&mut self, key: &StreamKey) -> Vec<SessionRef> {
        self.silence_past(key, None);
        let Some(row) = self.rows.get(key) else { return Vec::new() };
        row.publisher.iter().for_each(|p| silence(&p.live));
        let mut sessions: Vec<_> = row.publisher.iter().map(|p| p.seat.session.clone()).collect();
        sessions.extend(row.audience());
        sessions
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, key: &StreamKey) -> Removed {
        let Some(row) = self.rows.get_mut(key) else { return Removed::Nothing };
        let (record, live) = (row.record.take(), row.publisher.is_some());
        self.forget_idle(key);
        match (record, live) {
            (_, true) => Removed::Live,
            (Some(_), false) => Removed::Record,
            (None, false) => Removed::Nothing,
        }
    }
}

/// Planned dates in Unix seconds count only together; the expiry counts from
/// creation in milliseconds (C§3.1).
fn within_dates(record: &StreamRecord, now: WallMs) -> bool {
    let seconds = now.0 / 1000;
    let planned = record.planned_start != 0 && record.planned_end != 0;
    let in_plan = !planned || (record.planned_start..=record.planned_end).contains(&seconds);
    let in_life =
        record.expires_after == 0 || now <= record.created.after(Duration::from_millis(record.expires_after));
    in_plan && in_life
}

fn over_limit(row: &Row, protocol: Protocol, settings: &AppSettings, now: WallMs) -> bool {
    let of_record = |get: fn(&StreamRecord) -> i64| {
        row.record.as_ref().and_then(|record| u64::try_from(get(record)).ok())
    };
    type Count = fn(PlayerCounts) -> usize;
    let (count, limits): (Count, _) = match protocol {
        p if p.is_webrtc() => {
            (|counts| counts.webrtc, [of_record(|r| r.webrtc_limit), settings.streams.webrtc_player_limit])
        }
        Protocol::Hls => (|counts| counts.hls, [of_record(|r| r.hls_limit), None]),
        _ => return false,
    };
    // Players are counted only where there is a limit.
    limits.into_iter().flatten().min().is_some_and(|limit| count(row.counts(settings, now)) as u64 >= limit)
}

fn matches(key: &StreamKey, row: &Row, needle: &str) -> bool {
    let name = row.record.as_ref().and_then(|record| record.name.as_deref()).unwrap_or_default();
    needle.is_empty()
        || key.id.as_str().to_lowercase().contains(needle)
        || name.to_lowercase().contains(needle)
}

fn sort(views: &mut [StreamView], by: StreamSort) {
    views.sort_by(|a, b| a.record.key.cmp(&b.record.key));
    let order = match by {
        StreamSort::Id => return,
        StreamSort::Name(order) => {
            views.sort_by(|a, b| a.record.name.cmp(&b.record.name));
            order
        }
        StreamSort::Created(order) => {
            views.sort_by_key(|view| view.record.created);
            order
        }
        StreamSort::State(order) => {
            views.sort_by_key(|view| (view.live.is_none(), view.record.finished));
            order
        }
    };
    if order == Order::Descending {
        views.reverse();
    }
}

#[cfg(test)]
mod tests;
