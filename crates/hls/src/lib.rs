//! Playback over HTTP Live Streaming (RFC 8216): fragmented MP4, in memory.
//!
//! A *packager* per stream turns its frames into segments and playlists; a
//! *grant* per player stands for the connection that HLS does not have. The way
//! of a request: name → grant (or credentials → auth → grant) → standing →
//! shelf → body, and a body asks for the standing again before each chunk.
//!
//! Who starts whom: the first player of a live stream starts its shelf's task on
//! the packagers' thread; the task ends by itself. [`Hls`] sweeps what nobody
//! uses while it is served.

mod body;
mod connection;
mod dialect;
mod edge;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod grants;
mod lingering;
pub mod name;
mod pace;
pub mod packager;
mod routes;
mod shelf;
mod token;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::ServiceConfig;
use contract::{Clock, Secret, TrustedProxies};
use futures_util::future::BoxFuture;
use session::{Admission, Protocol, ServeError};
use tokio_util::sync::CancellationToken;

pub use connection::{Connection, limit_writes, on_connect};
pub use lingering::MOST_LINGERING;

use edge::Edge;
use token::Signer;

/// How often grants and shelves that nobody uses are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// HLS as a protocol. The HTTP server must be given [`on_connect`].
pub struct Hls {
    edge: Arc<Edge>,
}

/// Why HLS could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no random numbers for the key that signs grants.
    #[error("no random key for HLS grants: {0}")]
    Key(getrandom::Error),
    /// The system gives no thread for packagers.
    #[error("no thread for HLS packagers: {0}")]
    Thread(std::io::Error),
}

impl Hls {
    /// Starts the packagers' thread and draws the key that signs grants, which
    /// lives as long as the process.
    pub fn new(admission: Admission, clock: Clock, proxies: TrustedProxies) -> Result<Self, StartError> {
        let mut key = [0; 64];
        getrandom::fill(&mut key).map_err(StartError::Key)?;
        let signer = Signer::new(Secret::new(key));
        let edge = Edge::new(admission, clock, proxies, signer).map_err(StartError::Thread)?;
        Ok(Self { edge })
    }
}

impl Hls {
    /// Ends the sessions of players that were silent for too long, by the clock.
    /// [`Protocol::serve`] does so each second.
    pub fn sweep(&self) {
        self.edge.sweep();
    }
}

impl Protocol for Hls {
    fn routes(&self, config: &mut ServiceConfig) {
        routes::configure(&self.edge, config);
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
