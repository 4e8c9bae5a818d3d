//! Guessing codes is priced out (C§16.9).
//!
//! A six-digit code falls to a few hours of patient tries unless tries cost
//! something. Each *evaluated* wrong code is charged to three accounts: its
//! subject's strangers or the address's own, and the address. Who has used up
//! his free tries waits, and whoever waits gets the answer of a wrong code
//! without an evaluation, so that waiting teaches nothing. Every map here is
//! bounded; the entry that failed longest ago goes first.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use contract::{Action, StreamKey, SubscriberId, TotpCode, network};

use crate::lru::Lru;

/// Tries that cost nothing; typing errors and stale pages stay below it.
const FREE: u32 = 20;
/// Longest time between two evaluated tries.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// Doublings from 1 s until [`MAX_INTERVAL`] holds.
const DOUBLINGS: u32 = 12;
/// Quiet that takes one failure off. No strategy gets more than one try per
/// this time in the long run, which is what makes guessing take over ten years;
/// see the test.
const QUIET: Duration = Duration::from_secs(20 * 60);
/// For so long an address that succeeded is no stranger.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Failures of one address, over all subscribers, in [`ADDRESS_WINDOW`].
const ADDRESS_FAILURES: u32 = 100;
const ADDRESS_WINDOW: Duration = Duration::from_secs(600);
/// Wrong codes remembered per subscriber and address, so that a client that
/// repeats them (the SDK does, every 3 s, for ever) is not taken for a guesser.
const REMEMBERED: usize = 4;
/// Entries per map: some 10 MiB for all maps together, and more than one address
/// can replace in a day.
const ENTRIES: usize = 16 * 1024;

/// Who tries which code on what.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) stream: &'a StreamKey,
    pub(crate) subscriber: &'a SubscriberId,
    pub(crate) whose: Whose,
    pub(crate) action: Action,
    pub(crate) peer: IpAddr,
    pub(crate) code: &'a TotpCode,
    /// The step that the code would be compared with.
    pub(crate) step: u64,
}

/// Whose secret is being guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The subscriber's own.
    Own,
    /// The application's; names of unregistered subscribers are free, so all of
    /// them on a stream share one count.
    Derived,
}

/// What to do with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Compare the code.
    Evaluate,
    /// Refuse: the same code was wrong already. Not counted.
    Repeat,
    /// Refuse: too many tries.
    Wait,
}

/// What a failure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One more.
    Counted,
    /// The free tries are used up now: somebody guesses.
    Attack,
}

/// A keyed hash of what an entry is about: names are long and chosen by
/// strangers, and nobody can aim at a collision without the key.
type Print = u64;

/// All counts of failures.
pub(crate) struct Guesses {
    hasher: RandomState,
    strangers: Lru<Print, Tally>,
    own: Lru<Print, Tally>,
    succeeded: Lru<Print, Instant>,
    addresses: Lru<IpAddr, Window>,
    wrong: Lru<Print, Vec<Wrong>>,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            strangers: Lru::new(ENTRIES),
            own: Lru::new(ENTRIES),
            succeeded: Lru::new(ENTRIES),
            addresses: Lru::new(ENTRIES),
            wrong: Lru::new(ENTRIES),
        }
    }

    /// Whether the code may be compared.
    pub(crate) fn leave(&self, attempt: &Attempt<'_>, now: Instant) -> Leave {
        if self.wrong(attempt).is_some_and(|wrong| wrong.repeats(attempt.step)) {
            return Leave::Repeat;
        }
        let window = self.addresses.get(&network(attempt.peer));
        if window.is_some_and(|w| w.count_at(now) >= ADDRESS_FAILURES) {
            return Leave::Wait;
        }
        match self.tally(attempt, now) {
            Some(tally) if !tally.allows(now) => Leave::Wait,
            _ => Leave::Evaluate,
        }
    }

    /// The code was compared and wrong.
    pub(crate) fn failed(&mut self, attempt: &Attempt<'_>, now: Instant) -> Failure {
        self.remember(attempt);
        let address = network(attempt.peer);
        let window = self.addresses.get(&address).copied().unwrap_or(Window { begun: now, count: 0 });
        self.addresses.put(address, window.counted(now));
        let tally = self.tally(attempt, now).copied().unwrap_or(Tally { failures: 0, last: now });
        let (after, failure) = tally.failed(now);
        if self.is_known(attempt, now) {
            self.own.put(self.known_print(attempt), after);
        } else {
            self.strangers.put(self.subject_print(attempt), after);
        }
        failure
    }

    /// The code was compared and right. Counts stay as they are: else somebody
    /// behind the owner's address would guess for free after each of his logins.
    pub(crate) fn succeeded(&mut self, attempt: &Attempt<'_>, now: Instant) {
        self.succeeded.put(self.known_print(attempt), now);
    }

    fn tally(&self, attempt: &Attempt<'_>, now: Instant) -> Option<&Tally> {
        if self.is_known(attempt, now) {
            self.own.get(&self.known_print(attempt))
        } else {
            self.strangers.get(&self.subject_print(attempt))
        }
    }

    fn is_known(&self, attempt: &Attempt<'_>, now: Instant) -> bool {
        let succeeded = self.succeeded.get(&self.known_print(attempt));
        succeeded.is_some_and(|&at| now.saturating_duration_since(at) < KNOWN_FOR)
    }

    fn wrong(&self, attempt: &Attempt<'_>) -> Option<&Wrong> {
        let remembered = self.wrong.get(&self.wrong_print(attempt))?;
        remembered.iter().find(|wrong| wrong.code == *attempt.code)
    }

    fn remember(&mut self, attempt: &Attempt<'_>) {
        let print = self.wrong_print(attempt);
        let mut remembered = self.wrong.get(&print).cloned().unwrap_or_default();
        match remembered.iter_mut().find(|wrong| wrong.code == *attempt.code) {
            Some(wrong) => wrong.retried = true,
            None => remembered.push(Wrong { code: *attempt.code, step: attempt.step, retried: false }),
        }
        if remembered.len() > REMEMBERED {
            remembered.remove(0);
        }
        self.wrong.put(print, remembered);
    }

    fn print(&self, what: impl Hash) -> Print {
        self.hasher.hash_one(what)
    }

    fn subject_print(&self, attempt: &Attempt<'_>) -> Print {
        let subscriber = (attempt.whose == Whose::Own).then_some(attempt.subscriber);
        self.print((attempt.stream, subscriber))
    }

    fn known_print(&self, attempt: &Attempt<'_>) -> Print {
        self.print((attempt.stream, attempt.subscriber, network(attempt.peer)))
    }

    fn wrong_print(&self, attempt: &Attempt<'_>) -> Print {
        self.print((attempt.stream, attempt.subscriber, network(attempt.peer), attempt.action))
    }
}

/// Failures of one subject, taken off one by one with quiet.
#[derive(Debug, Clone, Copy)]
struct Tally {
    failures: u32,
    last: Instant,
}

impl Tally {
    fn at(self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs() / QUIET.as_secs();
        self.failures.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }

    fn allows(self, now: Instant) -> bool {
        match self.at(now).checked_sub(FREE) {
            None => true,
            Some(doublings) => now.saturating_duration_since(self.last) >= interval(doublings),
        }
    }

    fn failed(self, now: Instant) -> (Self, Failure) {
        let failures = (self.at(now) + 1).min(FREE + DOUBLINGS);
        let failure = if failures == FREE { Failure::Attack } else { Failure::Counted };
        (Self { failures, last: now }, failure)
    }
}

fn interval(doublings: u32) -> Duration {
    Duration::from_secs(1 << doublings.min(DOUBLINGS)).min(MAX_INTERVAL)
}

/// Failures of one address since the window began.
#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    count: u32,
}

impl Window {
    fn count_at(self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.begun) < ADDRESS_WINDOW { self.count } else { 0 }
    }

    fn counted(self, now: Instant) -> Self {
        match self.count_at(now) {
            0 => Self { begun: now, count: 1 },
            count => Self { count: count + 1, ..self },
        }
    }
}

/// A code that was wrong.
#[derive(Clone, Copy)]
struct Wrong {
    code: TotpCode,
    step: u64,
    retried: bool,
}

impl Wrong {
    /// A code that a fast clock made too early becomes right in the next step,
    /// so it is compared, and charged, once more; never after that. Each
    /// remembered code is thus compared twice at most, and each comparison paid.
    fn repeats(&self, step: u64) -> bool {
        self.retried || step != self.step + 1
    }
}

#[cfg(test)]
mod tests;
