//! The shell with a disk and sessions whose answers the test holds back.

use std::cell::RefCell;
use std::collections::VecDeque;

use contract::auth::{Denied, GetSubscriber, IssuePreview, ListEvents};
use contract::session::{CloseReason, SetStanding};
use contract::{Action, Actions, ManualClock, Secret, Standing, WallMs};
use futures_util::future::poll_immediate;
use store::{Pair, ScanError, StoreError, Table};
use tokio::sync::oneshot;

use super::*;
use crate::gates::{GateContext, Verdict};
use crate::testing::{Script, Told, ask, block, guarded, put, stream, sub, unblock};

/// A disk that answers when the test says so, in the order of the calls.
struct HeldDisk {
    store: Store,
    waiting: RefCell<VecDeque<(Batch, Answer)>>,
}

type Answer = oneshot::Sender<Result<(), StoreError>>;

impl HeldDisk {
    fn new() -> Rc<Self> {
        Rc::new(Self { store: Store::memory(), waiting: RefCell::default() })
    }

    async fn sync_one(&self) {
        let (batch, answer) = self.waiting.borrow_mut().pop_front().unwrap();
        let _ = answer.send(self.store.commit(batch).await);
    }

    fn fail_one(&self) {
        let (_, answer) = self.waiting.borrow_mut().pop_front().unwrap();
        let _ = answer.send(Err(StoreError::Failed));
    }
}

impl Disk for HeldDisk {
    fn scan(&self, table: Table) -> Result<Vec<Pair>, ScanError> {
        self.store.scan(table)
    }

    fn commit(&self, batch: Batch) -> LocalBoxFuture<'static, Result<(), StoreError>> {
        let (answer, answered) = oneshot::channel();
        self.waiting.borrow_mut().push_back((batch, answer));
        Box::pin(async move { answered.await.unwrap_or(Err(StoreError::Failed)) })
    }
}

struct World {
    auth: Addr<Auth>,
    clock: ManualClock,
    counters: Arc<Counters>,
    script: Script,
}

fn start(disk: Rc<dyn Disk>, gates: &'static [&'static dyn Gate], script: Script) -> World {
    start_with(contract::settings::Security::default(), disk, gates, script)
}

fn start_with(
    security: contract::settings::Security,
    disk: Rc<dyn Disk>,
    gates: &'static [&'static dyn Gate],
    script: Script,
) -> World {
    let clock = ManualClock::new(WallMs(1_700_000_000_000));
    let counters = Arc::new(Counters::default());
    let mut settings = AppSettings { security, ..guarded() };
    settings.streams.write_events = false;
    let view = SettingsView::fixed(stream().app, settings);
    let auth = Auth::load(gates, disk, view, NoStreams.start().recipient(), clock.clock(), counters.clone())
        .unwrap()
        .start();
    World { auth, clock, counters, script }
}

impl World {
    fn login(&self, action: Action) -> Request<Auth, contract::auth::Authorize> {
        self.auth.send(ask(action, Some("alice"), None, self.script.session()))
    }

    /// Lets the actors do all that they can do now.
    async fn settle(&self) {
        for _ in 0..20 {
            let ask = GetSubscriber { stream: stream(), subscriber: sub("nobody") };
            self.auth.send(ask).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

const PLAY: Actions = Actions::Only(Action::Play);

#[actix_rt::test]
async fn a_block_is_answered_only_when_fenced_and_on_disk() {
    let disk = HeldDisk::new();
    let world = start(disk.clone(), gates::ALL, Script::held());
    let permit = world.login(Action::Play).await.unwrap().unwrap();
    let mut blocked = Box::pin(world.auth.send(block("alice", PLAY, 60)));
    world.settle().await;
    assert_eq!(permit.standing.get(), Standing::Suspended, "silent before the disk knows");
    disk.sync_one().await;
    world.settle().await;
    assert!(poll_immediate(&mut blocked).await.is_none(), "not fenced yet");
    world.script.let_one_hold();
    assert_eq!(blocked.await.unwrap().unwrap().stopped, 1);
    assert_eq!(world.login(Action::Play).await.unwrap().unwrap_err(), Denied::Blocked);
}

#[actix_rt::test]
async fn a_preview_plays_without_a_code_while_its_pass_is_good_and_publishes_never() {
    let security = contract::settings::Security { registered_only: true, ..guarded().security };
    let world = start_with(security, HeldDisk::new(), gates::ALL, Script::new());
    let pass = world.auth.send(IssuePreview { stream: stream() }).await.unwrap();
    let show_as = async |who, action, pass: Option<&Secret<String>>| {
        let mut asked = ask(action, who, None, world.script.session());
        asked.credentials.token = pass.cloned();
        world.auth.send(asked).await.unwrap().map(|_| ())
    };
    let show = async |action, pass| show_as(None, action, pass).await;
    assert_eq!(show_as(Some("alice"), Action::Play, Some(&pass)).await, Err(Denied::Credentials));
    assert_eq!(show(Action::Play, None).await, Err(Denied::Credentials));
    assert_eq!(show(Action::Play, Some(&pass)).await, Ok(()));
    assert_eq!(show(Action::Publish, Some(&pass)).await, Err(Denied::Credentials));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(show(Action::Play, Some(&pass)).await, Err(Denied::Credentials));
}

#[actix_rt::test]
async fn a_block_that_cannot_be_written_stays_in_memory() {
    let disk = HeldDisk::new();
    let world = start(disk.clone(), gates::ALL, Script::new());
    let blocked = world.auth.send(block("alice", PLAY, 60));
    world.settle().await;
    disk.fail_one();
    assert_eq!(blocked.await.unwrap(), Err(NotStored));
    assert_eq!(world.login(Action::Play).await.unwrap().unwrap_err(), Denied::Blocked);
}

#[actix_rt::test]
async fn an_unblock_resumes_when_it_is_on_disk_and_before_it_is_answered() {
    let disk = HeldDisk::new();
    let world = start(disk.clone(), gates::ALL, Script::new());
    let permit = world.login(Action::Play).await.unwrap().unwrap();
    let blocked = world.auth.send(block("alice", PLAY, 60));
    world.settle().await;
    disk.sync_one().await;
    blocked.await.unwrap().unwrap();
    let unblocked = world.auth.send(unblock("alice", PLAY));
    world.settle().await;
    assert_eq!(permit.standing.get(), Standing::Suspended, "not before the disk agrees");
    disk.sync_one().await;
    unblocked.await.unwrap().unwrap();
    assert!(permit.standing.is_granted());
    assert!(matches!(world.script.told()[..], [_, Told::Standing(_, SetStanding::Grant)]));
}

#[actix_rt::test]
async fn a_block_that_arrives_while_an_unblock_syncs_wins() {
    let disk = HeldDisk::new();
    let world = start(disk.clone(), gates::ALL, Script::new());
    let permit = world.login(Action::Play).await.unwrap().unwrap();
    let first = world.auth.send(block("alice", PLAY, 60));
    let unblocked = world.auth.send(unblock("alice", PLAY));
    let second = world.auth.send(block("alice", PLAY, 60));
    world.settle().await;
    for _ in 0..3 {
        disk.sync_one().await;
        world.settle().await;
        assert_eq!(permit.standing.get(), Standing::Suspended);
    }
    first.await.unwrap().unwrap();
    unblocked.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(disk.scan(crate::record::BLOCKS).unwrap().len(), 1, "the disk agrees");
}

#[actix_rt::test]
async fn a_player_resumes_by_himself_when_his_block_ends() {
    let world = start(Rc::new(Store::memory()), gates::ALL, Script::new());
    let permit = world.login(Action::Play).await.unwrap().unwrap();
    world.auth.send(block("alice", PLAY, 60)).await.unwrap().unwrap();
    tokio::time::pause();
    world.clock.advance(Duration::from_secs(60));
    tokio::time::advance(Duration::from_secs(61)).await;
    world.settle().await;
    assert!(permit.standing.is_granted());
    assert!(matches!(world.script.told().last(), Some(Told::Standing(_, SetStanding::Grant))));
}

#[actix_rt::test]
async fn a_blocked_publisher_is_told_once_and_why() {
    let world = start(Rc::new(Store::memory()), gates::ALL, Script::new());
    let permit = world.login(Action::Publish).await.unwrap().unwrap();
    world.auth.send(block("alice", Actions::Both, 60)).await.unwrap().unwrap();
    world.settle().await;
    assert_eq!(permit.standing.get(), Standing::Revoked);
    let told = world.script.told();
    assert!(matches!(told[..], [Told::Standing(_, SetStanding::Revoke(CloseReason::Blocked))]), "{told:?}");
}

#[actix_rt::test]
async fn an_asker_who_gave_up_leaves_no_permit() {
    let world = start(Rc::new(Store::memory()), gates::ALL, Script::new());
    drop(world.login(Action::Play).await.unwrap().unwrap());
    let unheard = world.login(Action::Play);
    drop(unheard);
    world.settle().await;
    assert_eq!(world.counters.permits(), 0);
}

/// A gate with a bug for one subscriber.
struct Buggy;

impl Gate for Buggy {
    fn check(&self, ask: &contract::auth::Authorize, _: &GateContext<'_>) -> Verdict {
        assert!(ask.credentials.subscriber != Some(sub("crash")), "a bug");
        Verdict::Pass
    }
}

static BUGGY: &[&dyn Gate] = &[&Buggy];

#[actix_rt::test]
async fn a_panic_is_counted_and_blocks_and_permits_survive_it() {
    let world = start(Rc::new(Store::memory()), BUGGY, Script::new());
    world.auth.send(put("bob", None, 1)).await.unwrap().unwrap();
    let permit = world.login(Action::Play).await.unwrap().unwrap();
    let crash = ask(Action::Play, Some("crash"), None, world.script.session());
    assert_eq!(world.auth.send(crash).await.unwrap().unwrap_err(), Denied::Unavailable);
    assert_eq!((world.counters.panics(), world.counters.permits()), (1, 1));
    let bob = GetSubscriber { stream: stream(), subscriber: sub("bob") };
    assert!(world.auth.send(bob).await.unwrap().is_some(), "read again from disk");
    assert_eq!(world.auth.send(block("alice", PLAY, 60)).await.unwrap().unwrap().stopped, 1);
    assert_eq!(permit.standing.get(), Standing::Suspended);
}

#[actix_rt::test]
async fn an_unknown_application_lets_nobody_in() {
    let world = start(Rc::new(Store::memory()), gates::ALL, Script::new());
    let mut other = ask(Action::Play, None, None, world.script.session());
    other.stream.app = AppName::parse("other").unwrap();
    assert_eq!(world.auth.send(other).await.unwrap().unwrap_err(), Denied::UnknownStream);
    let events = ListEvents {
        stream: stream(),
        subscriber: None,
        search: None,
        order: contract::registry::Order::Ascending,
        offset: 0,
        size: 10,
    };
    assert_eq!(world.auth.send(events).await.unwrap().matching, 0);
}

/// A registry in which no publish has ended.
struct NoStreams;

impl Actor for NoStreams {
    type Context = Context<Self>;
}

impl Handler<contract::registry::SilenceEnded> for NoStreams {
    type Result = contract::session::Fenced;

    fn handle(&mut self, _: contract::registry::SilenceEnded, _: &mut Self::Context) -> Self::Result {
        contract::session::Fenced::Confirmed
    }
}
