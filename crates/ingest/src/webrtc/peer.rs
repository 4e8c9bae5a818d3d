//! One connection in one role: str0m, and what it carries.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use contract::session::Traffic;
use contract::{Standing, StandingCell, WallMs};
use media::{BusWriter, PacketWriter, TrackKind, Tracks};
use session::What;
use str0m::change::SdpPendingOffer;
use str0m::format::Codec;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::rtp::{RtpPacket, Ssrc};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};

use super::command::{Arriving, Events};
use super::egress::{Egress, Pumped};
use super::fanout::{Place, View};
use super::ingress::{Announced, Ingress, Rtp};
use super::lobby::Entry;
use super::outbox::{Outbox, is_media};
use super::sdp::{self, Answer, SdpError};
use crate::crowd::Member;
use crate::pool;

/// A peer that has not connected by then is gone; browsers give up after 15 s.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// No datagram for so long ends a connection. Browsers check consent every 5 s
/// (RFC 7675 §5.1).
const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// A connected peer is heard more often than this: browsers check every 2.5 s. A client
/// that connects anew from the same port, without a goodbye, waits so long.
const TALKING: Duration = Duration::from_secs(3);

/// Names a peer within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(pub u64);

/// What a peer's owner is told. The owner keeps up, or the peer is closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PeerEvent {
    /// ICE and DTLS are through.
    Connected,
    /// A publisher's stream is known: it may go live.
    Tracks(Tracks),
    /// The first media packet went to a player, at the beginning or after a pause.
    Playing,
    /// A player sees key frames only: the stream must be encoded again for it, and
    /// there is no room for that.
    KeyframesOnly,
    /// The peer's session was told this, and it holds or is about to.
    Ordered(What),
    /// A player's stream ended; it waits for the next.
    Ended,
    /// The connection is over.
    Closed(Gone),
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The peer closed it.
    Left,
    /// The peer fell silent.
    Silent,
    /// It never connected, or not before its place was given to another.
    NeverConnected,
    /// The peer broke the protocol.
    Broken,
}

/// What a peer shares with its owner.
#[derive(Debug, Clone)]
pub(crate) struct Shares {
    /// What it may do.
    pub(crate) standing: Arc<StandingCell>,
    /// What it did.
    pub(crate) traffic: Arc<Traffic>,
    /// Whom to tell, if anybody wants to know.
    pub(crate) owner: Option<Events>,
}

/// What a peer does.
enum Role {
    Player { egress: Egress, pending: Option<SdpPendingOffer>, playing: bool },
    Publisher { ingress: Box<Ingress>, pinned: [Option<Ssrc>; 2] },
}

/// One connection.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    rtc: Rtc,
    mids: Vec<Mid>,
    role: Role,
    shares: Shares,
    timeout: Instant,
    /// When the shard will look at it again.
    pub(crate) scheduled: Option<Instant>,
    born: Instant,
    heard: Instant,
    connected: bool,
    /// Its place among those that have not connected, until it has.
    arrival: Option<Member>,
    /// Its place among all peers.
    _place: pool::Place,
    gone: Option<Gone>,
    /// A player asked for a key frame.
    keyframe_wanted: bool,
}

impl Peer {
    /// A player.
    pub(crate) fn player(mut arriving: Arriving, now: Instant) -> Self {
        let pending = arriving.made.pending.take();
        let role = Role::Player { egress: Egress::default(), pending, playing: false };
        let mut peer = Self::new(arriving, role, now);
        if let Role::Player { egress, pending: None, .. } = &mut peer.role {
            egress.negotiate(&mut peer.rtc, &peer.mids);
        }
        peer
    }

    /// A publisher.
    pub(crate) fn publisher(arriving: Arriving, now: Instant) -> Self {
        let made = &arriving.made;
        let announced = Announced {
            video: sdp::receives(&made.rtc, &made.mids, MediaKind::Video),
            audio: sdp::receives(&made.rtc, &made.mids, MediaKind::Audio),
        };
        let ingress = Box::new(Ingress::new(announced));
        let role = Role::Publisher { ingress, pinned: [None; 2] };
        Self::new(arriving, role, now)
    }

    fn new(arriving: Arriving, role: Role, now: Instant) -> Self {
        let Arriving { id, made, shares, entry, .. } = arriving;
        let Entry { arrival, place } = entry;
        Self {
            id,
            rtc: made.rtc,
            mids: made.mids,
            role,
            shares,
            timeout: now,
            scheduled: None,
            born: now,
            heard: now,
            connected: false,
            arrival: Some(arrival),
            _place: place,
            gone: None,
            keyframe_wanted: false,
        }
    }

    /// Whether its permit was taken back.
    pub(crate) fn is_revoked(&self) -> bool {
        self.shares.standing.get() == Standing::Revoked
    }

    /// The name by which STUN requests find it.
    pub(crate) fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Takes a player's answer.
    pub(crate) fn answer(&mut self, answer: Answer) -> Result<(), SdpError> {
        let Role::Player { egress, pending, .. } = &mut self.role else { return Err(SdpError::Malformed) };
        let pending = pending.take().ok_or(SdpError::Malformed)?;
        sdp::accept_answer(&mut self.rtc, pending, answer)?;
        egress.negotiate(&mut self.rtc, &self.mids);
        if egress.is_negotiated() { Ok(()) } else { Err(SdpError::NoCodec) }
    }

    /// Whether a datagram is for it, by its credentials or the address it comes
    /// from.
    pub(crate) fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.accepts(input)
    }

    /// Whether it is connected and was heard a moment ago: then no other peer sends from
    /// where it does, whatever a datagram says of its origin.
    pub(crate) fn is_talking(&self, now: Instant) -> bool {
        self.connected && now.saturating_duration_since(self.heard) < TALKING
    }

    /// Whether ICE and DTLS are through.
    pub(crate) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// As if ICE and DTLS were through.
    #[cfg(test)]
    pub(crate) fn set_connected(&mut self) {
        self.connected = true;
    }

    /// Takes a datagram.
    pub(crate) fn receive(&mut self, input: Input<'_>, size: usize, now: Instant, wall: WallMs) {
        self.heard = now;
        self.shares.traffic.heard(wall);
        self.shares.traffic.received(size);
        self.feed(input);
    }

    fn feed(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            self.gone.get_or_insert(Gone::Broken);
        }
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now >= self.timeout {
            self.feed(Input::Timeout(now));
        }
        let silent = now.saturating_duration_since(self.heard) > SILENCE_LIMIT;
        if self.connected && silent {
            self.gone.get_or_insert(Gone::Silent);
        }
        let displaced = self.arrival.as_ref().is_some_and(Member::is_displaced);
        let late = now.saturating_duration_since(self.born) > CONNECT_LIMIT;
        if !self.connected && (late || displaced) {
            self.gone.get_or_insert(Gone::NeverConnected);
        }
        if let Role::Publisher { ingress, .. } = &mut self.role {
            ingress.advance(now);
        }
    }

    /// Puts everything that str0m wants to send into `outbox`, but no media while
    /// the peer is not granted; learns what happened.
    pub(crate) fn drain(&mut self, outbox: &mut Outbox, now: Instant) {
        self.serve_ingress(now);
        let mut events = Vec::new();
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    break;
                }
                Ok(Output::Transmit(out)) => {
                    let silent = !self.shares.standing.is_granted();
                    if !(silent && is_media(&out.contents)) {
                        outbox.push(out.source, out.destination, &out.contents);
                    }
                }
                Ok(Output::Event(event)) => {
                    self.on_event(event, &mut events, now);
                }
                Err(_) => {
                    self.gone.get_or_insert(Gone::Broken);
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.gone.get_or_insert(Gone::Left);
        }
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// Key frames that are due, and news for the owner.
    fn serve_ingress(&mut self, now: Instant) {
        let Role::Publisher { ingress, .. } = &mut self.role else { return };
        if ingress.ask_keyframe(now) {
            self.request_keyframe();
            // str0m queues the request; time lets it out.
            self.feed(Input::Timeout(now));
        }
    }

    fn request_keyframe(&mut self) {
        for &mid in &self.mids {
            let video = self.rtc.media(mid).is_some_and(|media| media.kind().is_video());
            if video && let Some(rx) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
                rx.request_keyframe(KeyframeRequestKind::Pli);
            }
        }
    }

    fn on_event(&mut self, event: Event, events: &mut Vec<PeerEvent>, now: Instant) {
        match event {
            Event::Connected => {
                self.connected = true;
                self.arrival = None;
                events.push(PeerEvent::Connected);
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                self.gone.get_or_insert(Gone::Left);
            }
            Event::KeyframeRequest(_) => self.keyframe_wanted = true,
            Event::RtpPacket(packet) => self.on_rtp(packet, events, now),
            Event::SenderFeedback(report) => {
                let kind = self.rtc.media(report.mid).map(|media| track(media.kind()));
                let wall = report.sender_info.ntp_time.duration_since(UNIX_EPOCH).unwrap_or_default();
                if let (Role::Publisher { ingress, .. }, Some(kind)) = (&mut self.role, kind) {
                    ingress.report(kind, wall, report.sender_info.rtp_time.numer());
                }
            }
            _ => {}
        }
    }

    fn on_rtp(&mut self, packet: RtpPacket, events: &mut Vec<PeerEvent>, now: Instant) {
        let pt = packet.header.payload_type;
        let params = self.rtc.codec_config().params().iter().find(|p| p.pt() == pt);
        let Some(codec) = params.map(|p| p.spec().codec) else { return };
        let Role::Publisher { ingress, pinned } = &mut self.role else { return };
        let track = match codec {
            Codec::H264 => TrackKind::Video,
            Codec::Opus => TrackKind::Audio,
            _ => return,
        };
        // One encoding per track: the first that comes.
        if *pinned[track as usize].get_or_insert(packet.header.ssrc) != packet.header.ssrc {
            return;
        }
        self.shares.traffic.received_track(track, packet.payload.len());
        let rtp = Rtp {
            track,
            seq: *packet.seq_no,
            time: packet.time.numer(),
            marker: packet.header.marker,
            payload: Bytes::from_owner(packet.payload),
        };
        ingress.receive(rtp, now);
        if let Some(tracks) = ingress.take_tracks(now) {
            events.push(PeerEvent::Tracks(tracks));
        }
    }

    /// A publisher's stream is live.
    pub(crate) fn go_live(&mut self, packets: PacketWriter, frames: BusWriter, shares: Shares, now: Instant) {
        self.shares = shares;
        if let Role::Publisher { ingress, .. } = &mut self.role {
            ingress.go_live(packets, frames, now);
        }
    }

    /// A publisher's players need a key frame.
    pub(crate) fn want_keyframe(&mut self) {
        if let Role::Publisher { ingress, .. } = &mut self.role {
            ingress.want_keyframe();
        }
    }

    /// Whether this player asked for a key frame since the last call.
    pub(crate) fn take_keyframe_wish(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wanted)
    }

    /// Gives a player its place in a stream; `fresh` if that is another
    /// publisher's than before.
    pub(crate) fn attach(&mut self, place: Place) {
        if let Role::Player { egress, .. } = &mut self.role {
            egress.attach(place);
        }
    }

    /// A player's next place belongs to another publisher.
    pub(crate) fn source_changed(&mut self) {
        if let Role::Player { egress, .. } = &mut self.role {
            egress.source_changed();
        }
    }

    /// Takes a player out of its stream and forgets what it was sent.
    pub(crate) fn detach(&mut self) {
        if let Role::Player { egress, playing, .. } = &mut self.role {
            egress.detach(&mut self.rtc);
            *playing = false;
        }
    }

    /// Whether a player has a place in its stream.
    pub(crate) const fn is_placed(&self) -> bool {
        matches!(&self.role, Role::Player { egress, .. } if egress.place().is_some())
    }

    /// Whether a player can be sent media: connected, agreed, and granted.
    pub(crate) fn can_play(&self) -> bool {
        let Role::Player { egress, .. } = &self.role else { return false };
        self.connected && egress.is_negotiated() && self.shares.standing.is_granted()
    }

    /// Writes what is new in a player's stream.
    pub(crate) fn pump(&mut self, view: &View, now: Instant) -> Pumped {
        let Role::Player { egress, playing, .. } = &mut self.role else { return Pumped::default() };
        let gaps = egress.place().map_or(0, Place::gaps);
        let done = egress.pump(&mut self.rtc, view, now);
        if done.packets == 0 {
            return done;
        }
        if egress.place().map_or(0, Place::gaps) > gaps {
            self.shares.traffic.gap();
        }
        self.shares.traffic.sent(done.bytes);
        done.reached.iter().for_each(|&moment| self.shares.traffic.reached(moment));
        let first = !std::mem::replace(playing, true);
        self.feed(Input::Timeout(now));
        if first {
            self.tell(PeerEvent::Playing);
        }
        done
    }

    /// When it wants to be looked at again.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        let own = match &self.role {
            Role::Publisher { ingress, .. } => [ingress.deadline(), ingress.ask_deadline()],
            Role::Player { .. } => [None, None],
        };
        let patience = now + Duration::from_secs(1);
        own.into_iter().flatten().fold(self.timeout.min(patience), Instant::min)
    }

    /// Why it is over, if it is.
    pub(crate) const fn gone(&self) -> Option<Gone> {
        self.gone
    }

    /// Says goodbye; what to send is in the outbox afterwards.
    pub(crate) fn close(&mut self, outbox: &mut Outbox, now: Instant) {
        if self.rtc.close().is_ok() {
            self.drain(outbox, now);
        }
    }

    /// Tells the owner. One that does not listen loses its peer.
    pub(crate) fn tell(&mut self, event: PeerEvent) {
        let Some(owner) = &self.shares.owner else { return };
        if owner.try_send((self.id, event)).is_err() {
            self.gone.get_or_insert(Gone::Left);
        }
    }
}

fn track(kind: MediaKind) -> TrackKind {
    if kind.is_audio() { TrackKind::Audio } else { TrackKind::Video }
}
