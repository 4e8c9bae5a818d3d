//! What the wall clock is worth: it decides over a block only between two runs of the
//! server, and may be wrong just then.
//!
//! - A clock that is *earlier* than the newest record, or over a year later, is in
//!   doubt. Then every block is kept in force, none for longer than was asked for; each is
//!   judged by its record when the clock has been set to a time that can be.
//! - A clock may be some hours ahead (a hardware clock in local time) without anybody's
//!   knowing. So the record of a block that was over at the start stays on disk for the
//!   first hour; if the clock is set back before its end, the block is in force again.
//! - What was asked for while the clock was wrong is written with another time when
//!   the clock is set: in memory it runs by the monotonic clock, which no step moves.

use std::time::{Duration, Instant};

use contract::{Action, Now, StreamKey, SubscriberId, WallMs};

use super::block::Expired;
use super::subjects::InForce;
use super::{LONGEST_BLOCK, Notice, State, deadline};
use crate::record::{BlockRecord, Write};

/// A server that stood still for longer than this is rarer than a clock that is wrong.
const LONGEST_REST: Duration = Duration::from_secs(365 * 24 * 3600);

/// So long after the start the clock may be set back: NTP takes minutes.
const PROBATION: Duration = Duration::from_secs(3600);

/// How often the clock is looked at while something depends on it and no message comes.
const LOOK: Duration = Duration::from_secs(60);

/// A smaller step leaves records as they are: they are wrong by less than this.
const STEP: Duration = Duration::from_secs(60);

/// For how long a block is kept of which it is not known what was asked for: a record
/// of a build that did not write it.
const UNKNOWN: Duration = Duration::from_secs(24 * 3600);

/// What is left to be judged when the clock is set.
#[derive(Debug)]
pub(super) struct Doubt {
    /// The newest time that was on disk at the start.
    newest: Option<WallMs>,
    /// Blocks that were over at the start, until [`PROBATION`] is.
    over: Vec<BlockRecord>,
    over_until: Instant,
    last: Now,
    look_at: Instant,
    /// Some block is in force that its record has not judged yet.
    keeps: bool,
}

impl Doubt {
    pub(super) fn new(newest: Option<WallMs>, now: Now) -> Self {
        let (over_until, look_at) = (now.mono + PROBATION, now.mono + LOOK);
        Self { newest, over: Vec::new(), over_until, last: now, look_at, keeps: false }
    }

    /// Whether it can be that late, or that early.
    fn can_be(&self, wall: WallMs) -> bool {
        self.newest.is_none_or(|newest| wall >= newest && wall.since(newest) <= LONGEST_REST)
    }

    /// An operator has decided since: what was on disk at the start counts no more.
    pub(super) fn decided(&mut self, stream: &StreamKey, subscriber: &SubscriberId, action: Action) {
        let same = |over: &BlockRecord| {
            over.action == action && over.subscriber == *subscriber && over.stream == *stream
        };
        self.over.retain(|over| !same(over));
    }

    /// Whether the clock was set since the last call.
    fn was_set(&mut self, now: Now) -> bool {
        let expected = self.last.wall.after(now.mono.saturating_duration_since(self.last.mono));
        self.last = now;
        now.wall.since(expected).max(expected.since(now.wall)) > STEP
    }
}

impl State {
    /// Puts the blocks in force that were on disk at the start.
    pub(super) fn load_blocks(&mut self, records: Vec<BlockRecord>, now: Now) {
        let mut in_doubt = 0;
        for record in records {
            let (left, asked) = (record.until.since(now.wall), self.asked(&record));
            let can_be = self.doubt.can_be(now.wall);
            let is_late = self.doubt.newest.is_some_and(|newest| now.wall > newest);
            if left.is_zero() && (can_be || !is_late) {
                // An early clock says it too, so it is over by any clock.
                self.doubt.over.push(record);
                continue;
            }
            // Of a clock that is late without reason nothing can be learned.
            let left = if left.is_zero() { asked } else { left.min(asked) };
            in_doubt += usize::from(!can_be);
            let in_force = InForce {
                version: self.next_version(),
                until: if can_be { record.until } else { now.wall.after(left) },
                asked,
                deadline: deadline(now, left),
                by_record: (!can_be).then_some(record.until),
            };
            self.subjects.set_block(&record.stream, &record.subscriber, record.action, in_force);
        }
        if in_doubt > 0 {
            self.doubt.keeps = true;
            self.notices.push(Notice::ClockInDoubt(in_doubt));
        }
    }

    fn asked(&self, record: &BlockRecord) -> Duration {
        match (record.since, self.doubt.newest) {
            (Some(since), _) => record.until.since(since),
            (None, None) => LONGEST_BLOCK,
            // It was asked for no later than the newest record was written, or so.
            (None, Some(newest)) if record.until > newest => record.until.since(newest),
            (None, Some(_)) => UNKNOWN,
        }
    }

    /// When the clock should be looked at, if anything depends on it.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let depends = self.doubt.keeps || !self.doubt.over.is_empty();
        depends.then_some(self.doubt.look_at)
    }

    /// Judges anew what depends on the clock, if it was set since the last call.
    pub(super) fn look_at_clock(&mut self, now: Now) -> Expired {
        let mut found = Expired::default();
        if now.mono >= self.doubt.look_at {
            self.doubt.look_at = now.mono + LOOK;
        }
        if self.doubt.was_set(now) {
            self.judge(now);
            self.date_anew(now, &mut found);
            self.put_back(now, &mut found);
        }
        if now.mono >= self.doubt.over_until {
            for over in std::mem::take(&mut self.doubt.over) {
                found.write.delete_block(&over.stream, &over.subscriber, over.action);
            }
        }
        found
    }

    /// Blocks that were kept in doubt end when their records say.
    fn judge(&mut self, now: Now) {
        if !self.doubt.can_be(now.wall) {
            return;
        }
        self.doubt.keeps = false;
        let judged = self.subjects.change_blocks(|in_force| {
            let until = in_force.by_record.take()?;
            in_force.until = until;
            in_force.deadline = deadline(now, until.since(now.wall).min(in_force.asked));
            Some(())
        });
        if !judged.is_empty() {
            self.notices.push(Notice::ClockCanBe(judged.len()));
        }
    }

    /// Blocks that run by the monotonic clock end at another time of day. One that is
    /// being lifted is on its way from the disk, and must not come back to it.
    fn date_anew(&mut self, now: Now, found: &mut Expired) {
        let dated = self.subjects.change_blocks(|in_force| {
            if in_force.by_record.is_some() || in_force.until == WallMs(u64::MAX) {
                return None;
            }
            in_force.until = now.wall.after(in_force.deadline.saturating_duration_since(now.mono));
            Some(*in_force)
        });
        for ((stream, subscriber, action), in_force) in dated {
            let since = WallMs(in_force.until.0.saturating_sub(millis(in_force.asked)));
            let until = in_force.until;
            found.write.put_block(&BlockRecord { stream, subscriber, action, until, since: Some(since) });
        }
    }

    /// Blocks that were over by a clock that was ahead.
    fn put_back(&mut self, now: Now, found: &mut Expired) {
        let over = std::mem::take(&mut self.doubt.over);
        let (back, over): (Vec<_>, Vec<_>) = over.into_iter().partition(|over| over.until > now.wall);
        self.doubt.over = over;
        let can_be = self.doubt.can_be(now.wall);
        self.doubt.keeps |= !can_be && !back.is_empty();
        for record in back {
            let (asked, version) = (self.asked(&record), self.next_version());
            let left = record.until.since(now.wall).min(asked);
            let BlockRecord { stream, subscriber, action, until, .. } = record;
            let in_force = InForce {
                version,
                until: now.wall.after(left),
                asked,
                deadline: deadline(now, left),
                by_record: (!can_be).then_some(until),
            };
            self.subjects.set_block(&stream, &subscriber, action, in_force);
            self.silence(&stream, &subscriber, action, until, &mut found.fences);
            self.notices.push(Notice::PutBack(stream, subscriber));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
