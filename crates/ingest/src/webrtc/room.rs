//! Everybody on a shard: who they are, how datagrams find them, and what they
//! play.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::session::SetStanding;
use contract::{Now, StreamKey};
use session::{Order, What};
use str0m::Input;
use str0m::ice::StunMessage;
use str0m::net::{Protocol, Receive};
use transcode::Transcoding;

use super::addresses::Addresses;
use super::command::{Arriving, Bell, Command, Gate, GoneLive, Hold, Source};
use super::egress::Pumped;
use super::outbox::Outbox;
use super::peer::{Gone, Peer, PeerEvent, PeerId};
use super::streams::{StreamId, Streams};
use super::udp::{Datagram, Udp};

/// Players whose stream is not live look for a new publisher so often.
const LOOK: Duration = Duration::from_millis(100);
/// A player that lost its picture is given the held group of pictures again at
/// most so often.
const REPLAY: Duration = Duration::from_secs(2);

struct Seat {
    peer: Peer,
    gate: Arc<Gate>,
    ufrag: String,
    /// Given back when the seat is left.
    _hold: Option<Hold>,
    source: Option<Source>,
    plays: Option<StreamId>,
    played: Option<StreamId>,
    publishes: Option<StreamKey>,
    seated: Option<Instant>,
    /// The stream of which its owner knows that only key frames are shown.
    told: Option<StreamId>,
}

/// Everybody on a shard.
pub(crate) struct Room {
    seats: HashMap<PeerId, Seat>,
    by_ufrag: HashMap<String, PeerId>,
    by_address: HashMap<SocketAddr, PeerId>,
    publishers: HashMap<StreamKey, PeerId>,
    timers: BinaryHeap<Reverse<(Instant, PeerId)>>,
    streams: Streams,
    /// Players that have no stream to play.
    idle: Vec<PeerId>,
    look: Instant,
    outbox: Outbox,
    addresses: Arc<Addresses>,
}

impl Room {
    pub(crate) fn new(
        addresses: Arc<Addresses>,
        bell: Arc<Bell>,
        transcoding: Transcoding,
        max_segments: usize,
    ) -> Self {
        Self {
            seats: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            publishers: HashMap::new(),
            timers: BinaryHeap::new(),
            streams: Streams::new(bell, transcoding),
            idle: Vec::new(),
            look: Instant::now(),
            outbox: Outbox::new(max_segments),
            addresses,
        }
    }

    /// When somebody wants to be looked at.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let look = (!self.idle.is_empty()).then_some(self.look + LOOK);
        [timer, look, self.streams.deadline()].into_iter().flatten().min()
    }

    pub(crate) fn command(&mut self, command: Command, udp: &Udp, now: Now) {
        match command {
            Command::Play { arriving, source, hold } => {
                self.arrive(*arriving, Peer::player, Some((source, hold)), udp, now);
            }
            Command::Publish { arriving } => self.arrive(*arriving, Peer::publisher, None, udp, now),
            Command::Answer { id, sdp, reply } => {
                let answered = self.with(id, |seat| seat.peer.answer(&sdp));
                // A peer that is gone drops the reply; so does an asker that left.
                if let Some(answered) = answered {
                    let _ = reply.send(answered);
                }
                self.settle(id, udp, now);
            }
            Command::Live { id, live } => self.go_live(id, live, udp, now),
            Command::Order { id, order } => self.order(id, order, udp, now),
            Command::Stop => {}
        }
    }

    /// Seats a peer, but none that was told to go while it was on its way: what it
    /// was ordered then is confirmed already.
    fn arrive(
        &mut self,
        arriving: Arriving,
        make: fn(Arriving, Instant) -> Peer,
        plays: Option<(Source, Hold)>,
        udp: &Udp,
        now: Now,
    ) {
        let (id, gate, owner) = (arriving.id, arriving.gate.clone(), arriving.shares.owner.clone());
        let made = caught(id, || {
            let mut peer = make(arriving, now.mono);
            let ufrag = peer.ufrag();
            (peer, ufrag)
        });
        let (peer, ufrag) = match made {
            Some((peer, ufrag)) if !gate.is_closed() && !peer.is_revoked() => (peer, ufrag),
            refused => {
                gate.set_gone();
                let gone = if refused.is_some() { Gone::Left } else { Gone::Broken };
                // An owner that does not keep up has let go of its peers.
                let _ = owner.map(|owner| owner.try_send((id, PeerEvent::Closed(gone))));
                return;
            }
        };
        self.by_ufrag.insert(ufrag.clone(), id);
        let (source, hold) = plays.unzip();
        let seat = Seat {
            peer,
            gate,
            ufrag,
            _hold: hold,
            source,
            plays: None,
            played: None,
            publishes: None,
            seated: None,
            told: None,
        };
        self.seats.insert(id, seat);
        self.settle(id, udp, now);
    }

    fn go_live(&mut self, id: PeerId, live: GoneLive, udp: &Udp, now: Now) {
        let GoneLive { stream, packets, frames, shares, hold } = live;
        let key = stream.clone();
        let went = self.with(id, |seat| {
            seat._hold = Some(hold);
            seat.publishes = Some(stream);
            seat.peer.go_live(packets, frames, shares, now.mono);
        });
        if went.is_none() {
            return;
        }
        self.publishers.insert(key, id);
        self.settle(id, udp, now);
    }

    /// Takes a datagram to whom it is for.
    pub(crate) fn datagram(&mut self, datagram: &Datagram<'_>, udp: &Udp, now: Now) {
        let to = self.addresses.meant(datagram.to);
        // Anybody's bytes: they can make no peer pay for what they do to the parser.
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            let receive = Receive::new(Protocol::Udp, datagram.from, to, datagram.bytes).ok()?;
            self.route(datagram).map(|id| (receive, id))
        }));
        let Ok(Some((receive, id))) = parsed else { return };
        let input = Input::Receive(now.mono, receive);
        let known = self.by_address.get(&datagram.from) == Some(&id);
        if !known && self.with(id, |seat| seat.peer.accepts(&input)) != Some(true) {
            return;
        }
        if !known && let Some(seat) = self.seats.get_mut(&id) {
            let forgotten = seat.peer.learn(datagram.from);
            self.by_address.insert(datagram.from, id);
            if let Some(old) = forgotten {
                self.by_address.remove(&old);
            }
        }
        let Input::Receive(_, receive) = input else { return };
        let size = datagram.bytes.len();
        self.with(id, |seat| seat.peer.receive(receive, size, now.mono, now.wall));
        self.settle(id, udp, now);
    }

    fn route(&self, datagram: &Datagram<'_>) -> Option<PeerId> {
        // A browser may open its next connection from the port of its last, so a
        // name counts for more than an address.
        let is_stun = datagram.bytes.first().is_some_and(|&first| first < 4);
        let name = is_stun.then(|| StunMessage::parse(datagram.bytes).ok()).flatten();
        let named = name.as_ref().and_then(|stun| stun.split_username()).map(|(local, _)| local);
        match named {
            Some(ufrag) => self.by_ufrag.get(ufrag).copied(),
            None => self.by_address.get(&datagram.from).copied(),
        }
    }

    /// Does something with a peer. One that makes our code panic is closed.
    fn with<T>(&mut self, id: PeerId, f: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        let seat = self.seats.get_mut(&id)?;
        let done = caught(id, || f(seat));
        if done.is_none() {
            self.remove(id, Gone::Broken);
        }
        done
    }

    /// Sends what a peer has to send, and does what follows from what happened.
    fn settle(&mut self, id: PeerId, udp: &Udp, now: Now) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let settled = self.with(id, |seat| {
            seat.peer.drain(&mut outbox, now.mono);
            (seat.peer.gone(), seat.peer.take_keyframe_wish())
        });
        self.flush(id, outbox, udp);
        match settled {
            Some((Some(gone), _)) => self.remove(id, gone),
            Some((None, wish)) => {
                if wish {
                    self.picture_lost(id, now);
                }
                self.sit(id, now);
                self.schedule(id, now);
            }
            None => {}
        }
    }

    /// Sends what a peer put into the outbox. What one left that made our code panic
    /// is nobody's any more.
    fn flush(&mut self, id: PeerId, mut outbox: Outbox, udp: &Udp) {
        match self.seats.get(&id) {
            Some(seat) => seat.gate.burst(|leave| outbox.flush(udp, &self.addresses, leave)),
            None => outbox.clear(),
        }
        self.outbox = outbox;
    }

    fn schedule(&mut self, id: PeerId, now: Now) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let at = seat.peer.deadline(now.mono);
        if seat.peer.scheduled.is_none_or(|planned| at < planned) {
            seat.peer.scheduled = Some(at);
            self.timers.push(Reverse((at, id)));
        }
    }

    /// Looks at everybody whose time has come.
    pub(crate) fn due(&mut self, udp: &Udp, now: Now) {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now.mono {
                break;
            }
            self.timers.pop();
            let ours = self.seats.get_mut(&id).filter(|seat| seat.peer.scheduled == Some(at));
            let Some(seat) = ours else { continue };
            seat.peer.scheduled = None;
            self.with(id, |seat| seat.peer.tick(now.mono));
            self.settle(id, udp, now);
        }
        if now.mono >= self.look + LOOK {
            self.look = now.mono;
            for id in std::mem::take(&mut self.idle) {
                self.sit(id, now);
            }
        }
    }

    /// Gives a player its place in the stream, if it can play and there is one.
    fn sit(&mut self, id: PeerId, now: Now) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if seat.plays.is_some() || !seat.peer.can_play() {
            return;
        }
        let Some(source) = &mut seat.source else { return };
        let live = source.live.borrow_and_update().clone();
        let opened = live.and_then(|live| self.streams.open(&live, &source.stream, now.mono));
        let Some(stream) = opened else {
            if !self.idle.contains(&id) {
                self.idle.push(id);
            }
            return;
        };
        if seat.played.is_some_and(|before| before != stream) {
            seat.peer.source_changed();
        }
        seat.plays = Some(stream);
        seat.played = Some(stream);
        self.streams.enter(stream, id);
        self.place(stream, id, now);
    }

    /// Gives a player that is in a stream its place there, if it can have one now.
    fn place(&mut self, stream: StreamId, id: PeerId, now: Now) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(place) = self.streams.join(stream, now.mono) else { return };
        seat.seated = Some(now.mono);
        let waits = place.waits();
        seat.peer.attach(place);
        if waits {
            self.ask_keyframe(stream);
        }
    }

    fn stand(&mut self, id: PeerId) {
        let plays = self.with(id, |seat| {
            seat.peer.detach();
            seat.plays.take()
        });
        if let Some(Some(stream)) = plays {
            self.streams.leave(stream, id);
        }
    }

    fn picture_lost(&mut self, id: PeerId, now: Now) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let Some(stream) = seat.plays else { return };
        let recently = seat.seated.is_some_and(|at| now.mono < at + REPLAY);
        if self.streams.on_demand(stream) {
            self.ask_keyframe(stream);
        } else if !recently {
            self.place(stream, id, now);
        }
    }

    fn ask_keyframe(&mut self, stream: StreamId) {
        let Some(key) = self.streams.ask_keyframe(stream) else { return };
        let publisher = self.publishers.get(&key).and_then(|id| self.seats.get_mut(id));
        if let Some(seat) = publisher {
            seat.peer.want_keyframe();
        }
    }

    /// Carries packets from streams to players; whether there is more at once.
    pub(crate) fn serve(&mut self, udp: &Udp, now: Now) -> bool {
        let mut more = false;
        for stream in self.streams.dirty(now.mono) {
            let read = self.streams.read(stream, now.mono);
            more |= read.more;
            let behind = self.pump(stream, udp, now);
            self.streams.set_behind(stream, behind.then_some(now.mono));
            if read.ended {
                self.ended(stream, udp, now);
            }
        }
        more
    }

    /// Sends every player of a stream what is new; whether one has more to get.
    fn pump(&mut self, stream: StreamId, udp: &Udp, now: Now) -> bool {
        let players = self.streams.players(stream);
        let keyframes_only = self.streams.has_keyframes_only(stream);
        let mut behind = false;
        for id in players.iter().copied() {
            if self.seats.get(&id).is_some_and(|seat| !seat.peer.is_placed()) {
                self.place(stream, id, now);
            }
            let Some(view) = self.streams.take_view(stream) else { break };
            let pumped = self.with(id, |seat| {
                let may = seat.peer.can_play();
                if may { seat.peer.pump(&view, now.mono) } else { Pumped::default() }
            });
            self.streams.put_view(stream, view);
            if keyframes_only {
                self.tell_keyframes_only(stream, id);
            }
            if let Some(pumped) = pumped.filter(|pumped| pumped.packets > 0) {
                behind |= pumped.more;
                self.settle(id, udp, now);
            }
        }
        behind
    }

    /// Says so once for each stream that a player plays.
    fn tell_keyframes_only(&mut self, stream: StreamId, id: PeerId) {
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.told != Some(stream)) else { return };
        seat.told = Some(stream);
        seat.peer.tell(PeerEvent::KeyframesOnly);
    }

    /// A stream is over: its players wait for the next.
    fn ended(&mut self, stream: StreamId, udp: &Udp, now: Now) {
        for id in self.streams.players(stream).iter().copied().collect::<Vec<_>>() {
            self.stand(id);
            self.with(id, |seat| seat.peer.tell(PeerEvent::Ended));
            self.settle(id, udp, now);
        }
        self.streams.close(stream);
    }

    /// Carries out an order of the peer's session, then says so.
    fn order(&mut self, id: PeerId, order: Order, udp: &Udp, now: Now) {
        match order.what {
            What::Standing(SetStanding::Grant) => self.sit(id, now),
            // The outbox is empty between commands, so what is not written now
            // is never written.
            What::Standing(SetStanding::Suspend { .. }) => self.stand(id),
            What::Hush => self.hush(id),
            What::Standing(SetStanding::Revoke(_)) | What::Close(_) => {
                self.stand(id);
                self.close(id, udp, now);
            }
        }
        let _ = order.done.send(());
        self.settle(id, udp, now);
    }

    /// The stream that a player plays was silenced, unless it plays the next one
    /// already: of the old one it has nothing left then, since it left that.
    fn hush(&mut self, id: PeerId) {
        let plays = self.seats.get(&id).and_then(|seat| seat.plays);
        if plays.is_none_or(|stream| self.streams.forget_silenced(stream)) {
            self.stand(id);
            self.with(id, |seat| seat.peer.tell(PeerEvent::Ended));
        }
    }

    /// Removes everybody whose owner let go.
    pub(crate) fn sweep(&mut self, udp: &Udp, now: Now) {
        let released: Vec<PeerId> =
            self.seats.iter().filter(|(_, seat)| seat.gate.is_released()).map(|(&id, _)| id).collect();
        for id in released {
            self.close(id, udp, now);
        }
    }

    /// The shard ends.
    pub(crate) fn goodbye(&mut self, udp: &Udp, now: Now) {
        for id in self.seats.keys().copied().collect::<Vec<_>>() {
            self.close(id, udp, now);
        }
    }

    fn close(&mut self, id: PeerId, udp: &Udp, now: Now) {
        let mut outbox = std::mem::take(&mut self.outbox);
        self.with(id, |seat| seat.peer.close(&mut outbox, now.mono));
        self.flush(id, outbox, udp);
        self.remove(id, Gone::Left);
    }

    fn remove(&mut self, id: PeerId, gone: Gone) {
        let Some(mut seat) = self.seats.remove(&id) else { return };
        seat.gate.set_gone();
        self.by_ufrag.remove(&seat.ufrag);
        for address in seat.peer.remotes() {
            if self.by_address.get(address) == Some(&id) {
                self.by_address.remove(address);
            }
        }
        if let Some(stream) = seat.plays {
            self.streams.leave(stream, id);
        }
        if let Some(key) = &seat.publishes
            && self.publishers.get(key) == Some(&id)
        {
            self.publishers.remove(key);
        }
        self.idle.retain(|&idle| idle != id);
        seat.peer.tell(PeerEvent::Closed(gone));
    }
}

/// What `f` makes; nothing if it panics, which costs that peer only. What a panic
/// tore must not be used again.
fn caught<T>(id: PeerId, f: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(f));
    if done.is_err() {
        tracing::error!(peer = id.0, "a peer made the shard panic and is closed");
    }
    done.ok()
}

#[cfg(test)]
mod tests;
