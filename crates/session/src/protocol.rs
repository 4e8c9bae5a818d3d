//! All that the server sees of a protocol.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::web::ServiceConfig;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// A way to publish or play.
pub trait Protocol: Send + Sync {
    /// Adds its HTTP routes, if it has any. Called once for each HTTP worker.
    fn routes(&self, _config: &mut ServiceConfig) {}

    /// Serves until `stop`, then drains.
    fn serve(self: Arc<Self>, stop: CancellationToken) -> BoxFuture<'static, Result<(), ServeError>>;
}

/// Why a protocol cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A thread of the data plane ended that never should.
    #[error("{0} has stopped")]
    Stopped(&'static str),
}
