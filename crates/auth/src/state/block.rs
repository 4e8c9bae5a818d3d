//! Blocks: put in force at once, lifted when the disk agrees or the time is over.

use contract::auth::{Block, Unblock};
use contract::session::{CloseReason, SetStanding};
use contract::{Action, Now, Standing, StreamKey, SubscriberId, WallMs};
use store::Batch;

use super::subjects::InForce;
use super::{Fence, State, Version, deadline};
use crate::record::{BlockRecord, Record, Write};

/// A block is in force. It is acknowledged when the fences hold and the batch is
/// on disk; whatever becomes of them, it stays in force.
#[derive(Debug)]
pub(crate) struct Tightened {
    pub(crate) until: WallMs,
    /// Sessions whose media flowed until now.
    pub(crate) stopped: usize,
    pub(crate) fences: Vec<Fence>,
    pub(crate) write: Batch,
}

/// A block is to be lifted when the batch is on disk.
#[derive(Debug)]
pub(crate) struct Unblocking {
    pub(crate) write: Batch,
    stream: StreamKey,
    subscriber: SubscriberId,
    lifting: Vec<(Action, Version)>,
}

/// Blocks whose time is over.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    /// Players that resume.
    pub(crate) fences: Vec<Fence>,
    /// Records that nobody needs; the time in them has passed as well.
    pub(crate) write: Batch,
}

impl State {
    /// Puts a block in force, in place of an earlier one of these directions.
    pub(crate) fn block(&mut self, ask: &Block, now: Now) -> Tightened {
        let mut write = Batch::new();
        let until = now.wall.after(ask.duration);
        let subject = self.subjects.entry(&ask.stream, &ask.subscriber);
        if subject.disk.is_none() {
            let record = Record::made_by_block(&ask.stream, &ask.subscriber);
            write.put_subscriber(&record);
            // It lets in whom no record lets in as well.
            subject.record.get_or_insert(record.clone());
            subject.disk = Some(record);
        }
        let (mut stopped, mut fences) = (0, Vec::new());
        for action in ask.actions.iter() {
            let in_force = InForce {
                version: self.next_version(),
                until,
                deadline: deadline(now, ask.duration),
                asked: ask.duration,
                by_record: None,
            };
            self.subjects.set_block(&ask.stream, &ask.subscriber, action, in_force);
            self.doubt.decided(&ask.stream, &ask.subscriber, action);
            let (stream, subscriber) = (ask.stream.clone(), ask.subscriber.clone());
            write.put_block(&BlockRecord { stream, subscriber, action, until, since: Some(now.wall) });
            stopped += self.silence(&ask.stream, &ask.subscriber, action, until, &mut fences);
        }
        Tightened { until, stopped, fences, write }
    }

    /// Every session of the direction is fenced, also one that was silent before:
    /// the fence of an earlier order may still be under way. Who was revoked then
    /// knows why, and stays revoked. How many had media until now.
    pub(super) fn silence(
        &self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        action: Action,
        until: WallMs,
        fences: &mut Vec<Fence>,
    ) -> usize {
        let (set, mut stopped) = (bar(action, until), 0);
        for (_, held) in self.permits.of(stream, subscriber) {
            if held.action == action {
                stopped += usize::from(held.standing.is_granted());
                fences.push(held.fence(set));
            }
        }
        stopped
    }

    /// First half of an unblock: nothing changes in memory yet.
    pub(crate) fn unblock(&mut self, ask: &Unblock) -> Unblocking {
        let mut write = Batch::new();
        let mut lifting = Vec::new();
        for action in ask.actions.iter() {
            let version = self.next_version();
            self.subjects.entry(&ask.stream, &ask.subscriber).bar_mut(action).newest = version;
            self.doubt.decided(&ask.stream, &ask.subscriber, action);
            write.delete_block(&ask.stream, &ask.subscriber, action);
            lifting.push((action, version));
        }
        self.subjects.entry(&ask.stream, &ask.subscriber).pending += 1;
        Unblocking { write, stream: ask.stream.clone(), subscriber: ask.subscriber.clone(), lifting }
    }

    /// Second half, when the batch is on disk: lifts what no newer message has
    /// touched. The fences resume players.
    pub(crate) fn unblocked(&mut self, unblocking: &Unblocking) -> Vec<Fence> {
        let (stream, subscriber) = (&unblocking.stream, &unblocking.subscriber);
        let fences = self.lift_unless_newer(stream, subscriber, &unblocking.lifting);
        self.settled(stream, subscriber);
        fences
    }

    /// Instead of the second half, when the batch is not on disk.
    pub(crate) fn unblock_failed(&mut self, unblocking: &Unblocking) {
        self.settled(&unblocking.stream, &unblocking.subscriber);
    }

    /// Lifts all blocks whose time is over. A block since renewed has another
    /// deadline under another version, so an old one cannot end it.
    pub(crate) fn expire(&mut self, now: Now) -> Expired {
        let mut expired = self.look_at_clock(now);
        while let Some((stream, subscriber, action, of)) = self.subjects.pop_due(now.mono) {
            if !self.subjects.holds(&stream, &subscriber, action, of) {
                continue;
            }
            let version = self.next_version();
            self.subjects.entry(&stream, &subscriber).bar_mut(action).newest = version;
            expired.write.delete_block(&stream, &subscriber, action);
            self.lift(&stream, &subscriber, action, &mut expired.fences);
            self.subjects.prune(&stream, &subscriber);
        }
        expired
    }

    pub(super) fn lift_unless_newer(
        &mut self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        lifting: &[(Action, Version)],
    ) -> Vec<Fence> {
        let mut fences = Vec::new();
        for &(action, version) in lifting {
            let newest = self.subjects.get(stream, subscriber).map(|subject| subject.bar(action).newest);
            if newest == Some(version) {
                self.lift(stream, subscriber, action, &mut fences);
            }
        }
        fences
    }

    fn lift(
        &mut self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        action: Action,
        fences: &mut Vec<Fence>,
    ) {
        self.subjects.lift_block(stream, subscriber, action);
        for (_, held) in self.permits.live(stream, subscriber, action) {
            if held.standing.get() == Standing::Suspended {
                fences.push(held.fence(SetStanding::Grant));
            }
        }
    }

    /// Fences for every session whose standing does not follow from the blocks.
    pub(super) fn align(&self) -> Vec<Fence> {
        let misplaced = self.permits.iter().filter_map(|held| {
            let subject = self.subjects.get(&held.stream, held.subscriber.as_ref()?);
            let until =
                subject.and_then(|subject| subject.bar(held.action).in_force).map(|block| block.until);
            match (until, held.standing.get()) {
                (Some(until), Standing::Granted) => Some(held.fence(bar(held.action, until))),
                (None, Standing::Suspended) => Some(held.fence(SetStanding::Grant)),
                _ => None,
            }
        });
        misplaced.collect()
    }

    /// A change of this subject has come back from the disk.
    pub(super) fn settled(&mut self, stream: &StreamKey, subscriber: &SubscriberId) {
        if let Some(subject) = self.subjects.get_mut(stream, subscriber) {
            subject.pending = subject.pending.saturating_sub(1);
        }
        self.subjects.prune(stream, subscriber);
    }
}

/// What a block means to a session of its direction.
const fn bar(action: Action, until: WallMs) -> SetStanding {
    match action {
        Action::Publish => SetStanding::Revoke(CloseReason::Blocked),
        Action::Play => SetStanding::Suspend { until },
    }
}
