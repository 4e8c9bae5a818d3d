//! WebRTC: publishers and players over one UDP port, signalled by the AMS
//! WebSocket (C§8), WHIP and WHEP.
//!
//! Signalling runs on the HTTP workers. Media runs on the shard's thread, which
//! alone owns peers and sockets; the two meet in `command` only.

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
use std::time::{Duration, Instant};

use actix_web::web::ServiceConfig;
use contract::{Clock, TrustedProxies};
use futures_util::future::BoxFuture;
use session::{Admission, Protocol, ServeError};
use tokio_util::sync::CancellationToken;
use transcode::Transcoding;

use command::ShardHandle;
use resources::Resources;
use shard::ShardConfig;

use crate::arrivals::{Arrivals, Limits};

/// How WebRTC is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// UDP address for everybody's media; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Addresses that offers and answers announce. Empty: those of this machine.
    /// Behind address translation this must be the public address.
    pub announced: Vec<IpAddr>,
    /// Streams with B-frames that are decoded and encoded again at a time; further
    /// ones show key frames only. Each takes about a quarter of a core at 720p. And
    /// where they are decoded.
    pub transcoding: Transcoding,
    /// Whose word about a peer's address counts.
    pub proxies: TrustedProxies,
}

/// Peers that have not connected. Each holds a session, a permit and a half of a
/// connection for up to 20 s, so somebody who never connects leaves room for a
/// dozen a second. Many share an address (CGNAT, a conference room), but few of
/// them come in the same second.
const ARRIVALS: Limits = Limits { all: 256, of_one: 32 };

/// How soon it is noticed that the media thread has ended.
const LOOK: Duration = Duration::from_secs(1);

/// What signalling, WHIP and WHEP share.
pub(crate) struct Core {
    shard: ShardHandle,
    admission: Admission,
    proxies: TrustedProxies,
    resources: Resources,
    arrivals: Arrivals,
    clock: Clock,
    stop: CancellationToken,
}

impl Core {
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

    const fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn now(&self) -> Instant {
        self.clock.now().mono
    }
}

/// WebRTC, running.
pub struct Webrtc {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
    local: SocketAddr,
    transcoding: Transcoding,
}

impl Webrtc {
    /// Binds the port and starts the media thread.
    pub fn start(config: Config, admission: Admission, clock: Clock) -> Result<Arc<Self>, ServeError> {
        let Config { listen, announced, transcoding, proxies } = config;
        let shared = transcoding.clone();
        let started =
            shard::spawn(ShardConfig { listen, announced, transcoding: shared, clock: clock.clone() });
        let (shard, local, thread) =
            started.map_err(|source| ServeError::Bind { address: listen, source })?;
        let (resources, stop) = (Resources::default(), CancellationToken::new());
        let arrivals = Arrivals::new(ARRIVALS);
        let core = Arc::new(Core { shard, admission, proxies, resources, arrivals, clock, stop });
        Ok(Arc::new(Self { core, thread: Mutex::new(Some(thread)), local, transcoding }))
    }

    /// Where it listens.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Streams whose pictures are decoded and encoded again now.
    pub fn transcodes(&self) -> usize {
        self.transcoding.taken()
    }

    /// Waits for the media thread, which was told to stop.
    fn join(&self) -> Result<(), ServeError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = thread.map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| ServeError::Stopped("the WebRTC media thread"))
    }

    fn is_running(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Protocol for Webrtc {
    fn routes(&self, config: &mut ServiceConfig) {
        http::routes(config, &self.core);
    }

    fn serve(self: Arc<Self>, stop: CancellationToken) -> BoxFuture<'static, Result<(), ServeError>> {
        Box::pin(async move {
            let mut look = tokio::time::interval(LOOK);
            while stop.run_until_cancelled(look.tick()).await.is_some() {
                if !self.is_running() {
                    return Err(ServeError::Stopped("the WebRTC media thread"));
                }
            }
            // Sockets say goodbye and let their peers go; the thread ends last.
            self.core.stop.cancel();
            self.core.resources.clear();
            self.core.shard.stop();
            let joined = tokio::task::spawn_blocking(move || self.join()).await;
            joined.map_err(|_| ServeError::Stopped("the WebRTC media thread"))?
        })
    }
}

impl std::fmt::Debug for Webrtc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webrtc({})", self.local)
    }
}
