//! Messages to a session: one connection in one role.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use media::TrackKind;

use crate::{SessionId, Standing, WallMs};

/// How others reach a session. Auth keeps one with each permit, the registry one
/// with each row; both die with the session.
#[derive(Clone)]
pub struct SessionRef {
    /// Which.
    pub id: SessionId,
    /// Changes its standing.
    pub standing: Recipient<SetStanding>,
    /// Makes it drop what it holds of a silenced stream.
    pub hush: Recipient<Hush>,
    /// Ends it.
    pub close: Recipient<Close>,
    /// Its counters.
    pub traffic: Arc<Traffic>,
}

impl std::fmt::Debug for SessionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionRef({})", self.id)
    }
}

/// How a fence ended. Either way nothing flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, MessageResponse)]
pub enum Fenced {
    /// The data plane confirmed that nothing is queued, being sealed or handed to
    /// a socket.
    Confirmed,
    /// It did not confirm in time, and its connection was torn down.
    Closed,
}

/// Changes a session's standing. Answered only when the data plane has confirmed
/// that it holds (the fence), or was torn down for not confirming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "Fenced")]
pub enum SetStanding {
    /// Media flows (again).
    Grant,
    /// No media flows to this player until he is unblocked.
    Suspend {
        /// When that happens by itself.
        until: WallMs,
    },
    /// The session ends; nothing more has to be sent to it.
    Revoke(CloseReason),
}

impl SetStanding {
    /// What holds from now on.
    pub const fn standing(self) -> Standing {
        match self {
            Self::Grant => Standing::Granted,
            Self::Suspend { .. } => Standing::Suspended,
            Self::Revoke(_) => Standing::Revoked,
        }
    }
}

/// The stream that a player plays was silenced: drop what is queued of it, stay
/// connected, wait for a publisher. Answered like [`SetStanding`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Fenced")]
pub struct Hush;

/// Ends a session.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Close {
    /// Why.
    pub reason: CloseReason,
}

/// Why a session ends; each dialect has its words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// An administrator stopped the stream or the session.
    Stopped,
    /// The subscriber is blocked from publishing.
    Blocked,
    /// The same subscriber connected anew.
    TakenOver,
    /// The subscriber was removed, or has another secret now.
    Withdrawn,
}

/// Counters of one session, written by its data plane without a lock.
#[derive(Debug, Default)]
pub struct Traffic {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    gaps: AtomicU64,
    heard_ms: AtomicU64,
    /// By [`TrackKind`].
    tracks: [AtomicU64; 2],
}

impl Traffic {
    /// Counts media bytes from the peer.
    pub fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes of one of a publisher's tracks, without what carried them.
    pub fn received_track(&self, track: TrackKind, bytes: usize) {
        self.tracks[track as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts media bytes to the peer.
    pub fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts one place where this player was too slow and lost media.
    pub fn gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// The peer showed that it is there.
    pub fn heard(&self, now: WallMs) {
        self.heard_ms.store(now.0, Ordering::Relaxed);
    }

    /// Media bytes from the peer.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of one of a publisher's tracks.
    pub fn track_bytes(&self, track: TrackKind) -> u64 {
        self.tracks[track as usize].load(Ordering::Relaxed)
    }

    /// Media bytes to the peer.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// How often it was too slow.
    pub fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }

    /// How long the peer has been silent; zero if it was never heard.
    pub fn silent_for(&self, now: WallMs) -> Duration {
        match self.heard_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            heard => now.since(WallMs(heard)),
        }
    }
}
