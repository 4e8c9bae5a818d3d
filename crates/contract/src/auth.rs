//! Messages to auth: who may do what now.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::registry::Order;
use crate::session::{Fenced, SessionRef};
use crate::{
    Action, Actions, Credentials, Protocol, Secret, SessionId, StandingCell, StreamKey, SubscriberId,
    TotpCode, WallMs,
};

/// May this session do this now? Granting and registering are one step, so no
/// block can fall between them.
#[derive(Debug, Message)]
#[rtype(result = "Result<Permit, Denied>")]
pub struct Authorize {
    /// What it wants to do.
    pub action: Action,
    /// On which stream.
    pub stream: StreamKey,
    /// Whether the stream has a record that somebody made on purpose (not one
    /// that an unregistered publish left behind).
    pub registered: bool,
    /// Whether it is live. Not told to the peer; derived codes to play a
    /// stream that is neither registered nor live are not compared.
    pub live: bool,
    /// Who it says it is.
    pub credentials: Credentials,
    /// Where it comes from, in canonical form.
    pub peer: IpAddr,
    /// How it is connected.
    pub protocol: Protocol,
    /// How to reach it.
    pub session: SessionRef,
}

/// Why not. The peer is told one of few things; the reason is for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The peer's address is not allowed.
    #[error("address not allowed")]
    Ip,
    /// Only registered streams are accepted, and this is none.
    #[error("stream not registered")]
    UnknownStream,
    /// Subscriber or code missing, wrong, expired, of the wrong type, or too many
    /// wrong tries.
    #[error("credentials refused")]
    Credentials,
    /// The subscriber proved who he is and is blocked.
    #[error("subscriber blocked")]
    Blocked,
    /// The subscriber has as many sessions as he may.
    #[error("too many sessions of this subscriber")]
    Limit,
    /// Auth cannot answer (store failed, or restarting).
    #[error("auth unavailable")]
    Unavailable,
}

/// Auth's leave to act. Dropping it gives the leave back.
#[derive(Debug)]
pub struct Permit {
    /// Which.
    pub id: PermitId,
    /// What holds now; the data plane reads it before each burst.
    pub standing: Arc<StandingCell>,
    /// The session of the same subscriber that this one takes over, already
    /// fenced and told to close.
    pub replaces: Option<SessionId>,
    auth: Recipient<PermitChanged>,
}

impl Permit {
    /// Auth makes these.
    pub fn new(
        id: PermitId,
        standing: Arc<StandingCell>,
        replaces: Option<SessionId>,
        auth: Recipient<PermitChanged>,
    ) -> Self {
        Self { id, standing, replaces, auth }
    }

    /// The session got its place. Only then was there one at all: strangers must
    /// not fill the connection events by asking for what is not there.
    pub fn connected(&self) {
        self.auth.do_send(PermitChanged { permit: self.id, change: Change::Connected });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.auth.do_send(PermitChanged { permit: self.id, change: Change::Disconnected });
    }
}

/// Names a permit within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PermitId(pub u64);

/// A permit's session got its place, or the permit is given back. Sent by
/// [`Permit`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PermitChanged {
    /// Which.
    pub permit: PermitId,
    /// What happened to it.
    pub change: Change,
}

/// Auth's disk has failed, or auth restarts; nothing was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change could not be made durable")]
pub struct NotStored;

/// Blocks a subscriber of a stream for a time. Answered after the fence and the
/// synced write: silent now, and after a crash.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Blocked, NotStored>")]
pub struct Block {
    /// On which stream.
    pub stream: StreamKey,
    /// Whom. Need not exist yet.
    pub subscriber: SubscriberId,
    /// From what.
    pub actions: Actions,
    /// For how long, from now. Not zero; saturates.
    pub duration: Duration,
}

/// A block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Until when.
    pub until: WallMs,
    /// How many sessions it stopped.
    pub stopped: usize,
    /// How the worst of their fences ended.
    pub fenced: Fenced,
}

/// Lifts a block. Suspended players resume before the answer.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), NotStored>")]
pub struct Unblock {
    /// On which stream.
    pub stream: StreamKey,
    /// Whom.
    pub subscriber: SubscriberId,
    /// From what; the other direction keeps its own block.
    pub actions: Actions,
}

/// Adds a subscriber, or replaces one; an active block stays (C§16.17).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), PutSubscriberError>")]
pub struct PutSubscriber {
    /// On which stream.
    pub stream: StreamKey,
    /// Who.
    pub subscriber: SubscriberId,
    /// Display name.
    pub name: Option<String>,
    /// Base32 secret; `None` when he uses codes derived from the application's.
    pub secret: Option<Secret<String>>,
    /// What he may do, if he has a secret; a publisher may also play.
    pub kind: Option<Action>,
    /// Sessions at a time: -1 unlimited, 0 none.
    pub limit: i32,
    /// Seconds that a code lives; `None` takes the application's.
    pub period: Option<i64>,
}

/// Why a subscriber was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PutSubscriberError {
    /// Not base32, or not a multiple of 8 characters (C§4.3).
    #[error("secret is not base32 of a multiple of 8 characters")]
    Secret,
    /// Outside 10 … 2147483647 seconds.
    #[error("period out of range")]
    Period,
    /// Not on disk.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// Removes one subscriber of a stream, or all, with events and blocks; sessions
/// that those credentials opened are fenced and closed. Answers how many records
/// there were.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize, NotStored>")]
pub struct RemoveSubscriber {
    /// On which stream.
    pub stream: StreamKey,
    /// Whom; `None` is everybody.
    pub subscriber: Option<SubscriberId>,
}

/// The subscriber's code of this moment.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<TotpCode, IssueCodeError>")]
pub struct IssueCode {
    /// On which stream.
    pub stream: StreamKey,
    /// For whom.
    pub subscriber: SubscriberId,
    /// For what.
    pub kind: CodeKind,
}

/// A pass with which the panel plays one stream as if that needed no code, good for
/// a minute; shown as [`Credentials::token`]. For people who are logged in.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Secret<String>")]
pub struct IssuePreview {
    /// Which stream.
    pub stream: StreamKey,
}

/// What a code is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// The caller said so.
    For(Action),
    /// Not said: the record's type, else play.
    Unsaid,
    /// Something else was said; only a record with a secret answers.
    Unknown,
}

/// Why there is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueCodeError {
    /// Neither the subscriber nor the application has a secret.
    #[error("no secret")]
    NoSecret,
    /// [`CodeKind::Unknown`] for a subscriber without a secret.
    #[error("unknown type")]
    Kind,
    /// Auth cannot answer.
    #[error("auth unavailable")]
    Unavailable,
}

/// One subscriber of a stream.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<SubscriberView>")]
pub struct GetSubscriber {
    /// On which stream.
    pub stream: StreamKey,
    /// Who.
    pub subscriber: SubscriberId,
}

/// Which codes of a stream are being guessed. While it lasts, networks that never
/// succeeded may be refused a right code.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Guessed")]
pub struct ListGuessed {
    /// Which stream.
    pub stream: StreamKey,
    /// How many subscribers at most.
    pub size: usize,
}

/// Which codes are being guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, MessageResponse)]
pub struct Guessed {
    /// Those derived from the application's secret.
    pub derived: bool,
    /// Those of these subscribers.
    pub subscribers: Vec<SubscriberId>,
}

/// Forgets the wrong codes on a subscriber, so that no network waits for them
/// any more. The guesser has a fresh count too. Answers whether auth heard it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct ForgiveGuesses {
    /// On which stream.
    pub stream: StreamKey,
    /// On which; `None`: on all that have no secret of their own, which share one count.
    pub subscriber: Option<SubscriberId>,
}

/// A stream's subscribers in order of their ids.
#[derive(Debug, Clone, Message)]
#[rtype(result = "SubscriberPage")]
pub struct ListSubscribers {
    /// On which stream.
    pub stream: StreamKey,
    /// Only those whose id or name contains this, in any case.
    pub search: Option<String>,
    /// How many to skip.
    pub offset: usize,
    /// How many at most.
    pub size: usize,
}

/// Some of a stream's subscribers.
#[derive(Debug, Clone, Default, MessageResponse)]
pub struct SubscriberPage {
    /// Those asked for.
    pub subscribers: Vec<SubscriberView>,
    /// How many match in all.
    pub matching: usize,
}

/// What may be shown of a subscriber: never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberView {
    /// Who.
    pub id: SubscriberId,
    /// On which stream.
    pub stream: StreamKey,
    /// Display name.
    pub name: Option<String>,
    /// What he was registered for.
    pub kind: Option<Action>,
    /// Whether he has a secret of his own.
    pub has_secret: bool,
    /// Live sessions now.
    pub sessions: usize,
    /// Sessions at a time: -1 unlimited, 0 none.
    pub limit: i32,
    /// Publishing is blocked until then; `None` when it is not.
    pub publish_blocked_until: Option<WallMs>,
    /// Playing is blocked until then; `None` when it is not.
    pub play_blocked_until: Option<WallMs>,
    /// Seconds that a code lives.
    pub period: Option<u32>,
}

/// A stream's connection events.
#[derive(Debug, Clone, Message)]
#[rtype(result = "EventPage")]
pub struct ListEvents {
    /// On which stream.
    pub stream: StreamKey,
    /// Whose; `None` is everybody's.
    pub subscriber: Option<SubscriberId>,
    /// Only those of subscribers whose ids contain this, in any case.
    pub search: Option<String>,
    /// Ascending: the oldest first.
    pub order: Order,
    /// How many to skip.
    pub offset: usize,
    /// How many at most.
    pub size: usize,
}

/// Some of a stream's connection events.
#[derive(Debug, Clone, Default, MessageResponse)]
pub struct EventPage {
    /// Those asked for.
    pub events: Vec<ConnectionEvent>,
    /// How many match in all.
    pub matching: usize,
}

/// A subscriber's session began or ended. Exactly one of each per session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionEvent {
    /// When.
    pub at: WallMs,
    /// On which stream.
    pub stream: StreamKey,
    /// Whose.
    pub subscriber: SubscriberId,
    /// What happened.
    pub change: Change,
    /// In which role.
    pub action: Action,
    /// How.
    pub protocol: Protocol,
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It began.
    Connected,
    /// It ended.
    Disconnected,
}
