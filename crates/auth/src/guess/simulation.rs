//! What the model promises, in virtual time: which networks slow which, and how long one
//! code takes to be guessed.

use contract::StreamId;

use super::tests::{Door, network, one_of_48, sub};
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Two of a million codes are right at any moment.
const RIGHT: f64 = 2e-6;

/// Years until one right guess at this pace, on average.
fn years(compared: u32, days: u32) -> f64 {
    1.0 / (f64::from(compared) / f64::from(days) * 365.0 * RIGHT)
}

/// The networks of viewers, apart from those of guessers.
fn viewer(n: u32) -> IpAddr {
    network(0x8_0000 + n)
}

/// Networks of the same site as `network(1)`.
fn neighbour(n: u32) -> IpAddr {
    IpAddr::from((0x1000_0101 + n % 200).to_be_bytes())
}

/// Runs `guess` every `pause` for so many hours, and `look` every half an hour.
fn run(
    door: &mut Door,
    hours: u32,
    pause: Duration,
    mut guess: impl FnMut(&mut Door, u32),
    mut look: impl FnMut(&mut Door, u32),
) {
    let end = door.now + DAY / 24 * hours;
    let (mut n, mut looks, mut next) = (0, 0, door.now);
    while door.now < end {
        if door.now >= next {
            next += Duration::from_secs(1800);
            look(door, looks);
            looks += 1;
        }
        guess(door, n);
        n += 1;
        door.now += pause;
    }
}

#[test]
fn one_network_whatever_it_sends_touches_no_other() {
    let insider = sub("insider");
    for (whose, has_a_code) in [(Whose::Derived, false), (Whose::Derived, true), (Whose::Own, false)] {
        for (hours, pause) in [(3, Duration::from_millis(200)), (240, Duration::from_secs(60))] {
            let mut door = Door::new(whose);
            let names: Vec<_> = (0..26).map(|n| sub(&format!("name{n}"))).collect();
            let guess = |door: &mut Door, n: u32| {
                let name = if whose == Whose::Own { 0 } else { n as usize % names.len() };
                door.wrong(&names[name], n % 900_000, network(1));
                if has_a_code && n.is_multiple_of(5) {
                    door.right(&insider, network(1));
                }
            };
            let mut refused = 0;
            let look = |door: &mut Door, n: u32| {
                let name = if whose == Whose::Own { names[0].clone() } else { sub(&format!("viewer{n}")) };
                for peer in [viewer(n), neighbour(n)] {
                    refused += u32::from(!door.right(&name, peer));
                }
            };
            run(&mut door, hours, pause, guess, look);
            assert_eq!(refused, 0, "{whose:?} {has_a_code} every {pause:?}");
            assert_eq!(door.attacks, 0, "that is no attack");
        }
    }
}

#[test]
fn forty_networks_slow_only_networks_that_never_succeeded() {
    let mut door = Door::new(Whose::Derived);
    let names: Vec<_> = (0..40).map(|n| sub(&format!("name{n}"))).collect();
    for n in 0..50 {
        assert!(door.right(&sub(&format!("viewer{n}")), viewer(n)));
    }
    let (mut known, mut same_house, mut strangers) = (0, 0, 0);
    let guess = |door: &mut Door, n: u32| _ = door.wrong(&names[n as usize % 40], n, network(n % 40));
    let look = |door: &mut Door, n: u32| {
        known += u32::from(!door.right(&sub(&format!("viewer{}", n % 50)), viewer(n % 50)));
        same_house += u32::from(!door.right(&sub(&format!("guest{n}")), viewer(n % 50)));
        strangers += u32::from(!door.right(&sub(&format!("new{n}")), viewer(1000 + n)));
    };
    run(&mut door, 4 * 24, Duration::from_secs(10), guess, look);
    assert_eq!((known, same_house), (0, 0));
    assert!(strangers > 0, "else this would be no attack");
    assert_eq!(door.attacks, 1, "one attack, told once");
}

#[test]
fn nine_networks_slow_nobody_and_ten_can_fill_what_strangers_share() {
    for (networks, attacks) in [(9, 0), (10, 1)] {
        let mut door = Door::new(Whose::Derived);
        let mut refused = 0;
        let guess = |door: &mut Door, n: u32| _ = door.wrong(&sub("name"), n, network(n % networks));
        let look = |door: &mut Door, n: u32| refused += u32::from(!door.right(&sub("new"), viewer(n)));
        run(&mut door, 4 * 24, Duration::from_secs(10), guess, look);
        assert_eq!(door.attacks, attacks, "{networks} networks");
        assert!(attacks > 0 || refused == 0, "{networks} networks");
    }
}

#[test]
fn a_ticket_holder_with_five_networks_slows_nobody() {
    let mut door = Door::new(Whose::Derived);
    for n in 0..5 {
        assert!(door.right(&sub("mallory"), network(n)));
    }
    for n in 0..50 {
        assert!(door.right(&sub(&format!("viewer{n}")), viewer(n)));
    }
    // Else each look would come in the moment in which there is room again.
    door.wrong(&sub("name"), 900_000, network(0));
    door.now += MET.shared.each / 2;
    let (mut same_house, mut strangers) = (0, 0);
    let guess = |door: &mut Door, n: u32| _ = door.wrong(&sub("name"), n, network(n % 5));
    let look = |door: &mut Door, n: u32| {
        same_house += u32::from(!door.right(&sub(&format!("guest{n}")), viewer(n % 50)));
        strangers += u32::from(!door.right(&sub(&format!("new{n}")), viewer(1000 + n)));
    };
    run(&mut door, 4 * 24, Duration::from_secs(10), guess, look);
    assert_eq!((same_house, strangers), (0, 0));
    assert_eq!(door.attacks, 1, "what met networks share was used up, or this would be no attack");
}

#[test]
fn sixty_five_thousand_networks_need_over_ten_years_and_known_ones_never_notice() {
    for whose in [Whose::Derived, Whose::Own] {
        for (burst, pause) in
            [(1, 5), (STRANGE.network.burst, 30)].map(|(burst, secs)| (burst, Duration::from_secs(secs)))
        {
            let mut door = Door::new(whose);
            let alice = sub("alice");
            assert!(door.right(&alice, viewer(0)));
            let guess = |door: &mut Door, n: u32| {
                for try_ in 0..burst {
                    door.wrong(&alice, n % 100_000 * burst + try_, network(n % 65_536));
                }
            };
            let mut refused = 0;
            let look = |door: &mut Door, _: u32| refused += u32::from(!door.right(&alice, viewer(0)));
            run(&mut door, 3 * 24, pause, guess, look);
            assert_eq!((refused, door.attacks), (0, 1));
            let taken = years(door.compared - STRANGE.shared.burst, 3);
            assert!(taken > 10.0, "{taken} years, {} codes", door.compared);
        }
    }
}

#[test]
fn so_many_who_hold_a_code_of_the_stream_need_over_ten_years_for_another() {
    // As ones that were met, and from elsewhere as strangers; as ones that were met alone.
    for elsewhere in [65_536, 0] {
        let mut door = Door::new(Whose::Derived);
        let (alice, mallory) = (sub("alice"), sub("mallory"));
        assert!(door.right(&alice, viewer(0)));
        for n in 0..65_536 {
            door.right(&mallory, network(n));
        }
        let guess = |door: &mut Door, n: u32| {
            door.wrong(&alice, n * 2 % 900_000, network(n % 65_536));
            door.wrong(&alice, (n * 2 + 1) % 900_000, network(elsewhere + n % 65_536));
        };
        let mut refused = 0;
        let look = |door: &mut Door, _: u32| refused += u32::from(!door.right(&alice, viewer(0)));
        run(&mut door, 3 * 24, Duration::from_secs(5), guess, look);
        assert_eq!(refused, 0);
        let paced = door.compared - STRANGE.shared.burst - MET.shared.burst;
        let taken = years(paced, 3);
        assert!(taken > 10.0, "{taken} years, {} codes", door.compared);
        assert!(paced > 3 * 72, "both counts are used: {paced} codes");
    }
}

#[test]
fn the_networks_of_one_48_are_one_and_touch_nobody_outside() {
    let mut door = Door::new(Whose::Derived);
    let guess = |door: &mut Door, n: u32| {
        door.wrong(&sub("name"), n, one_of_48(u16::try_from(n % 65_536).unwrap()));
    };
    let mut refused = 0;
    let look = |door: &mut Door, n: u32| refused += u32::from(!door.right(&sub("new"), viewer(n)));
    run(&mut door, 4 * 24, Duration::from_secs(10), guess, look);
    assert_eq!((refused, door.attacks), (0, 0));
    let taken = years(door.compared - STRANGE.site.burst, 4);
    assert!(taken > 80.0, "{taken} years, {} codes", door.compared);
}

/// Quiet saves up a burst and no more, so no rhythm gets more than one each time.
#[test]
fn no_rhythm_of_pauses_compares_more_codes() {
    let both = [STRANGE.shared, MET.shared];
    for hours in [1, 6, 20, 24, 7 * 24] {
        let (pause, days) = (Duration::from_secs(hours * 3600), 2 * 365);
        let mut compared = 0;
        for rate in both {
            let mut meter = Meter::new(rate, Absent::Clean, 1);
            let mut now = Instant::now();
            let end = now + DAY * days;
            while now < end {
                while meter.has_room(&(), now) {
                    meter.add((), now);
                    compared += 1;
                }
                now += pause;
            }
            compared -= rate.burst;
        }
        let taken = years(compared, days);
        assert!(taken > 10.0, "{taken} years with pauses of {pause:?}");
    }
}

/// A restart forgets all counts. Even one each day leaves a stranger no better odds.
#[test]
fn a_restart_each_day_still_takes_ten_years() {
    let per_day =
        STRANGE.shared.burst + u32::try_from(DAY.as_secs() / STRANGE.shared.each.as_secs()).unwrap();
    assert!(years(per_day, 1) > 10.0);
}

#[test]
fn a_flood_of_codes_on_invented_streams_buys_no_fresh_budget() {
    let mut door = Door::new(Whose::Own);
    let alice = sub("alice");
    for n in 0..200 {
        door.wrong(&alice, n, network(n));
    }
    assert!(!door.right(&alice, viewer(1)), "under attack");
    let victim = std::mem::replace(&mut door.stream.id, StreamId::parse("invented").unwrap());
    door.whose = Whose::Unheard;
    let before = door.compared;
    for n in 0..16_500 {
        door.stream.id = StreamId::parse(&format!("invented{n}")).unwrap();
        door.wrong(&alice, n, network(1000 + n % 174));
    }
    assert_eq!(door.compared, before, "none of them was compared");
    (door.stream.id, door.whose) = (victim, Whose::Own);
    assert!(!door.right(&alice, viewer(1)), "a fresh budget");
    assert_eq!(door.wrong(&alice, 0, network(0)), Leave::Repeat, "its codes are remembered too");
}

#[test]
fn a_flood_of_codes_on_subscribers_that_exist_buys_none_either() {
    let mut door = Door::new(Whose::Own);
    let alice = sub("alice");
    for n in 0..200 {
        door.wrong(&alice, n, network(n));
    }
    for n in 0..40_000 {
        door.wrong(&sub(&format!("other{n}")), n, network(1000 + n));
    }
    assert!(!door.right(&alice, viewer(1)));
    assert!(door.right(&sub("bob"), viewer(2)), "and no other pays for it");
}

/// More subjects than the table holds, each of them guessed at more than the victim.
#[test]
fn a_subject_that_had_to_go_has_no_more_tries_than_before() {
    let mut door = Door::new(Whose::Own);
    let alice = sub("alice");
    for n in 0..5 {
        door.wrong(&alice, n, viewer(n));
    }
    for n in 0..ENTRIES as u32 + 1 {
        let other = sub(&format!("other{n}"));
        for try_ in 0..6 {
            door.wrong(&other, try_, network(n * 2 + try_ / 3));
        }
    }
    let before = door.compared;
    for n in 0..100 {
        door.wrong(&alice, 100 + n, viewer(100 + n));
    }
    let more = door.compared - before;
    assert!((1..=STRANGE.shared.burst - 5).contains(&more), "{more} more");
}
