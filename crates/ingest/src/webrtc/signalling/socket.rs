//! One WebSocket: any number of streams, each published or played.
//!
//! Started by the HTTP worker that took the upgrade; ends with the socket, and
//! takes every peer it signalled with it.

mod admitted;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_ws::{AggregatedMessage, AggregatedMessageStream, Closed, Session};
use contract::registry::{Form, PlayRefused};
use contract::session::{CloseReason, SetStanding, Traffic};
use contract::{Action, AppName, AppSettings, Credentials, Protocol, StandingCell, StreamId, StreamKey};
use futures_util::StreamExt;
use media::Tracks;
use session::{Entrant, Pass, Refused, Request, What};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::dialect::{self, Ask, Description, Notice, Problem, Unclear};
use crate::crowd::Member;
use crate::webrtc::Core;
use crate::webrtc::command::{Busy, Events, GoneLive, PeerHandle, Source};
use crate::webrtc::lobby::Entry;
use crate::webrtc::peer::{PeerEvent, PeerId, Shares};
use crate::webrtc::sdp;

/// Streams on one socket. A page has a handful.
const MAX_STREAMS: usize = 32;
/// Events that may wait; a peer has a few in its life.
const MAX_EVENTS: usize = 256;
/// The SDK pings every 3 s; a socket that says nothing at all for so long is
/// dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a page may leave what it is told unread.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the socket looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Ours, for pages that do not ping.
const PING: Duration = Duration::from_secs(20);
/// A socket that has carried no stream for so long ends, whatever it pings and is refused.
/// Ant Media's SDK opens another when it has something to send.
const IDLE: Duration = Duration::from_secs(30);

/// One stream on a socket.
struct Seat {
    subscriber: String,
    role: Role,
    /// Width and height of the pictures; 0 while unknown.
    size: (u32, u32),
}

enum Role {
    /// May offer.
    Invited {
        pass: Pass,
        entry: Entry,
        since: Instant,
    },
    /// Has offered; its tracks are not known yet.
    Arriving {
        entrant: Entrant,
        peer: PeerHandle,
        since: Instant,
    },
    Live {
        peer: PeerHandle,
    },
    Player {
        peer: PeerHandle,
        ended: bool,
    },
}

impl Role {
    const fn peer(&self) -> Option<&PeerHandle> {
        match self {
            Self::Invited { .. } => None,
            Self::Arriving { peer, .. } | Self::Live { peer } | Self::Player { peer, .. } => Some(peer),
        }
    }
}

/// A socket.
pub(crate) struct Socket {
    webrtc: Arc<Core>,
    app: AppName,
    from: IpAddr,
    out: Session,
    seats: HashMap<StreamId, Seat>,
    events: Events,
    heard: Instant,
    pinged: Instant,
    /// When it last carried a stream or an invitation to one; when it began, before.
    carried: Instant,
    /// Its place among those that carry nothing; none while it carries something.
    idle: Option<Member>,
}

/// Where a socket comes from, and its place among those that carry nothing.
pub(crate) struct Caller {
    pub(crate) app: AppName,
    pub(crate) from: IpAddr,
    pub(crate) idle: Member,
}

impl Socket {
    /// Speaks until the page leaves or the server stops.
    pub(crate) async fn run(
        webrtc: Arc<Core>,
        caller: Caller,
        out: Session,
        mut frames: AggregatedMessageStream,
    ) {
        let (events, mut happened) = mpsc::channel(MAX_EVENTS);
        let now = webrtc.now();
        let stop = webrtc.stopping();
        let (seats, Caller { app, from, idle }) = (HashMap::new(), caller);
        let [heard, pinged, carried] = [now; 3];
        let idle = Some(idle);
        let mut socket = Self { webrtc, app, from, out, seats, events, heard, pinged, carried, idle };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                frame = frames.next() => match frame {
                    Some(Ok(frame)) => socket.on_frame(frame).await,
                    Some(Err(_)) | None => Err(Closed),
                },
                Some((peer, event)) = happened.recv() => socket.on_event(peer, event).await,
                _ = tick.tick() => socket.on_tick().await,
                () = stop.cancelled() => socket.farewell().await,
            };
            if done.is_err() || socket.rest().is_err() {
                break;
            }
        }
        // The peers go with the seats; whoever is gone cannot be told.
        socket.seats.clear();
        let _ = socket.out.close(None).await;
    }

    async fn on_frame(&mut self, frame: AggregatedMessage) -> Result<(), Closed> {
        self.heard = self.webrtc.now();
        match frame {
            AggregatedMessage::Text(text) => self.on_text(&text).await,
            AggregatedMessage::Ping(bytes) => patiently(self.out.pong(&bytes)).await,
            AggregatedMessage::Close(_) => Err(Closed),
            AggregatedMessage::Binary(_) => self.problem(Problem::Unclear(Unclear::Message), None).await,
            AggregatedMessage::Pong(_) => Ok(()),
        }
    }

    async fn on_text(&mut self, text: &str) -> Result<(), Closed> {
        match dialect::parse(text) {
            Ok(ask) => self.on_ask(ask).await,
            Err(unclear) => self.problem(Problem::Unclear(unclear), None).await,
        }
    }

    async fn on_ask(&mut self, ask: Ask) -> Result<(), Closed> {
        match ask {
            Ask::Ping => self.say(dialect::pong()).await,
            Ask::IceServers => self.ice_servers().await,
            Ask::Publish { stream, credentials } => {
                let asked = self.publish(&stream, credentials).await;
                self.admitted(&stream, asked).await
            }
            Ask::Play { stream, credentials } => {
                let asked = self.play(&stream, credentials).await;
                self.admitted(&stream, asked).await
            }
            Ask::Offer { stream, sdp } => {
                let asked = self.offered(&stream, sdp).await;
                self.answer(&stream, asked).await
            }
            Ask::Answer { stream, sdp } => self.answered(&stream, sdp).await,
            Ask::Candidate { candidate } if !sdp::is_candidate(&candidate) => {
                self.problem(Problem::Unclear(Unclear::Missing), None).await
            }
            Ask::Candidate { .. } | Ask::Other => Ok(()),
            Ask::Stop { stream } => self.stop(&stream).await,
            Ask::StreamInfo { stream } => self.info(&stream).await,
            Ask::TrackList { stream } => self.say(dialect::track_list(&stream)).await,
        }
    }

    /// Says the outcome of a step; one that failed ends the stream's seat.
    async fn answer(&mut self, stream: &StreamId, outcome: Result<String, Problem>) -> Result<(), Closed> {
        match outcome {
            Ok(message) => self.say(message).await,
            Err(problem) => self.problem(problem, Some(stream)).await,
        }
    }

    async fn publish(&mut self, stream: &StreamId, credentials: Credentials) -> Result<String, Problem> {
        self.has_room(stream, Problem::AlreadyPublishing)?;
        let entry = self.webrtc.enter(self.from, &self.app, Action::Publish)?;
        let subscriber = subscriber(&credentials);
        let pass = self.webrtc.admission().ask(self.request(Action::Publish, stream, credentials)).await?;
        // As with WHIP: what is taken now is refused before the page offers (C§16.10).
        pass.look_for_place().await?;
        let start = dialect::start(stream, &subscriber);
        let role = Role::Invited { pass, entry, since: self.webrtc.now() };
        self.seats.insert(stream.clone(), Seat { subscriber, role, size: (0, 0) });
        Ok(start)
    }

    async fn play(&mut self, stream: &StreamId, credentials: Credentials) -> Result<String, Problem> {
        self.has_room(stream, Problem::AlreadyPlaying)?;
        let entry = self.webrtc.enter(self.from, &self.app, Action::Play)?;
        let subscriber = subscriber(&credentials);
        let pass = self.webrtc.admission().ask(self.request(Action::Play, stream, credentials)).await?;
        let reserved = self.webrtc.shard().reserve();
        let plane = reserved.plane(Some(self.events.clone()));
        let player = pass.attach(plane).await?.play().await?;
        let gone = Problem::Refused(PlayRefused::NotLive.into());
        let tracks = player.live.borrow().as_ref().map(|live| live.frames.tracks()).ok_or(gone)?;
        let candidates = self.webrtc.shard().candidates();
        let made = sdp::offer(&tracks, stream.as_str(), candidates, self.webrtc.now()).ok_or(gone)?;
        let mids: Vec<String> = made.mids.iter().map(ToString::to_string).collect();
        let offer = dialect::description(Description::Offer, stream, &made.sdp, &mids, &subscriber);
        let shares = self.shares(player.link.standing.clone(), player.link.traffic.clone());
        let source = Source { stream: player.link.stream.clone(), live: player.live };
        let peer = reserved.play(made, shares, entry, source, Box::new(player.link))?;
        let role = Role::Player { peer, ended: false };
        self.seats.insert(stream.clone(), Seat { subscriber, role, size: size_of(&tracks) });
        Ok(offer)
    }

    /// A publisher's offer.
    async fn offered(&mut self, stream: &StreamId, sdp: String) -> Result<String, Problem> {
        let Some(Seat { subscriber, role, size }) = self.seats.remove(stream) else {
            return Err(Problem::NoPeer);
        };
        let Role::Invited { pass, entry, .. } = role else {
            self.seats.insert(stream.clone(), Seat { subscriber, role, size });
            return Err(Problem::AlreadyPublishing);
        };
        let since = self.webrtc.now();
        let candidates = self.webrtc.shard().candidates();
        let parse = move || sdp::answer_publisher(&sdp, candidates, since);
        let made = self.webrtc.parsers().run(parse).await?;
        let answer = dialect::description(Description::Answer, stream, &made.sdp, &[], &subscriber);
        let reserved = self.webrtc.shard().reserve();
        // From here on an order ends it, connected or not.
        let entrant = pass.attach(reserved.plane(Some(self.events.clone()))).await?;
        let shares = self.shares(entrant.standing(), entrant.traffic());
        let peer = reserved.publish(made, shares, entry)?;
        let role = Role::Arriving { entrant, peer, since };
        self.seats.insert(stream.clone(), Seat { subscriber, role, size: (0, 0) });
        Ok(answer)
    }

    /// A player's answer.
    async fn answered(&mut self, stream: &StreamId, sdp: String) -> Result<(), Closed> {
        let Some(Role::Player { peer, .. }) = self.seats.get(stream).map(|seat| &seat.role) else {
            return self.problem(Problem::NoPeer, Some(stream)).await;
        };
        let read = self.webrtc.parsers().run(move || sdp::read_answer(&sdp)).await;
        let answered = match read {
            Ok(answer) => peer.answer(answer).await,
            Err(error) => Ok(Err(error)),
        };
        let problem = match answered {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Problem::from(error),
            Err(Busy) => Problem::NoRoom,
        };
        self.seats.remove(stream);
        self.problem(problem, Some(stream)).await
    }

    async fn stop(&mut self, stream: &StreamId) -> Result<(), Closed> {
        // Pages stop streams that never started.
        let Some(seat) = self.seats.remove(stream) else { return Ok(()) };
        let notice = match seat.role {
            Role::Player { .. } => Notice::PlayFinished,
            Role::Invited { .. } | Role::Arriving { .. } | Role::Live { .. } => Notice::PublishFinished,
        };
        self.say(dialect::notice(notice, Some(stream), &seat.subscriber)).await
    }

    async fn info(&mut self, stream: &StreamId) -> Result<(), Closed> {
        // Only about what this page may see: others learn nothing (C§16.10).
        match self.seats.get(stream).map(|seat| seat.size) {
            Some((width, height)) => self.say(dialect::stream_info(stream, width, height)).await,
            None => {
                let not_live = PlayRefused::NotLive;
                self.problem(Problem::Refused(not_live.into()), Some(stream)).await
            }
        }
    }

    async fn on_event(&mut self, id: PeerId, event: PeerEvent) -> Result<(), Closed> {
        let is_its = |seat: &&Seat| seat.role.peer().is_some_and(|peer| peer.id() == id);
        let found = self.seats.iter().find(|(_, seat)| is_its(seat)).map(|(stream, _)| stream.clone());
        let Some(stream) = found else { return Ok(()) };
        match event {
            PeerEvent::Connected => Ok(()),
            PeerEvent::Tracks(tracks) => self.go_live(stream, tracks).await,
            PeerEvent::Playing => self.playing(&stream).await,
            PeerEvent::KeyframesOnly => self.problem(Problem::KeyframesOnly, Some(&stream)).await,
            PeerEvent::Ended => self.ended(&stream).await,
            PeerEvent::Ordered(what) => self.ordered(stream, what).await,
            PeerEvent::Closed(_) => self.stop(&stream).await,
        }
    }

    async fn go_live(&mut self, stream: StreamId, tracks: Tracks) -> Result<(), Closed> {
        let Some(Seat { subscriber, role, .. }) = self.seats.remove(&stream) else { return Ok(()) };
        let size = size_of(&tracks);
        let Role::Arriving { entrant, peer, .. } = role else { return Ok(()) };
        let publisher = match entrant.go_live(tracks, Form::FramesAndPackets).await {
            Ok(publisher) => publisher,
            Err(refused) => return self.problem(refused.into(), Some(&stream)).await,
        };
        let shares = self.shares(publisher.link.standing.clone(), publisher.link.traffic.clone());
        let Some(live) = GoneLive::new(publisher, shares) else { return Ok(()) };
        if peer.go_live(live).is_err() {
            return self.problem(Problem::NoRoom, Some(&stream)).await;
        }
        let started = dialect::notice(Notice::PublishStarted, Some(&stream), &subscriber);
        self.seats.insert(stream, Seat { subscriber, role: Role::Live { peer }, size });
        self.say(started).await
    }

    async fn playing(&mut self, stream: &StreamId) -> Result<(), Closed> {
        let Some(seat) = self.seats.get_mut(stream) else { return Ok(()) };
        if let Role::Player { ended, .. } = &mut seat.role {
            *ended = false;
        }
        let started = dialect::notice(Notice::PlayStarted, Some(stream), &seat.subscriber);
        self.say(started).await
    }

    /// A player's stream is over; said once, whoever says it first.
    async fn ended(&mut self, stream: &StreamId) -> Result<(), Closed> {
        let Some(seat) = self.seats.get_mut(stream) else { return Ok(()) };
        let Role::Player { ended, .. } = &mut seat.role else { return Ok(()) };
        if std::mem::replace(ended, true) {
            return Ok(());
        }
        let finished = dialect::notice(Notice::PlayFinished, Some(stream), &seat.subscriber);
        self.say(finished).await
    }

    /// The session was ordered something; the page is told what that means.
    async fn ordered(&mut self, stream: StreamId, what: What) -> Result<(), Closed> {
        match what {
            What::Standing(SetStanding::Suspend { .. }) => {
                self.problem(Problem::Blocked, Some(&stream)).await
            }
            // The shard says so: when the first packet has left, and if the player
            // was still at what is hushed.
            What::Standing(SetStanding::Grant) | What::Hush => Ok(()),
            What::Standing(SetStanding::Revoke(why)) | What::Close(why) => self.over(&stream, why).await,
        }
    }

    /// The session ends by order.
    async fn over(&mut self, stream: &StreamId, why: CloseReason) -> Result<(), Closed> {
        // An administrator's stop is no error: the page is told of the end only.
        if why != CloseReason::Stopped {
            self.problem(Problem::Refused(Refused::Ended(why)), Some(stream)).await?;
        }
        self.stop(stream).await?;
        if why == CloseReason::TakenOver {
            // Else the SDK connects again by itself, and takes back over.
            self.say(dialect::stop(stream)).await?;
        }
        Ok(())
    }

    async fn on_tick(&mut self) -> Result<(), Closed> {
        let now = self.webrtc.now();
        let idle = self
            .idle
            .as_ref()
            .is_some_and(|idle| idle.is_displaced() || now.saturating_duration_since(self.carried) > IDLE);
        if idle || now.saturating_duration_since(self.heard) > SILENCE {
            tracing::debug!(peer = %self.from, idle, "a WebSocket that carries nothing, or is silent, is closed");
            return Err(Closed);
        }
        if now.saturating_duration_since(self.pinged) > PING {
            self.pinged = now;
            patiently(self.out.ping(b"")).await?;
        }
        let limit = self.settings().map_or(Duration::ZERO, |settings| settings.webrtc.start_timeout);
        let over = |since: Instant| now.saturating_duration_since(since) > limit;
        let ends = |role: &Role| match role {
            Role::Invited { entry, .. } if entry.arrival.is_displaced() => Some(Problem::NoRoom),
            Role::Invited { since, .. } | Role::Arriving { since, .. } if over(*since) => {
                Some(Problem::PublishTimeout)
            }
            _ => None,
        };
        let ended = self.seats.iter().filter_map(|(stream, seat)| Some((stream.clone(), ends(&seat.role)?)));
        for (stream, problem) in ended.collect::<Vec<_>>() {
            self.seats.remove(&stream);
            self.problem(problem, Some(&stream)).await?;
        }
        Ok(())
    }

    async fn farewell(&mut self) -> Result<(), Closed> {
        self.say(dialect::notice(Notice::ServerWillStop, None, "")).await?;
        Err(Closed)
    }

    /// Whether another stream fits. One stream has one role on a socket.
    fn has_room(&self, stream: &StreamId, taken: Problem) -> Result<(), Problem> {
        let settings = self.settings().ok_or(Problem::Disabled)?;
        if !settings.webrtc.enabled {
            return Err(Problem::Disabled);
        }
        if self.seats.contains_key(stream) {
            return Err(taken);
        }
        if self.seats.len() >= MAX_STREAMS {
            return Err(Problem::NoRoom);
        }
        Ok(())
    }

    fn request(&self, action: Action, stream: &StreamId, credentials: Credentials) -> Request {
        let stream = StreamKey { app: self.app.clone(), id: stream.clone() };
        Request { action, stream, credentials, peer: self.from, protocol: Protocol::Webrtc }
    }

    fn shares(&self, standing: Arc<StandingCell>, traffic: Arc<Traffic>) -> Shares {
        Shares { standing, traffic, owner: Some(self.events.clone()) }
    }

    fn settings(&self) -> Option<Arc<AppSettings>> {
        self.webrtc.admission().settings(&self.app)
    }

    async fn say(&mut self, message: String) -> Result<(), Closed> {
        patiently(self.out.text(message)).await
    }

    async fn problem(&mut self, problem: Problem, stream: Option<&StreamId>) -> Result<(), Closed> {
        self.say(dialect::problem(problem, stream)).await
    }
}

/// A page that does not read for so long will not.
async fn patiently(sending: impl Future<Output = Result<(), Closed>>) -> Result<(), Closed> {
    tokio::time::timeout(PATIENCE, sending).await.unwrap_or(Err(Closed))
}

impl From<Busy> for Problem {
    fn from(_: Busy) -> Self {
        Self::NoRoom
    }
}

fn subscriber(credentials: &Credentials) -> String {
    credentials.subscriber.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn size_of(tracks: &Tracks) -> (u32, u32) {
    tracks.video.as_ref().map_or((0, 0), |video| (video.width, video.height))
}
