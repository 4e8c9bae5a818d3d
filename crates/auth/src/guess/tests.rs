use std::net::Ipv6Addr;

use contract::StreamId;

use super::*;

/// A stream's door: right codes are right, all others wrong.
pub(super) struct Door {
    pub(super) guesses: Guesses,
    pub(super) now: Instant,
    pub(super) stream: StreamKey,
    pub(super) whose: Whose,
    pub(super) action: Action,
    pub(super) step: u64,
    /// Codes that were compared and wrong.
    pub(super) compared: u32,
    /// Attacks that were told of.
    pub(super) attacks: u32,
}

impl Door {
    pub(super) fn new(whose: Whose) -> Self {
        Self {
            guesses: Guesses::new(),
            now: Instant::now(),
            stream: StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("s").unwrap() },
            whose,
            action: Action::Play,
            step: 0,
            compared: 0,
            attacks: 0,
        }
    }

    fn with<T>(
        &mut self,
        who: &SubscriberId,
        code: u32,
        peer: IpAddr,
        act: impl FnOnce(&mut Guesses, &Attempt<'_>, Instant) -> T,
    ) -> T {
        let code = TotpCode::parse(&format!("{code:06}")).unwrap();
        let attempt = Attempt {
            stream: &self.stream,
            subscriber: who,
            whose: self.whose,
            action: self.action,
            peer,
            code: &code,
            step: self.step,
        };
        act(&mut self.guesses, &attempt, self.now)
    }

    /// A peer shows a wrong code.
    pub(super) fn wrong(&mut self, who: &SubscriberId, code: u32, peer: IpAddr) -> Leave {
        let (leave, failure) = self.with(who, code, peer, |guesses, attempt, now| {
            let leave = guesses.leave(attempt, now);
            match leave {
                Leave::Evaluate => (leave, guesses.failed(attempt, now)),
                Leave::Repeat | Leave::Wait | Leave::Nowhere => (leave, Failure::Counted),
            }
        });
        self.compared += u32::from(leave == Leave::Evaluate);
        self.attacks += u32::from(failure == Failure::Attack);
        leave
    }

    /// A peer shows the right code. Whether it was let in.
    pub(super) fn right(&mut self, who: &SubscriberId, peer: IpAddr) -> bool {
        self.with(who, 999_999, peer, |guesses, attempt, now| {
            let in_ = guesses.leave(attempt, now) == Leave::Evaluate;
            if in_ {
                guesses.succeeded(attempt, now);
            }
            in_
        })
    }

    /// How many different wrong codes in a row are compared.
    fn room(&mut self, who: &SubscriberId, peer: IpAddr) -> u32 {
        let codes = self.compared * 1000;
        (codes..codes + 999).take_while(|&code| self.wrong(who, code, peer) == Leave::Evaluate).count() as u32
    }

    /// Uses up what strangers share, from networks far apart.
    fn exhaust(&mut self, who: &SubscriberId) {
        for n in 0..STRANGE.shared.burst {
            assert_eq!(self.wrong(who, n, network(1000 + n)), Leave::Evaluate, "{n}");
        }
        assert_eq!(self.wrong(who, 77, network(5000)), Leave::Wait);
    }
}

pub(super) fn sub(name: &str) -> SubscriberId {
    SubscriberId::parse(name).unwrap()
}

/// One of many networks, each in a site of its own.
pub(super) fn network(n: u32) -> IpAddr {
    IpAddr::from((0x1000_0000 + (n << 8)).to_be_bytes())
}

/// One of the 65 536 networks of one v6 site.
pub(super) fn one_of_48(n: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, n, 0, 0, 0, 1))
}

#[test]
fn a_network_slows_itself_and_has_another_try_every_six_hours() {
    for whose in [Whose::Own, Whose::Derived] {
        let mut door = Door::new(whose);
        let alice = sub("alice");
        assert_eq!(door.room(&alice, network(1)), STRANGE.network.burst);
        assert!(!door.right(&alice, network(1)), "it waits, right or wrong");
        assert!(door.right(&alice, network(2)));
        door.now += STRANGE.network.each - Duration::from_secs(1);
        assert!(!door.right(&alice, network(1)));
        door.now += Duration::from_secs(1);
        assert_eq!(door.room(&alice, network(1)), 1);
    }
}

#[test]
fn five_stale_links_behind_one_address_keep_no_viewer_out() {
    let mut door = Door::new(Whose::Derived);
    for n in 0..5 {
        assert_eq!(door.wrong(&sub(&format!("stale{n}")), n, network(1)), Leave::Evaluate);
    }
    assert!(door.right(&sub("alice"), network(1)));
}

#[test]
fn the_networks_of_a_site_count_together_as_well() {
    let mut door = Door::new(Whose::Own);
    let alice = sub("alice");
    let compared: u32 = (0..100).map(|n| door.room(&alice, one_of_48(n))).sum();
    assert_eq!(compared, STRANGE.site.burst);
    let mut door = Door::new(Whose::Own);
    let compared: u32 = (0..100).map(|n| door.room(&alice, IpAddr::from([192, 0, 2, n]))).sum();
    assert_eq!(compared, STRANGE.site.burst);
}

#[test]
fn strangers_share_a_count_and_a_name_is_at_home_where_it_succeeded() {
    let mut door = Door::new(Whose::Own);
    let (alice, home) = (sub("alice"), network(77));
    assert!(door.right(&alice, home));
    door.exhaust(&alice);
    assert!(door.right(&alice, home));
    assert_eq!(door.room(&alice, home), OWN.burst, "its own count, which is another one");
    assert!(!door.right(&alice, home), "a guesser behind the owner's address waits too");
    door.now += OWN.each;
    assert!(door.right(&alice, home));
    door.now += KNOWN_FOR;
    door.exhaust_again(&alice);
    assert!(!door.right(&alice, home), "an old success counts no more");
}

impl Door {
    fn exhaust_again(&mut self, who: &SubscriberId) {
        for n in 0..2 * STRANGE.shared.burst {
            self.wrong(who, 500 + n, network(2000 + n));
        }
    }
}

#[test]
fn unregistered_subscribers_of_a_stream_share_one_count_in_each_direction() {
    let mut door = Door::new(Whose::Derived);
    door.exhaust(&sub("alice"));
    assert_eq!(door.wrong(&sub("bob"), 1, network(1)), Leave::Wait);
    door.action = Action::Publish;
    assert_eq!(door.wrong(&sub("bob"), 1, network(1)), Leave::Evaluate, "other codes");
    (door.action, door.whose) = (Action::Play, Whose::Own);
    assert_eq!(door.wrong(&sub("bob"), 1, network(1)), Leave::Evaluate, "a secret of its own");
}

#[test]
fn another_name_of_a_network_that_succeeded_does_not_wait_for_strangers() {
    let mut door = Door::new(Whose::Derived);
    assert!(door.right(&sub("alice"), network(1)));
    door.exhaust(&sub("zoe"));
    assert!(!door.right(&sub("bob"), network(2)));
    assert!(door.right(&sub("bob"), network(1)), "alice was let in from there");
    assert_eq!(door.room(&sub("carol"), network(1)), MET.network.burst);
    assert!(door.right(&sub("alice"), network(1)) && door.right(&sub("bob"), network(1)));
}

#[test]
fn a_network_that_was_met_is_no_worse_off_than_a_stranger() {
    let mut door = Door::new(Whose::Derived);
    for n in 0..6 {
        assert!(door.right(&sub("alice"), network(n)));
    }
    let both = MET.network.burst + STRANGE.network.burst;
    assert_eq!(door.room(&sub("zoe"), network(0)), both, "each wrong code is counted once");
    for n in 1..5 {
        door.room(&sub("zoe"), network(n));
    }
    assert!(door.right(&sub("bob"), network(5)), "others used up what such networks share");
    door.exhaust_again(&sub("zoe"));
    assert!(!door.right(&sub("carol"), network(5)), "and then what strangers share");
}

#[test]
fn a_right_code_to_play_makes_no_publisher() {
    let mut door = Door::new(Whose::Derived);
    assert!(door.right(&sub("alice"), network(1)));
    door.action = Action::Publish;
    door.exhaust(&sub("zoe"));
    assert!(!door.right(&sub("alice"), network(1)));
}

#[test]
fn a_changed_secret_has_no_networks_of_the_old_one() {
    let mut door = Door::new(Whose::Own);
    assert!(door.right(&sub("alice"), network(1)));
    door.guesses.changed_secret(&door.stream, &sub("alice"));
    assert_eq!(door.room(&sub("alice"), network(1)), STRANGE.network.burst);
}

#[test]
fn repeating_one_wrong_code_is_not_guessing() {
    let play = |whose| (whose, Action::Play);
    for (whose, action) in [play(Whose::Own), play(Whose::Derived), (Whose::Unheard, Action::Publish)] {
        let mut door = Door::new(whose);
        door.action = action;
        assert_ne!(door.wrong(&sub("alice"), 7, network(1)), Leave::Repeat);
        for _ in 0..10_000 {
            assert_eq!(door.wrong(&sub("alice"), 7, network(1)), Leave::Repeat);
        }
        assert_ne!(door.wrong(&sub("alice"), 8, network(1)), Leave::Repeat);
    }
}

#[test]
fn one_wrong_code_in_both_directions_is_one_guess_at_one_secret() {
    for (whose, other) in [(Whose::Own, Leave::Repeat), (Whose::Derived, Leave::Evaluate)] {
        let mut door = Door::new(whose);
        assert_eq!(door.wrong(&sub("alice"), 7, network(1)), Leave::Evaluate);
        door.action = Action::Publish;
        assert_eq!(door.wrong(&sub("alice"), 7, network(1)), other);
    }
}

#[test]
fn a_code_that_came_too_early_is_compared_again_in_the_next_step_only() {
    let mut door = Door::new(Whose::Own);
    let alice = sub("alice");
    let mut at = |step| {
        door.step = step;
        door.wrong(&alice, 7, network(1))
    };
    assert_eq!(
        [5, 5, 7, 6, 6, 7].map(&mut at).map(|leave| leave == Leave::Evaluate),
        [true, false, false, true, false, false]
    );
}

#[test]
fn an_address_has_a_hundred_failures_over_all_subscribers() {
    let mut door = Door::new(Whose::Own);
    let one = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
    for n in 0..100 {
        assert_eq!(door.wrong(&sub(&format!("sub{n}")), n.into(), one(n)), Leave::Evaluate);
    }
    assert_eq!(door.wrong(&sub("another"), 5, one(500)), Leave::Wait, "the whole /64 waits");
    assert_eq!(door.wrong(&sub("another"), 5, network(1)), Leave::Evaluate);
    door.now += Duration::from_secs(600);
    assert_eq!(door.wrong(&sub("another"), 5, one(500)), Leave::Evaluate);
    assert_eq!(door.wrong(&sub("another"), 6, one(500)), Leave::Wait, "one, and not a hundred again");
}

#[test]
fn a_code_to_play_what_is_not_there_is_not_compared_and_costs_nothing() {
    let mut door = Door::new(Whose::Unheard);
    assert!(!door.right(&sub("alice"), network(1)));
    for n in 0..2000 {
        assert_eq!(door.wrong(&sub("alice"), n / 2, network(1)), Leave::Nowhere);
    }
    door.whose = Whose::Derived;
    assert!(door.right(&sub("alice"), network(1)), "as if it had sent nothing");
    door.whose = Whose::Unheard;
    assert!(door.right(&sub("alice"), network(1)), "a known name may wait for a stream");
}

#[test]
fn codes_to_publish_what_is_not_there_share_one_count_in_the_application() {
    let mut door = Door::new(Whose::Unheard);
    door.action = Action::Publish;
    door.exhaust(&sub("alice"));
    door.stream.id = StreamId::parse("another").unwrap();
    assert_eq!(door.wrong(&sub("bob"), 1, network(1)), Leave::Wait);
    door.whose = Whose::Derived;
    assert_eq!(door.wrong(&sub("bob"), 1, network(1)), Leave::Evaluate, "once it is registered");
}

#[test]
fn an_attack_is_told_once_and_seen_until_half_of_it_is_forgotten() {
    let mut door = Door::new(Whose::Derived);
    assert!(!door.guesses.is_attacked(&door.stream, None, door.now));
    door.exhaust(&sub("zoe"));
    for n in 0..200 {
        door.now += Duration::from_secs(600);
        door.wrong(&sub("zoe"), n, network(5000 + n));
    }
    assert_eq!(door.attacks, 1);
    assert!(door.guesses.is_attacked(&door.stream, None, door.now));
    assert!(!door.guesses.is_attacked(&door.stream, Some(&sub("zoe")), door.now), "no secret of its own");
    door.now += STRANGE.shared.each * (STRANGE.shared.burst / 2 + 1);
    assert!(!door.guesses.is_attacked(&door.stream, None, door.now));
}

#[test]
fn an_operator_forgives_one_stream_or_subscriber() {
    for (whose, whom) in [(Whose::Derived, None), (Whose::Own, Some(sub("alice")))] {
        let mut door = Door::new(whose);
        let (alice, home) = (sub("alice"), network(77));
        assert!(door.right(&alice, home));
        door.exhaust(&alice);
        door.room(&alice, home);
        let (stream, now) = (door.stream.clone(), door.now);
        assert!(door.guesses.is_attacked(&stream, whom.as_ref(), now));
        door.guesses.forgive(&stream, whom.as_ref());
        assert!(!door.guesses.is_attacked(&stream, whom.as_ref(), now));
        assert!(door.right(&alice, network(1000)), "the network that failed most");
        assert!(whom.is_none() || door.right(&alice, home));
    }
}

#[test]
fn an_operator_lets_new_publishers_in_on_the_stream_that_they_want() {
    let mut door = Door::new(Whose::Unheard);
    door.action = Action::Publish;
    door.exhaust(&sub("zoe"));
    let [wanted, elsewhere] = ["live", "other"]
        .map(|app| StreamKey { app: AppName::parse(app).unwrap(), id: StreamId::parse("wanted").unwrap() });
    door.stream = wanted.clone();
    assert!(!door.right(&sub("alice"), network(1)));
    assert!(door.guesses.is_attacked(&wanted, None, door.now));
    assert!(!door.guesses.is_attacked(&elsewhere, None, door.now));
    door.guesses.forgive(&elsewhere, None);
    assert!(!door.right(&sub("alice"), network(1)), "another application's");
    door.guesses.forgive(&wanted, None);
    assert!(!door.guesses.is_attacked(&wanted, None, door.now));
    assert!(door.right(&sub("alice"), network(1)));
}

#[test]
fn a_guesser_at_home_is_told_of_too() {
    let mut door = Door::new(Whose::Own);
    assert!(door.right(&sub("alice"), network(1)));
    assert_eq!(door.room(&sub("alice"), network(1)), OWN.burst);
    assert_eq!(door.attacks, 1);
    assert!(door.guesses.is_attacked(&door.stream, Some(&sub("alice")), door.now));
}

#[test]
fn memory_is_bounded() {
    let mut door = Door::new(Whose::Own);
    for n in 0..20_000 {
        door.wrong(&sub(&format!("sub{n}")), 1, network(n));
    }
    assert_eq!(door.guesses.of_strangers.len(), [ENTRIES; 3]);
    assert_eq!([door.guesses.networks.len(), door.guesses.wrong.len()], [ENTRIES; 2]);
    for n in 0..100 {
        assert!(door.right(&sub("alice"), network(30_000 + n)));
    }
    let alice = door.guesses.prints.of(Secret::Own(&door.stream, &sub("alice")));
    assert_eq!(door.guesses.homes.of(alice, door.now).count(), crate::homes::HOMES);
}
