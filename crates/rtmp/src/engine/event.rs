//! What an engine says to its caller.

use std::fmt;

use media::{Frame, TrackKind, Tracks};
use thiserror::Error;

use crate::assembler::Media;
use crate::flv::tag::CodecName;
use crate::handshake::HandshakeError;
use crate::link::LinkError;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Hands are shaken; commands may come.
    HandshakeDone,
    /// Answer with [`Engine::accept_connect`](crate::Engine::accept_connect) or [`Engine::reject_connect`](crate::Engine::reject_connect).
    Connect(Connect),
    /// Answer with [`Engine::accept_publish`](crate::Engine::accept_publish) or [`Engine::refuse`](crate::Engine::refuse).
    Publish(Request),
    /// Answer with [`Engine::accept_play`](crate::Engine::accept_play) or [`Engine::refuse`](crate::Engine::refuse).
    Play(Request),
    /// The peer ended what it asked for under this id, accepted or not. The
    /// connection stays.
    Ended(RequestId),
    /// The publisher's tracks, first or changed; the frames that follow are theirs.
    Tracks(Tracks),
    /// A frame of the publisher. The first video frame after [`Event::Tracks`] is a
    /// keyframe.
    Frame(Frame),
    /// The publisher's track is coded in a way that we do not carry, and is left
    /// out. Said once per track.
    Unsupported {
        /// Which.
        track: TrackKind,
        /// How it is coded.
        codec: CodecName,
    },
    /// The answer to [`Engine::ping`](crate::Engine::ping), with its number.
    Pong(u32),
}

/// A connect request. Its texts are the peer's, unvalidated; since a path may
/// carry credentials, `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Application, perhaps with more path segments behind it: see
    /// [`publish_target`](crate::publish_target).
    pub app: String,
    /// The URL that the peer was given, or empty.
    pub tc_url: String,
    /// What the peer calls itself, or empty.
    pub flash_ver: String,
}

/// A request to publish or play. `Debug` does not show the name, which may carry
/// credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// To name in the answer.
    pub id: RequestId,
    /// Stream name, unvalidated, perhaps with a query or more path segments: see
    /// [`publish_target`](crate::publish_target).
    pub name: String,
}

/// Tells a connection's requests apart, so that a late answer never grants what
/// was asked for after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub(super) u32);

/// The answered request is no longer asked: the peer ended it or asked anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the request is no longer waiting")]
pub struct Stale;

/// Why a connection cannot go on: close it. The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EngineError {
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The message layer failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A command lacks its name or an argument.
    #[error("command is malformed")]
    Command,
    /// A command came before connect, or connect came twice.
    #[error("command is out of order")]
    Order,
    /// More message streams than [`MAX_MESSAGE_STREAMS`](crate::limits::MAX_MESSAGE_STREAMS).
    #[error("too many message streams")]
    TooManyStreams,
    /// More requests without waiting than [`MAX_OPEN_REQUESTS`](crate::limits::MAX_OPEN_REQUESTS).
    #[error("too many requests")]
    TooManyRequests,
}

impl From<Media> for Event {
    fn from(media: Media) -> Self {
        match media {
            Media::Tracks(tracks) => Self::Tracks(tracks),
            Media::Frame(frame) => Self::Frame(frame),
            Media::Unsupported(track, codec) => Self::Unsupported { track, codec },
        }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}
