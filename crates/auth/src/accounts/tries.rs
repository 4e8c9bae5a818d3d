//! How many wrong passwords somebody has left.
//!
//! A try is paid for before its password is looked at, so that tries under way at
//! the same time are all counted; a right password, or one that was not looked at,
//! gives the payment back.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use contract::network;

use crate::lru::Lru;

/// Wrong passwords of one address for one account before it must wait.
pub(super) const FOR_A_NAME: u32 = 5;

/// Wrong passwords of one address for all accounts together: another name for
/// each guess must not buy more guesses. Several people may share an address.
pub(super) const FOR_ALL_NAMES: u32 = 20;

/// How long it must wait then. Another address is not affected, so a stranger
/// cannot lock the administrator out; but all who come through a proxy that the
/// configuration does not name (`trusted_proxies`) have its address.
pub(super) const LOCKED: Duration = Duration::from_secs(300);

/// Addresses that are remembered, with a name and without; the one that tried
/// longest ago is forgotten first.
const REMEMBERED: usize = 4096;

/// Tries that were paid for, and when the last one was.
type Paid = (u32, Instant);

/// All payments.
pub(super) struct Tries {
    names: Lru<(IpAddr, String), Paid>,
    addresses: Lru<IpAddr, Paid>,
}

/// One try that was paid for.
pub(super) struct Payment {
    name: (IpAddr, String),
}

impl Tries {
    pub(super) fn new() -> Self {
        Self { names: Lru::new(REMEMBERED), addresses: Lru::new(REMEMBERED) }
    }

    /// Pays for a try; `None`: nothing is left, now.
    pub(super) fn pay(&mut self, peer: IpAddr, email: &str, now: Instant) -> Option<Payment> {
        let address = network(peer);
        let name = (address, email.to_owned());
        let of_name = one_more(self.names.get(&name), FOR_A_NAME, now)?;
        let of_all = one_more(self.addresses.get(&address), FOR_ALL_NAMES, now)?;
        self.names.put(name.clone(), of_name);
        self.addresses.put(address, of_all);
        Some(Payment { name })
    }

    /// Gives one payment back.
    pub(super) fn give_back(&mut self, payment: Payment) {
        let (address, _) = payment.name;
        if let Some((count, last)) = self.names.get(&payment.name).copied() {
            self.names.put(payment.name, (count.saturating_sub(1), last));
        }
        self.give_back_for_all(address);
    }

    /// The password was right, so those before it for this name were slips. Those
    /// for other names stay: who has one account may still be guessing at another.
    pub(super) fn forgive(&mut self, payment: Payment, now: Instant) {
        let (address, _) = payment.name;
        self.names.put(payment.name, (0, now));
        self.give_back_for_all(address);
    }

    fn give_back_for_all(&mut self, address: IpAddr) {
        if let Some((count, last)) = self.addresses.get(&address).copied() {
            self.addresses.put(address, (count.saturating_sub(1), last));
        }
    }
}

fn one_more(paid: Option<&Paid>, most: u32, now: Instant) -> Option<Paid> {
    match paid {
        Some((count, last)) if now.saturating_duration_since(*last) < LOCKED => {
            (*count < most).then_some((count + 1, now))
        }
        _ => Some((1, now)),
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
            tries.give_back(payment);
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
        tries.forgive(right, now);
        let left = (0..100).filter(|_| tries.pay(home(), "b", now).is_some()).count();
        assert_eq!(left, 1, "b's own last one");
        let left = (0..100).filter(|n| tries.pay(home(), &n.to_string(), now).is_some()).count();
        assert_eq!(left, 3, "of twenty, sixteen were wrong before, and one just now");
    }
}
