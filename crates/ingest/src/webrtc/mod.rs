//! WebRTC: publishers and players over one UDP port, signalled by the AMS
//! WebSocket (C§8), WHIP and WHEP.
//!
//! Signalling runs on the HTTP workers. Media runs on the shard's thread, which
//! alone owns peers and sockets; the two meet in `command` only.

mod addresses;
mod command;
mod door;
mod egress;
mod fanout;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod ingress;
mod lipsync;
mod lobby;
mod outbox;
mod packetiser;
mod parsers;
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
use contract::{Action, AppName, Clock, TrustedProxies};
use futures_util::future::BoxFuture;
use session::{Admission, Protocol, ServeError};
use tokio_util::sync::CancellationToken;
use transcode::Transcoding;

use crate::crowd::{Bounds, Crowd};
use command::{Busy, ShardHandle};
use door::Drops;
use lobby::{Entry, Lobby};
use parsers::Parsers;
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
    /// Streams with B-frames that are decoded and encoded again at a time; further
    /// ones show key frames only. Each takes about a quarter of a core at 720p. And
    /// where they are decoded.
    pub transcoding: Transcoding,
    /// Peers at a time. Players leave an eighth of them to publishers.
    pub max_peers: usize,
    /// WebSockets at a time that neither publish nor play.
    pub max_idle_sockets: usize,
    /// Whose word about a peer's address counts.
    pub proxies: TrustedProxies,
}

/// How soon it is noticed that the media thread has ended.
const LOOK: Duration = Duration::from_secs(1);

/// What signalling, WHIP and WHEP share.
pub(crate) struct Core {
    shard: ShardHandle,
    admission: Admission,
    proxies: TrustedProxies,
    resources: Resources,
    lobby: Lobby,
    idle: Crowd,
    parsers: Parsers,
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

    const fn parsers(&self) -> &Parsers {
        &self.parsers
    }

    /// Counts sockets that carry nothing.
    const fn idle(&self) -> &Crowd {
        &self.idle
    }

    /// Lets a peer begin, if there is room for it.
    fn enter(&self, from: IpAddr, app: &AppName, action: Action) -> Result<Entry, Busy> {
        self.lobby.enter(from, app, action)
    }

    fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn now(&self) -> Instant {
        self.clock.now().mono
    }
}

/// WebSockets that carry nothing. Pages wait on them for a click or for a stream; many
/// of them may be behind one address, where an audience waits for it to begin.
const fn idle_sockets(all: usize) -> Bounds {
    Bounds { all, of_app: all, of_network: all.div_ceil(8) }
}

/// WebRTC, running.
pub struct Webrtc {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
    local: SocketAddr,
    transcoding: Transcoding,
    drops: Arc<Drops>,
}

impl Webrtc {
    /// Binds the port and starts the media thread.
    pub fn start(config: Config, admission: Admission, clock: Clock) -> Result<Arc<Self>, ServeError> {
        let Config { listen, announced, transcoding, max_peers, max_idle_sockets, proxies } = config;
        let drops = Arc::new(Drops::default());
        let (shared, counted) = (transcoding.clone(), drops.clone());
        let config =
            ShardConfig { listen, announced, transcoding: shared, drops: counted, clock: clock.clone() };
        let started = shard::spawn(config);
        let (shard, local, thread) =
            started.map_err(|source| ServeError::Bind { address: listen, source })?;
        let (resources, stop) = (Resources::default(), CancellationToken::new());
        let (lobby, parsers) = (Lobby::new(max_peers), Parsers::new());
        let idle = Crowd::new(idle_sockets(max_idle_sockets));
        let core = Core { shard, admission, proxies, resources, lobby, idle, parsers, clock, stop };
        let core = Arc::new(core);
        Ok(Arc::new(Self { core, thread: Mutex::new(Some(thread)), local, transcoding, drops }))
    }

    /// Where it listens.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Streams whose pictures are decoded and encoded again now.
    pub fn transcodes(&self) -> usize {
        self.transcoding.taken()
    }

    /// Peers now, connected or on their way in.
    pub fn peers(&self) -> usize {
        self.core.lobby.peers()
    }

    /// Peers that lost their place on their way in to one from a network with fewer.
    pub fn displaced(&self) -> u64 {
        self.core.lobby.displaced()
    }

    /// Datagrams that no peer was given since the start: why, and how many.
    pub fn dropped_datagrams(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.drops.totals()
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
