//! The server's side of one connection.

mod command;
mod event;
mod player;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use media::{Frame, TrackKind, Tracks};

use crate::amf0::{self, Value, object};
use crate::assembler::Assembler;
use crate::chunk::Head;
use crate::egress::Outgoing;
use crate::handshake::{PACKET, Server};
use crate::limits::{
    MAX_EVENTS, MAX_OPEN_REQUESTS, MAX_TAGS_AT_A_TIME, PUBLISHER_PARTIALS, STRANGER_PARTIALS,
};
use crate::link::{Incoming, Link, WINDOW, kind, lane, user};
use crate::status::Status;

pub use event::{Connect, EngineError, Event, Request, RequestId, Stale};
use player::Player;

/// RTMP as a server speaks it, for one connection: bytes in, [`Event`]s and bytes out.
///
/// The caller answers [`Event::Connect`], [`Event::Publish`] and [`Event::Play`],
/// drains events and output after every call, and does not feed bytes while it
/// cannot write: then what the engine holds is bounded (see [`crate::limits`]).
pub struct Engine {
    /// Until hands are shaken.
    handshake: Option<Server>,
    link: Link,
    events: VecDeque<Event>,
    /// Input that is read when the events before it have been taken.
    unread: BytesMut,
    connect: Connecting,
    streams: Vec<u32>,
    role: Option<Role>,
    /// The message stream that the last role used, for statuses after its end.
    last_stream: u32,
    requests: u32,
    /// Requests since the last answer.
    open_requests: u32,
    /// Pings whose answer is due; a peer's unasked pongs are nobody's event.
    pings: u32,
    dropped: u64,
    failed: Option<EngineError>,
}

#[derive(Clone, Copy, PartialEq)]
enum Connecting {
    Not,
    Asked { transaction: f64 },
    Accepted,
}

/// What the connection is for. One at a time.
struct Role {
    id: RequestId,
    stream: u32,
    act: Act,
}

enum Act {
    AskingToPublish(Box<Assembler>),
    Publishing(Box<Assembler>),
    AskingToPlay,
    Playing(Player),
}

impl Engine {
    /// A new connection. `random` fills the handshake; the caller draws it.
    pub fn new(random: &[u8; PACKET]) -> Self {
        Self {
            handshake: Some(Server::new(random)),
            link: Link::new(),
            events: VecDeque::new(),
            unread: BytesMut::new(),
            connect: Connecting::Not,
            streams: Vec::new(),
            role: None,
            last_stream: 0,
            requests: 0,
            open_requests: 0,
            pings: 0,
            dropped: 0,
            failed: None,
        }
    }

    /// Takes bytes from the peer, split anywhere. What makes more than
    /// [`MAX_EVENTS`] events is kept, and read as they are taken.
    ///
    /// # Errors
    /// [`EngineError`], when the peer breaks the protocol or a cap. The connection
    /// is of no more use: every later call fails alike.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut rest = bytes;
        if self.unread.is_empty() {
            self.read(&mut rest).inspect_err(|error| self.fail(*error))?;
        }
        self.unread.extend_from_slice(rest);
        if self.handshake.is_none() {
            self.link.count(bytes.len());
        }
        Ok(())
    }

    /// The next event. `None`: there is none, or, when [`Engine::is_reading`], none in what
    /// was read this time.
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.events.is_empty() && self.is_reading() {
            self.read_on();
        }
        self.events.pop_front()
    }

    /// Whether there is input that was received and not read. Others should have a turn
    /// before the next [`Engine::poll_event`], since a peer decides how often this is so.
    pub fn is_reading(&self) -> bool {
        !self.unread.is_empty() || self.link.has_tags()
    }

    /// Why the connection cannot go on, if it was found by [`Engine::poll_event`].
    pub const fn failure(&self) -> Option<EngineError> {
        self.failed
    }

    /// Reads what was not read before.
    fn read_on(&mut self) {
        let mut unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        if let Err(error) = self.read(&mut rest) {
            return self.fail(error);
        }
        let left = rest.len();
        if left > 0 {
            unread.advance(unread.len() - left);
            self.unread = unread;
        }
    }

    fn fail(&mut self, error: EngineError) {
        self.failed = Some(error);
        self.role = None;
        self.link = Link::new();
        self.unread = BytesMut::new();
    }

    /// All bytes that wait to be written, a sequence of whole messages.
    pub fn take_output(&mut self) -> Bytes {
        self.link.take_output()
    }

    /// How many media messages were left out because they made no sense.
    pub fn dropped_messages(&self) -> u64 {
        self.dropped
    }

    /// Bytes of memory that the peer makes us hold, output and events aside.
    pub fn held(&self) -> usize {
        let assembled = match self.role.as_ref().map(|role| &role.act) {
            Some(Act::AskingToPublish(assembler) | Act::Publishing(assembler)) => assembler.held_bytes(),
            Some(Act::AskingToPlay | Act::Playing(_)) | None => 0,
        };
        self.link.held() + self.unread.len() + assembled
    }

    /// Reads from the front of `bytes` until it is used up or others should have a turn.
    fn read(&mut self, bytes: &mut &[u8]) -> Result<(), EngineError> {
        if let Some(handshake) = &mut self.handshake {
            handshake.receive(bytes, self.link.out())?;
            if !handshake.done() {
                return Ok(());
            }
            self.handshake = None;
            self.events.push_back(Event::HandshakeDone);
        }
        let mut tags = MAX_TAGS_AT_A_TIME;
        while self.events.len() < MAX_EVENTS {
            let Some(incoming) = self.link.receive(bytes, &mut tags)? else { break };
            self.on_message(incoming)?;
        }
        Ok(())
    }

    fn on_message(&mut self, incoming: Incoming) -> Result<(), EngineError> {
        match incoming {
            Incoming::Command { stream, values } => return self.on_command(stream, values),
            Incoming::Metadata(values) => self.on_metadata(&values),
            Incoming::Audio(timestamp, body) => self.on_media(TrackKind::Audio, timestamp, &body),
            Incoming::Video(timestamp, body) => self.on_media(TrackKind::Video, timestamp, &body),
            Incoming::Pong(number) => self.on_pong(number),
        }
        Ok(())
    }

    fn on_pong(&mut self, number: u32) {
        if let Some(left) = self.pings.checked_sub(1) {
            self.pings = left;
            self.events.push_back(Event::Pong(number));
        }
    }
}

// Connect.
impl Engine {
    /// Accepts the connection, usually with `NetConnection.Connect.Success`.
    /// Without an open question this does nothing.
    pub fn accept_connect(&mut self, status: &Status<'_>) {
        let Connecting::Asked { transaction } = self.connect else { return };
        self.connect = Connecting::Accepted;
        self.link.control(kind::WINDOW_SIZE, &WINDOW.to_be_bytes());
        // Limit type 2, dynamic.
        self.link.control(kind::PEER_BANDWIDTH, &[&WINDOW.to_be_bytes()[..], &[2]].concat());
        self.link.enlarge_chunks();
        let server = object([
            ("fmsVer", "FMS/3,0,1,123".into()),
            ("capabilities", 31.0.into()),
            ("mode", 1.0.into()),
            ("fourCcList", Value::StrictArray(vec!["avc1".into(), "mp4a".into(), "Opus".into()])),
        ]);
        let mut outcome = status.to_value();
        if let Value::Object(props) = &mut outcome {
            props.push(("objectEncoding".to_owned(), 0.0.into()));
        }
        self.link.command(lane::COMMAND, 0, &["_result".into(), transaction.into(), server, outcome]);
    }

    /// Refuses the connection; the caller writes the output and closes. Without an
    /// open question this does nothing.
    pub fn reject_connect(&mut self, status: &Status<'_>) {
        let Connecting::Asked { transaction } = self.connect else { return };
        self.connect = Connecting::Not;
        self.link.command(
            lane::COMMAND,
            0,
            &["_error".into(), transaction.into(), Value::Null, status.to_value()],
        );
    }
}

// Answers to publish and play, and later statuses.
impl Engine {
    /// Lets the publisher publish, usually with `NetStream.Publish.Start`. From
    /// here on [`Event::Tracks`] and [`Event::Frame`] come, and messages may be large.
    ///
    /// # Errors
    /// [`Stale`], when the request is no longer open.
    pub fn accept_publish(&mut self, id: RequestId, status: &Status<'_>) -> Result<(), Stale> {
        let role = self.role.take_if(|role| role.id == id && matches!(role.act, Act::AskingToPublish(_)));
        let Some(Role { stream, act: Act::AskingToPublish(mut assembler), .. }) = role else {
            return Err(Stale);
        };
        assembler.accept();
        self.open_requests = 0;
        self.role = Some(Role { id, stream, act: Act::Publishing(assembler) });
        self.link.allow(PUBLISHER_PARTIALS);
        self.link.user(user::STREAM_BEGIN, stream);
        self.status(status);
        self.drain_media();
        Ok(())
    }

    /// Lets the player play, with these statuses in order; usually
    /// `NetStream.Play.Reset` and `NetStream.Play.Start`. Then send
    /// [`Engine::send_tracks`] and frames.
    ///
    /// # Errors
    /// [`Stale`], when the request is no longer open.
    pub fn accept_play(&mut self, id: RequestId, statuses: &[Status<'_>]) -> Result<(), Stale> {
        let asked = |role: &&mut Role| role.id == id && matches!(role.act, Act::AskingToPlay);
        let Some(role) = self.role.as_mut().filter(asked) else { return Err(Stale) };
        let stream = role.stream;
        role.act = Act::Playing(Player::new(stream));
        self.open_requests = 0;
        self.link.user(user::STREAM_BEGIN, stream);
        statuses.iter().for_each(|status| self.status(status));
        let access = ["|RtmpSampleAccess".into(), true.into(), true.into()];
        let head = Head { chunk_stream: lane::DATA, kind: kind::DATA, stream, timestamp: 0 };
        self.link.send(&head, &amf0::encode(&access));
        Ok(())
    }

    /// Refuses a publish or play request, with these words. The connection stays
    /// unless the caller closes it.
    ///
    /// # Errors
    /// [`Stale`], when the request is no longer open.
    pub fn refuse(&mut self, id: RequestId, status: &Status<'_>) -> Result<(), Stale> {
        let asking = |role: &Role| matches!(role.act, Act::AskingToPublish(_) | Act::AskingToPlay);
        if self.role.as_ref().is_none_or(|role| role.id != id || !asking(role)) {
            return Err(Stale);
        }
        self.role = None;
        self.open_requests = 0;
        self.status(status);
        Ok(())
    }

    /// Sends a status about the message stream of the last request:
    /// `NetStream.Play.UnpublishNotify` for example.
    pub fn status(&mut self, status: &Status<'_>) {
        let values = ["onStatus".into(), 0.0.into(), Value::Null, status.to_value()];
        self.link.command(lane::STATUS, self.last_stream, &values);
    }

    /// Tells a player that the stream has ended (Stream EOF, §7.1.7).
    pub fn stream_eof(&mut self) {
        self.link.user(user::STREAM_EOF, self.last_stream);
    }

    /// Asks the peer whether it is there; it answers with [`Event::Pong`] and the
    /// same number.
    pub fn ping(&mut self, number: u32) {
        self.pings = self.pings.saturating_add(1);
        self.link.user(user::PING, number);
    }
}

// Media out.
impl Engine {
    /// Announces tracks to an accepted player: metadata and decoder
    /// configurations. For anyone else it does nothing. When the frames that follow
    /// have another clock (a new publisher), the player's clock goes on all the same.
    pub fn send_tracks(&mut self, tracks: &Tracks) {
        if let Some(Role { act: Act::Playing(player), .. }) = &mut self.role {
            player.send_tracks(self.link.out(), tracks);
        }
    }

    /// One frame as an accepted player gets it, whose clock starts at 0 with the
    /// first; to be written after what [`Engine::take_output`] has. A paused player,
    /// and one who turned this track off, gets none. It may be dropped unwritten:
    /// messages do not depend on each other.
    ///
    /// The frame's bytes are not copied: what all players have of it is one.
    pub fn outgoing(&mut self, frame: &Frame) -> Option<Outgoing> {
        match &mut self.role {
            Some(Role { act: Act::Playing(player), .. }) => player.outgoing(frame),
            _ => None,
        }
    }
}

// Media in.
impl Engine {
    fn assembler(&mut self) -> Option<&mut Assembler> {
        match &mut self.role.as_mut()?.act {
            Act::AskingToPublish(assembler) | Act::Publishing(assembler) => Some(assembler),
            Act::AskingToPlay | Act::Playing(_) => None,
        }
    }

    /// Media belongs to the one publisher of the connection, whatever message
    /// stream it names: some encoders get that wrong.
    fn on_media(&mut self, track: TrackKind, timestamp: u32, body: &Bytes) {
        let Some(assembler) = self.assembler() else { return };
        let taken = match track {
            TrackKind::Video => assembler.video(timestamp, body),
            TrackKind::Audio => assembler.audio(timestamp, body),
        };
        // One bad message costs itself; the decoder copes or the next keyframe heals.
        self.dropped += u64::from(taken.is_err());
        self.drain_media();
    }

    fn on_metadata(&mut self, values: &[Value]) {
        let names = values.iter().take(2).filter_map(Value::as_str);
        if !names.into_iter().any(|name| name == "onMetaData") {
            return;
        }
        let props = values.iter().find(|value| matches!(value, Value::Object(_) | Value::EcmaArray(_)));
        if let (Some(props), Some(assembler)) = (props, self.assembler()) {
            assembler.metadata(props);
            self.drain_media();
        }
    }

    fn drain_media(&mut self) {
        while let Some(media) = self.assembler().and_then(Assembler::poll) {
            self.events.push_back(media.into());
        }
    }
}

// Roles.
impl Engine {
    fn ask(&mut self, stream: u32, name: String, act: Act) -> Result<(), EngineError> {
        self.open_requests += 1;
        if self.open_requests > MAX_OPEN_REQUESTS {
            return Err(EngineError::TooManyRequests);
        }
        self.end_role();
        self.requests = self.requests.wrapping_add(1);
        let id = RequestId(self.requests);
        let request = Request { id, name };
        self.events.push_back(match act {
            Act::AskingToPublish(_) | Act::Publishing(_) => Event::Publish(request),
            Act::AskingToPlay | Act::Playing(_) => Event::Play(request),
        });
        self.last_stream = stream;
        self.role = Some(Role { id, stream, act });
        Ok(())
    }

    fn end_role(&mut self) {
        if let Some(role) = self.role.take() {
            self.link.allow(STRANGER_PARTIALS);
            self.events.push_back(Event::Ended(role.id));
        }
    }
}
