//! Room for WebRTC peers: those on their way in, and all of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contract::{Action, AppName};

use super::command::Busy;
use crate::crowd::{Bounds, Crowd, Member};

/// Peers that have not connected. Each holds a session, a permit and half of a
/// connection for up to 20 s, so a network that never connects leaves the others room
/// for a dozen a second. Many share an address (CGNAT, a conference room), but few of
/// them come in the same second.
const ARRIVING: Bounds = Bounds { all: 256, of_app: 192, of_network: 32 };

/// Counts peers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lobby {
    arriving: Crowd,
    peers: Arc<AtomicUsize>,
    max_peers: usize,
}

/// What a peer takes: its place among those on their way in, and among all.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Dropped when it has connected.
    pub(crate) arrival: Member,
    /// Dropped with the peer.
    pub(crate) place: PeerPlace,
}

/// A peer's place among all.
#[derive(Debug)]
pub(crate) struct PeerPlace(Arc<AtomicUsize>);

impl Lobby {
    /// An empty one, with places for so many publishers and players.
    pub(crate) fn new(max_peers: usize) -> Self {
        Self { arriving: Crowd::new(ARRIVING), peers: Arc::default(), max_peers }
    }

    /// Lets one more begin, from this address (in canonical form), if there is room.
    pub(crate) fn enter(&self, from: IpAddr, app: &AppName, action: Action) -> Result<Entry, Busy> {
        let place = self.place(action).ok_or(Busy)?;
        let arrival = self.arriving.enter(from, app).ok_or(Busy)?;
        Ok(Entry { arrival, place })
    }

    /// Peers that were put out on their way in, for one from a network with fewer.
    pub(crate) fn displaced(&self) -> u64 {
        self.arriving.displaced()
    }

    /// Peers now.
    pub(crate) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    /// Players leave an eighth of the places to publishers: one of those serves many
    /// players, and is what they come for.
    fn place(&self, action: Action) -> Option<PeerPlace> {
        let most = match action {
            Action::Publish => self.max_peers,
            Action::Play => self.max_peers - self.max_peers / 8,
        };
        let one_more = |peers| (peers < most).then_some(peers + 1);
        let taken = self.peers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| PeerPlace(self.peers.clone()))
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
