//! Connections that the HTTP server has closed, and of which the kernel had still
//! something to send.
//!
//! The kernel goes on sending what it holds of a closed socket, so a fence must be
//! able to reach it: its duplicate is kept here until all is sent. A connection
//! that is drained when it is closed is not kept at all. [`Served`] brings what is
//! closed, `Edge::sweep` looks once a second what is done.
//!
//! [`Served`]: crate::connection::Served

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use contract::Clock;

use crate::connection::{Connection, Progress, STALLED};
use crate::grant::lock;

/// So many at a time, each with a descriptor and what the kernel holds for it. A
/// player that reads leaves within seconds, so a quarter of the HTTP server's
/// default connections is plenty. Beyond it the network with the most loses its
/// oldest: that connection is reset, and its player asks again.
pub const MOST_LINGERING: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Lingering {
    most: usize,
    clock: Clock,
    list: Mutex<List>,
}

/// The oldest of each network first.
#[derive(Debug, Default)]
struct List {
    by_network: HashMap<IpAddr, VecDeque<Lingerer>>,
    count: usize,
}

#[derive(Debug)]
struct Lingerer {
    connection: Arc<Connection>,
    /// What the kernel had when it came.
    unsent: u64,
    progress: Progress,
}

impl Lingering {
    pub(crate) fn new(most: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self { most, clock, list: Mutex::default() })
    }

    /// The HTTP server has closed this one, and writes nothing to it any more.
    pub(crate) fn closed(&self, connection: &Arc<Connection>) {
        if connection.is_drained() {
            return;
        }
        let progress = Progress::new(0, self.clock.now().mono);
        let one = Lingerer { connection: connection.clone(), unsent: connection.unsent(), progress };
        let loser = lock(&self.list).push(one, self.most);
        if let Some(Lingerer { connection, .. }) = loser.filter(|loser| !loser.connection.is_drained()) {
            tracing::debug!(network = %connection.network(), "too many closed connections with unsent bytes");
            connection.abandon();
        }
    }

    /// Lets go of those that have sent everything, and resets those whose players
    /// have stopped to read.
    pub(crate) fn sweep(&self, now: Instant) {
        let list = &mut *lock(&self.list);
        for all in list.by_network.values_mut() {
            all.retain_mut(|one| !one.is_done(now));
        }
        list.by_network.retain(|_, all| !all.is_empty());
        list.count = list.by_network.values().map(VecDeque::len).sum();
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        lock(&self.list).count
    }
}

impl List {
    /// Adds one; answers which one must go for it, if any.
    fn push(&mut self, one: Lingerer, most: usize) -> Option<Lingerer> {
        self.by_network.entry(one.connection.network()).or_default().push_back(one);
        self.count += 1;
        if self.count <= most {
            return None;
        }
        self.count -= 1;
        self.by_network.values_mut().max_by_key(|all| all.len())?.pop_front()
    }
}

impl Lingerer {
    fn is_done(&mut self, now: Instant) -> bool {
        if self.connection.is_drained() {
            return true;
        }
        let left = self.unsent.saturating_sub(self.connection.unsent());
        let stalled = self.progress.is_stalled(left, now, STALLED);
        if stalled {
            self.connection.abandon();
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use contract::{ManualClock, WallMs};
    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::connection::{Carrier, STALLED, Served};
    use crate::grant::tests::{grant, grant_with};

    /// The HTTP server's end of a connection, and a player's at this address.
    fn pair(ip: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.bind(&SocketAddr::new(ip.parse().unwrap(), 0).into()).unwrap();
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        (server, client.into())
    }

    fn fill(server: &mut TcpStream) -> usize {
        std::iter::from_fn(|| server.write(&[7; 1 << 16]).ok()).sum()
    }

    /// One that is closed with bytes that were never sent; the player's end, and how
    /// many bytes it was given.
    fn close_full(lingering: &Arc<Lingering>, ip: &str) -> (TcpStream, usize) {
        let (mut server, client) = pair(ip);
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        connection.tell(lingering);
        let given = fill(&mut server);
        drop((Served::of(connection), server));
        (client, given)
    }

    /// What a player still gets, and whether the end is a reset.
    fn rest(mut client: TcpStream) -> (usize, bool) {
        let (mut got, mut chunk) = (0, vec![0; 1 << 16]);
        loop {
            match client.read(&mut chunk) {
                Ok(n @ 1..) => got += n,
                end => return (got, end.is_err()),
            }
        }
    }

    #[test]
    fn a_drained_connection_is_let_go_when_it_is_closed() {
        let clock = ManualClock::new(WallMs(0)).clock();
        let lingering = Lingering::new(2, clock.clone());
        let grant = grant_with(clock, lingering.clone());
        let (mut server, client) = pair("127.0.0.1");
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        let held = Arc::downgrade(&connection);
        drop(grant.open(&connection, Carrier::Player).unwrap());
        server.write_all(b"media").unwrap();
        drop((Served::of(connection), server));
        assert_eq!((held.strong_count(), lingering.count()), (0, 0), "its descriptor is held");
        assert_eq!(rest(client), (5, false), "and it ends in peace");
    }

    #[test]
    fn a_fence_reaches_what_the_kernel_holds_of_a_closed_connection() {
        let clock = ManualClock::new(WallMs(0)).clock();
        let lingering = Lingering::new(2, clock.clone());
        let grant = grant_with(clock.clone(), lingering.clone());
        let (mut server, client) = pair("127.0.0.1");
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        let body = grant.open(&connection, Carrier::Player).unwrap();
        let given = fill(&mut server);
        drop((body, Served::of(connection), server));
        assert_eq!(lingering.count(), 1);
        grant.fence();
        let (got, reset) = rest(client);
        assert!(got < given && reset, "{got} of {given}");
        lingering.sweep(clock.now().mono);
        assert_eq!(lingering.count(), 0);
    }

    #[test]
    fn what_a_player_reads_leaves_by_itself() {
        let clock = ManualClock::new(WallMs(0)).clock();
        let lingering = Lingering::new(2, clock.clone());
        let (client, given) = close_full(&lingering, "127.0.0.1");
        lingering.sweep(clock.now().mono);
        assert_eq!(lingering.count(), 1, "it is not done");
        // The end of the connection follows when the last duplicate is closed.
        let reader = std::thread::spawn(move || rest(client));
        while lingering.count() > 0 {
            lingering.sweep(clock.now().mono);
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap(), (given, false));
    }

    #[test]
    fn the_oldest_of_the_network_with_the_most_goes() {
        let clock = ManualClock::new(WallMs(0)).clock();
        let lingering = Lingering::new(3, clock);
        let (other, _) = close_full(&lingering, "127.0.0.2");
        let (oldest, given) = close_full(&lingering, "127.0.0.3");
        let kept = [0; 2].map(|_| close_full(&lingering, "127.0.0.3"));
        assert_eq!(lingering.count(), 3);
        let (got, reset) = rest(oldest);
        assert!(got < given && reset, "{got} of {given}");
        for client in [&other, &kept[0].0, &kept[1].0] {
            assert!(client.take_error().unwrap().is_none(), "it was reset");
        }
    }

    #[test]
    fn who_stops_to_read_is_reset() {
        let clock = ManualClock::new(WallMs(0));
        let lingering = Lingering::new(2, clock.clock());
        let (client, given) = close_full(&lingering, "127.0.0.1");
        clock.advance(STALLED);
        lingering.sweep(clock.clock().now().mono);
        assert_eq!(lingering.count(), 0);
        let (got, reset) = rest(client);
        assert!(got < given && reset, "{got} of {given}");
    }

    #[test]
    fn a_connection_carries_media_for_so_many_grants() {
        let clock = ManualClock::new(WallMs(0)).clock();
        let (server, _client) = pair("127.0.0.1");
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        let grants: Vec<_> = (0..=crate::connection::MOST_GRANTS).map(|_| grant(clock.clone())).collect();
        let open = |carrier| grants.iter().filter(|grant| grant.open(&connection, carrier).is_ok()).count();
        assert_eq!(open(Carrier::Player), grants.len() - 1);
        for proxy in [Carrier::Proxy, Carrier::Local] {
            assert_eq!(open(proxy), grants.len(), "a proxy carries all");
        }
        // Those that are gone count no more.
        drop(grants);
        assert!(grant(clock).open(&connection, Carrier::Player).is_ok());
    }
}
