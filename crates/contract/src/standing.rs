//! What a session may do at this moment.

use std::sync::atomic::{AtomicU8, Ordering};

/// What a session may do at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Media flows.
    Granted,
    /// No media flows; the connection stays, and media resumes by itself. Only
    /// players are suspended.
    Suspended,
    /// No media flows ever again; the connection is to be closed. Publishers
    /// that are blocked, and sessions whose credentials were withdrawn.
    Revoked,
}

/// A [`Standing`] that auth writes and the data plane reads, once per burst.
#[derive(Debug)]
pub struct StandingCell(AtomicU8);

impl StandingCell {
    /// A new cell.
    pub const fn new(standing: Standing) -> Self {
        Self(AtomicU8::new(standing as u8))
    }

    /// What holds now.
    pub fn get(&self) -> Standing {
        match self.0.load(Ordering::Acquire) {
            0 => Standing::Granted,
            1 => Standing::Suspended,
            _ => Standing::Revoked,
        }
    }

    /// Whether media may flow.
    pub fn is_granted(&self) -> bool {
        self.get() == Standing::Granted
    }

    /// Sets it. Only auth calls this; `Revoked` is final.
    pub fn set(&self, standing: Standing) {
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            (old != Standing::Revoked as u8).then_some(standing as u8)
        });
    }
}
