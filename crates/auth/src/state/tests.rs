//! Races against a plain map, and one test per decision.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::auth::{
    Authorize, Change, CodeKind, GetSubscriber, IssueCode, IssueCodeError, ListEvents, ListSubscribers,
    PutSubscriber, PutSubscriberError, RemoveSubscriber,
};
use contract::registry::Order;
use contract::session::CloseReason;
use contract::{Action, Actions, AppSettings, ManualClock, Protocol, Standing, StandingCell};
use proptest::prelude::*;

use super::*;
use crate::gates::{self, Refusal};
use crate::previews::Previews;
use crate::testing::{SECRET, Script, ask, block, guarded, peer, put, stream, sub, unblock};

mod clock;
mod model;

const START: WallMs = WallMs(1_700_000_000_000);

/// A state, its clock and its disk.
pub(super) struct World {
    pub(super) state: State,
    pub(super) clock: ManualClock,
    pub(super) settings: AppSettings,
    pub(super) script: Script,
    previews: Previews,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = ManualClock::new(START);
        let tables = Tables { subscribers: Vec::new(), blocks: Vec::new(), events: Vec::new() };
        let state = State::load(gates::ALL, tables, clock.now()).unwrap();
        let previews = Previews::new().unwrap();
        Self { state, clock, settings: guarded(), script: Script::new(), previews }
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    fn code(&self, who: &str, action: Action) -> Option<contract::TotpCode> {
        let ask = IssueCode { stream: stream(), subscriber: sub(who), kind: CodeKind::For(action) };
        self.state.issue(&ask, &self.settings, self.now().wall).ok()
    }

    pub(super) fn login(&mut self, who: &str, action: Action) -> Result<Granted, Refusal> {
        self.login_as(who, action, |_| ())
    }

    fn login_as(
        &mut self,
        who: &str,
        action: Action,
        change: impl FnOnce(&mut Authorize),
    ) -> Result<Granted, Refusal> {
        let mut ask = ask(action, Some(who), self.code(who, action), self.script.session());
        change(&mut ask);
        let now = self.now();
        self.state.expire(now);
        let granted = self.state.authorize(&ask, Some(&self.settings), &self.previews, now)?;
        let recorded = self.settings.streams.write_events;
        self.state.connected(granted.permit, |_| recorded, now.wall);
        Ok(granted)
    }

    fn put(&mut self, who: &str, secret: Option<&str>, limit: i32) -> Vec<Fence> {
        let mut putting = self.state.put(&put(who, secret, limit), &self.settings).unwrap();
        self.state.put_done(&putting);
        std::mem::take(&mut putting.fences)
    }

    fn block(&mut self, who: &str, actions: Actions, seconds: u64) -> Tightened_ {
        let now = self.now();
        self.state.block(&block(who, actions, seconds), now)
    }

    fn view(&self, who: &str) -> Option<contract::auth::SubscriberView> {
        self.state.get(
            &GetSubscriber { stream: stream(), subscriber: sub(who) },
            &self.settings.hls,
            self.now().wall,
        )
    }

    /// Starts anew from what is on disk.
    fn restart(&mut self, store: &store::Store) {
        let tables = Tables::read(|table| store.scan(table)).unwrap();
        self.state = State::load(gates::ALL, tables, self.now()).unwrap();
    }

    /// What the passing of time writes.
    async fn expire(&mut self) -> Batch {
        let now = self.now();
        self.state.expire(now).write
    }

    fn events(&self) -> Vec<Change> {
        self.some_events(Order::Ascending, 0, 100)
    }

    fn some_events(&self, order: Order, offset: usize, size: usize) -> Vec<Change> {
        let ask = ListEvents { stream: stream(), subscriber: None, search: None, order, offset, size };
        self.state.list_events(&ask).events.into_iter().map(|event| event.change).collect()
    }
}

type Tightened_ = super::block::Tightened;

#[actix_rt::test]
async fn viewers_who_come_before_the_stream_lock_nobody_of_their_network_out() {
    let mut world = World::new();
    for n in 0..200 {
        let early = world.login_as(&format!("viewer{n}"), Action::Play, |ask| {
            (ask.registered, ask.live) = (false, false);
        });
        assert_eq!(early.err(), Some(Refusal::UnknownStreamToPlay));
    }
    assert!(world.login("viewer0", Action::Play).is_ok(), "it is live now");
}

#[actix_rt::test]
async fn a_block_during_the_sync_of_an_unblock_stays() {
    let mut world = World::new();
    world.block("alice", Actions::Both, 60);
    let unblocking = world.state.unblock(&unblock("alice", Actions::Both));
    world.block("alice", Actions::Only(Action::Play), 60);
    assert!(world.state.unblocked(&unblocking).is_empty());
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
    assert!(world.login("alice", Action::Publish).is_ok());
}

#[actix_rt::test]
async fn the_deadline_of_a_renewed_block_is_the_new_one() {
    let mut world = World::new();
    world.block("alice", Actions::Both, 10);
    world.clock.advance(Duration::from_secs(5));
    world.block("alice", Actions::Both, 10);
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
    world.clock.advance(Duration::from_secs(4));
    assert!(world.login("alice", Action::Play).is_ok());
}

#[actix_rt::test]
async fn a_block_ends_in_time_even_if_its_unblock_failed() {
    let mut world = World::new();
    world.block("alice", Actions::Both, 10);
    let unblocking = world.state.unblock(&unblock("alice", Actions::Both));
    world.state.unblock_failed(&unblocking);
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
    world.clock.advance(Duration::from_secs(10));
    assert!(world.login("alice", Action::Play).is_ok());
}

#[actix_rt::test]
async fn a_step_of_the_wall_clock_neither_opens_nor_lengthens_a_block() {
    let mut world = World::new();
    world.block("alice", Actions::Both, 60);
    world.clock.step_wall(WallMs(START.0 + 3_600_000));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
    world.clock.step_wall(WallMs(START.0 - 3_600_000));
    world.clock.advance(Duration::from_secs(60));
    assert!(world.login("alice", Action::Play).is_ok());
}

#[actix_rt::test]
async fn an_absurd_duration_saturates() {
    let mut world = World::new();
    let tightened = world.block("alice", Actions::Both, u64::MAX);
    assert_eq!(tightened.until, WallMs(u64::MAX));
    world.clock.advance(Duration::from_secs(50 * 365 * 24 * 3600));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
}

#[actix_rt::test]
async fn both_directions_have_their_own_deadline() {
    let mut world = World::new();
    world.block("alice", Actions::Only(Action::Play), 120);
    world.block("alice", Actions::Only(Action::Publish), 60);
    let view = world.view("alice").unwrap();
    assert_eq!(view.play_blocked_until, Some(START.after(Duration::from_secs(120))));
    assert_eq!(view.publish_blocked_until, Some(START.after(Duration::from_secs(60))));
    let unblocking = world.state.unblock(&unblock("alice", Actions::Only(Action::Play)));
    world.state.unblocked(&unblocking);
    assert_eq!(world.view("alice").unwrap().play_blocked_until, None);
    assert!(world.view("alice").unwrap().publish_blocked_until.is_some());
}

#[actix_rt::test]
async fn a_blocked_player_is_suspended_and_a_blocked_publisher_revoked() {
    let mut world = World::new();
    let player = world.login("alice", Action::Play).unwrap();
    let publisher = world.login("alice", Action::Publish).unwrap();
    let tightened = world.block("alice", Actions::Both, 10);
    assert_eq!((tightened.stopped, tightened.fences.len()), (2, 2));
    let told: Vec<_> = tightened.fences.iter().map(|fence| fence.set).collect();
    assert!(told.contains(&SetStanding::Suspend { until: tightened.until }), "{told:?}");
    assert!(told.contains(&SetStanding::Revoke(CloseReason::Blocked)), "{told:?}");
    assert_eq!(player.standing.get(), Standing::Suspended);
    assert_eq!(publisher.standing.get(), Standing::Revoked);
    world.clock.advance(Duration::from_secs(10));
    let now = world.now();
    assert_eq!(world.state.expire(now).fences.len(), 1);
    assert_eq!(player.standing.get(), Standing::Granted);
    assert_eq!(publisher.standing.get(), Standing::Revoked);
}

#[actix_rt::test]
async fn a_block_of_somebody_unknown_leaves_a_record_without_type_and_limit() {
    let mut world = World::new();
    world.block("zoe", Actions::Both, 10);
    let view = world.view("zoe").unwrap();
    assert_eq!((view.kind, view.limit, view.has_secret), (None, -1, false));
    let all = ListSubscribers { stream: stream(), search: None, offset: 0, size: 10 };
    assert_eq!(world.state.list(&all, &world.settings.hls, START).matching, 1);
}

#[actix_rt::test]
async fn subscribers_are_paged_and_found_by_part_of_their_name_in_any_case() {
    let mut world = World::new();
    for who in ["Alice", "alina", "bob"] {
        world.put(who, Some(SECRET), 1);
    }
    let list = |search: &str, offset, size| {
        let search = Some(search.to_owned());
        let ask = ListSubscribers { stream: stream(), search, offset, size };
        let page = world.state.list(&ask, &world.settings.hls, START);
        (page.subscribers.iter().map(|s| s.id.to_string()).collect::<Vec<_>>(), page.matching)
    };
    assert_eq!(list("", 1, 1), (vec!["alina".to_owned()], 3));
    assert_eq!(list("ALI", 0, 9), (vec!["Alice".to_owned(), "alina".to_owned()], 2));
    assert_eq!(list("", 9, usize::MAX), (Vec::new(), 3));
}

#[actix_rt::test]
async fn events_are_read_from_either_end() {
    let mut world = World::new();
    let granted = world.login("alice", Action::Play).unwrap();
    world.state.release(granted.permit, START);
    assert_eq!(world.some_events(Order::Ascending, 0, 1), [Change::Connected]);
    assert_eq!(world.some_events(Order::Descending, 0, 1), [Change::Disconnected]);
    assert_eq!(world.some_events(Order::Descending, 1, 9), [Change::Connected]);
}

#[actix_rt::test]
async fn events_are_searched_by_a_part_of_an_id() {
    let mut world = World::new();
    for who in ["alice", "malik", "bob"] {
        world.login(who, Action::Play).unwrap();
    }
    let found = |search: &str| {
        let search = Some(search.to_owned());
        let ask = ListEvents {
            stream: stream(),
            subscriber: None,
            search,
            order: Order::Ascending,
            offset: 0,
            size: 9,
        };
        let page = world.state.list_events(&ask);
        let who: Vec<_> = page.events.into_iter().map(|event| event.subscriber.to_string()).collect();
        (page.matching, who.join(" "))
    };
    assert_eq!(found("ALI"), (2, "alice malik".to_owned()));
    assert_eq!(found("bobby"), (0, String::new()));
    assert_eq!(found("").0, 3);
}

#[actix_rt::test]
async fn a_valid_login_takes_over_the_own_publisher_and_nobody_elses() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    let first = world.login("alice", Action::Publish).unwrap();
    let other = world.login("bob", Action::Publish).unwrap();
    let second = world.login("alice", Action::Publish).unwrap();
    assert_eq!(first.standing.get(), Standing::Revoked);
    assert_eq!(other.standing.get(), Standing::Granted);
    assert_eq!(second.fences[0].set, SetStanding::Revoke(CloseReason::TakenOver));
    assert_eq!(second.replaces, Some(second.fences[0].session.id));
    assert!(world.state.take_notices().contains(&Notice::TakenOver(stream(), sub("alice"))));
}

#[actix_rt::test]
async fn without_codes_nobody_is_taken_over() {
    let mut world = World::new();
    world.settings = AppSettings::default();
    let first = world.login("alice", Action::Publish).unwrap();
    assert_eq!(world.login("alice", Action::Publish).unwrap().replaces, None);
    assert!(first.standing.is_granted());
}

#[actix_rt::test]
async fn a_player_beyond_the_limit_waits_until_another_is_silent() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    let first = world.login("alice", Action::Play).unwrap();
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Limit);
    let held = world.state.permits.get(first.permit).unwrap();
    held.session.traffic.heard(world.now().wall);
    world.clock.advance(Duration::from_millis(2999));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Limit);
    world.clock.advance(Duration::from_millis(1));
    let second = world.login("alice", Action::Play).unwrap();
    assert_eq!(second.fences[0].set, SetStanding::Revoke(CloseReason::TakenOver));
    assert!(second.replaces.is_some());
    assert_eq!(first.standing.get(), Standing::Revoked);
}

#[actix_rt::test]
async fn a_released_permit_frees_its_place() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    let first = world.login("alice", Action::Play).unwrap();
    world.state.release(first.permit, START);
    assert!(world.login("alice", Action::Play).is_ok());
}

#[actix_rt::test]
async fn limits_of_none_and_no_limit() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 0);
    assert_eq!(world.login("alice", Action::Publish).unwrap_err(), Refusal::Limit);
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Limit);
    world.put("alice", Some(SECRET), -1);
    for _ in 0..10 {
        world.login("alice", Action::Play).unwrap();
    }
}

#[actix_rt::test]
async fn hls_takes_one_place_per_address() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    let hls = |last| {
        move |ask: &mut Authorize| {
            ask.protocol = Protocol::Hls;
            ask.peer = peer(last);
        }
    };
    world.login_as("alice", Action::Play, hls(1)).unwrap();
    world.login_as("alice", Action::Play, hls(1)).unwrap();
    assert_eq!(world.login_as("alice", Action::Play, hls(2)).unwrap_err(), Refusal::Limit);
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Limit);
}

#[actix_rt::test]
async fn an_hls_place_with_two_sessions_is_taken_only_when_both_are_silent() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    let mut traffic = Vec::new();
    let mut hls = |ask: &mut Authorize| {
        ask.protocol = Protocol::Hls;
        traffic.push(ask.session.traffic.clone());
    };
    let twins = [(); 2].map(|()| world.login_as("alice", Action::Play, &mut hls).unwrap());
    traffic.iter().for_each(|traffic| traffic.heard(world.now().wall));
    world.clock.advance(Duration::from_secs(15));
    traffic[1].heard(world.now().wall);
    world.clock.advance(Duration::from_secs(15));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Limit);
    world.clock.advance(Duration::from_secs(5));
    world.login("alice", Action::Play).unwrap();
    assert!(twins.iter().all(|twin| twin.standing.get() == Standing::Revoked));
}

#[actix_rt::test]
async fn an_hls_place_may_be_taken_when_nothing_was_asked_of_it_for_ten_segments() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    let mut traffic = None;
    let hls = |ask: &mut Authorize| {
        ask.protocol = Protocol::Hls;
        traffic = Some(ask.session.traffic.clone());
    };
    let first = world.login_as("alice", Action::Play, hls).unwrap();
    traffic.unwrap().heard(world.now().wall);
    world.clock.advance(Duration::from_millis(19_999));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Limit);
    assert_eq!(world.view("alice").unwrap().sessions, 1);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.view("alice").unwrap().sessions, 0);
    let second = world.login("alice", Action::Play).unwrap();
    assert_eq!(first.standing.get(), Standing::Revoked);
    assert_eq!(second.fences.len(), 1);
}

#[actix_rt::test]
async fn events_are_written_once_per_session() {
    let mut world = World::new();
    let granted = world.login("alice", Action::Play).unwrap();
    world.block("alice", Actions::Both, 10);
    world.state.release(granted.permit, START);
    world.state.release(granted.permit, START);
    assert_eq!(world.events(), [Change::Connected, Change::Disconnected]);
}

#[actix_rt::test]
async fn a_session_that_never_got_a_place_leaves_no_event() {
    let mut world = World::new();
    let ask = ask(Action::Play, Some("alice"), world.code("alice", Action::Play), world.script.session());
    let granted =
        world.state.authorize(&ask, Some(&world.settings), &world.previews, world.clock.now()).unwrap();
    assert!(world.state.release(granted.permit, START).is_empty());
    assert!(world.events().is_empty());
}

#[actix_rt::test]
async fn switching_events_on_records_no_end_without_a_beginning() {
    let mut world = World::new();
    world.settings.streams.write_events = false;
    let quiet = world.login("alice", Action::Play).unwrap();
    world.settings.streams.write_events = true;
    world.state.release(quiet.permit, START);
    assert!(world.events().is_empty());
}

#[actix_rt::test]
async fn a_changed_secret_shuts_out_those_whom_the_old_one_let_in() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 5);
    let inside = world.login("alice", Action::Play).unwrap();
    assert!(world.put("alice", Some(SECRET), 7).is_empty(), "the same secret");
    let fences = world.put("alice", Some("mysecret"), 7);
    assert_eq!(fences[0].set, SetStanding::Revoke(CloseReason::Withdrawn));
    assert_eq!(inside.standing.get(), Standing::Revoked);
    assert!(world.login("alice", Action::Play).is_ok());
}

#[actix_rt::test]
async fn adding_again_keeps_the_block() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    world.block("alice", Actions::Both, 60);
    world.put("alice", Some("mysecret"), 1);
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
}

#[actix_rt::test]
async fn a_removal_shuts_out_at_once_and_forgets_when_it_is_on_disk() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 5);
    let inside = world.login("alice", Action::Play).unwrap();
    world.block("alice", Actions::Only(Action::Publish), 60);
    let ask = RemoveSubscriber { stream: stream(), subscriber: Some(sub("alice")) };
    let removing = world.state.remove(&ask, &world.settings);
    assert_eq!((removing.count, inside.standing.get()), (1, Standing::Revoked));
    assert_eq!(removing.fences[0].set, SetStanding::Revoke(CloseReason::Withdrawn));
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Withdrawn);
    world.state.removed(&removing);
    assert!(world.view("alice").is_none());
    assert!(world.login("alice", Action::Publish).is_ok(), "with a derived code, and no block");
    world.state.release(inside.permit, START);
    assert_eq!(world.events(), [Change::Connected], "only of the login after the removal");
}

#[actix_rt::test]
async fn a_failed_removal_or_change_stays_tight() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 5);
    let ask = RemoveSubscriber { stream: stream(), subscriber: None };
    let removing = world.state.remove(&ask, &world.settings);
    world.state.remove_failed(&removing);
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Withdrawn);
    world.put("alice", Some(SECRET), 5);
    assert!(world.login("alice", Action::Play).is_ok());
}

#[actix_rt::test]
async fn a_block_during_a_removal_survives_it_with_a_record() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 5);
    let ask = RemoveSubscriber { stream: stream(), subscriber: None };
    let removing = world.state.remove(&ask, &world.settings);
    world.block("alice", Actions::Both, 60);
    world.state.removed(&removing);
    let view = world.view("alice").unwrap();
    assert!(!view.has_secret && view.play_blocked_until.is_some());
}

#[actix_rt::test]
async fn a_period_is_the_settings_on_the_day_of_registration() {
    let mut world = World::new();
    world.put("alice", Some(SECRET), 1);
    world.settings.security.period = 600;
    assert_eq!(world.view("alice").unwrap().period, Some(60));
    let short = PutSubscriber { period: Some(9), ..put("bob", None, 1) };
    assert_eq!(world.state.put(&short, &world.settings).unwrap_err(), PutSubscriberError::Period);
    let refused = world.state.put(&put("bob", Some("SecretKey"), 1), &world.settings);
    assert_eq!(refused.unwrap_err(), PutSubscriberError::Secret);
}

#[actix_rt::test]
async fn a_code_is_issued_as_ams_does() {
    let mut world = World::new();
    let issue = |world: &World, who: &str, kind| {
        let ask = IssueCode { stream: stream(), subscriber: sub(who), kind };
        world.state.issue(&ask, &world.settings, START)
    };
    world.put("alice", Some(SECRET), 1);
    assert_eq!(issue(&world, "alice", CodeKind::Unknown).unwrap().reveal(), "895298");
    assert_eq!(issue(&world, "bob", CodeKind::Unknown), Err(IssueCodeError::Kind));
    assert_eq!(issue(&world, "bob", CodeKind::Unsaid), issue(&world, "bob", CodeKind::For(Action::Play)));
    world.settings.security.secret_play = None;
    assert_eq!(issue(&world, "bob", CodeKind::Unsaid), Err(IssueCodeError::NoSecret));
}

#[actix_rt::test]
async fn the_code_of_the_step_before_is_accepted_and_no_older_one() {
    let mut world = World::new();
    world.clock.step_wall(WallMs(28_333_334 * 60_000));
    let code = world.code("alice", Action::Play);
    world.clock.advance(Duration::from_secs(119));
    world.login_as("alice", Action::Play, |ask| ask.credentials.code = code).unwrap();
    world.clock.advance(Duration::from_secs(1));
    let late = world.login_as("alice", Action::Play, |ask| ask.credentials.code = code);
    assert_eq!(late.unwrap_err(), Refusal::WrongCode);
}

#[actix_rt::test]
async fn what_is_on_disk_is_what_a_restart_finds() {
    let store = store::Store::memory();
    let mut world = World::new();
    let mut putting = world.state.put(&put("alice", Some(SECRET), 3), &world.settings).unwrap();
    store.commit(std::mem::take(&mut putting.write)).await.unwrap();
    let tightened = world.block("alice", Actions::Only(Action::Play), 60);
    store.commit(tightened.write).await.unwrap();
    world.clock.advance(Duration::from_secs(59));
    world.restart(&store);
    assert!(world.expire().await.is_empty());
    assert_eq!(world.view("alice").unwrap().limit, 3);
    assert_eq!(world.login("alice", Action::Play).unwrap_err(), Refusal::Blocked);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.login("alice", Action::Play).is_ok());
    world.restart(&store);
    assert!(world.expire().await.is_empty(), "the clock may be ahead");
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.expire().await.len(), 1, "an ended block is removed");
}

pub(super) fn is_live(cell: &StandingCell) -> bool {
    cell.is_granted()
}

pub(super) type Held = BTreeMap<contract::auth::PermitId, (usize, Action, std::sync::Arc<StandingCell>)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nobody_blocked_is_ever_live(steps in proptest::collection::vec(model::step(), 1..80)) {
        actix_rt::System::new().block_on(async { model::run(steps) })?;
    }
}
