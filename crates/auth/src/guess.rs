//! Guessing codes is priced out, and the price is the guesser's (C§16.9).
//!
//! A six-digit code falls to a few hours of patient tries unless tries cost
//! something; and if they cost something for everybody together, a guesser locks
//! everybody else out. So each *evaluated* wrong code fills [`Meter`]s, all of which
//! must have room for the next one:
//!
//! | whose network | its own | its site | all such networks together |
//! |---|---|---|---|
//! | the name succeeded from it within 7 days | [`OWN`] | | |
//! | another name of the stream did so | [`MET`] `.network` | `.site` | `.shared` |
//! | any other | [`STRANGE`] `.network` | `.site` | `.shared` |
//!
//! These count for one *subject*: the secret of one registered subscriber, or all
//! derived codes of a stream in one direction, because names of unregistered
//! subscribers are free. [`NETWORK`] counts for a network over all subjects.
//!
//! What follows, proved by the simulation in the tests:
//! - One network, whatever it sends, fills 4 of the 60 that strangers share, and 4 a
//!   day of the 72 that are forgotten in it: it touches no other network.
//! - Fifteen networks and more can fill what strangers share. Then networks that
//!   never succeeded wait; those that did so notice nothing.
//! - However many networks guess: at most 72 codes a day are compared for strangers
//!   and 48 for networks that were met. Two of a million codes are right at any
//!   moment, so that is one right guess in 500 000 / 120 days, which is eleven years
//!   (nineteen, if none of the guessers holds a code of the stream).
//! - Both cannot be had for strangers against very many: 65 536 networks with one try a
//!   day each would need eight days. With six digits, either they are let guess or
//!   unknown networks wait; they wait, and the operator is told.
//!
//! Who waits gets the answer of a wrong code without an evaluation, so that waiting
//! teaches nothing. Nor is a code compared for a stream that is neither registered nor
//! live: its names are free as well, and would be a fresh count each.

mod known;

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use contract::{Action, AppName, StreamKey, SubscriberId, TotpCode, network, site};

use crate::lru::Lru;
use crate::meter::{Absent, Meter, Rate};
use known::Known;

const fn rate(burst: u32, minutes: u64) -> Rate {
    Rate { burst, each: Duration::from_secs(minutes * 60) }
}

/// Of a network, for the name that succeeded from it: nobody else pays or waits.
/// Typing errors and stale pages stay below it.
const OWN: Rate = rate(20, 20);

/// Of networks from which something on this subject succeeded, and more for each
/// network: many people may share it. Guessers are among them only if they have
/// a right code of the same stream.
const MET: Rates = Rates { network: rate(12, 120), site: rate(24, 60), shared: rate(60, 30) };

/// Of all other networks: a few tries a day for each.
const STRANGE: Rates = Rates { network: rate(4, 360), site: rate(16, 90), shared: rate(60, 20) };

/// Of one network for all subjects together, but for names that are at home there.
/// One network thus needs nine years for some code of anybody.
const NETWORK: Rate = rate(100, 10);

/// Entries per meter and per table of codes: some 20 MiB for all together when all
/// are full. Only a compared code makes one in the meters of a subject, so those are
/// full when 270 subjects are attacked by all that they admit.
const ENTRIES: usize = 16 * 1024;

/// What may be done with a subject by networks of one kind.
struct Rates {
    network: Rate,
    site: Rate,
    shared: Rate,
}

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

impl Attempt<'_> {
    /// Whether it would play what is not there.
    fn is_nowhere(&self) -> bool {
        self.whose == Whose::Nobodys && self.action == Action::Play
    }
}

/// Whose secret is being guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The subscriber's own.
    Own,
    /// The application's; names of unregistered subscribers are free, so all of
    /// them on a stream share one count.
    Derived,
    /// The application's, for a stream that is neither registered nor live: its name
    /// is free as well. Nothing can be played there, so no code is compared for that;
    /// codes to publish share one count over all such streams.
    Nobodys,
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
    /// Refuse: there is no such stream. Counted, against the network only.
    Nowhere,
}

/// What a failure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One more.
    Counted,
    /// The tries on this subject are used up now: somebody guesses.
    Attack,
}

/// A keyed hash of what an entry is about: names are long and chosen by
/// strangers, and nobody can aim at a collision without the key.
type Print = u64;

/// Something, from somewhere.
type At = (Print, Print);

/// All counts of failures.
pub(crate) struct Guesses {
    hasher: RandomState,
    known: Known,
    own: Meter<At>,
    met: Lane,
    strange: Lane,
    networks: Meter<Print>,
    /// Codes that were compared and wrong.
    wrong: Lru<Print, Wrong>,
    /// Codes for streams that are not there. Apart from `wrong`, which a flood of them
    /// would push out.
    nowhere: Lru<Print, ()>,
}

/// Counts of networks of one kind, by subject.
struct Lane {
    networks: Meter<At>,
    sites: Meter<At>,
    shared: Meter<Print>,
}

/// An attempt in hashes.
#[derive(Clone, Copy)]
struct Prints {
    subject: Print,
    name: Print,
    network: Print,
    site: Print,
    code: Print,
}

/// How well the network is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Home,
    Met,
    Strange,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            known: Known::new(),
            own: Meter::new(OWN, Absent::Clean, ENTRIES),
            met: Lane::new(&MET),
            strange: Lane::new(&STRANGE),
            networks: Meter::new(NETWORK, Absent::Clean, ENTRIES),
            wrong: Lru::new(ENTRIES),
            nowhere: Lru::new(ENTRIES),
        }
    }

    /// Whether the code may be compared.
    pub(crate) fn leave(&self, attempt: &Attempt<'_>, now: Instant) -> Leave {
        let prints = self.prints(attempt);
        let origin = self.origin(prints, now);
        if self.wrong.get(&prints.code).is_some_and(|wrong| wrong.repeats(attempt.step)) {
            return Leave::Repeat;
        }
        if attempt.is_nowhere() && origin != Origin::Home {
            let seen = self.nowhere.get(&prints.code).is_some();
            return if seen { Leave::Repeat } else { Leave::Nowhere };
        }
        if self.has_room(prints, origin, now) { Leave::Evaluate } else { Leave::Wait }
    }

    fn has_room(&self, prints: Prints, origin: Origin, now: Instant) -> bool {
        let lane = match origin {
            Origin::Home => return self.own.has_room(&(prints.name, prints.network), now),
            Origin::Met => &self.met,
            Origin::Strange => &self.strange,
        };
        self.networks.has_room(&prints.network, now) && lane.has_room(prints, now)
    }

    /// The code was compared and wrong.
    pub(crate) fn failed(&mut self, attempt: &Attempt<'_>, now: Instant) -> Failure {
        let prints = self.prints(attempt);
        let retried = self.wrong.get(&prints.code).is_some();
        self.wrong.put(prints.code, Wrong { step: attempt.step, retried });
        let lane = match self.origin(prints, now) {
            Origin::Home => return Failure::of(self.own.add((prints.name, prints.network), now)),
            Origin::Met => &mut self.met,
            Origin::Strange => &mut self.strange,
        };
        self.networks.add(prints.network, now);
        Failure::of(lane.add(prints, now))
    }

    /// The code was for a stream that is not there, and was not compared.
    pub(crate) fn failed_nowhere(&mut self, attempt: &Attempt<'_>, now: Instant) {
        let prints = self.prints(attempt);
        if self.nowhere.get(&prints.code).is_none() {
            self.nowhere.put(prints.code, ());
            self.networks.add(prints.network, now);
        }
    }

    /// The code was compared and right. Counts stay as they are: else somebody
    /// behind the owner's address would guess for free after each of his logins.
    pub(crate) fn succeeded(&mut self, attempt: &Attempt<'_>, now: Instant) {
        let prints = self.prints(attempt);
        self.known.succeeded(prints.name, prints.subject, prints.network, now);
    }

    /// Whether the tries on this subscriber's own secret, `None`: on derived codes of
    /// the stream, were used up, and less than half of them are forgotten since.
    pub(crate) fn is_attacked(&self, stream: &StreamKey, whom: Option<&SubscriberId>, now: Instant) -> bool {
        let (subjects, names) = self.meant(stream, whom);
        let shared = [&self.met.shared, &self.strange.shared];
        let home = |name| self.known.homes(name, now).any(|network| self.own.is_told(&(name, network), now));
        subjects.iter().any(|subject| shared.iter().any(|meter| meter.is_told(subject, now)))
            || names.into_iter().any(home)
    }

    /// Forgets all failures on this subscriber, or on derived codes of the stream.
    pub(crate) fn forgive(&mut self, stream: &StreamKey, whom: Option<&SubscriberId>) {
        let (subjects, names) = self.meant(stream, whom);
        self.own.forget(|(name, _)| names.contains(name));
        for lane in [&mut self.met, &mut self.strange] {
            lane.forget(&subjects);
        }
    }

    /// Another secret is another code: a network that proved the old one is a stranger.
    pub(crate) fn changed_secret(&mut self, stream: &StreamKey, subscriber: &SubscriberId) {
        let own = self.print(Secret::Own(stream, subscriber));
        self.known.forget(own);
    }

    /// Subjects, and names that have networks of their own.
    fn meant(&self, stream: &StreamKey, whom: Option<&SubscriberId>) -> (Vec<Print>, Vec<Print>) {
        let Some(subscriber) = whom else {
            let derived = Action::ALL.map(|action| self.print(Secret::AllDerived(stream, action)));
            return (derived.into(), Vec::new());
        };
        let own = self.print(Secret::Own(stream, subscriber));
        let derived = Action::ALL.map(|action| self.print(Secret::Derived(stream, subscriber, action)));
        (vec![own], [own].into_iter().chain(derived).collect())
    }

    fn origin(&self, prints: Prints, now: Instant) -> Origin {
        if self.known.is_home(prints.name, prints.network, now) {
            Origin::Home
        } else if self.known.has_met(prints.subject, prints.network, now) {
            Origin::Met
        } else {
            Origin::Strange
        }
    }

    fn prints(&self, attempt: &Attempt<'_>) -> Prints {
        let Attempt { stream, subscriber, action, .. } = *attempt;
        let derived = Secret::Derived(stream, subscriber, action);
        let (subject, name) = match attempt.whose {
            Whose::Own => (Secret::Own(stream, subscriber), Secret::Own(stream, subscriber)),
            Whose::Derived => (Secret::AllDerived(stream, action), derived),
            Whose::Nobodys => (Secret::Nowhere(&stream.app, action), derived),
        };
        let network = network(attempt.peer);
        let code = (stream, subscriber, action, network, attempt.code.reveal());
        Prints {
            subject: self.print(subject),
            name: self.print(name),
            network: self.print(network),
            site: self.print(site(network)),
            code: self.print(code),
        }
    }

    fn print(&self, what: impl Hash) -> Print {
        self.hasher.hash_one(what)
    }
}

impl Failure {
    const fn of(full: bool) -> Self {
        if full { Self::Attack } else { Self::Counted }
    }
}

impl Lane {
    fn new(rates: &Rates) -> Self {
        Self {
            networks: Meter::new(rates.network, Absent::Clean, ENTRIES),
            sites: Meter::new(rates.site, Absent::Clean, ENTRIES),
            shared: Meter::new(rates.shared, Absent::Suspect, ENTRIES),
        }
    }

    fn has_room(&self, prints: Prints, now: Instant) -> bool {
        self.networks.has_room(&(prints.subject, prints.network), now)
            && self.sites.has_room(&(prints.subject, prints.site), now)
            && self.shared.has_room(&prints.subject, now)
    }

    /// Whether all that such networks share is used up now.
    fn add(&mut self, prints: Prints, now: Instant) -> bool {
        self.networks.add((prints.subject, prints.network), now);
        self.sites.add((prints.subject, prints.site), now);
        self.shared.add(prints.subject, now)
    }

    fn forget(&mut self, subjects: &[Print]) {
        self.networks.forget(|(subject, _)| subjects.contains(subject));
        self.sites.forget(|(subject, _)| subjects.contains(subject));
        self.shared.forget(|subject| subjects.contains(subject));
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
