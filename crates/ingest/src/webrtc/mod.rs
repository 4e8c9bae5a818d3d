//! WebRTC: publishers and players over one UDP port, signalled by the AMS
//! WebSocket (C§8), WHIP and WHEP.
//!
//! Signalling runs on the HTTP workers. Media runs on the shard's thread, which
//! alone owns peers and sockets; the two meet in [`command`] only.

mod addresses;
mod command;
mod egress;
mod fanout;
mod http;
mod ingress;
mod lipsync;
mod outbox;
mod packetiser;
pub mod payload;
mod peer;
mod picture;
mod reorder;
mod resources;
mod room;
mod sdp;
mod shard;
mod signalling;
mod streams;
mod udp;
mod whep;
mod whip;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use actix_web::web::ServiceConfig;
use contract::{Clock, TrustedProxies};
use futures_util::future::BoxFuture;
use session::{Admission, Protocol, ServeError};
use tokio_util::sync::CancellationToken;
use transcode::Slots;

use command::ShardHandle;
use resources::Resources;
use shard::ShardConfig;

/// How WebRTC is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// UDP address for everybody's media; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Addresses that offers and answers announce. Empty: those of this machine.
    /// Behind address translation this must be the public address.
    pub announced: Vec<IpAddr>,
    /// Streams with B-frames that are transcoded at a time, so that browsers can
    /// play them; a third of a core each. Further ones show key frames only.
    pub transcodes: usize,
    /// Whose word about a peer's address counts.
    pub proxies: TrustedProxies,
}

/// WebRTC, running.
pub struct Webrtc {
    shard: ShardHandle,
    thread: Mutex<Option<JoinHandle<()>>>,
    local: SocketAddr,
    admission: Admission,
    proxies: TrustedProxies,
    resources: Resources,
    clock: Clock,
    stop: CancellationToken,
}

impl Webrtc {
    /// Binds the port and starts the media thread.
    pub fn start(config: Config, admission: Admission, clock: Clock) -> Result<Arc<Self>, ServeError> {
        let address = config.listen;
        let started = shard::spawn(ShardConfig {
            listen: config.listen,
            announced: config.announced,
            slots: Slots::new(config.transcodes),
            clock: clock.clone(),
        });
        let (shard, local, thread) = started.map_err(|source| ServeError::Bind { address, source })?;
        tracing::info!(%local, "webrtc listens");
        Ok(Arc::new(Self {
            shard,
            thread: Mutex::new(Some(thread)),
            local,
            admission,
            proxies: config.proxies,
            resources: Resources::default(),
            clock,
            stop: CancellationToken::new(),
        }))
    }

    /// Where it listens.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    const fn shard(&self) -> &ShardHandle {
        &self.shard
    }

    const fn admission(&self) -> &Admission {
        &self.admission
    }

    const fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    const fn resources(&self) -> &Resources {
        &self.resources
    }

    fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn now(&self) -> Instant {
        self.clock.now().mono
    }

    /// Says goodbye to everybody and ends the media thread.
    fn shut(&self) {
        self.stop.cancel();
        self.resources.clear();
        self.shard.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the webrtc media thread ended by a panic");
        }
    }
}

/// The protocol as the server holds it: `routes` needs a shared self.
#[derive(Clone)]
pub struct Service(pub Arc<Webrtc>);

impl Protocol for Service {
    fn routes(&self, config: &mut ServiceConfig) {
        http::routes(config, &self.0);
    }

    fn serve(self: Arc<Self>, stop: CancellationToken) -> BoxFuture<'static, Result<(), ServeError>> {
        Box::pin(async move {
            stop.cancelled().await;
            let webrtc = self.0.clone();
            let shut = tokio::task::spawn_blocking(move || webrtc.shut()).await;
            shut.map_err(|_| ServeError::Stopped("webrtc"))
        })
    }
}

impl std::fmt::Debug for Webrtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webrtc({})", self.local)
    }
}
