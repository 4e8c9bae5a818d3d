//! A small client's side, for tests and benches: one connection that publishes or plays.

use std::collections::VecDeque;

use bytes::Bytes;
use media::{AudioCodec, Frame, MediaTime, Tracks};
use thiserror::Error;

use crate::amf0::{Value, object};
use crate::assembler::{Assembler, Media};
use crate::egress::MediaWriter;
use crate::handshake::{self, HandshakeError, PACKET};
use crate::limits::PUBLISHER_PARTIALS;
use crate::link::{Incoming, Link, LinkError, lane};

/// Transactions of the requests that have an answer.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

/// What the client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To send media.
    Publish,
    /// To receive media.
    Play,
}

/// RTMP as a client speaks it. It connects by itself; the caller moves bytes.
pub struct Client {
    purpose: Purpose,
    app: String,
    name: String,
    handshake: Option<handshake::Client>,
    link: Link,
    stream: u32,
    audio: AudioCodec,
    assembler: Assembler,
    events: VecDeque<ClientEvent>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The server's answer, or its news: connect results and statuses.
    Status {
        /// It says `error`.
        error: bool,
        /// As the server wrote it.
        code: String,
        /// As the server wrote it.
        description: String,
    },
    /// The tracks that play, first or changed.
    Tracks(Tracks),
    /// A frame that plays.
    Frame(Frame),
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The message layer failed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Client {
    /// A client that publishes or plays `name` in `app`. `random` fills the handshake.
    pub fn new(purpose: Purpose, app: &str, name: &str, random: &[u8; PACKET]) -> Self {
        let (handshake, hello) = handshake::Client::new(random);
        let mut link = Link::new();
        link.allow(PUBLISHER_PARTIALS);
        link.out().extend_from_slice(&hello);
        let mut assembler = Assembler::new();
        assembler.accept();
        Self {
            purpose,
            app: app.to_owned(),
            name: name.to_owned(),
            handshake: Some(handshake),
            link,
            stream: 0,
            audio: AudioCodec::Aac,
            assembler,
            events: VecDeque::new(),
        }
    }

    /// Takes bytes from the server, split anywhere.
    ///
    /// # Errors
    /// [`ClientError`], when the server breaks the protocol.
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<(), ClientError> {
        let count = bytes.len();
        if let Some(handshake) = &mut self.handshake {
            handshake.receive(&mut bytes, self.link.out())?;
            if !handshake.done() {
                return Ok(());
            }
            self.handshake = None;
            self.connect();
        }
        // A server of ours: how many tags an aggregate has need not be bounded.
        let mut tags = usize::MAX;
        while let Some(incoming) = self.link.receive(&mut bytes, &mut tags)? {
            self.on_message(incoming);
        }
        self.link.count(count);
        Ok(())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// All bytes that wait to be written.
    pub fn take_output(&mut self) -> Bytes {
        self.link.take_output()
    }

    /// Sends metadata and decoder configurations.
    pub fn send_tracks(&mut self, tracks: &Tracks) {
        self.audio = tracks.audio.as_ref().map_or(AudioCodec::Aac, |audio| audio.codec);
        MediaWriter::new(self.stream).tracks(self.link.out(), tracks, 0);
    }

    /// Sends a frame at its own decode time.
    pub fn send_frame(&mut self, frame: &Frame) {
        let timestamp = frame.dts.max(MediaTime::ZERO).as_millis() as u32;
        MediaWriter::new(self.stream).frame(self.link.out(), frame, self.audio, timestamp);
    }

    /// Ends the stream; the connection stays.
    pub fn delete_stream(&mut self) {
        let id = f64::from(self.stream).into();
        self.link.command(lane::COMMAND, 0, &["deleteStream".into(), 0.0.into(), Value::Null, id]);
    }

    fn connect(&mut self) {
        self.link.enlarge_chunks();
        let object = object([
            ("app", self.app.as_str().into()),
            ("type", "nonprivate".into()),
            ("flashVer", "sluice".into()),
            ("tcUrl", format!("rtmp://localhost/{}", self.app).as_str().into()),
        ]);
        self.link.command(lane::COMMAND, 0, &["connect".into(), CONNECT.into(), object]);
    }

    fn on_message(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Command { values, .. } => self.on_command(&values),
            Incoming::Metadata(values) => {
                if let [Value::String(name), props, ..] = &values[..]
                    && name == "onMetaData"
                {
                    self.assembler.metadata(props);
                }
            }
            // A message that makes no sense is left out, as a player would.
            Incoming::Audio(timestamp, body) => drop(self.assembler.audio(timestamp, &body)),
            Incoming::Video(timestamp, body) => drop(self.assembler.video(timestamp, &body)),
            Incoming::Pong(_) => {}
        }
        while let Some(media) = self.assembler.poll() {
            match media {
                Media::Tracks(tracks) => self.events.push_back(ClientEvent::Tracks(tracks)),
                Media::Frame(frame) => self.events.push_back(ClientEvent::Frame(frame)),
                Media::Unsupported(..) => {}
            }
        }
    }

    fn on_command(&mut self, values: &[Value]) {
        let [Value::String(name), Value::Number(transaction), rest @ ..] = values else { return };
        let answers = |to: f64| name == "_result" && *transaction == to;
        if answers(CREATE_STREAM) {
            self.stream = rest.get(1).and_then(Value::as_number).unwrap_or(0.0) as u32;
            self.ask();
            return;
        }
        if answers(CONNECT) {
            self.create_stream();
        }
        self.on_status(rest);
    }

    fn create_stream(&mut self) {
        let name = Value::from(self.name.as_str());
        if self.purpose == Purpose::Publish {
            self.link.command(
                lane::COMMAND,
                0,
                &["releaseStream".into(), 2.0.into(), Value::Null, name.clone()],
            );
            self.link.command(lane::COMMAND, 0, &["FCPublish".into(), 3.0.into(), Value::Null, name]);
        }
        self.link.command(lane::COMMAND, 0, &["createStream".into(), CREATE_STREAM.into(), Value::Null]);
    }

    fn ask(&mut self) {
        let name = Value::from(self.name.as_str());
        let mut values = match self.purpose {
            Purpose::Publish => vec!["publish".into(), 5.0.into(), Value::Null, name],
            Purpose::Play => vec!["play".into(), 5.0.into(), Value::Null, name],
        };
        if self.purpose == Purpose::Publish {
            values.push("live".into());
        }
        self.link.command(lane::DATA, self.stream, &values);
    }

    fn on_status(&mut self, values: &[Value]) {
        let Some(status) = values.iter().find(|value| value.get("code").is_some()) else { return };
        let text = |name| status.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.events.push_back(ClientEvent::Status {
            error: text("level") == "error",
            code: text("code"),
            description: text("description"),
        });
    }
}
