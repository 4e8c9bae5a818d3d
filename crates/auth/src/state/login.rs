//! Letting somebody in. Granting and registering are one step.

use std::sync::Arc;
use std::time::Instant;

use contract::auth::{Authorize, ForgiveGuesses, Guessed, ListGuessed, PermitId};
use contract::session::{CloseReason, SetStanding};
use contract::settings::Security;
use contract::{Action, AppSettings, Now, Protocol, SessionId, Standing, StandingCell, SubscriberId};

use super::permits::{Events, Held, Proof};
use super::{Fence, Notice, State};
use crate::gates::{self, GateContext, Places, Refusal, Registration};
use crate::guess::{Attempt, Failure, Whose};
use crate::previews::Previews;

/// Somebody is in.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) permit: PermitId,
    pub(crate) standing: Arc<StandingCell>,
    /// The session that he took over.
    pub(crate) replaces: Option<SessionId>,
    /// Sessions taken over, to be fenced and closed before he is told.
    pub(crate) fences: Vec<Fence>,
}

impl State {
    /// Asks the gates, and makes the permit if all let him in. Call
    /// [`State::expire`] first. `settings` are the application's; `None`: there
    /// is no such application.
    pub(crate) fn authorize(
        &mut self,
        ask: &Authorize,
        settings: Option<&AppSettings>,
        previews: &Previews,
        now: Now,
    ) -> Result<Granted, Refusal> {
        let settings = settings.ok_or(Refusal::UnknownApp)?;
        let (taken_over, places) = self.places(ask, settings, now);
        let cx = self.context(ask, &settings.security, previews, places, now);
        let attempt = gates::totp::attempt(ask, &cx).filter(|_| settings.security.totp(ask.action));
        let answer = gates::ask_all(self.gates, ask, &cx);
        if let Some(attempt) = attempt {
            self.count(&attempt, answer.err(), now);
        }
        answer.map(|()| self.grant(ask, &settings.security, &taken_over))
    }

    fn context<'a>(
        &'a self,
        ask: &'a Authorize,
        security: &'a Security,
        previews: &'a Previews,
        places: Places,
        now: Now,
    ) -> GateContext<'a> {
        let subscriber = ask.credentials.subscriber.as_ref();
        let subject = subscriber.and_then(|subscriber| self.subjects.get(&ask.stream, subscriber));
        GateContext {
            security,
            registration: subject.map_or(Registration::Unknown, |subject| subject.registration()),
            blocked: subject.is_some_and(|subject| subject.bar(ask.action).in_force.is_some()),
            places,
            guesses: &self.guesses,
            previews,
            now,
        }
    }

    /// Which permits a grant would take over, and how many places are taken then.
    /// Take-over is for those who proved who they are; without codes anybody
    /// could throw out anybody.
    fn places(&self, ask: &Authorize, settings: &AppSettings, now: Now) -> (Vec<PermitId>, Places) {
        let none = (Vec::new(), Places { limit: None, taken: 0 });
        let Some(subscriber) =
            ask.credentials.subscriber.as_ref().filter(|_| settings.security.totp(ask.action))
        else {
            return none;
        };
        let record = self.subjects.get(&ask.stream, subscriber).and_then(|subject| subject.record.as_ref());
        // Who has no record has no limit either: it is a property of the record.
        let limit = record.and_then(|record| usize::try_from(record.limit).ok());
        if ask.action == Action::Publish {
            let own = self.permits.live(&ask.stream, subscriber, Action::Publish);
            return (own.map(|(id, _)| id).collect(), Places { limit, taken: 0 });
        }
        let taken = self.permits.places(&ask.stream, subscriber);
        let total = taken.connections + taken.hls.len();
        if ask.protocol == Protocol::Hls && taken.hls.contains(&ask.peer) {
            return (Vec::new(), Places { limit, taken: total - 1 });
        }
        let too_many = limit.map_or(0, |limit| (total + 1).saturating_sub(limit));
        let mut silent = self.permits.silent_places(&ask.stream, subscriber, &settings.hls, now.wall);
        if silent.len() < too_many || limit == Some(0) {
            return (Vec::new(), Places { limit, taken: total });
        }
        silent.truncate(too_many);
        (silent.concat(), Places { limit, taken: total - too_many })
    }

    fn count(&mut self, attempt: &Attempt<'_>, refusal: Option<Refusal>, now: Now) {
        match refusal {
            Some(Refusal::WrongCode) => {
                if self.guesses.failed(attempt, now.mono) == Failure::Attack {
                    let whose = (attempt.whose == Whose::Own).then(|| attempt.subscriber.clone());
                    self.notices.push(Notice::Guessing(attempt.stream.clone(), whose));
                }
            }
            Some(refusal) if !refusal.comes_after_the_code() => {}
            None | Some(_) => self.guesses.succeeded(attempt, now.mono),
        }
    }

    /// Which codes are being guessed.
    pub(crate) fn guessed(&self, ask: &ListGuessed, now: Instant) -> Guessed {
        let ids = self.subjects.of_stream(&ask.stream).map(|(id, _)| id);
        let attacked = |id: &&SubscriberId| self.guesses.is_attacked(&ask.stream, Some(id), now);
        Guessed {
            derived: self.guesses.is_attacked(&ask.stream, None, now),
            subscribers: ids.filter(attacked).take(ask.size).cloned().collect(),
        }
    }

    /// Forgets wrong codes. What slows a subscriber without a secret of its own is
    /// shared with all others.
    pub(crate) fn forgive(&mut self, ask: &ForgiveGuesses) {
        let Some(subscriber) = &ask.subscriber else { return self.guesses.forgive(&ask.stream, None) };
        self.guesses.forgive(&ask.stream, Some(subscriber));
        let subject = self.subjects.get(&ask.stream, subscriber);
        if subject.is_none_or(|subject| subject.registration().with_secret().is_none()) {
            self.guesses.forgive(&ask.stream, None);
        }
    }

    fn grant(&mut self, ask: &Authorize, security: &Security, taken_over: &[PermitId]) -> Granted {
        let old: Vec<&Held> = taken_over.iter().filter_map(|&id| self.permits.get(id)).collect();
        let replaces = old.last().map(|held| held.session.id);
        let revoke = SetStanding::Revoke(CloseReason::TakenOver);
        let fences: Vec<_> = old.iter().map(|held| held.fence(revoke)).collect();
        if let (false, Some(subscriber)) = (fences.is_empty(), &ask.credentials.subscriber) {
            self.notices.push(Notice::TakenOver(ask.stream.clone(), subscriber.clone()));
        }
        let held = held(ask, security);
        let standing = held.standing.clone();
        Granted { permit: self.permits.insert(held), standing, replaces, fences }
    }
}

fn held(ask: &Authorize, security: &Security) -> Held {
    // Where codes are needed, who names nobody has shown a pass.
    let coded = security.totp(ask.action) && ask.credentials.subscriber.is_some();
    Held {
        stream: ask.stream.clone(),
        subscriber: ask.credentials.subscriber.clone(),
        action: ask.action,
        protocol: ask.protocol,
        peer: ask.peer,
        proof: if coded { Proof::Code } else { Proof::None },
        session: ask.session.clone(),
        standing: Arc::new(StandingCell::new(Standing::Granted)),
        events: Events::Unrecorded,
    }
}
