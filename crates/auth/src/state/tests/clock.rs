//! A wall clock that is wrong at the start, or set while the server runs.

use store::Store;

use super::*;
use crate::record::{BLOCKS, BlockRecord, Write};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A world with a disk, and one block on it: of alice, for ten minutes, in both directions.
async fn blocked() -> (World, Store) {
    let (mut world, store) = (World::new(), Store::memory());
    let tightened = world.block("alice", Actions::Both, 600);
    store.commit(tightened.write).await.unwrap();
    (world, store)
}

impl World {
    fn restart_at(&mut self, wall: WallMs, store: &Store) {
        self.clock.step_wall(wall);
        self.restart(store);
    }

    /// The time passes, and what it writes is written.
    async fn pass(&mut self, time: Duration, store: &Store) {
        self.clock.advance(time);
        let write = self.expire().await;
        store.commit(write).await.unwrap();
    }

    fn is_blocked(&mut self) -> bool {
        match self.login("alice", Action::Play) {
            Ok(granted) => {
                self.state.release(granted.permit, START);
                false
            }
            Err(refusal) => refusal == Refusal::Blocked,
        }
    }
}

fn records(store: &Store) -> Vec<BlockRecord> {
    decode_all(BLOCKS, store.scan(BLOCKS).unwrap()).unwrap()
}

#[actix_rt::test]
async fn a_clock_of_1970_keeps_blocks_and_none_for_decades() {
    let (mut world, store) = blocked().await;
    world.restart_at(WallMs(5000), &store);
    assert_eq!(world.state.take_notices(), [Notice::ClockInDoubt(2)]);
    assert!(world.is_blocked());
    let until = world.view("alice").unwrap().play_blocked_until.unwrap();
    assert_eq!(until.since(world.now().wall), 10 * MINUTE, "what was asked for, and not fifty years");
    world.pass(9 * MINUTE, &store).await;
    assert!(world.is_blocked());
    assert_eq!(records(&store).len(), 2, "nothing is removed by such a clock");
    world.pass(MINUTE, &store).await;
    assert!(!world.is_blocked());
}

#[actix_rt::test]
async fn when_the_clock_is_set_blocks_end_when_their_records_say() {
    for (real, left) in [(4 * MINUTE, 6 * MINUTE), (20 * MINUTE, Duration::ZERO)] {
        let (mut world, store) = blocked().await;
        world.restart_at(WallMs(5000), &store);
        world.state.take_notices();
        assert!(world.is_blocked());
        world.clock.step_wall(START.after(real));
        world.pass(Duration::ZERO, &store).await;
        assert_eq!(world.is_blocked(), !left.is_zero());
        assert_eq!(world.state.take_notices(), [Notice::ClockCanBe(2)]);
        world.pass(left, &store).await;
        assert!(!world.is_blocked());
        assert!(records(&store).is_empty());
    }
}

#[actix_rt::test]
async fn a_step_is_noticed_while_nobody_asks() {
    let (mut world, store) = blocked().await;
    world.restart_at(WallMs(5000), &store);
    let look = world.state.next_deadline().unwrap();
    assert!(look <= world.now().mono + MINUTE);
    world.pass(MINUTE, &store).await;
    assert!(world.state.next_deadline().unwrap() > look, "and the timer does not spin");
}

#[actix_rt::test]
async fn a_clock_of_another_century_lifts_no_block_and_removes_none() {
    let (mut world, store) = blocked().await;
    world.restart_at(START.after(70 * YEAR), &store);
    assert!(world.is_blocked());
    world.pass(MINUTE, &store).await;
    assert_eq!(records(&store).len(), 2);
    world.clock.step_wall(START.after(4 * MINUTE));
    assert!(world.is_blocked());
    world.pass(6 * MINUTE, &store).await;
    assert!(!world.is_blocked());
    let (mut world, store) = blocked().await;
    world.restart_at(START.after(70 * YEAR), &store);
    world.pass(10 * MINUTE, &store).await;
    assert!(!world.is_blocked(), "no longer than was asked for");
}

#[actix_rt::test]
async fn a_clock_some_hours_ahead_removes_no_block_and_set_back_it_holds_again() {
    let (mut world, store) = blocked().await;
    world.restart_at(START.after(2 * HOUR), &store);
    world.pass(MINUTE, &store).await;
    let player = world.login("alice", Action::Play).unwrap();
    let publisher = world.login("alice", Action::Publish).unwrap();
    world.clock.step_wall(START.after(4 * MINUTE));
    let now = world.now();
    assert_eq!(world.state.expire(now).fences.len(), 2);
    assert_eq!(player.standing.get(), Standing::Suspended);
    assert_eq!(publisher.standing.get(), Standing::Revoked);
    assert!(world.state.take_notices().contains(&Notice::PutBack(stream(), sub("alice"))));
    assert_eq!(records(&store).len(), 2);
    world.pass(6 * MINUTE, &store).await;
    assert!(!world.is_blocked());
}

#[actix_rt::test]
async fn what_an_operator_decides_since_is_not_put_back() {
    let (mut world, store) = blocked().await;
    world.restart_at(START.after(2 * HOUR), &store);
    let unblocking = world.state.unblock(&unblock("alice", Actions::Both));
    world.state.unblocked(&unblocking);
    world.clock.step_wall(START);
    assert!(!world.is_blocked());
    let (mut world, store) = blocked().await;
    world.restart_at(START.after(2 * HOUR), &store);
    let removing =
        world.state.remove(&RemoveSubscriber { stream: stream(), subscriber: None }, &world.settings.clone());
    world.state.removed(&removing);
    world.clock.step_wall(START);
    assert!(!world.is_blocked());
}

#[actix_rt::test]
async fn a_block_that_was_renewed_since_is_not_removed_with_the_old_one() {
    let (mut world, store) = blocked().await;
    world.restart_at(START.after(2 * HOUR), &store);
    let tightened = world.block("alice", Actions::Both, 7200);
    store.commit(tightened.write).await.unwrap();
    world.pass(HOUR, &store).await;
    assert_eq!(records(&store).len(), 2);
}

#[actix_rt::test]
async fn a_block_of_a_wrong_clock_outlives_the_setting_of_it_and_a_restart() {
    let (mut world, store) = (World::new(), Store::memory());
    world.clock.step_wall(WallMs(5000));
    world.restart(&store);
    let tightened = world.block("alice", Actions::Only(Action::Play), 600);
    store.commit(tightened.write).await.unwrap();
    world.clock.step_wall(START);
    world.pass(MINUTE, &store).await;
    world.restart(&store);
    world.pass(8 * MINUTE, &store).await;
    assert!(world.is_blocked());
    world.pass(MINUTE, &store).await;
    assert!(!world.is_blocked());
}

#[actix_rt::test]
async fn a_block_that_is_being_lifted_does_not_come_back_to_the_disk() {
    let (mut world, store) = blocked().await;
    let mut unblocking = world.state.unblock(&unblock("alice", Actions::Both));
    store.commit(std::mem::take(&mut unblocking.write)).await.unwrap();
    world.clock.step_wall(START.after(HOUR));
    let write = world.expire().await;
    store.commit(write).await.unwrap();
    world.state.unblocked(&unblocking);
    assert!(records(&store).is_empty());
}

#[actix_rt::test]
async fn a_record_that_does_not_say_what_was_asked_for_is_kept_for_what_it_can_be() {
    let (mut world, store) = (World::new(), Store::memory());
    let old = |who: &str, until: u64| {
        format!(
            r#"{{"stream":{{"app":"live","id":"cam"}},"subscriber":"{who}","action":"play","until":{until}}}"#
        )
    };
    let record = |who: &str, seconds: u64| {
        let record: BlockRecord = serde_json::from_str(&old(who, START.0 + seconds * 1000)).unwrap();
        record
    };
    let mut write = Batch::new();
    write.put_block(&record("alice", 600));
    write.put_block(&record("bob", 100 * 365 * 24 * 3600));
    store.commit(write).await.unwrap();
    world.restart(&store);
    world.pass(9 * MINUTE, &store).await;
    assert!(world.is_blocked());
    world.pass(MINUTE, &store).await;
    assert!(!world.is_blocked());
    world.clock.advance(50 * YEAR);
    assert_eq!(world.login("bob", Action::Play).unwrap_err(), Refusal::Blocked);
}
