//! Playback over HTTP Live Streaming (RFC 8216): fragmented MP4, in memory.
//!
//! A *packager* per stream turns its frames into segments and playlists; a
//! *grant* per player stands for the connection that HLS does not have. The way
//! of a request: name → grant (or credentials → auth → grant) → standing →
//! shelf → body, and a body asks for the standing again before each chunk.
//!
//! Who starts whom: the first player of a live stream starts its shelf's task on
//! the runtime that [`Hls::new`] is given; the task ends by itself. [`Hls`]
//! sweeps what nobody uses while it is served.

mod body;
mod connection;
mod dialect;
mod edge;
mod grant;
mod grants;
pub mod name;
pub mod packager;
mod routes;
mod shelf;
mod token;

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::ServiceConfig;
use contract::{Clock, Secret};
use futures_util::future::BoxFuture;
use session::{Admission, Protocol, ServeError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use connection::on_connect;
pub use routes::PeerOf;

use edge::Edge;
use token::Signer;

/// How often grants and shelves that nobody uses are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// HLS as a protocol. The HTTP server must be given [`on_connect`].
pub struct Hls {
    edge: Arc<Edge>,
    peer_of: PeerOf,
}

impl Hls {
    /// `key` signs grants; a new one for each process. `runtime` runs packagers.
    pub fn new(
        admission: Admission,
        clock: Clock,
        key: Secret<[u8; 32]>,
        peer_of: PeerOf,
        runtime: Handle,
    ) -> Self {
        Self { edge: Edge::new(admission, clock, Signer::new(key), runtime), peer_of }
    }
}

/// The peer of a request that came through no proxy, in canonical form.
pub fn direct_peer(request: &HttpRequest) -> std::net::IpAddr {
    let unknown = std::net::IpAddr::from([0, 0, 0, 0]);
    request.peer_addr().map_or(unknown, |peer| contract::canonical(peer.ip()))
}

impl Protocol for Hls {
    fn routes(&self, config: &mut ServiceConfig) {
        routes::configure(&self.edge, &self.peer_of, config);
    }

    fn serve(self: Arc<Self>, stop: CancellationToken) -> BoxFuture<'static, Result<(), ServeError>> {
        Box::pin(async move {
            let mut sweeps = tokio::time::interval(SWEEP);
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = sweeps.tick() => self.edge.sweep(),
                }
            }
            self.edge.drain();
            Ok(())
        })
    }
}

impl std::fmt::Debug for Hls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hls")
    }
}
