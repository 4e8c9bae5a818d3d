//! The streams that a shard's players play, each read once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use contract::StreamKey;
use contract::registry::Live;
use media::EndReason;
use transcode::Transcoding;

use super::command::Bell;
use super::fanout::{Keyframes, Place, Read, Source, View};
use super::packetiser::{LEAD, Packetiser};
use super::peer::PeerId;

/// A player that is behind gets its next burst so much later: 64 packets in 4 ms
/// are 150 Mbit/s.
const PACE: Duration = Duration::from_millis(4);

/// A packetiser that has not worked through its history by then is slower than
/// the stream.
const HISTORY_LIMIT: Duration = Duration::from_secs(2);

/// Names a live stream within a shard. A stream that is published anew has a new
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(u64);

/// Set by the ring when it has more.
struct Dirty {
    flag: AtomicBool,
    bell: Arc<Bell>,
}

impl Wake for Dirty {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.bell.ring();
    }
}

struct Stream {
    key: StreamKey,
    /// Held so that its address names it.
    live: Arc<Live>,
    /// Absent only while players are served from it.
    view: Option<View>,
    dirty: Arc<Dirty>,
    waker: Waker,
    players: Arc<Vec<PeerId>>,
    opened: Instant,
    /// When some player was left behind.
    behind: Option<Instant>,
    /// Makes packets of a frame publisher.
    packetiser: Option<Packetiser>,
}

/// What [`Streams::read`] met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Met {
    pub(crate) more: bool,
    pub(crate) ended: bool,
}

/// All streams of a shard.
pub(crate) struct Streams {
    bell: Arc<Bell>,
    transcoding: Transcoding,
    streams: HashMap<StreamId, Stream>,
    by_live: HashMap<usize, StreamId>,
    next: u64,
}

impl Streams {
    pub(crate) fn new(bell: Arc<Bell>, transcoding: Transcoding) -> Self {
        Self { bell, transcoding, streams: HashMap::new(), by_live: HashMap::new(), next: 0 }
    }

    /// The view of a live stream, opened if need be; none when it has ended or
    /// cannot be made into packets.
    pub(crate) fn open(&mut self, live: &Arc<Live>, key: &StreamKey, now: Instant) -> Option<StreamId> {
        if live.frames.ended().is_some() {
            return None;
        }
        let address = Arc::as_ptr(live) as usize;
        if let Some(&id) = self.by_live.get(&address) {
            return Some(id);
        }
        let (view, packetiser) = match &live.packets {
            Some(ring) => {
                let source = Source { generation: live.generation, lead: Duration::ZERO };
                (View::new(ring.reader(), Keyframes::OnDemand).of(source), None)
            }
            None => {
                let packetiser = Packetiser::start(live, key, &self.transcoding).ok()?;
                let source = Source { generation: live.generation, lead: LEAD };
                let view = View::new(packetiser.ring().reader(), packetiser.keyframes()).of(source);
                (view, Some(packetiser))
            }
        };
        let id = StreamId(self.next);
        self.next += 1;
        let dirty = Arc::new(Dirty { flag: AtomicBool::new(true), bell: self.bell.clone() });
        let stream = Stream {
            key: key.clone(),
            live: live.clone(),
            view: Some(view),
            waker: Waker::from(dirty.clone()),
            dirty,
            players: Arc::default(),
            opened: now,
            behind: None,
            packetiser,
        };
        self.streams.insert(id, stream);
        self.by_live.insert(address, id);
        self.read(id, now);
        Some(id)
    }

    /// A player is one of its players from now on.
    pub(crate) fn enter(&mut self, id: StreamId, player: PeerId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.players.contains(&player) {
            Arc::make_mut(&mut stream.players).push(player);
        }
        stream.dirty.flag.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// A place for a player; none while the packetiser works through history,
    /// which would reach the player in one heap.
    pub(crate) fn join(&self, id: StreamId, now: Instant) -> Option<Place> {
        let stream = self.streams.get(&id)?;
        let view = stream.view.as_ref()?;
        let waited = now >= stream.opened + HISTORY_LIMIT;
        let live = stream.packetiser.as_ref().is_none_or(|packetiser| {
            view.newest().is_some_and(|packet| packetiser.is_live(packet.track, packet.timestamp))
        });
        (live || waited).then(|| view.join())
    }

    /// A player leaves. The last one closes the stream.
    pub(crate) fn leave(&mut self, id: StreamId, player: PeerId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        Arc::make_mut(&mut stream.players).retain(|&one| one != player);
        if stream.players.is_empty() {
            self.close(id);
        }
    }

    /// Forgets a stream.
    pub(crate) fn close(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.remove(&id) {
            self.by_live.remove(&(Arc::as_ptr(&stream.live) as usize));
        }
    }

    /// Drops what is held of a stream, if it was silenced; whether it was. The order
    /// to do so may come when the next publisher is live already, whose stream is
    /// another.
    pub(crate) fn forget_silenced(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let silenced = stream.live.frames.ended() == Some(EndReason::Silenced);
        if silenced && let Some(view) = stream.view.as_mut() {
            view.forget();
        }
        silenced
    }

    /// Streams that have something new, or players behind whose turn has come.
    pub(crate) fn dirty(&mut self, now: Instant) -> Vec<StreamId> {
        let due = |stream: &Stream| {
            let late = stream.behind.is_some_and(|at| now >= at + PACE);
            stream.dirty.flag.swap(false, Ordering::AcqRel) || late
        };
        self.streams.iter().filter(|(_, stream)| due(stream)).map(|(&id, _)| id).collect()
    }

    /// Reads what is new into the stream's view.
    pub(crate) fn read(&mut self, id: StreamId, now: Instant) -> Met {
        let Some(stream) = self.streams.get_mut(&id) else { return Met { more: false, ended: true } };
        let Some(view) = stream.view.as_mut() else { return Met { more: false, ended: false } };
        if let Some(packetiser) = &stream.packetiser {
            view.set_keyframes(packetiser.keyframes());
        }
        // The packetiser's ring learns of a silence later than the bus.
        if stream.live.frames.ended() == Some(EndReason::Silenced) {
            view.forget();
            return Met { more: false, ended: true };
        }
        let read = view.read(&mut Context::from_waker(&stream.waker), now);
        let more = read == Read::More;
        stream.dirty.flag.fetch_or(more, Ordering::AcqRel);
        Met { more, ended: matches!(read, Read::Ended(_)) }
    }

    /// Some player has more to get; since when.
    pub(crate) fn set_behind(&mut self, id: StreamId, since: Option<Instant>) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.behind = since;
        }
    }

    /// When a player that is behind gets more.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.streams.values().filter_map(|stream| stream.behind).min().map(|at| at + PACE)
    }

    /// Who plays it.
    pub(crate) fn players(&self, id: StreamId) -> Arc<Vec<PeerId>> {
        self.streams.get(&id).map(|stream| stream.players.clone()).unwrap_or_default()
    }

    /// Lends the view, so that players can be served from it.
    pub(crate) fn take_view(&mut self, id: StreamId) -> Option<View> {
        self.streams.get_mut(&id)?.view.take()
    }

    /// Gives the view back.
    pub(crate) fn put_view(&mut self, id: StreamId, view: View) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.view = Some(view);
        }
    }

    /// Whether players see key frames only, for want of room to encode.
    pub(crate) fn has_keyframes_only(&self, id: StreamId) -> bool {
        let packetiser = self.streams.get(&id).and_then(|stream| stream.packetiser.as_ref());
        packetiser.is_some_and(Packetiser::has_keyframes_only)
    }

    /// Whether key frames can be asked for.
    pub(crate) fn on_demand(&self, id: StreamId) -> bool {
        let view = self.streams.get(&id).and_then(|stream| stream.view.as_ref());
        view.is_some_and(|view| view.keyframes() == Keyframes::OnDemand)
    }

    /// Asks an encoder of ours for a key frame; otherwise says whose publisher is
    /// to be asked.
    pub(crate) fn ask_keyframe(&self, id: StreamId) -> Option<StreamKey> {
        let stream = self.streams.get(&id)?;
        match &stream.packetiser {
            Some(packetiser) => {
                packetiser.ask_keyframe();
                None
            }
            None => Some(stream.key.clone()),
        }
    }
}
