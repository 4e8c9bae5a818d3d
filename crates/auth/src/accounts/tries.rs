//! How many wrong passwords a peer has left.
//!
//! A try is paid for before its password is looked at, so that tries under way at
//! the same time are all counted; a right password, or one that was not looked at,
//! gives the payment back. An account is guarded as codes are (`guess.rs`): a network
//! that never logged in gives little to what all of them share, so one of them locks
//! only itself out, and however many guess, they have 288 tries a day. Where the
//! account logged in within 30 days, it pays for itself alone: what strangers do
//! locks its owner out there at no time. A restart forgets these networks along with
//! all counts, and so does another password (`sluice user reset` on the machine) for
//! its account.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::homes::Homes;
use crate::lane::{Lane, Origin, Print, Prints, Rates};
use crate::meter::{Absent, Meter, Rate};

/// Wrong passwords of one network for one account before it must wait.
pub(super) const FOR_A_NAME: u32 = 5;

/// Wrong passwords of one network for all accounts together: another name for
/// each guess must not buy more guesses. Several people may share an address.
pub(super) const FOR_ALL_NAMES: u32 = 20;

/// How long until all of these are free again. All peers that come through a proxy that the
/// configuration does not name (`trusted_proxies`) have its address.
pub(super) const LOCKED: Duration = Duration::from_secs(300);

/// For one account, of networks where it did not log in of late: 105 000 a year in all, so
/// a password that is not among the ten million likeliest holds for decades. One network
/// takes a tenth of it, a site less than a third.
const STRANGE: Rates = Rates {
    network: Rate { burst: 20, each: Duration::from_secs(3600) },
    site: Rate { burst: 60, each: Duration::from_secs(1200) },
    shared: Rate { burst: 200, each: Duration::from_secs(300) },
};

/// So long a network is known where an account logged in.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Entries of each table, some 6 MiB in all. The network that failed least is
/// forgotten first.
const REMEMBERED: usize = 16 * 1024;

/// Accounts whose networks are remembered: more than there may be.
const ACCOUNTS: usize = 1024;

/// All payments.
pub(super) struct Tries {
    prints: Prints,
    homes: Homes,
    names: Meter<(Print, Print)>,
    networks: Meter<Print>,
    strangers: Lane,
}

/// One try that was paid for.
pub(super) struct Payment {
    name: Print,
    from: Origin,
    /// The account is known there, so only its own count was charged.
    at_home: bool,
    /// With it, all tries of strangers on this account are used up. Told once.
    pub(super) is_last: bool,
}

impl Tries {
    pub(super) fn new() -> Self {
        let all_back = |burst| Rate { burst, each: LOCKED / burst };
        Self {
            prints: Prints::default(),
            homes: Homes::new(KNOWN_FOR, ACCOUNTS),
            names: Meter::new(all_back(FOR_A_NAME), Absent::Clean, REMEMBERED),
            networks: Meter::new(all_back(FOR_ALL_NAMES), Absent::Clean, REMEMBERED),
            strangers: Lane::new(&STRANGE, REMEMBERED),
        }
    }

    /// Whether the account logged in there of late.
    pub(super) fn is_home(&self, peer: IpAddr, email: &str, now: Instant) -> bool {
        self.homes.is_home(self.prints.of(email), self.prints.origin(peer).network, now)
    }

    /// Pays for a try; `None`: nothing is left, now.
    pub(super) fn pay(&mut self, peer: IpAddr, email: &str, now: Instant) -> Option<Payment> {
        let (name, from) = (self.prints.of(email), self.prints.origin(peer));
        let at_home = self.homes.is_home(name, from.network, now);
        let has_room = self.names.has_room(&(name, from.network), now)
            && (at_home
                || (self.networks.has_room(&from.network, now) && self.strangers.has_room(name, from, now)));
        if !has_room {
            return None;
        }
        self.names.add((name, from.network), now);
        let mut is_last = false;
        if !at_home {
            self.networks.add(from.network, now);
            is_last = self.strangers.add(name, from, now);
        }
        Some(Payment { name, from, at_home, is_last })
    }

    /// Gives one payment back.
    pub(super) fn give_back(&mut self, payment: &Payment) {
        self.names.take_back((payment.name, payment.from.network));
        self.give_back_for_all(payment);
    }

    /// The password was right, so those before it for this name were slips. Those
    /// for other names stay: who has one account may still be guessing at another.
    pub(super) fn forgive(&mut self, payment: &Payment, now: Instant) {
        let name = (payment.name, payment.from.network);
        self.names.forget(|key| *key == name);
        self.give_back_for_all(payment);
        self.homes.succeeded(payment.name, payment.from.network, now);
    }

    /// Another password was set for the account: what was guessed before says nothing of it,
    /// and a network that proved the old one is a stranger.
    pub(super) fn changed(&mut self, email: &str) {
        let name = self.prints.of(email);
        self.strangers.forget(&[name]);
        drop(self.homes.forget(name));
    }

    fn give_back_for_all(&mut self, payment: &Payment) {
        if !payment.at_home {
            self.networks.take_back(payment.from.network);
            self.strangers.take_back(payment.name, payment.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    #[test]
    fn another_name_for_each_guess_buys_no_more_guesses() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        for n in 0..FOR_ALL_NAMES {
            assert!(tries.pay(home(), &format!("{n}@example.org"), now).is_some(), "{n}");
        }
        assert!(tries.pay(home(), "one-more@example.org", now).is_none());
        assert!(tries.pay("192.0.2.2".parse().unwrap(), "a", now).is_some(), "another address");
        assert!(tries.pay(home(), "a", now + LOCKED).is_some(), "later");
    }

    #[test]
    fn a_v6_network_is_one_address() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        for n in 0..FOR_A_NAME {
            assert!(tries.pay(format!("2001:db8::{n}").parse().unwrap(), "a", now).is_some());
        }
        assert!(tries.pay("2001:db8::ffff:0:0:1".parse().unwrap(), "a", now).is_none());
        assert!(tries.pay("2001:db8:0:1::".parse().unwrap(), "a", now).is_some());
    }

    #[test]
    fn what_is_given_back_can_be_spent_again_and_no_more_than_that() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        for _ in 0..100 {
            let payment = tries.pay(home(), "a", now).unwrap();
            tries.give_back(&payment);
        }
        for _ in 0..FOR_A_NAME {
            assert!(tries.pay(home(), "a", now).is_some());
        }
        assert!(tries.pay(home(), "a", now).is_none());
    }

    #[test]
    fn a_right_password_forgives_its_own_name_only() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        for name in ["a", "b", "c", "d"] {
            for _ in 0..FOR_A_NAME - 1 {
                assert!(tries.pay(home(), name, now).is_some());
            }
        }
        let right = tries.pay(home(), "a", now).unwrap();
        tries.forgive(&right, now);
        let left = (0..100).filter(|_| tries.pay(home(), "b", now).is_some()).count();
        assert_eq!(left, 1, "b's own last one");
        let left = (0..100).filter(|n| tries.pay(home(), &n.to_string(), now).is_some()).count();
        assert_eq!(left, 3, "of twenty, sixteen were wrong before, and one just now");
    }

    /// One of many networks, each in a site of its own.
    fn network(n: u32) -> IpAddr {
        IpAddr::from((0x1000_0000 + (n << 8)).to_be_bytes())
    }

    /// The owner logs in. Whether it may.
    fn log_in(tries: &mut Tries, peer: IpAddr, now: Instant) -> bool {
        let payment = tries.pay(peer, "owner", now);
        payment.inspect(|payment| tries.forgive(payment, now)).is_some()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn one_network_locks_only_itself_out_whatever_it_sends() {
        let (mut tries, start) = (Tries::new(), Instant::now());
        for second in 0..4 * 24 * 3600 / 5 {
            let now = start + Duration::from_secs(5 * second);
            tries.pay(home(), if second % 3 == 0 { "another" } else { "owner" }, now);
            if second % 720 == 0 {
                let hotel = network(u32::try_from(second).unwrap());
                assert!(log_in(&mut tries, hotel, now), "the owner, from somewhere new");
            }
        }
    }

    #[test]
    fn very_many_networks_have_288_tries_a_day_and_the_owner_at_home_never_notices() {
        let (mut tries, mut now) = (Tries::new(), Instant::now());
        assert!(log_in(&mut tries, home(), now));
        let (mut looked_at, mut told) = (0, 0);
        for n in 0..3 * 24 * 360_u32 {
            if let Some(payment) = tries.pay(network(n % 65_536), "owner", now) {
                looked_at += 1;
                told += u32::from(payment.is_last);
            }
            if n % 360 == 0 {
                assert!(log_in(&mut tries, home(), now));
            }
            now += Duration::from_secs(10);
        }
        assert!(looked_at <= STRANGE.shared.burst + 3 * 288, "{looked_at}");
        assert_eq!(told, 1);
        let years = 1e7 / 2.0 / (288.0 * 365.0);
        assert!(years > 40.0, "{years} years for one of ten million passwords");
    }

    #[test]
    fn names_that_nobody_has_lock_no_owner_out_at_home() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        assert!(log_in(&mut tries, home(), now));
        for n in 0..100 {
            tries.pay(home(), &format!("{n}@example.org"), now);
        }
        assert!(log_in(&mut tries, home(), now), "a stranger behind the same address");
        assert!(tries.pay(home(), "b", now).is_none());
        assert!(!tries.is_home(home(), "owner", now + KNOWN_FOR));
        assert!(log_in(&mut tries, home(), now + HOUR));
    }

    #[test]
    fn another_password_lets_the_owner_in_from_somewhere_new_during_an_attack() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        assert!(log_in(&mut tries, home(), now));
        for n in 0..1000 {
            tries.pay(network(n), "owner", now);
        }
        assert!(!log_in(&mut tries, network(5000), now));
        tries.changed("owner");
        assert!(!tries.is_home(home(), "owner", now), "it proved the old one");
        assert!(log_in(&mut tries, network(5000), now));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut tries, now) = (Tries::new(), Instant::now());
        for n in 0..20_000 {
            tries.pay(network(n), &format!("{n}@example.org"), now);
        }
        assert_eq!(tries.strangers.len(), [REMEMBERED; 3]);
        assert_eq!([tries.names.len(), tries.networks.len()], [REMEMBERED; 2]);
    }
}
