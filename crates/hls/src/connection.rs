//! HTTP connections, as far as a fence must reach them.

use std::any::Any;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use contract::{UNKNOWN_PEER, network};
use tokio::net::TcpStream;

use crate::lingering::Lingering;

/// A body keeps its whole file in memory, also when the stream's window has moved
/// on, and the kernel keeps what it was given. Whose player takes less than
/// [`PACE`] in this time loses the connection.
pub(crate) const STALLED: Duration = Duration::from_secs(30);

/// The same time while media memory is scarce, when what slow players hold is missing
/// elsewhere: 52 kbit/s. A body that is paced to twice real time is faster with any sound.
pub(crate) const STALLED_IN_NEED: Duration = Duration::from_secs(10);

/// Bytes, 17 kbit/s: no live stream plays at that. Shorter files are in the kernel
/// at once, and keep nothing.
pub(crate) const PACE: u64 = 64 << 10;

/// A peer that takes nothing for so long, or does not acknowledge what was sent, loses
/// the connection (tcp(7), `TCP_USER_TIMEOUT`): the write deadline of every answer. A
/// browser that is paused in the middle of a segment asks for it again.
const DEADLINE: Duration = Duration::from_secs(30);

/// Grants that one connection of a player carries media for at a time; it needs one
/// for each stream that it shows. A request for one more is refused. A proxy's
/// connection carries all of its players, and is not counted.
pub(crate) const MOST_GRANTS: usize = 64;

/// A duplicate of a connection's descriptor. The HTTP server owns the socket and
/// shows it to nobody; without this, bytes that it has buffered or handed to the
/// kernel are out of reach.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    /// Of the peer at the other end, be it a proxy.
    network: IpAddr,
    /// Who is told when it is closed: since the first media by it.
    lingering: OnceLock<Arc<Lingering>>,
    /// How many grants know it.
    grants: AtomicUsize,
}

impl Connection {
    /// Duplicates the descriptor of a socket.
    pub(crate) fn duplicate(socket: &impl AsFd) -> io::Result<Self> {
        let socket = socket.as_fd().try_clone_to_owned()?;
        let peer = socket2::SockRef::from(&socket).peer_addr();
        let peer = peer.ok().and_then(|peer| peer.as_socket()).map_or(UNKNOWN_PEER, |peer| peer.ip());
        let network = network(peer.to_canonical());
        Ok(Self { socket, network, lingering: OnceLock::new(), grants: AtomicUsize::new(0) })
    }

    /// The network of the peer at the other end.
    pub(crate) fn network(&self) -> IpAddr {
        self.network
    }

    /// From now on it may hold media when it is closed.
    pub(crate) fn tell(&self, lingering: &Arc<Lingering>) {
        self.lingering.get_or_init(|| lingering.clone());
    }

    /// One more grant uses it; false: it has as many as it may.
    pub(crate) fn join(&self, carrier: Carrier) -> bool {
        let before = self.grants.fetch_add(1, Ordering::Relaxed);
        let full = carrier == Carrier::Player && before >= MOST_GRANTS;
        if full {
            self.part();
        }
        !full
    }

    /// One grant less uses it.
    pub(crate) fn part(&self) {
        self.grants.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes that the kernel holds and never sent; none if it cannot say.
    pub(crate) fn unsent(&self) -> u64 {
        let bytes = session::tcp::unsent(self.socket.as_fd());
        bytes.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
    }

    /// Disconnects at once; neither the kernel's queue nor what the HTTP server
    /// still holds is sent. False: the system refuses that.
    pub(crate) fn reset(&self) -> bool {
        session::tcp::reset(self.socket.as_fd())
    }

    /// The same of a closed connection that its keeper gives up: where the system refuses
    /// a reset, closing the descriptor is one (socket(7), `SO_LINGER` of 0).
    pub(crate) fn abandon(&self) {
        if !self.reset() {
            let _gone = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Lets no more in or out, what the kernel holds excepted; the HTTP server sees the end
    /// of the stream, and closes.
    pub fn close(&self) {
        // It fails only on a socket that is not connected any more.
        let _ = socket2::SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }

    /// Whether the kernel holds nothing that was never sent, and never will be: of
    /// a connection that is gone it would count what it threw away.
    pub(crate) fn is_drained(&self) -> bool {
        let gone = socket2::SockRef::from(&self.socket).peer_addr().is_err();
        gone || session::tcp::unsent(self.socket.as_fd()).is_ok_and(|bytes| bytes == 0)
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// One player, or a program that stands for some.
    Player,
    /// Something on this machine: a player, or a proxy that the configuration does not
    /// name.
    Local,
    /// A proxy that the configuration names.
    Proxy,
}

/// How far a player has come in taking what it is given.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Bytes that had left when it was last seen to take some, and when that was.
    mark: (u64, Instant),
}

impl Progress {
    pub(crate) fn new(left: u64, now: Instant) -> Self {
        Self { mark: (left, now) }
    }

    /// Whether the player took less than [`PACE`] in this time; `left` is what has left so far.
    pub(crate) fn is_stalled(&mut self, left: u64, now: Instant, patience: Duration) -> bool {
        let (before, since) = self.mark;
        if left >= before.saturating_add(PACE) {
            self.mark = (left, now);
            return false;
        }
        now.saturating_duration_since(since) >= patience
    }
}

/// A connection as the HTTP server has it: dropped when that closes it. What is
/// drained then is let go, and its descriptor with it: nothing is written to it any
/// more, and the kernel has nothing that it did not send.
#[derive(Debug)]
pub(crate) struct Served(Arc<Connection>);

impl Served {
    #[cfg(test)]
    pub(crate) fn of(connection: Arc<Connection>) -> Self {
        Self(connection)
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(lingering) = self.0.lingering.get() {
            lingering.closed(&self.0);
        }
    }
}

/// To be called in `HttpServer::on_connect`: without it HLS serves no media. Gives the
/// connection and its peer's address, if it is one of TCP. Keep it weakly: its descriptor
/// goes with the last reference.
pub fn on_connect(io: &dyn Any, extensions: &mut Extensions) -> Option<(SocketAddr, Arc<Connection>)> {
    let tcp = socket(io)?;
    let peer = tcp.peer_addr().ok()?;
    limit(tcp, DEADLINE);
    match Connection::duplicate(tcp) {
        Ok(connection) => {
            let connection = Arc::new(connection);
            extensions.insert(Served(connection.clone()));
            Some((peer, connection))
        }
        Err(error) => {
            // Out of descriptors: this connection gets no media.
            tracing::warn!(%error, "cannot duplicate a connection's descriptor");
            None
        }
    }
}

/// To be called in `HttpServer::on_connect` of a server that plays nothing: gives the
/// connection the write deadline that [`on_connect`] gives.
pub fn limit_writes(io: &dyn Any) {
    if let Some(tcp) = socket(io) {
        limit(tcp, DEADLINE);
    }
}

/// Gives every write a deadline.
fn limit(socket: &impl AsFd, deadline: Duration) {
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(deadline)) {
        tracing::debug!(%error, "a connection without a write deadline");
    }
}

/// The socket of a connection, with or without TLS; `None` of any other transport. What the
/// TLS layer has sealed and not written dies with the socket that a fence resets.
fn socket(io: &dyn Any) -> Option<&TcpStream> {
    let sealed = || io.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    io.downcast_ref::<TcpStream>().or_else(sealed)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_drained_when_it_has_sent_all_or_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let connection = Connection::duplicate(&server).unwrap();
        assert!(connection.is_drained());
        server.set_nonblocking(true).unwrap();
        while server.write(&[0; 1 << 16]).is_ok() {}
        assert!(!connection.is_drained());
        connection.reset();
        assert!(connection.is_drained());
        drop(client);
    }

    #[test]
    fn a_peer_that_reads_nothing_loses_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        limit(&server, Duration::from_millis(500));
        server.set_nonblocking(true).unwrap();
        while server.write(&[0; 1 << 14]).is_ok() {}
        // The kernel ends it, and the write that waits for room says so.
        server.set_nonblocking(false).unwrap();
        server.set_write_timeout(Some(STALLED)).unwrap();
        let error = std::iter::repeat_with(|| server.write(&[0; 1 << 14])).find_map(Result::err);
        assert_eq!(error.unwrap().kind(), std::io::ErrorKind::TimedOut);
        drop(client);
    }

    #[actix_rt::test]
    async fn every_connection_has_a_write_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert!(on_connect(&server, &mut Extensions::new()).is_some());
        assert_eq!(socket2::SockRef::from(&server).tcp_user_timeout().unwrap(), Some(DEADLINE));
    }
}
