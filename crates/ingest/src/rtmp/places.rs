//! Who may have a place among the connections.
//!
//! Encoders are few and players many, and neither can be told before they have spoken. So
//! players and those who have not spoken have shares of their own; what is left, a quarter
//! of all at the least that players cannot take, is for publishers and those on their way.

use crate::crowd::Bounds;

/// Connections of one network that neither publish nor play yet, at the most. A stranger
/// can keep each for half a minute and longer. A peer that plays or publishes needs less
/// than a second to begin, and counts no longer: an office behind one address can watch as
/// a whole, some sixty more each second.
const STRANGERS_OF_ONE: usize = 64;

/// How `max` connections are shared out among those who have not spoken: a quarter of all,
/// and of that one network has a quarter at the most. When it is full, the network with
/// the most gives way. Their application is not known yet, and bounds none.
pub(super) const fn strangers(max: usize) -> Bounds {
    let all = at_least_one(max / 4);
    let part = at_least_one(all / 4);
    let of_network = if part < STRANGERS_OF_ONE { part } else { STRANGERS_OF_ONE };
    Bounds { all, of_app: all, of_network }
}

const fn at_least_one(count: usize) -> usize {
    if count == 0 { 1 } else { count }
}

/// Three quarters of `max` connections are for players.
pub(super) const fn players(max: usize) -> usize {
    at_least_one(max - max / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_leave_a_quarter_to_encoders() {
        for (max, most) in [(1, 1), (2, 2), (5, 4), (400, 300)] {
            assert_eq!(players(max), most, "{max}");
        }
    }

    #[test]
    fn one_network_never_fills_the_room_of_those_who_have_not_spoken() {
        for (max, all, of_one) in [(4096, 1024, 64), (1024, 256, 64), (100, 25, 6), (1, 1, 1)] {
            let limits = strangers(max);
            assert_eq!((limits.all, limits.of_network), (all, of_one), "{max}");
        }
    }
}
