//! The real owners and real sessions against a plain map: whatever happens in whatever
//! order, nobody who is blocked is live.
//!
//! Time stands still unless a step moves it, batches reach the store when a step lets them,
//! and data planes confirm when a step makes them, so a block meets unblocks that are not
//! on disk, fences that are not confirmed, and ends of blocks that were renewed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use auth::Auth;
use contract::auth::{Block, CodeKind, Denied, GetSubscriber, IssueCode, Unblock};
use contract::registry::{CreateStream, Form, GetStream, StreamRecord, StreamView};
use contract::session::SetStanding;
use contract::settings::PatchSettings;
use contract::{
    Action, Actions, AppName, Credentials, ManualClock, Protocol, SettingsView, Standing, StreamId,
    StreamKey, SubscriberId, WallMs,
};
use futures_util::future::poll_immediate;
use media::ring::EndReason;
use media::{Bus, Tracks};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseError};
use registry::Registry;
use serde_json::{Value, json};
use session::{Admission, DataPlane, Entrant, Links, Order, Pass, Player, Publisher, Refused, Request, What};
use settings::Settings;
use store::{Hold, Store};

type Checked = Result<(), TestCaseError>;

const WHO: [&str; 3] = ["alice", "bobby", "carol"];
/// Messages cross four actors at most, some of them twice.
const ROUNDS: usize = 16;

#[derive(Debug, Clone)]
enum Step {
    /// Asks, and goes on at once.
    Login(usize, Action),
    /// Asks, and goes on later.
    Ask(usize, Action),
    /// Somebody who asked hears orders from now on, but has no place yet.
    Attach(usize),
    /// Somebody who asked takes his place.
    Enter(usize),
    Leave(usize),
    Block(usize, Actions, u64),
    Unblock(usize, Actions),
    /// The store writes the batch that waits longest.
    Sync,
    /// A data plane carries its orders out.
    Confirm(usize),
    Advance(u64),
    /// Codes are needed, or not, from now on.
    Codes(Action),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..WHO.len();
    let action = prop_oneof![Just(Action::Publish), Just(Action::Play)];
    let actions = prop_oneof![action.clone().prop_map(Actions::Only), Just(Actions::Both)];
    prop_oneof![
        6 => (who.clone(), action.clone()).prop_map(|(who, action)| Step::Login(who, action)),
        2 => (who.clone(), action.clone()).prop_map(|(who, action)| Step::Ask(who, action)),
        2 => (0..4_usize).prop_map(Step::Attach),
        2 => (0..4_usize).prop_map(Step::Enter),
        1 => (0..6_usize).prop_map(Step::Leave),
        4 => (who.clone(), actions.clone(), 1..20_u64).prop_map(|(who, a, s)| Step::Block(who, a, s)),
        4 => (who, actions).prop_map(|(who, actions)| Step::Unblock(who, actions)),
        6 => Just(Step::Sync),
        4 => (0..6_usize).prop_map(Step::Confirm),
        2 => (1..10_u64).prop_map(Step::Advance),
        1 => action.prop_map(Step::Codes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/race.regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nobody_who_is_blocked_is_live_in_any_order_of_events(
        steps in proptest::collection::vec(step(), 1..50),
    ) {
        actix::System::new().block_on(run(steps))?;
    }
}

async fn run(steps: Vec<Step>) -> Checked {
    let mut world = World::start().await;
    for step in steps {
        world.take(step).await?;
        world.settle().await;
        world.hear_answers().await;
        world.check().await?;
    }
    world.finish().await
}

/// A peer's connection, as far as sessions know it.
#[derive(Clone, Default)]
struct Plane(Arc<Mutex<Flow>>);

#[derive(Default)]
struct Flow {
    orders: VecDeque<Order>,
    /// No media flows.
    fenced: bool,
}

impl DataPlane for Plane {
    fn order(&self, order: Order) {
        let grants = order.what == What::Standing(SetStanding::Grant);
        self.0.lock().unwrap().orders.push_back(order);
        if grants {
            self.carry_out();
        }
    }

    fn kill(&self) -> bool {
        let mut flow = self.0.lock().unwrap();
        flow.orders.clear();
        flow.fenced = true;
        true
    }
}

impl Plane {
    fn carry_out(&self) {
        let mut flow = self.0.lock().unwrap();
        while let Some(order) = flow.orders.pop_front() {
            match order.what {
                What::Standing(SetStanding::Grant) => flow.fenced = false,
                What::Standing(_) | What::Close(_) => flow.fenced = true,
                What::Hush => {}
            }
            let _ = order.done.send(());
        }
    }

    fn is_fenced(&self) -> bool {
        self.0.lock().unwrap().fenced
    }
}

/// Somebody who was let in and has no place yet.
struct Entering {
    who: usize,
    action: Action,
    stage: Stage,
    plane: Plane,
}

enum Stage {
    Passed(Pass),
    Attached(Entrant),
}

impl Entering {
    /// `None`: it ended before.
    async fn attach(self) -> Option<Self> {
        let stage = match self.stage {
            Stage::Passed(pass) => Stage::Attached(pass.attach(self.plane.clone()).await.ok()?),
            attached @ Stage::Attached(_) => attached,
        };
        Some(Self { stage, ..self })
    }
}

enum Held {
    Publisher(Publisher),
    Player(Player),
}

struct Live {
    who: usize,
    held: Held,
    plane: Plane,
    /// What a publisher's players read, until he is revoked for another reason.
    ring: Option<Bus>,
}

impl Live {
    const fn action(&self) -> Action {
        match self.held {
            Held::Publisher(_) => Action::Publish,
            Held::Player(_) => Action::Play,
        }
    }

    fn standing(&self) -> Standing {
        match &self.held {
            Held::Publisher(publisher) => publisher.link.standing.get(),
            Held::Player(player) => player.link.standing.get(),
        }
    }
}

/// A block that holds.
struct Bar {
    until: Instant,
    /// The first of the blocks that have held without a break.
    since: u64,
    /// One of them was answered.
    acknowledged: bool,
}

enum Asked {
    Block(usize, Actions, u64),
    Unblock(usize, Actions, u64),
    Settings,
}

type Answer = Pin<Box<dyn Future<Output = bool>>>;

struct World {
    auth: Addr<Auth>,
    registry: Addr<Registry>,
    settings: Addr<Settings>,
    view: SettingsView,
    store: Store,
    hold: Hold,
    clock: ManualClock,
    admission: Admission,
    entering: Vec<Entering>,
    live: Vec<Live>,
    pending: Vec<(Asked, Answer)>,
    codes: BTreeMap<Action, bool>,
    // What should be true, in the plainest form.
    bars: BTreeMap<(usize, Action), Bar>,
    /// The last block or unblock of each.
    last: BTreeMap<(usize, Action), u64>,
    number: u64,
}

fn stream() -> StreamKey {
    StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() }
}

fn sub(who: usize) -> SubscriberId {
    SubscriberId::parse(WHO[who]).unwrap()
}

fn start_auth(
    store: &Store,
    view: &SettingsView,
    registry: &Addr<Registry>,
    clock: &ManualClock,
) -> Addr<Auth> {
    auth::start(auth::Config {
        store: store.clone(),
        settings: view.clone(),
        silence_ended: registry.clone().recipient(),
        clock: clock.clock(),
        counters: Arc::default(),
    })
    .unwrap()
}

impl World {
    async fn start() -> Self {
        let (store, hold) = Store::memory_held();
        let clock = ManualClock::new(WallMs(1_700_000_000_000));
        let (settings, view) = Settings::load(store.clone(), &[stream().app]).unwrap();
        let settings = settings.start();
        let registry = Registry::load(store.clone(), view.clone(), clock.clock()).unwrap().start();
        let auth = start_auth(&store, &view, &registry, &clock);
        let links = Links {
            authorize: auth.clone().recipient(),
            get_stream: registry.clone().recipient(),
            publish: registry.clone().recipient(),
            play: registry.clone().recipient(),
            silence: registry.clone().recipient(),
        };
        let admission = Admission::new(links, view.clone(), Arbiter::current());
        let mut world = Self {
            auth,
            registry,
            settings,
            view,
            store,
            hold,
            clock,
            admission,
            entering: Vec::new(),
            live: Vec::new(),
            pending: Vec::new(),
            codes: BTreeMap::new(),
            bars: BTreeMap::new(),
            last: BTreeMap::new(),
            number: 0,
        };
        world.patch(&json!({
            "timeTokenSecretForPublish": "publishers", "timeTokenSecretForPlay": "players",
            "writeSubscriberEventsToDatastore": true,
        }));
        // Codes to play a stream that is neither registered nor live are not compared.
        let record = StreamRecord::new(stream(), WallMs(1_700_000_000_000));
        let created = world.registry.send(CreateStream { record });
        world.settle().await;
        while world.hold.sync_one() {
            world.settle().await;
        }
        created.await.unwrap().unwrap();
        world.hear_answers().await;
        world
    }

    async fn take(&mut self, step: Step) -> Checked {
        match step {
            Step::Login(who, action) => {
                if let Some(entering) = self.ask(who, action).await? {
                    self.enter(entering).await?;
                }
            }
            Step::Ask(who, action) => {
                let entering = self.ask(who, action).await?;
                self.entering.extend(entering);
            }
            Step::Attach(at) if at < self.entering.len() => {
                let entering = self.entering.remove(at);
                self.entering.extend(entering.attach().await);
            }
            Step::Enter(at) if at < self.entering.len() => {
                let entering = self.entering.remove(at);
                self.enter(entering).await?;
            }
            Step::Leave(at) if at < self.live.len() => drop(self.live.remove(at)),
            Step::Block(who, actions, seconds) => self.block(who, actions, seconds),
            Step::Unblock(who, actions) => self.unblock(who, actions),
            Step::Sync => _ = self.hold.sync_one(),
            Step::Confirm(at) => {
                if let Some(plane) = self.planes().nth(at) {
                    plane.carry_out();
                }
            }
            Step::Advance(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                let now = self.clock.now().mono;
                self.bars.retain(|_, bar| bar.until > now);
            }
            Step::Codes(action) => self.codes(action),
            Step::Attach(_) | Step::Enter(_) | Step::Leave(_) => {}
        }
        Ok(())
    }

    fn is_barred(&self, who: usize, action: Action) -> bool {
        self.bars.contains_key(&(who, action))
    }

    async fn ask(&self, who: usize, action: Action) -> Result<Option<Entering>, TestCaseError> {
        let ask = IssueCode { stream: stream(), subscriber: sub(who), kind: CodeKind::For(action) };
        let code = self.auth.send(ask).await.unwrap().unwrap();
        let request = Request {
            action,
            stream: stream(),
            credentials: Credentials { subscriber: Some(sub(who)), code: Some(code), token: None },
            peer: IpAddr::from([192, 0, 2, 1]),
            protocol: Protocol::Rtmp,
        };
        let asked = self.admission.ask(request).await;
        let refused = matches!(asked, Err(Refused::Denied(Denied::Blocked)));
        prop_assert_eq!(refused, self.is_barred(who, action), "{} asks to {}: {:?}", WHO[who], action, asked);
        let stage = asked.ok().map(Stage::Passed);
        Ok(stage.map(|stage| Entering { who, action, stage, plane: Plane::default() }))
    }

    async fn enter(&mut self, entering: Entering) -> Checked {
        let Entering { who, action, .. } = entering;
        let Some(Entering { stage: Stage::Attached(entrant), plane, .. }) = entering.attach().await else {
            return Ok(());
        };
        let held = match action {
            Action::Publish => entrant.go_live(Tracks::default(), Form::Frames).await.map(Held::Publisher),
            Action::Play => entrant.play().await.map(Held::Player),
        };
        prop_assert!(held.is_err() || !self.is_barred(who, action), "{} went on, blocked", WHO[who]);
        let Ok(held) = held else { return Ok(()) };
        if let Held::Publisher(_) = &held {
            // He may have taken over from himself.
            self.live.iter_mut().for_each(|other| other.ring = None);
        }
        let ring = if let Held::Publisher(publisher) = &held { Some(publisher.frames.ring()) } else { None };
        self.live.push(Live { who, held, plane, ring });
        Ok(())
    }

    fn planes(&self) -> impl Iterator<Item = &Plane> {
        let entering = self.entering.iter().map(|entering| &entering.plane);
        entering.chain(self.live.iter().map(|session| &session.plane))
    }

    fn block(&mut self, who: usize, actions: Actions, seconds: u64) {
        self.number += 1;
        let number = self.number;
        let duration = Duration::from_secs(seconds);
        let until = self.clock.now().mono + duration;
        for action in actions.iter() {
            self.last.insert((who, action), number);
            let bar = self.bars.entry((who, action));
            bar.or_insert(Bar { until, since: number, acknowledged: false }).until = until;
        }
        let asked = self.auth.send(Block { stream: stream(), subscriber: sub(who), actions, duration });
        self.wait(Asked::Block(who, actions, number), async move { asked.await.is_ok_and(|a| a.is_ok()) });
    }

    fn unblock(&mut self, who: usize, actions: Actions) {
        self.number += 1;
        for action in actions.iter() {
            self.last.insert((who, action), self.number);
        }
        let asked = self.auth.send(Unblock { stream: stream(), subscriber: sub(who), actions });
        let asked = async move { asked.await.is_ok_and(|a| a.is_ok()) };
        self.wait(Asked::Unblock(who, actions, self.number), asked);
    }

    fn codes(&mut self, action: Action) {
        let on = self.codes.entry(action).or_default();
        *on = !*on;
        let patch = match action {
            Action::Publish => json!({"enableTimeTokenForPublish": *on}),
            Action::Play => json!({"enableTimeTokenForPlay": *on}),
        };
        self.patch(&patch);
    }

    fn patch(&mut self, patch: &Value) {
        let patch = patch.as_object().unwrap().clone();
        let asked = self.settings.send(PatchSettings { app: stream().app, expected: None, patch });
        self.wait(Asked::Settings, async move { asked.await.is_ok_and(|a| a.is_ok()) });
    }

    fn wait(&mut self, asked: Asked, answer: impl Future<Output = bool> + 'static) {
        self.pending.push((asked, Box::pin(answer)));
    }

    /// Lets the actors do all that they can do now.
    async fn settle(&self) {
        for _ in 0..ROUNDS {
            self.auth.send(GetSubscriber { stream: stream(), subscriber: sub(0) }).await.unwrap();
            self.stream().await;
        }
    }

    async fn stream(&self) -> Option<StreamView> {
        self.registry.send(GetStream { stream: stream() }).await.unwrap()
    }

    async fn hear_answers(&mut self) {
        for (asked, mut answer) in std::mem::take(&mut self.pending) {
            match poll_immediate(&mut answer).await {
                Some(true) => self.answered(asked),
                Some(false) => panic!("the store is whole, so nothing is refused"),
                None => self.pending.push((asked, answer)),
            }
        }
    }

    fn answered(&mut self, asked: Asked) {
        match asked {
            Asked::Block(who, actions, number) => {
                for action in actions.iter() {
                    if let Some(bar) = self.bars.get_mut(&(who, action)).filter(|bar| bar.since <= number) {
                        bar.acknowledged = true;
                    }
                }
            }
            Asked::Unblock(who, actions, number) => {
                for key in actions.iter().map(|action| (who, action)) {
                    if self.last.get(&key) == Some(&number) {
                        self.bars.remove(&key);
                    }
                }
            }
            Asked::Settings => {}
        }
    }

    async fn check(&self) -> Checked {
        for session in &self.live {
            let (who, action, standing) = (session.who, session.action(), session.standing());
            let bar = self.bars.get(&(who, action));
            prop_assert!(
                bar.is_none() || standing != Standing::Granted,
                "{} is blocked and granted",
                WHO[who]
            );
            let acknowledged = bar.is_some_and(|bar| bar.acknowledged);
            prop_assert!(!acknowledged || session.plane.is_fenced(), "{} is not fenced", WHO[who]);
            if let (Held::Publisher(_), Some(ring), true) = (&session.held, &session.ring, bar.is_some()) {
                prop_assert_eq!(ring.ended(), Some(EndReason::Silenced), "{} is heard", WHO[who]);
            }
            if action == Action::Play && bar.is_none() {
                prop_assert_eq!(standing, Standing::Granted, "{} is not blocked", WHO[who]);
            }
        }
        let publisher = self.stream().await.and_then(|stream| stream.live?.subscriber);
        let barred =
            (0..WHO.len()).find(|&who| self.is_barred(who, Action::Publish) && publisher == Some(sub(who)));
        prop_assert!(barred.is_none(), "{publisher:?} is blocked and live");
        Ok(())
    }

    /// Everything that waits is let through; then every call is answered, and whoever
    /// reads the disk next sees the same blocks.
    async fn finish(mut self) -> Checked {
        for _ in 0..self.pending.len() + 2 {
            self.planes().for_each(Plane::carry_out);
            while self.hold.sync_one() {
                self.settle().await;
                self.hear_answers().await;
                self.check().await?;
            }
            self.settle().await;
            self.hear_answers().await;
            self.check().await?;
        }
        prop_assert!(self.pending.is_empty(), "{} calls are not answered", self.pending.len());
        let again = start_auth(&self.store, &self.view, &self.registry, &self.clock);
        for (who, name) in WHO.iter().enumerate() {
            let view = again.send(GetSubscriber { stream: stream(), subscriber: sub(who) }).await.unwrap();
            let publish = view.as_ref().is_some_and(|view| view.publish_blocked_until.is_some());
            let play = view.as_ref().is_some_and(|view| view.play_blocked_until.is_some());
            let expected = (self.is_barred(who, Action::Publish), self.is_barred(who, Action::Play));
            prop_assert_eq!((publish, play), expected, "{} after a restart", name);
        }
        Ok(())
    }
}
