//! RTMP over TCP: a listener, and one task per connection.
//!
//! `wire` moves bytes between a socket and the sans-IO engine of crate `rtmp`, through
//! `tls` on the second listener (RTMPS),
//! `conn` is a connection's life up to the moment its role is known, `publish`
//! and `play` are the two roles, `dialect` holds AMS's words.

mod conn;
mod dialect;
mod outbox;
mod places;
mod play;
mod publish;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use contract::{Clock, canonical};
use futures_util::future::BoxFuture;
use media::Memory;
use rustls::ServerConfig;
use session::{Admission, Protocol, ServeError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::crowd::{Crowd, Member};
use crate::pool::Pool;

/// Where and how RTMP is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where to listen for RTMPS, if at all. Both addresses share the bounds below.
    pub tls: Option<TlsListen>,
    /// Connections at a time, in whatever state; more are closed at once. Three quarters
    /// of them are for players, and a quarter for those that have not spoken yet.
    pub max_connections: usize,
    /// What media that is held counts against.
    pub memory: Memory,
    /// Worker threads; RTMP has its own, so that fan-out never delays the
    /// control plane.
    pub threads: usize,
}

/// A second address, whose connections begin with TLS.
#[derive(Debug, Clone)]
pub struct TlsListen {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Certificate and versions.
    pub config: Arc<ServerConfig>,
}

/// RTMP publishing and playback.
pub struct Rtmp {
    /// Until they are served: whoever serves them closes them at the end, so that nobody
    /// connects to a server that drains and is heard by nobody.
    bound: Mutex<Option<Bound>>,
    local: SocketAddr,
    local_tls: Option<SocketAddr>,
    config: Config,
    admission: Admission,
    clock: Clock,
}

impl Rtmp {
    /// Binds the addresses; nobody is accepted before [`Protocol::serve`].
    pub fn bind(config: Config, admission: Admission, clock: Clock) -> Result<Self, ServeError> {
        let (listen, tls) = (config.listen, config.tls.as_ref().map(|tls| tls.listen));
        let bound = Bound { plain: bind(listen)?, tls: tls.map(bind).transpose()? };
        let (local, local_tls) =
            bound.addresses().map_err(|source| ServeError::Bind { address: listen, source })?;
        Ok(Self { bound: Mutex::new(Some(bound)), local, local_tls, config, admission, clock })
    }

    /// The address that it listens on for RTMPS, if it does.
    pub const fn local_tls_addr(&self) -> Option<SocketAddr> {
        self.local_tls
    }

    /// The address that it listens on, with the port that the system chose if
    /// the configuration left that open.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    async fn accept_until(self: Arc<Self>, listeners: Listeners, stop: CancellationToken) {
        let max = self.config.max_connections;
        let places = Arc::new(Semaphore::new(max));
        let (arrivals, players) = (Crowd::new(places::strangers(max)), Pool::new(places::players(max)));
        let plain = Door { places: &places, arrivals: &arrivals, players: &players, stop: &stop, tls: None };
        let sealed = Door { tls: self.config.tls.as_ref().map(|tls| &tls.config), ..plain };
        tokio::join!(self.accept_at(Some(listeners.plain), &plain), self.accept_at(listeners.tls, &sealed));
        // Wait until every connection has drained.
        let all = u32::try_from(max).unwrap_or(u32::MAX);
        let _ = places.acquire_many(all).await;
    }

    async fn accept_at(&self, listener: Option<TcpListener>, door: &Door<'_>) {
        let Some(listener) = listener else { return };
        loop {
            let accepted = tokio::select! {
                () = door.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.start(socket, peer, door),
                Err(error) => {
                    // Out of descriptors, most likely: let some close.
                    tracing::warn!(%error, "RTMP accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn start(&self, socket: TcpStream, peer: SocketAddr, door: &Door<'_>) {
        let (place, from) = (door.places.clone().try_acquire_owned().ok(), canonical(peer.ip()));
        let arrival = match place {
            Some(_) => door.arrivals.enter_unnamed(from),
            None => door.arrivals.replace(from),
        };
        let Some(arrival) = arrival else {
            match place {
                Some(_) => {
                    tracing::debug!(%peer, "RTMP connection refused: too many that neither publish nor play");
                }
                None => tracing::warn!(%peer, "RTMP connection refused: too many"),
            }
            return;
        };
        let context = conn::Context {
            admission: self.admission.clone(),
            clock: self.clock.clone(),
            peer: from,
            arrivals: door.arrivals.clone(),
            players: door.players.clone(),
            memory: self.config.memory.clone(),
            stop: door.stop.clone(),
            tls: door.tls.cloned(),
        };
        let places = door.places.clone();
        tokio::spawn(async move {
            let Some(place) = place_of_another(place, places, &arrival).await else { return };
            conn::run(socket, context, arrival).await;
            drop(place);
        });
    }
}

/// A place, where there was none: that of the connection that this one displaced.
async fn place_of_another(
    place: Option<OwnedSemaphorePermit>,
    places: Arc<Semaphore>,
    arrival: &Member,
) -> Option<OwnedSemaphorePermit> {
    if place.is_some() {
        return place;
    }
    tokio::select! {
        place = tokio::time::timeout(GIVES_WAY, places.acquire_owned()) => place.ok()?.ok(),
        () = arrival.displaced() => None,
    }
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, ServeError> {
    std::net::TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| ServeError::Bind { address, source })
}

/// Both listeners, as they were bound.
struct Bound {
    plain: std::net::TcpListener,
    tls: Option<std::net::TcpListener>,
}

impl Bound {
    fn addresses(&self) -> std::io::Result<(SocketAddr, Option<SocketAddr>)> {
        let tls = self.tls.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        Ok((self.plain.local_addr()?, tls))
    }

    /// To be called inside the runtime.
    fn into_listeners(self) -> std::io::Result<Listeners> {
        let tls = self.tls.map(TcpListener::from_std).transpose()?;
        Ok(Listeners { plain: TcpListener::from_std(self.plain)?, tls })
    }
}

/// Both listeners, inside the runtime.
struct Listeners {
    plain: TcpListener,
    tls: Option<TcpListener>,
}

/// What a connection passes on its way in.
#[derive(Clone, Copy)]
struct Door<'a> {
    places: &'a Arc<Semaphore>,
    arrivals: &'a Crowd,
    players: &'a Pool,
    stop: &'a CancellationToken,
    tls: Option<&'a Arc<ServerConfig>>,
}

/// What is displaced closes at once, unless it is asking to publish or play.
const GIVES_WAY: std::time::Duration = std::time::Duration::from_secs(1);

const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Protocol for Rtmp {
    fn serve(self: Arc<Self>, stop: CancellationToken) -> BoxFuture<'static, Result<(), ServeError>> {
        let address = self.config.listen;
        let bind = move |source| ServeError::Bind { address, source };
        Box::pin(async move {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(self.config.threads)
                .thread_name("rtmp")
                .enable_all()
                .build()
                .map_err(bind)?;
            let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).take();
            let listeners = {
                let _inside = runtime.enter();
                let once = bound.ok_or(ServeError::Stopped("the RTMP listener"))?;
                once.into_listeners().map_err(bind)?
            };
            let served = runtime.spawn(self.accept_until(listeners, stop)).await;
            runtime.shutdown_background();
            served.map_err(|_| ServeError::Stopped("the RTMP listener"))
        })
    }
}
