use std::net::Ipv6Addr;

use contract::{AppName, StreamId};

use super::*;

struct Story {
    guesses: Guesses,
    stream: StreamKey,
    subscriber: SubscriberId,
    now: Instant,
    whose: Whose,
}

impl Story {
    fn new(whose: Whose) -> Self {
        Self {
            guesses: Guesses::new(),
            stream: StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("s").unwrap() },
            subscriber: SubscriberId::parse("alice").unwrap(),
            now: Instant::now(),
            whose,
        }
    }

    fn with<T>(
        &mut self,
        code: u32,
        peer: IpAddr,
        act: impl FnOnce(&mut Guesses, &Attempt<'_>, Instant) -> T,
    ) -> T {
        let code = TotpCode::parse(&format!("{code:06}")).unwrap();
        let attempt = Attempt {
            stream: &self.stream,
            subscriber: &self.subscriber,
            whose: self.whose,
            action: Action::Play,
            peer,
            code: &code,
            step: 0,
        };
        act(&mut self.guesses, &attempt, self.now)
    }

    /// One wrong try; whether it was compared.
    fn guess(&mut self, code: u32, peer: IpAddr) -> Leave {
        self.with(code, peer, |guesses, attempt, now| {
            let leave = guesses.leave(attempt, now);
            if leave == Leave::Evaluate {
                guesses.failed(attempt, now);
            }
            leave
        })
    }

    fn succeed(&mut self, peer: IpAddr) {
        self.with(0, peer, |guesses, attempt, now| guesses.succeeded(attempt, now));
    }

    fn exhaust(&mut self) {
        for n in 0..FREE {
            assert_eq!(self.guess(n, stranger(n)), Leave::Evaluate);
        }
        assert_eq!(self.guess(FREE, stranger(FREE)), Leave::Wait);
    }
}

fn stranger(n: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + n).to_be_bytes())
}

/// How often a guesser with any number of addresses gets to compare in `span`,
/// when he pauses for `pause` after each burst.
fn comparisons(span: Duration, pause: Duration) -> u32 {
    let mut tally = Tally { failures: 0, last: Instant::now() };
    let (mut now, mut count) = (tally.last, 0);
    let end = now + span;
    while now < end {
        while tally.allows(now) {
            (tally, _) = tally.failed(now);
            count += 1;
        }
        now += pause;
    }
    count
}

#[test]
fn guessing_one_code_takes_more_than_ten_years_whatever_the_pace() {
    let two_years = Duration::from_secs(2 * 365 * 24 * 3600);
    // Two of a million codes are right at any moment.
    let tries_needed = 1e6 / 2.0;
    for pause in [1, 60, 599, 600, 1200, 1201, 2400, 3600, 6 * 3600, 24 * 3600].map(Duration::from_secs) {
        let per_year = f64::from(comparisons(two_years, pause)) / 2.0;
        let years = tries_needed / per_year;
        assert!(years > 10.0, "{years} years with pauses of {pause:?}");
    }
}

#[test]
fn after_the_free_tries_the_interval_doubles_up_to_an_hour() {
    let mut tally = Tally { failures: 0, last: Instant::now() };
    for _ in 0..FREE {
        assert!(tally.allows(tally.last));
        tally = tally.failed(tally.last).0;
    }
    let mut expected = 1;
    for _ in 0..=DOUBLINGS {
        let wait = Duration::from_secs(expected.min(3600));
        assert_eq!(interval(tally.failures - FREE), wait);
        assert!(!tally.allows(tally.last + wait.min(QUIET) - Duration::from_secs(1)));
        tally = tally.failed(tally.last).0;
        expected *= 2;
    }
}

#[test]
fn quiet_takes_failures_off() {
    let mut story = Story::new(Whose::Own);
    story.exhaust();
    story.now += QUIET;
    assert_eq!(story.guess(1000, stranger(9)), Leave::Evaluate);
    assert_eq!(story.guess(1001, stranger(9)), Leave::Wait);
}

#[test]
fn strangers_cannot_lock_an_owner_out() {
    let mut story = Story::new(Whose::Own);
    let home = stranger(77);
    story.succeed(home);
    story.exhaust();
    assert_eq!(story.guess(1000, home), Leave::Evaluate);
    story.now += KNOWN_FOR;
    let wait = Duration::from_secs(1);
    for n in 0..FREE {
        story.guess(2000 + n, stranger(n));
    }
    assert_eq!(story.guess(1001, home), Leave::Wait, "an old success counts no more");
    assert!(wait < KNOWN_FOR);
}

#[test]
fn unregistered_subscribers_of_a_stream_share_one_count() {
    let mut story = Story::new(Whose::Derived);
    story.exhaust();
    story.subscriber = SubscriberId::parse("bob").unwrap();
    assert_eq!(story.guess(1, stranger(1)), Leave::Wait);
    story.whose = Whose::Own;
    assert_eq!(story.guess(1, stranger(1)), Leave::Evaluate);
}

#[test]
fn repeating_one_wrong_code_is_not_guessing() {
    let mut story = Story::new(Whose::Own);
    assert_eq!(story.guess(7, stranger(1)), Leave::Evaluate);
    for _ in 0..10_000 {
        assert_eq!(story.guess(7, stranger(1)), Leave::Repeat);
    }
    assert_eq!(story.guess(8, stranger(1)), Leave::Evaluate);
}

#[test]
fn a_code_that_came_too_early_is_compared_again_in_the_next_step_only() {
    let wrong = Wrong { code: TotpCode::parse("000007").unwrap(), step: 5, retried: false };
    assert!(wrong.repeats(5));
    assert!(!wrong.repeats(6));
    assert!(wrong.repeats(7));
    assert!(Wrong { retried: true, ..wrong }.repeats(6));
}

#[test]
fn an_address_has_a_hundred_failures_in_ten_minutes_over_all_subscribers() {
    let mut story = Story::new(Whose::Own);
    let one = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
    for n in 0..100 {
        story.subscriber = SubscriberId::parse(&format!("sub{n}")).unwrap();
        assert_eq!(story.guess(n.into(), one(n)), Leave::Evaluate);
    }
    story.subscriber = SubscriberId::parse("another").unwrap();
    assert_eq!(story.guess(5, one(500)), Leave::Wait, "the whole /64 waits");
    assert_eq!(story.guess(5, stranger(1)), Leave::Evaluate);
    story.now += ADDRESS_WINDOW;
    assert_eq!(story.guess(5, one(500)), Leave::Evaluate);
}

#[test]
fn an_attack_is_reported_once() {
    let mut story = Story::new(Whose::Own);
    let mut reports = 0;
    for n in 0..FREE {
        let failure = story.with(n, stranger(n), |guesses, attempt, now| guesses.failed(attempt, now));
        reports += u32::from(failure == Failure::Attack);
    }
    assert_eq!(reports, 1);
}

#[test]
fn memory_is_bounded() {
    let mut story = Story::new(Whose::Own);
    for n in 0..20_000 {
        story.subscriber = SubscriberId::parse(&format!("sub{n}")).unwrap();
        story.guess(1, stranger(n));
    }
    assert_eq!(story.guesses.strangers.len(), ENTRIES);
    assert_eq!(story.guesses.wrong.len(), ENTRIES);
    assert_eq!(story.guesses.addresses.len(), ENTRIES);
}
