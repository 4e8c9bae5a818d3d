//! How a datagram finds its peer, and what it passes on the way.

use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::time::Instant;

use contract::Now;
use str0m::Input;
use str0m::net::{Protocol, Receive};

use super::Room;
use crate::webrtc::door::{self, Dropped, Kind, Pass};
use crate::webrtc::peer::PeerId;
use crate::webrtc::udp::{Datagram, Udp};

impl Room {
    /// Takes a datagram to the peer that it is for, if the peer's door lets it in.
    pub(crate) fn datagram(&mut self, datagram: &Datagram<'_>, udp: &Udp, now: Now) {
        if let Err(why) = self.deliver(datagram, udp, now) {
            self.drops.count(why);
        }
    }

    fn deliver(&mut self, datagram: &Datagram<'_>, udp: &Udp, now: Now) -> Result<(), Dropped> {
        let (from, bytes) = (datagram.from, datagram.bytes);
        let kind = door::look(bytes).ok_or(Dropped::Malformed)?;
        let mapped = self.by_address.get(&from).copied();
        // A browser may open its next connection from the port of its last, so a
        // name counts for more than an address.
        let named = match kind {
            Kind::Check { ufrag } => self.by_ufrag.get(ufrag).copied(),
            Kind::KeepAlive | Kind::Other => mapped,
        };
        let id = named.ok_or(Dropped::NoPeer)?;
        let owner = mapped.filter(|owner| *owner != id).and_then(|owner| self.seats.get(&owner));
        if owner.is_some_and(|owner| owner.peer.is_talking(now.mono)) {
            return Err(Dropped::Taken);
        }
        let seat = self.seats.get_mut(&id).ok_or(Dropped::NoPeer)?;
        let connected = seat.peer.is_connected();
        let pass = seat.door.pass(kind, from, mapped == Some(id), connected, now.mono)?;
        let to = self.addresses.meant(datagram.to);
        // Bytes of unknown origin: they can make no peer pay for what they do to the parser.
        let parsed = catch_unwind(|| Receive::new(Protocol::Udp, from, to, bytes).ok());
        let receive = parsed.ok().flatten().ok_or(Dropped::Malformed)?;
        let input = Input::Receive(now.mono, receive);
        if pass == Pass::Unverified {
            // Before the agent remembers the address.
            let verified = self.with(id, |seat| seat.peer.accepts(&input)) == Some(true);
            self.learn(id, from, verified.then_some(now.mono).ok_or(Dropped::Password)?)?;
        }
        self.with(id, |seat| seat.peer.receive(input, bytes.len(), now.mono, now.wall));
        self.settle(id, udp, now);
        Ok(())
    }

    /// Datagrams from this address are the peer's from now on.
    fn learn(&mut self, id: PeerId, from: SocketAddr, now: Instant) -> Result<(), Dropped> {
        let Some(seat) = self.seats.get_mut(&id) else { return Ok(()) };
        let forgotten = seat.door.admit(from, seat.peer.is_connected(), now)?;
        self.by_address.insert(from, id);
        if let Some(old) = forgotten {
            self.unmap(id, old);
        }
        Ok(())
    }

    /// An address leads to this peer no longer. It may be another's by now, and stays so.
    pub(super) fn unmap(&mut self, id: PeerId, address: SocketAddr) {
        if self.by_address.get(&address) == Some(&id) {
            self.by_address.remove(&address);
        }
    }
}
