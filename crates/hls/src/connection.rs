//! HTTP connections, as far as a fence must reach them.

use std::any::Any;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use tokio::net::TcpStream;

/// A duplicate of a connection's descriptor. The HTTP server owns the socket and
/// shows it to nobody; without this, bytes that it has buffered or handed to the
/// kernel are out of reach.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

impl Connection {
    /// Duplicates the descriptor of a socket.
    pub(crate) fn duplicate(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self { socket: socket.as_fd().try_clone_to_owned()? })
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

/// To be called in `HttpServer::on_connect`: without it HLS serves no media. Gives the
/// connection and its peer's address, if it is one of TCP.
pub fn on_connect(io: &dyn Any, extensions: &mut Extensions) -> Option<(SocketAddr, Arc<Connection>)> {
    let tcp = socket(io)?;
    let peer = tcp.peer_addr().ok()?;
    match Connection::duplicate(tcp) {
        Ok(connection) => {
            let connection = Arc::new(connection);
            extensions.insert(connection.clone());
            Some((peer, connection))
        }
        Err(error) => {
            // Out of descriptors: this connection gets no media.
            tracing::warn!(%error, "cannot duplicate a connection's descriptor");
            None
        }
    }
}

/// The socket of a connection, with or without TLS; `None` of any other transport. What the TLS layer has sealed
/// and not written dies with the socket that a fence resets.
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
}
