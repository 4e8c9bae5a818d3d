use super::*;

fn addr(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

const CHECK: Kind<'static> = Kind::Check { ufrag: "ours" };

/// A STUN message with these attributes.
fn message(kind: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in attributes {
        body.extend(name.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(COOKIE);
    bytes.extend([7; 12]);
    bytes.extend(body);
    bytes
}

/// Brings a verified check from each of these ports; how many are let in.
fn come(door: &mut FrontDoor, ports: impl IntoIterator<Item = u16>, connected: bool, now: Instant) -> usize {
    let mut one = |port| {
        let pass = door.pass(CHECK, addr(port), false, connected, now)?;
        assert_eq!(pass, Pass::Unverified);
        door.admit(addr(port), connected, now)
    };
    ports.into_iter().filter(|&port| one(port).is_ok()).count()
}

#[test]
fn only_checks_with_a_name_keep_alives_and_media_are_for_a_peer() {
    let check = message(1, &[(0x8022, b"abc"), (USERNAME, b"ours:theirs"), (0x24, &[0; 4])]);
    assert_eq!(look(&check), Some(Kind::Check { ufrag: "ours" }));
    assert_eq!(look(&message(0x11, &[])), Some(Kind::KeepAlive));
    for first in [20, 63, 128, 191] {
        assert_eq!(look(&[first, 0, 0]), Some(Kind::Other), "{first}");
    }
    let nameless = message(1, &[(0x24, &[0; 4])]);
    let no_colon = message(1, &[(USERNAME, b"ours")]);
    let late: Vec<(u16, &[u8])> = vec![(0x24, &[0; 4]); ATTRIBUTES];
    let late = message(1, &[late, vec![(USERNAME, b"a:b".as_slice())]].concat());
    let answer = message(0x101, &[(USERNAME, b"ours:theirs")]);
    let mut cookie = check.clone();
    cookie[4] ^= 1;
    let mut longer = check.clone();
    longer.push(0);
    for dropped in
        [&nameless, &no_colon, &late, &answer, &cookie, &longer, &check[..check.len() - 1].to_vec()]
    {
        assert_eq!(look(dropped), None, "{dropped:?}");
    }
    assert!([&[][..], &[0], &[4; 40], &[64; 40], &[192; 40]].iter().all(|bytes| look(bytes).is_none()));
    // A name that claims to be longer than the message.
    let mut short = message(1, &[(USERNAME, b"a:b")]);
    short[23] = 200;
    assert_eq!(look(&short), None);
}

#[test]
fn an_agent_meets_so_many_addresses_before_it_has_connected_and_a_few_later() {
    let (mut door, now) = (FrontDoor::new(), Instant::now());
    assert_eq!(come(&mut door, 1..100, false, now), BEFORE);
    assert_eq!(door.pass(CHECK, addr(99), false, false, now), Err(Dropped::Addresses));
    assert_eq!(come(&mut door, 1..=1, false, now), 1, "one that it knows may come again");
    // The translator forgets: as many as a change of the network brings, then one at a time.
    assert_eq!(come(&mut door, 100..140, true, now), NEW.burst as usize);
    let later = now + NEW.every;
    assert_eq!(come(&mut door, 200..240, true, later), 1);
    assert_eq!(door.routes().len(), ROUTES);
}

#[test]
fn an_agent_meets_no_more_than_so_many_addresses_in_its_life() {
    let (mut door, mut now) = (FrontDoor::new(), Instant::now());
    let mut came = 0;
    for port in 1..400 {
        now += NEW.every;
        came += come(&mut door, [port], true, now);
    }
    assert_eq!((came, door.known.len()), (IN_ALL, IN_ALL));
}

#[test]
fn the_address_that_checked_last_is_forgotten_last() {
    let (mut door, now) = (FrontDoor::new(), Instant::now());
    come(&mut door, 1..=BEFORE as u16, false, now);
    // The first is in use: it goes on to check.
    assert_eq!(door.pass(CHECK, addr(1), true, true, now), Ok(Pass::Known));
    assert_eq!(door.admit(addr(90), true, now), Ok(Some(addr(2))));
    assert!(door.routes().contains(&addr(1)));
}

#[test]
fn checks_are_bounded_and_a_flood_from_new_addresses_does_not_silence_a_known_one() {
    let (mut door, now) = (FrontDoor::new(), Instant::now());
    let mut unverified = || door.pass(CHECK, addr(7), false, false, now).is_ok();
    assert_eq!((0..1000).filter(|_| unverified()).count(), FIRST_CHECKS.burst as usize);
    let mut known = |now| door.pass(CHECK, addr(1), true, false, now).is_ok();
    assert_eq!((0..1000).filter(|_| known(now)).count(), CHECKS.burst as usize);
    assert_eq!((0..1000).filter(|_| known(now + CHECKS.every * 3)).count(), 3);
    let mut keeps = || door.pass(Kind::KeepAlive, addr(1), true, true, now).is_ok();
    assert!(!keeps(), "they count as checks");
}

#[test]
fn before_it_has_connected_dtls_is_bounded_and_afterwards_media_is_not() {
    let (mut door, now) = (FrontDoor::new(), Instant::now());
    let mut came = |connected| door.pass(Kind::Other, addr(1), true, connected, now).is_ok();
    assert_eq!((0..1000).filter(|_| came(false)).count(), EARLY.burst as usize);
    assert!((0..1000).all(|_| came(true)));
    assert_eq!(
        door.pass(Kind::Other, addr(2), false, false, now),
        Err(Dropped::NoPeer),
        "no check came from there"
    );
}

#[test]
fn what_is_dropped_is_counted_by_reason() {
    let drops = Drops::default();
    for (at, (why, _)) in Dropped::ALL.into_iter().enumerate() {
        assert_eq!(why as usize, at);
        drops.count(why);
    }
    drops.count(Dropped::Rate);
    assert_eq!(drops.totals().last(), Some(("rate", 2)));
}
