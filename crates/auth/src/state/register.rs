//! Adding, changing and removing subscribers.

use contract::auth::{PutSubscriber, PutSubscriberError, RemoveSubscriber};
use contract::session::{CloseReason, SetStanding};
use contract::{Action, AppSettings, StreamKey, SubscriberId};
use store::Batch;

use super::permits::Proof;
use super::{Fence, State, Version};
use crate::code::CodeKey;
use crate::record::{Record, Write};

/// Periods that a subscriber may be given, in seconds (C§2.1.1).
const PERIODS: std::ops::RangeInclusive<i64> = 10..=2_147_483_647;

/// A record is to be installed when the batch is on disk.
#[derive(Debug)]
pub(crate) struct Putting {
    pub(crate) write: Batch,
    /// Sessions that the old secret opened.
    pub(crate) fences: Vec<Fence>,
    stream: StreamKey,
    subscriber: SubscriberId,
    version: Version,
}

/// Records are to be forgotten when the batch is on disk.
#[derive(Debug)]
pub(crate) struct Removing {
    pub(crate) write: Batch,
    /// Sessions that the old credentials opened.
    pub(crate) fences: Vec<Fence>,
    /// Records there were.
    pub(crate) count: usize,
    stream: StreamKey,
    leaving: Vec<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    subscriber: SubscriberId,
    record: Version,
    lifting: Vec<(Action, Version)>,
}

impl State {
    /// First half: the old record, if it grants otherwise than the new one, lets
    /// nobody in any more; the new one does not yet.
    pub(crate) fn put(
        &mut self,
        ask: &PutSubscriber,
        settings: &AppSettings,
    ) -> Result<Putting, PutSubscriberError> {
        let record = parse(ask, settings)?;
        let version = self.next_version();
        let mut write = Batch::new();
        write.put_subscriber(&record);
        let subject = self.subjects.entry(&ask.stream, &ask.subscriber);
        subject.record_version = version;
        subject.pending += 1;
        let old = subject.record.clone();
        subject.disk = Some(record.clone());
        subject.withdrawn |= old.as_ref().is_some_and(|old| !old.grants_like(&record));
        let secret_changed = old.is_some_and(|old| old.secret.is_some() && old.secret != record.secret);
        let mut fences = Vec::new();
        if secret_changed {
            self.guesses.changed_secret(&ask.stream, &ask.subscriber);
            fences = self.shut_out(&ask.stream, &ask.subscriber, settings);
        }
        let (stream, subscriber) = (ask.stream.clone(), ask.subscriber.clone());
        Ok(Putting { write, fences, stream, subscriber, version })
    }

    /// Second half, when the batch is on disk.
    pub(crate) fn put_done(&mut self, putting: &Putting) {
        if let Some(subject) = self.subjects.get_mut(&putting.stream, &putting.subscriber) {
            subject.follow_disk(putting.version);
        }
        self.settled(&putting.stream, &putting.subscriber);
    }

    /// Instead of the second half, when the batch is not on disk: nobody knows
    /// which of the two records the disk holds, so neither lets anybody in.
    pub(crate) fn put_failed(&mut self, putting: &Putting) {
        if let Some(subject) = self.subjects.get_mut(&putting.stream, &putting.subscriber) {
            subject.stay(putting.version);
        }
        self.settled(&putting.stream, &putting.subscriber);
    }

    /// First half: nobody gets in on these records any more, and sessions that
    /// they opened end. Blocks stay in force.
    pub(crate) fn remove(&mut self, ask: &RemoveSubscriber, settings: &AppSettings) -> Removing {
        let subscribers: Vec<SubscriberId> = match &ask.subscriber {
            Some(one) => vec![one.clone()],
            None => self.subjects.of_stream(&ask.stream).map(|(id, _)| id.clone()).collect(),
        };
        let (stream, leaving) = (ask.stream.clone(), Vec::new());
        let mut removing = Removing { write: Batch::new(), fences: Vec::new(), count: 0, stream, leaving };
        for subscriber in subscribers {
            self.withdraw(subscriber, settings, &mut removing);
        }
        self.events.forget(&ask.stream, ask.subscriber.as_ref(), &mut removing.write);
        removing
    }

    fn withdraw(&mut self, subscriber: SubscriberId, settings: &AppSettings, removing: &mut Removing) {
        let stream = removing.stream.clone();
        // Else the end of a running session would be the one event left of it.
        self.permits.forget_events(&stream, &subscriber);
        if self.subjects.get(&stream, &subscriber).is_none() {
            return;
        }
        let record = self.next_version();
        let lifting: Vec<_> = Action::ALL.map(|action| (action, self.next_version())).into();
        let subject = self.subjects.entry(&stream, &subscriber);
        subject.record_version = record;
        subject.pending += 1;
        removing.count += usize::from(subject.record.is_some());
        subject.withdrawn |= subject.record.is_some();
        subject.disk = None;
        removing.write.delete_subscriber(&stream, &subscriber);
        for &(action, version) in &lifting {
            subject.bar_mut(action).newest = version;
            self.doubt.decided(&stream, &subscriber, action);
            removing.write.delete_block(&stream, &subscriber, action);
        }
        self.guesses.changed_secret(&stream, &subscriber);
        removing.fences.extend(self.shut_out(&stream, &subscriber, settings));
        removing.leaving.push(Leaving { subscriber, record, lifting });
    }

    /// Second half, when the batch is on disk. The fences resume players whose
    /// block went with the record.
    pub(crate) fn removed(&mut self, removing: &Removing) -> Vec<Fence> {
        let mut fences = Vec::new();
        for leaving in &removing.leaving {
            let Leaving { subscriber, record, lifting } = leaving;
            if let Some(subject) = self.subjects.get_mut(&removing.stream, subscriber) {
                subject.follow_disk(*record);
            }
            fences.extend(self.lift_unless_newer(&removing.stream, subscriber, lifting));
            self.settled(&removing.stream, subscriber);
        }
        fences
    }

    /// Instead of the second half, when the batch is not on disk.
    pub(crate) fn remove_failed(&mut self, removing: &Removing) {
        for leaving in &removing.leaving {
            if let Some(subject) = self.subjects.get_mut(&removing.stream, &leaving.subscriber) {
                subject.stay(leaving.record);
            }
            self.settled(&removing.stream, &leaving.subscriber);
        }
    }

    /// Ends the sessions that a subscriber's codes opened, where codes are needed
    /// (C§16.17).
    fn shut_out(&self, stream: &StreamKey, subscriber: &SubscriberId, settings: &AppSettings) -> Vec<Fence> {
        let opened = self
            .permits
            .of(stream, subscriber)
            .filter(|(_, held)| held.proof == Proof::Code && settings.security.totp(held.action));
        opened.map(|(_, held)| held.fence(SetStanding::Revoke(CloseReason::Withdrawn))).collect()
    }
}

fn parse(ask: &PutSubscriber, settings: &AppSettings) -> Result<Record, PutSubscriberError> {
    let secret = ask.secret.clone().filter(|secret| !secret.reveal().trim().is_empty());
    if let Some(secret) = &secret {
        CodeKey::from_base32(secret.reveal()).map_err(|_| PutSubscriberError::Secret)?;
    }
    // The period of the day of registration is kept, whatever the setting becomes.
    let period = ask.period.unwrap_or(settings.security.period.into());
    if !PERIODS.contains(&period) {
        return Err(PutSubscriberError::Period);
    }
    Ok(Record {
        stream: ask.stream.clone(),
        subscriber: ask.subscriber.clone(),
        name: ask.name.clone(),
        secret,
        kind: ask.kind,
        limit: ask.limit,
        period: u32::try_from(period).ok(),
    })
}
