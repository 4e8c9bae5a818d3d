//! HTTP connections, as far as a fence must reach them.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use actix_web::dev::Extensions;
use tokio::net::TcpStream;

/// A duplicate of a connection's descriptor. The HTTP server owns the socket and
/// shows it to nobody; without this, bytes that it has buffered or handed to the
/// kernel are out of reach. Dropped with the connection, so it keeps none open.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
}

impl Connection {
    /// Disconnects at once; neither the kernel's queue nor what the HTTP server
    /// still holds is sent.
    pub(crate) fn reset(&self) {
        // It fails only on a socket that is not connected any more.
        let _ = session::tcp::reset(self.socket.as_fd());
    }

    /// Whether the kernel holds nothing that was never sent.
    pub(crate) fn is_drained(&self) -> bool {
        session::tcp::unsent(self.socket.as_fd()).is_ok_and(|bytes| bytes == 0)
    }
}

/// To be given to `HttpServer::on_connect`: without it HLS serves no media.
pub fn on_connect(io: &dyn Any, extensions: &mut Extensions) {
    let Some(tcp) = io.downcast_ref::<TcpStream>() else { return };
    match tcp.as_fd().try_clone_to_owned() {
        Ok(socket) => {
            extensions.insert(Arc::new(Connection { socket }));
        }
        // Out of descriptors: this connection gets no media.
        Err(error) => tracing::warn!(%error, "cannot duplicate a connection's descriptor"),
    }
}
