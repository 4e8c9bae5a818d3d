//! Guessing codes is priced out, and the price is the guesser's (C§16.9).
//!
//! A six-digit code falls to a few hours of patient tries unless tries cost
//! something; and if all peers pay together, a guesser locks all others out. So each
//! *evaluated* wrong code fills [`Meter`]s, all of which must have room for the next one:
//!
//! | the network | its own | its site | all such networks together |
//! |---|---|---|---|
//! | succeeded with this name within 7 days | [`OWN`] | | |
//! | did so with another name of the stream | [`MET`] `.network` | `.site` | `.shared` |
//! | any other, and one of these that finds no room there | [`STRANGE`] `.network` | `.site` | `.shared` |
//!
//! These count for one *subject*: the secret of one registered subscriber, or all
//! derived codes of a stream in one direction, because names of unregistered
//! subscribers are free. [`NETWORK`] counts for a network over all subjects.
//!
//! What follows, proved by the simulation in the tests:
//! - One network, whatever it sends, fills 6 of the 60 that strangers share, and 4 a
//!   day of the 72 that are forgotten in it: it touches no other network.
//! - Ten networks can fill what strangers share, and eighteen keep it full. Then networks
//!   that never succeeded wait; those that did so notice nothing.
//! - However many networks guess: at most 72 codes a day are compared for strangers
//!   and 48 for networks that were met. Two of a million codes are right at any
//!   moment, so that is one right guess in 500 000 / 120 days, which is eleven years
//!   (nineteen, if none of the guessers holds a code of the stream).
//! - Both cannot be had for strangers against very many: 65 536 networks with one try a
//!   day each would need eight days. With six digits, either they are let guess or
//!   unknown networks wait; they wait, and the operator is told.
//!
//! A peer that waits gets the answer of a wrong code without an evaluation, so that waiting
//! teaches nothing. Nor is a derived code compared to play a stream that is neither registered
//! nor live, under a name that no operator has given: both names are free, and would be a
//! fresh count each. Such a code costs nothing: viewers with right ones come before the
//! stream does. Codes to publish such streams share one count in the application.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use contract::{Action, AppName, StreamKey, SubscriberId, TotpCode};

use crate::homes::Homes;
use crate::lane::{Lane, Origin, Print, Prints, Rates};
use crate::lru::Lru;
use crate::meter::{Absent, Meter, Rate};

const fn rate(burst: u32, minutes: u64) -> Rate {
    Rate { burst, each: Duration::from_secs(minutes * 60) }
}

/// Of a network, for the name that succeeded from it: no other pays or waits.
/// Typing errors and stale pages stay below it.
const OWN: Rate = rate(20, 20);

/// Of networks from which something on this subject succeeded, and more for each
/// network: many people may share it. Guessers are among them only if they have
/// a right code of the same stream.
const MET: Rates = Rates { network: rate(12, 120), site: rate(24, 60), shared: rate(60, 30) };

/// Of all other networks: a few tries a day for each. Six at once, because several
/// viewers behind one address may come with links of yesterday.
const STRANGE: Rates = Rates { network: rate(6, 360), site: rate(16, 90), shared: rate(60, 20) };

/// Of one network for all subjects together, but for names that are at home there.
/// One network thus needs nine years for some code of anybody.
const NETWORK: Rate = rate(100, 10);

/// Entries per meter and per table of codes: some 20 MiB for all together when all
/// are full. Only a compared code makes one in the meters of a subject, so those are
/// full when 270 subjects are attacked by all that they admit.
const ENTRIES: usize = 16 * 1024;

/// For so long a network that succeeded is no stranger.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Names, and networks of subjects. Some 25 MiB when it is full; beyond it, those that
/// succeeded longest ago are strangers again, which matters only under attack.
const KNOWN: usize = 64 * 1024;

/// A code, for what and from where.
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

impl Attempt<'_> {
    /// Whether it would play what is not there.
    fn is_nowhere(&self) -> bool {
        self.whose == Whose::Unheard && self.action == Action::Play
    }
}

/// Which secret is being guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The subscriber's own.
    Own,
    /// The application's; names of unregistered subscribers are free, so all of
    /// them on a stream share one count.
    Derived,
    /// The application's, for a stream that is neither registered nor live, and a
    /// subscriber that no operator has named: both names are free. Nothing can be played
    /// there, so no code is compared for that; codes to publish share one count over all
    /// such streams.
    Unheard,
}

/// What codes are made of, and what is guessed at.
#[derive(Hash)]
enum Secret<'a> {
    /// A registered subscriber's, in both directions.
    Own(&'a StreamKey, &'a SubscriberId),
    /// What the application's secret gives for one name.
    Derived(&'a StreamKey, &'a SubscriberId, Action),
    /// What it gives for all names of a stream.
    AllDerived(&'a StreamKey, Action),
    /// What it gives for all streams that are not there.
    Nowhere(&'a AppName, Action),
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
    /// Refuse: there is no such stream. Not compared, so it teaches nothing: not counted.
    Nowhere,
}

/// What a failure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One more.
    Counted,
    /// The tries on this subject are used up now: a peer guesses.
    Attack,
}

/// All counts of failures.
pub(crate) struct Guesses {
    prints: Prints,
    /// Where a name succeeded.
    homes: Homes,
    /// Where any name of a subject did.
    met: Lru<(Print, Print), Instant>,
    at_home: Meter<(Print, Print)>,
    of_met: Lane,
    of_strangers: Lane,
    networks: Meter<Print>,
    /// Codes that were compared and wrong.
    wrong: Lru<Print, Wrong>,
}

/// An attempt in hashes.
#[derive(Clone, Copy)]
struct Try {
    subject: Print,
    name: Print,
    from: Origin,
    code: Print,
}

/// How well the network of an attempt is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    Home,
    Met,
    Strange,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self {
            prints: Prints::default(),
            homes: Homes::new(KNOWN_FOR, KNOWN),
            met: Lru::new(KNOWN),
            at_home: Meter::new(OWN, Absent::Clean, ENTRIES),
            of_met: Lane::new(&MET, ENTRIES),
            of_strangers: Lane::new(&STRANGE, ENTRIES),
            networks: Meter::new(NETWORK, Absent::Clean, ENTRIES),
            wrong: Lru::new(ENTRIES),
        }
    }

    /// Whether the code may be compared.
    pub(crate) fn leave(&self, attempt: &Attempt<'_>, now: Instant) -> Leave {
        let this = self.hashed(attempt);
        if self.wrong.get(&this.code).is_some_and(|wrong| wrong.repeats(attempt.step)) {
            return Leave::Repeat;
        }
        let tie = self.tie(this, now);
        if attempt.is_nowhere() && tie != Tie::Home {
            return Leave::Nowhere;
        }
        if self.has_room(this, tie, now) { Leave::Evaluate } else { Leave::Wait }
    }

    fn has_room(&self, this: Try, tie: Tie, now: Instant) -> bool {
        match tie {
            Tie::Home => self.at_home.has_room(&this.home(), now),
            Tie::Met | Tie::Strange => {
                self.networks.has_room(&this.from.network, now)
                    && (self.is_paid_by_met(this, tie, now)
                        || self.of_strangers.has_room(this.subject, this.from, now))
            }
        }
    }

    /// Whether a failure counts for networks that were met. If those have no room left,
    /// such a network counts as a stranger: a right code of the stream must not leave
    /// it with less than none would.
    fn is_paid_by_met(&self, this: Try, tie: Tie, now: Instant) -> bool {
        tie == Tie::Met && self.of_met.has_room(this.subject, this.from, now)
    }

    /// The code was compared and wrong.
    pub(crate) fn failed(&mut self, attempt: &Attempt<'_>, now: Instant) -> Failure {
        let this = self.hashed(attempt);
        let retried = self.wrong.get(&this.code).is_some();
        self.wrong.put(this.code, Wrong { step: attempt.step, retried });
        let tie = self.tie(this, now);
        if tie == Tie::Home {
            return Failure::of(self.at_home.add(this.home(), now));
        }
        let by_met = self.is_paid_by_met(this, tie, now);
        let lane = if by_met { &mut self.of_met } else { &mut self.of_strangers };
        self.networks.add(this.from.network, now);
        Failure::of(lane.add(this.subject, this.from, now))
    }

    /// The code was compared and right. Counts stay as they are: else a
    /// peer behind the owner's address would guess for free after each login.
    pub(crate) fn succeeded(&mut self, attempt: &Attempt<'_>, now: Instant) {
        let this = self.hashed(attempt);
        self.homes.succeeded(this.name, this.from.network, now);
        self.met.put((this.subject, this.from.network), now);
    }

    /// Whether the tries on this subscriber's own secret, `None`: on derived codes of the
    /// stream or to publish what is not registered in its application, were used up, and
    /// less than half of them are forgotten since.
    pub(crate) fn is_attacked(&self, stream: &StreamKey, whom: Option<&SubscriberId>, now: Instant) -> bool {
        let (subjects, names) = self.meant(stream, whom);
        let lanes = [&self.of_met, &self.of_strangers];
        let home = |name| self.homes.of(name, now).any(|network| self.at_home.is_told(&(name, network), now));
        subjects.iter().any(|&subject| lanes.iter().any(|lane| lane.is_told(subject, now)))
            || names.into_iter().any(home)
    }

    /// Forgets all failures on this subscriber; `None`: on derived codes of the stream, and
    /// on those to publish what is not registered in its application.
    pub(crate) fn forgive(&mut self, stream: &StreamKey, whom: Option<&SubscriberId>) {
        let (subjects, names) = self.meant(stream, whom);
        self.at_home.forget(|(name, _)| names.contains(name));
        for lane in [&mut self.of_met, &mut self.of_strangers] {
            lane.forget(&subjects);
        }
    }

    /// Another secret is another code: a network that proved the old one is a stranger.
    pub(crate) fn changed_secret(&mut self, stream: &StreamKey, subscriber: &SubscriberId) {
        let own = self.prints.of(Secret::Own(stream, subscriber));
        for network in self.homes.forget(own) {
            self.met.remove(&(own, network));
        }
    }

    /// Subjects, and names that have networks of their own. To a stream belongs what
    /// delays publishers while it is not registered, which its application's streams
    /// share: it would have no other place where an operator could see it.
    fn meant(&self, stream: &StreamKey, whom: Option<&SubscriberId>) -> (Vec<Print>, Vec<Print>) {
        let Some(subscriber) = whom else {
            let derived = Action::ALL.map(|action| Secret::AllDerived(stream, action));
            let nowhere = Secret::Nowhere(&stream.app, Action::Publish);
            return (derived.into_iter().chain([nowhere]).map(|it| self.prints.of(it)).collect(), Vec::new());
        };
        let own = self.prints.of(Secret::Own(stream, subscriber));
        let derived = Action::ALL.map(|action| self.prints.of(Secret::Derived(stream, subscriber, action)));
        (vec![own], [own].into_iter().chain(derived).collect())
    }

    fn tie(&self, this: Try, now: Instant) -> Tie {
        let met = self.met.get(&(this.subject, this.from.network));
        if self.homes.is_home(this.name, this.from.network, now) {
            Tie::Home
        } else if met.is_some_and(|&at| now.saturating_duration_since(at) < KNOWN_FOR) {
            Tie::Met
        } else {
            Tie::Strange
        }
    }

    fn hashed(&self, attempt: &Attempt<'_>) -> Try {
        let Attempt { stream, subscriber, action, .. } = *attempt;
        let derived = Secret::Derived(stream, subscriber, action);
        let (subject, name) = match attempt.whose {
            Whose::Own => (Secret::Own(stream, subscriber), Secret::Own(stream, subscriber)),
            Whose::Derived => (Secret::AllDerived(stream, action), derived),
            Whose::Unheard => (Secret::Nowhere(&stream.app, action), derived),
        };
        let from = self.prints.origin(attempt.peer);
        let name = self.prints.of(name);
        // The same code in the other direction is the same guess, where the secret is.
        let code = self.prints.of((name, from.network, attempt.code.reveal()));
        Try { subject: self.prints.of(subject), name, from, code }
    }
}

impl Try {
    /// The name, where it comes from.
    const fn home(self) -> (Print, Print) {
        (self.name, self.from.network)
    }
}

impl Failure {
    const fn of(full: bool) -> Self {
        if full { Self::Attack } else { Self::Counted }
    }
}

/// When a code was compared and wrong.
#[derive(Clone, Copy)]
struct Wrong {
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
mod simulation;
#[cfg(test)]
mod tests;
