//! Auth's state: who is registered, who is blocked, who holds a permit.
//!
//! Pure: a message and `now` go in; answers, batches for the disk and fences for
//! sessions come out. The rule of order is kept here and by the shell together:
//! **tighten in memory before disk; relax on disk before memory, and only if the
//! version is still the newest; acknowledge only what is synced.** So each method
//! that tightens does so before it returns its batch, and each that relaxes comes
//! in two halves, of which the second is called when the batch is on disk.

mod block;
mod clock;
mod events;
mod login;
mod permits;
mod register;
mod subjects;
mod view;

use std::time::{Duration, Instant};

use contract::auth::PermitId;
use contract::session::{SessionRef, SetStanding};
use contract::{AppName, Now, StreamKey, SubscriberId, WallMs};
use store::{Batch, Pair};

pub(crate) use login::Granted;

use crate::gates::Gate;
use crate::guess::Guesses;
use crate::record::{BLOCKS, BlockRecord, EVENTS, LoadError, Record, SUBSCRIBERS, decode_all};
use clock::Doubt;
use events::Events;
use permits::Permits;
use subjects::Subjects;

/// No block runs longer; beyond it, deadlines would leave the range of a clock.
const LONGEST_BLOCK: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Counts up with every block, unblock, change, removal and expiry; the higher
/// one is the newer one.
pub(crate) type Version = u64;

/// What a session has to be told, and waited for.
#[derive(Debug)]
pub(crate) struct Fence {
    pub(crate) session: SessionRef,
    pub(crate) set: SetStanding,
}

/// Something that an operator wants to read. Names, never codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Somebody uses up the tries on this subscriber; `None`: on the stream's
    /// unregistered ones.
    Guessing(StreamKey, Option<SubscriberId>),
    /// A login took over a session of the same subscriber.
    TakenOver(StreamKey, SubscriberId),
    /// The wall clock cannot be right, so these many blocks are kept in force, none for
    /// longer than was asked for.
    ClockInDoubt(usize),
    /// It was set, and these many blocks end when their records say.
    ClockCanBe(usize),
    /// It was set back, so a block that was over is in force again.
    PutBack(StreamKey, SubscriberId),
}

/// See the module.
pub(crate) struct State {
    gates: &'static [&'static dyn Gate],
    subjects: Subjects,
    permits: Permits,
    events: Events,
    guesses: Guesses,
    version: Version,
    doubt: Doubt,
    notices: Vec<Notice>,
}

/// Auth's tables as the store returned them.
pub(crate) struct Tables {
    pub(crate) subscribers: Vec<Pair>,
    pub(crate) blocks: Vec<Pair>,
    pub(crate) events: Vec<Pair>,
}

impl Tables {
    /// Reads all of them.
    pub(crate) fn read(
        mut scan: impl FnMut(store::Table) -> Result<Vec<Pair>, store::ScanError>,
    ) -> Result<Self, LoadError> {
        Ok(Self { subscribers: scan(SUBSCRIBERS)?, blocks: scan(BLOCKS)?, events: scan(EVENTS)? })
    }
}

impl State {
    /// From disk. Wall time counts here only: a block that was to end while the
    /// server was down has ended, if the clock can be right.
    pub(crate) fn load(
        gates: &'static [&'static dyn Gate],
        tables: Tables,
        now: Now,
    ) -> Result<Self, LoadError> {
        let events = Events::load(decode_all(EVENTS, tables.events)?);
        let blocks = decode_all::<BlockRecord>(BLOCKS, tables.blocks)?;
        let newest = blocks.iter().filter_map(|block| block.since).chain(events.newest()).max();
        let mut state = Self {
            gates,
            subjects: Subjects::default(),
            permits: Permits::default(),
            events,
            guesses: Guesses::new(),
            version: 0,
            doubt: Doubt::new(newest, now),
            notices: Vec::new(),
        };
        for record in decode_all::<Record>(SUBSCRIBERS, tables.subscribers)? {
            let subject = state.subjects.entry(&record.stream, &record.subscriber);
            subject.record = Some(record.clone());
            subject.disk = Some(record);
        }
        state.load_blocks(blocks, now);
        Ok(state)
    }

    /// After a panic: takes records as they are on disk, and keeps from memory all
    /// that keeps somebody out or lets a later block find him. The fences bring
    /// sessions in line with the blocks, should the panic have come between.
    pub(crate) fn rebuild(&mut self, tables: Tables, now: Now) -> Result<Vec<Fence>, LoadError> {
        let mut state = Self::load(self.gates, tables, now)?;
        std::mem::swap(self, &mut state);
        let old = state;
        self.version = old.version.max(self.version);
        self.subjects.keep_tight(old.subjects);
        self.events.number_after(&old.events);
        self.permits = old.permits;
        self.guesses = old.guesses;
        self.doubt = old.doubt;
        self.notices = old.notices;
        Ok(self.align())
    }

    /// When [`State::expire`] next has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.subjects.next_deadline().into_iter().chain(self.next_look()).min()
    }

    /// What happened since the last call that an operator wants to read.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Live permits.
    pub(crate) fn permit_count(&self) -> usize {
        self.permits.len()
    }

    /// Blocks in force.
    pub(crate) fn block_count(&self) -> usize {
        self.subjects.block_count()
    }

    /// A permit's session got its place. The batch holds its `connected` event, if
    /// its application's are `recorded`.
    pub(crate) fn connected(
        &mut self,
        permit: PermitId,
        recorded: impl FnOnce(&AppName) -> bool,
        now: WallMs,
    ) -> Batch {
        let mut write = Batch::new();
        if let Some(held) =
            self.permits.get_mut(permit).filter(|held| !held.is_revoked() && recorded(&held.stream.app))
        {
            self.events.connected(held, now, &mut write);
        }
        write
    }

    /// A permit is given back. The batch holds its `disconnected` event.
    pub(crate) fn release(&mut self, permit: PermitId, now: WallMs) -> Batch {
        let mut write = Batch::new();
        if let Some(held) = self.permits.remove(permit) {
            self.events.disconnected(&held, now, &mut write);
        }
        write
    }

    fn next_version(&mut self) -> Version {
        self.version += 1;
        self.version
    }
}

fn deadline(now: Now, left: Duration) -> Instant {
    now.mono + left.min(LONGEST_BLOCK)
}

#[cfg(test)]
pub(crate) mod tests;
