//! Subscribers of streams: their records and the blocks on them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use contract::{Action, StreamKey, SubscriberId, WallMs};

use super::Version;
use crate::gates::Registration;
use crate::record::Record;

/// All that is known of one subscriber of one stream.
#[derive(Debug, Default)]
pub(super) struct Subject {
    /// What lets him in. Follows the disk, but for a record that a block made.
    pub(super) record: Option<Record>,
    /// What the disk will hold when it has written all that waits for it.
    pub(super) disk: Option<Record>,
    /// The record is being changed or removed, or that failed: nobody gets in
    /// on it.
    pub(super) withdrawn: bool,
    /// Of the newest change or removal of the record.
    pub(super) record_version: Version,
    /// Changes that wait for the disk and will come back to this subject.
    pub(super) pending: usize,
    publish: Bar,
    play: Bar,
}

/// One direction of a subject.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bar {
    /// Of the newest block, unblock, removal or expiry.
    pub(super) newest: Version,
    pub(super) in_force: Option<InForce>,
}

/// A block that holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct InForce {
    /// Of the block itself; an expiry that carries another is stale.
    pub(super) version: Version,
    /// For records and for people.
    pub(super) until: WallMs,
    /// What it ends by.
    pub(super) deadline: Instant,
    /// For how long it was asked for.
    pub(super) asked: Duration,
    /// When it ends by its record, while the wall clock is in doubt; `until` and
    /// `deadline` then follow from what was asked for.
    pub(super) by_record: Option<WallMs>,
}

impl Subject {
    pub(super) fn bar(&self, action: Action) -> &Bar {
        match action {
            Action::Publish => &self.publish,
            Action::Play => &self.play,
        }
    }

    pub(super) fn bar_mut(&mut self, action: Action) -> &mut Bar {
        match action {
            Action::Publish => &mut self.publish,
            Action::Play => &mut self.play,
        }
    }

    /// The change that carries `version` is on disk: what lets him in follows,
    /// unless a newer change is on its way.
    pub(super) fn follow_disk(&mut self, version: Version) {
        if self.record_version == version {
            self.record.clone_from(&self.disk);
            self.withdrawn = false;
        }
    }

    /// The change that carries `version` failed: what lets him in stays as it is.
    pub(super) fn stay(&mut self, version: Version) {
        if self.record_version == version {
            self.disk.clone_from(&self.record);
        }
    }

    pub(super) fn registration(&self) -> Registration<'_> {
        match &self.record {
            _ if self.withdrawn => Registration::Withdrawn,
            Some(record) => Registration::Known(record),
            None => Registration::Unknown,
        }
    }

    fn is_idle(&self) -> bool {
        let barred = |bar: Bar| bar.in_force.is_some();
        self.record.is_none()
            && !self.withdrawn
            && self.pending == 0
            && !barred(self.publish)
            && !barred(self.play)
    }
}

type Deadline = (Instant, Version);

/// A subscriber of a stream, and a direction.
pub(super) type Whom = (StreamKey, SubscriberId, Action);

/// Subjects by stream and id, and the deadlines of their blocks.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    table: BTreeMap<StreamKey, BTreeMap<SubscriberId, Subject>>,
    deadlines: BTreeMap<Deadline, Whom>,
}

impl Subjects {
    pub(super) fn get(&self, stream: &StreamKey, subscriber: &SubscriberId) -> Option<&Subject> {
        self.table.get(stream)?.get(subscriber)
    }

    pub(super) fn get_mut(&mut self, stream: &StreamKey, subscriber: &SubscriberId) -> Option<&mut Subject> {
        self.table.get_mut(stream)?.get_mut(subscriber)
    }

    pub(super) fn entry(&mut self, stream: &StreamKey, subscriber: &SubscriberId) -> &mut Subject {
        self.table.entry(stream.clone()).or_default().entry(subscriber.clone()).or_default()
    }

    pub(super) fn of_stream(&self, stream: &StreamKey) -> impl Iterator<Item = (&SubscriberId, &Subject)> {
        self.table.get(stream).into_iter().flatten()
    }

    /// Forgets a subject of which nothing is known any more.
    pub(super) fn prune(&mut self, stream: &StreamKey, subscriber: &SubscriberId) {
        let Some(subjects) = self.table.get_mut(stream) else { return };
        if subjects.get(subscriber).is_some_and(Subject::is_idle) {
            subjects.remove(subscriber);
        }
        if subjects.is_empty() {
            self.table.remove(stream);
        }
    }

    /// Puts a block in force, in place of any other of that direction.
    pub(super) fn set_block(
        &mut self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        action: Action,
        in_force: InForce,
    ) {
        self.lift_block(stream, subscriber, action);
        let bar = self.entry(stream, subscriber).bar_mut(action);
        *bar = Bar { newest: in_force.version, in_force: Some(in_force) };
        let key = (in_force.deadline, in_force.version);
        self.deadlines.insert(key, (stream.clone(), subscriber.clone(), action));
    }

    /// Changes blocks in force that nothing newer is on its way to lift. `change` says
    /// which it changed.
    pub(super) fn change_blocks<T>(
        &mut self,
        mut change: impl FnMut(&mut InForce) -> Option<T>,
    ) -> Vec<(Whom, T)> {
        let all: Vec<Whom> = self.deadlines.values().cloned().collect();
        let mut changed = Vec::new();
        for (stream, subscriber, action) in all {
            let Some(subject) = self.get_mut(&stream, &subscriber) else { continue };
            let bar = subject.bar_mut(action);
            let Some(mut in_force) = bar.in_force.filter(|block| block.version == bar.newest) else {
                continue;
            };
            let old = (in_force.deadline, in_force.version);
            let Some(what) = change(&mut in_force) else { continue };
            bar.in_force = Some(in_force);
            self.deadlines.remove(&old);
            let whom = (stream, subscriber, action);
            self.deadlines.insert((in_force.deadline, in_force.version), whom.clone());
            changed.push((whom, what));
        }
        changed
    }

    /// Takes the block of a direction out of force.
    pub(super) fn lift_block(&mut self, stream: &StreamKey, subscriber: &SubscriberId, action: Action) {
        let Some(subject) = self.get_mut(stream, subscriber) else { return };
        if let Some(lifted) = subject.bar_mut(action).in_force.take() {
            self.deadlines.remove(&(lifted.deadline, lifted.version));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Each block in force has a deadline.
    pub(super) fn block_count(&self) -> usize {
        self.deadlines.len()
    }

    /// Takes the next deadline that has come; whose it is, and of which block.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(StreamKey, SubscriberId, Action, Version)> {
        let next = self.deadlines.first_entry().filter(|next| next.key().0 <= now)?;
        let version = next.key().1;
        let (stream, subscriber, action) = next.remove();
        Some((stream, subscriber, action, version))
    }

    /// Whether this very block is in force, and not one that renewed it.
    pub(super) fn holds(
        &self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        action: Action,
        version: Version,
    ) -> bool {
        let in_force = self.get(stream, subscriber).and_then(|subject| subject.bar(action).in_force);
        in_force.is_some_and(|in_force| in_force.version == version)
    }

    /// Takes over from `old` all that keeps somebody out, and the versions that
    /// pending changes will come back with.
    pub(super) fn keep_tight(&mut self, old: Self) {
        for (stream, subjects) in old.table {
            for (subscriber, old) in subjects {
                for action in Action::ALL {
                    self.keep_bar(&stream, &subscriber, action, *old.bar(action));
                }
                let subject = self.entry(&stream, &subscriber);
                subject.withdrawn = old.withdrawn;
                subject.record_version = old.record_version;
                subject.pending = old.pending;
                if old.pending > 0 {
                    subject.disk = old.disk;
                }
                self.prune(&stream, &subscriber);
            }
        }
    }

    /// The block in memory, if there is one, is the newer truth; a block on disk
    /// alone was being lifted, or ended and was not removed yet.
    fn keep_bar(&mut self, stream: &StreamKey, subscriber: &SubscriberId, action: Action, old: Bar) {
        self.lift_block(stream, subscriber, action);
        if let Some(in_force) = old.in_force {
            self.set_block(stream, subscriber, action, in_force);
        }
        self.entry(stream, subscriber).bar_mut(action).newest = old.newest;
    }
}
