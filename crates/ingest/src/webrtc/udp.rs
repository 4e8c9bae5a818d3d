//! The one UDP socket of a shard: datagrams with their local address, and runs
//! of equal datagrams sent by one system call.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams taken by one system call.
const BATCH: usize = 16;
/// A coalesced run of datagrams is at most this long.
const BUFFER: usize = 1 << 16;
/// A second of 30 Mbit/s; a burst of key frames must fit while we are busy.
const KERNEL_BUFFER: usize = 4 << 20;
/// Larger than any datagram that a browser sends.
const MAX_DATAGRAM: usize = 2000;

/// A datagram that came in.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

/// A socket.
pub(crate) struct Udp {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Where datagrams are received into.
pub(crate) struct Inbox(Vec<Vec<u8>>);

impl Inbox {
    pub(crate) fn new() -> Self {
        Self(vec![vec![0; BUFFER]; BATCH])
    }
}

impl Udp {
    /// Binds to `listen`.
    pub(crate) fn bind(listen: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
        if listen.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        // The kernel may grant less; then bursts are lost and retransmitted.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        socket.bind(&listen.into())?;
        let socket = mio::net::UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local })
    }

    /// Where it is bound; with the port that the kernel chose.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Reports readiness as `token`.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Takes what has come in, at most one batch; false when nothing is left.
    pub(crate) fn receive(&self, inbox: &mut Inbox, mut each: impl FnMut(Datagram<'_>)) -> bool {
        let mut meta = [RecvMeta::default(); BATCH];
        let received = {
            let mut slices: Vec<_> = inbox.0.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta)
        };
        let count = match received {
            Ok(count) => count,
            Err(e) => return e.kind() == ErrorKind::Interrupted,
        };
        for (meta, buffer) in meta.iter().zip(&inbox.0).take(count) {
            let from = canonical(meta.addr);
            let to =
                SocketAddr::new(meta.dst_ip.unwrap_or(self.local.ip()).to_canonical(), self.local.port());
            let stride = meta.stride.max(1);
            for bytes in buffer[..meta.len].chunks(stride).filter(|b| b.len() <= MAX_DATAGRAM) {
                each(Datagram { from, to, bytes });
            }
        }
        true
    }

    /// Sends `bytes` as datagrams of `segment` bytes each, the last possibly
    /// shorter. What the kernel does not take is lost, like anywhere else on
    /// the way; NACK brings it back.
    pub(crate) fn send(&self, source: Option<IpAddr>, to: SocketAddr, bytes: &[u8], segment: usize) {
        let destination = self.on_wire(to);
        let whole = bytes.len() <= segment;
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: bytes,
            segment_size: (!whole).then_some(segment),
            src_ip: source,
        };
        let sent = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        let offload_refused = sent.as_ref().is_err_and(|e| !whole && e.kind() != ErrorKind::WouldBlock);
        if offload_refused {
            for one in bytes.chunks(segment) {
                let _ = self.socket.send_to(one, destination);
            }
        }
    }

    /// How many datagrams one [`send`](Self::send) may hold.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn on_wire(&self, to: SocketAddr) -> SocketAddr {
        match (self.local.ip(), to.ip()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
