//! Room for WebRTC peers: those on their way in, and all of them.

use std::net::IpAddr;

use contract::{Action, AppName};

use super::command::Busy;
use crate::crowd::{Bounds, Crowd, Member};
use crate::pool::{Place, Pool};

/// Peers that have not connected. Each holds a session, a permit and half of a
/// connection for up to 20 s, so a network that never connects leaves the others room
/// for a dozen a second. Many share an address (CGNAT, a conference room), but few of
/// them come in the same second.
const ARRIVING: Bounds = Bounds { all: 256, of_app: 192, of_network: 32 };

/// Counts peers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lobby {
    arriving: Crowd,
    peers: Pool,
    max_peers: usize,
}

/// What a peer takes: its place among those on their way in, and among all.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Dropped when it has connected.
    pub(crate) arrival: Member,
    /// Dropped with the peer.
    pub(crate) place: Place,
}

impl Lobby {
    /// An empty one, with places for so many publishers and players.
    pub(crate) fn new(max_peers: usize) -> Self {
        Self { arriving: Crowd::new(ARRIVING), peers: Pool::new(max_peers), max_peers }
    }

    /// Lets one more begin, from this address (in canonical form), if there is room.
    pub(crate) fn enter(&self, from: IpAddr, app: &AppName, action: Action) -> Result<Entry, Busy> {
        let place = self.peers.enter(from, self.kept_from(action)).ok_or(Busy)?;
        let arrival = self.arriving.enter(from, app).ok_or(Busy)?;
        Ok(Entry { arrival, place })
    }

    /// Peers that were put out on their way in, for one from a network with fewer.
    pub(crate) fn displaced(&self) -> u64 {
        self.arriving.displaced()
    }

    /// Peers now.
    pub(crate) fn peers(&self) -> usize {
        self.peers.taken()
    }

    /// Players leave an eighth of the places to publishers: one of those serves many
    /// players, and is what they come for.
    const fn kept_from(&self, action: Action) -> usize {
        match action {
            Action::Publish => 0,
            Action::Play => self.max_peers / 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_leaves_as_many_places_as_it_has() {
        let (lobby, app) = (Lobby::new(16), AppName::parse("live").unwrap());
        let enter = |from: [u8; 4], action| lobby.enter(from.into(), &app, action).ok();
        let one: Vec<_> = (0..100).map_while(|_| enter([192, 0, 2, 1], Action::Play)).collect();
        assert_eq!(one.len(), 7);
        assert!(enter([192, 0, 2, 2], Action::Play).is_some());
    }

    #[test]
    fn players_leave_an_eighth_of_the_places_to_publishers() {
        let (lobby, app) = (Lobby::new(16), AppName::parse("live").unwrap());
        let enter = |action| lobby.enter([127, 0, 0, 1].into(), &app, action);
        let players: Vec<_> = (0..100).map_while(|_| enter(Action::Play).ok()).collect();
        let publishers: Vec<_> = (0..100).map_while(|_| enter(Action::Publish).ok()).collect();
        assert_eq!((players.len(), publishers.len()), (14, 2));
        drop(players);
        assert_eq!(lobby.peers(), 2);
        assert!(enter(Action::Play).is_ok());
    }
}
