//! Messages to a session: one connection in one role.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use media::{MediaTime, TrackKind};

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

/// How a fence ended, the best first. But for the last, nothing flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, MessageResponse)]
pub enum Fenced {
    /// The data plane confirmed that nothing is queued, being sealed or handed to
    /// a socket.
    Confirmed,
    /// It did not confirm in time, and its connection was torn down.
    Closed,
    /// It did not confirm in time, and the system refused to reset its connection: what
    /// the kernel holds may still be sent.
    Uncertain,
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

/// A moment of one publish. Two publishes of a stream have clocks of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Which publish ([`Live::generation`](crate::registry::Live::generation)).
    pub generation: u64,
    /// On its clock.
    pub at: MediaTime,
}

/// Bits of a [`Moment`]'s microseconds when it is packed; four years in either
/// direction. The rest are the low ones of the generation.
const MICROS: u32 = 48;

impl Moment {
    fn pack(self) -> u64 {
        self.generation << MICROS | (self.at.as_micros() as u64 & ((1 << MICROS) - 1))
    }

    /// How much later than a packed moment of the same publish it is.
    fn since(self, packed: u64) -> Option<Duration> {
        let now = self.pack();
        // Shifted up and down again, a difference keeps its sign.
        let micros = (now.wrapping_sub(packed) << (64 - MICROS)) as i64 >> (64 - MICROS);
        (now >> MICROS == packed >> MICROS).then(|| Duration::from_micros(micros.max(0).unsigned_abs()))
    }
}

/// Counters of one session, written by its data plane without a lock.
#[derive(Debug, Default)]
pub struct Traffic {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    gaps: AtomicU64,
    heard_ms: AtomicU64,
    /// The last [`Moment`] that a player was given, packed; 0: none.
    reached: AtomicU64,
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

    /// The peer's socket was given media up to this moment.
    pub fn reached(&self, moment: Moment) {
        self.reached.store(moment.pack(), Ordering::Relaxed);
    }

    /// How far behind `newest`, a stream's newest media, what the peer's socket was
    /// given is; `None` if it was given nothing of that publish. It grows while the
    /// socket takes nothing.
    pub fn lag(&self, newest: Moment) -> Option<Duration> {
        Some(self.reached.load(Ordering::Relaxed)).filter(|&packed| packed != 0).and_then(|p| newest.since(p))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(generation: u64, ms: i64) -> Moment {
        Moment { generation, at: MediaTime::from_millis(ms) }
    }

    #[test]
    fn a_player_lags_by_the_media_that_its_socket_has_not_been_given() {
        let traffic = Traffic::default();
        assert_eq!(traffic.lag(moment(1, 5000)), None, "it was given nothing");
        for (given, newest, lag) in [(-40, 80, 120), (0, 0, 0), (-90, -50, 40), (5000, 4980, 0)] {
            traffic.reached(moment(7, given));
            assert_eq!(traffic.lag(moment(7, newest)), Some(Duration::from_millis(lag)));
        }
        assert_eq!(traffic.lag(moment(8, 5000)), None, "another publish has another clock");
        assert_eq!(traffic.lag(moment(7, 65_000)), Some(Duration::from_secs(60)), "it stands");
    }

    #[test]
    fn a_year_of_media_is_told_apart_from_a_second() {
        let traffic = Traffic::default();
        let year = 365 * 24 * 3600 * 1000;
        traffic.reached(moment(u64::from(u16::MAX), -year));
        assert_eq!(
            traffic.lag(moment(u64::from(u16::MAX), year)),
            Some(Duration::from_millis(2 * year as u64))
        );
    }
}
