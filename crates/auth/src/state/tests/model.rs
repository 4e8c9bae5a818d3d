//! Random interleavings against a plain map.

use std::time::Instant;

use proptest::test_runner::TestCaseError;

use super::*;
use crate::state::block::Unblocking;

const WHO: [&str; 3] = ["alice", "bob", "carol"];

#[derive(Debug, Clone)]
pub(in crate::state) enum Step {
    Login(usize, Action),
    Disconnect(usize),
    Block(usize, Actions, u64),
    Unblock(usize, Actions),
    /// The disk answers one of the waiting unblocks, not always in their order.
    Answer(usize, Result<(), ()>),
    Advance(u64),
    /// The timer fires.
    Tick,
    /// Codes needed, or not, from now on.
    Codes(Action),
}

pub(in crate::state) fn step() -> impl Strategy<Value = Step> {
    let who = 0..WHO.len();
    let action = prop_oneof![Just(Action::Publish), Just(Action::Play)];
    let actions = prop_oneof![
        Just(Actions::Only(Action::Publish)),
        Just(Actions::Only(Action::Play)),
        Just(Actions::Both)
    ];
    let answer = prop_oneof![3 => Just(Ok(())), 1 => Just(Err(()))];
    prop_oneof![
        4 => (who.clone(), action.clone()).prop_map(|(who, action)| Step::Login(who, action)),
        1 => (0..8_usize).prop_map(Step::Disconnect),
        3 => (who.clone(), actions.clone(), 1..20_u64).prop_map(|(who, a, s)| Step::Block(who, a, s)),
        3 => (who, actions).prop_map(|(who, actions)| Step::Unblock(who, actions)),
        3 => (0..4_usize, answer).prop_map(|(at, answer)| Step::Answer(at, answer)),
        2 => (1..10_u64).prop_map(Step::Advance),
        2 => Just(Step::Tick),
        1 => action.prop_map(Step::Codes),
    ]
}

/// Which unblock this was, per direction.
type Numbers = Vec<(Action, u64)>;

/// What should be true, in the plainest form.
struct Model {
    world: World,
    blocked: BTreeMap<(usize, Action), Instant>,
    /// The number of the last block or unblock of each direction.
    last: BTreeMap<(usize, Action), u64>,
    number: u64,
    waiting: Vec<(Unblocking, usize, Numbers)>,
    held: Held,
    revoked: Vec<contract::auth::PermitId>,
}

pub(in crate::state) fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model {
        world: World::new(),
        blocked: BTreeMap::new(),
        last: BTreeMap::new(),
        number: 0,
        waiting: Vec::new(),
        held: Held::new(),
        revoked: Vec::new(),
    };
    for step in steps {
        model.take(step)?;
        model.check()?;
    }
    Ok(())
}

impl Model {
    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Login(who, action) => self.login(who, action)?,
            Step::Disconnect(at) => {
                if let Some(&permit) = self.held.keys().nth(at) {
                    self.held.remove(&permit);
                    self.world.state.release(permit, START);
                }
            }
            Step::Block(who, actions, seconds) => self.block(who, actions, seconds),
            Step::Unblock(who, actions) => {
                let numbers = actions.iter().map(|action| (action, self.next(who, action))).collect();
                let unblocking = self.world.state.unblock(&unblock(WHO[who], actions));
                self.waiting.push((unblocking, who, numbers));
            }
            Step::Answer(at, answer) if at < self.waiting.len() => self.answer(at, answer),
            Step::Answer(..) => {}
            Step::Advance(seconds) => self.world.clock.advance(Duration::from_secs(seconds)),
            Step::Tick => self.tick(),
            Step::Codes(Action::Publish) => self.world.settings.security.totp_publish ^= true,
            Step::Codes(Action::Play) => self.world.settings.security.totp_play ^= true,
        }
        Ok(())
    }

    fn next(&mut self, who: usize, action: Action) -> u64 {
        self.number += 1;
        self.last.insert((who, action), self.number);
        self.number
    }

    fn login(&mut self, who: usize, action: Action) -> Result<(), TestCaseError> {
        self.tick();
        let granted = self.world.login(WHO[who], action);
        if self.blocked.contains_key(&(who, action)) {
            prop_assert!(matches!(granted, Err(Refusal::Blocked)));
            return Ok(());
        }
        let granted = granted.map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        if action == Action::Publish && self.world.settings.security.totp_publish {
            let own = self.held.iter().filter(|(_, held)| (held.0, held.1) == (who, action));
            self.revoked.extend(own.map(|(&permit, _)| permit));
        }
        self.held.insert(granted.permit, (who, action, granted.standing));
        Ok(())
    }

    fn block(&mut self, who: usize, actions: Actions, seconds: u64) {
        self.world.block(WHO[who], actions, seconds);
        let until = self.world.now().mono + Duration::from_secs(seconds);
        for action in actions.iter() {
            self.next(who, action);
            self.blocked.insert((who, action), until);
            if action == Action::Publish {
                let own = self.held.iter().filter(|(_, held)| (held.0, held.1) == (who, action));
                self.revoked.extend(own.map(|(&permit, _)| permit));
            }
        }
    }

    fn answer(&mut self, at: usize, answer: Result<(), ()>) {
        let (unblocking, who, numbers) = self.waiting.remove(at);
        if answer.is_err() {
            return self.world.state.unblock_failed(&unblocking);
        }
        self.world.state.unblocked(&unblocking);
        for (action, number) in numbers {
            if self.last.get(&(who, action)) == Some(&number) {
                self.blocked.remove(&(who, action));
            }
        }
    }

    fn tick(&mut self) {
        let now = self.world.now();
        self.world.state.expire(now);
        self.blocked.retain(|_, until| *until > now.mono);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (permit, (who, action, cell)) in &self.held {
            let blocked = self.blocked.contains_key(&(*who, *action));
            let expected = match (self.revoked.contains(permit), blocked) {
                (true, _) => Standing::Revoked,
                (false, true) => Standing::Suspended,
                (false, false) => Standing::Granted,
            };
            prop_assert!(!(blocked && is_live(cell)), "{} {action} is blocked and live", WHO[*who]);
            prop_assert_eq!(cell.get(), expected);
        }
        prop_assert_eq!(self.world.state.permit_count(), self.held.len());
        Ok(())
    }
}
