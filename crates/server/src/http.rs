//! The HTTP servers: the public one, with every protocol's routes, and the control one,
//! which strangers do not reach and cannot fill.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, Error, HttpServer};
use anyhow::{Context, Result};
use futures_util::future::join_all;
use rest::Listener;
use rustls::ServerConfig;
use session::Protocol;
use tokio::task::JoinHandle;

use crate::config::{Config, Listen};
use crate::connections::Connections;
use crate::edges::threads;
use crate::socket;
use crate::turnstile::Turnstile;

/// For an HTTP client to send a request's head. No player needs longer; bodies have
/// deadlines where they are read.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// Connections to the control listener at a time. Operators' programs keep a few each.
const CONTROL_CONNECTIONS: usize = 256;

/// Connections of each worker above its share. The server stops accepting at its own limit,
/// and would then refuse nothing: what is over `max_connections` has to be accepted to be
/// closed.
const HEADROOM: usize = 64;

/// All that answers over HTTP.
#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) protocols: Vec<Arc<dyn Protocol>>,
    pub(crate) operations: rest::Operations,
    pub(crate) api: rest::Api,
    pub(crate) turnstile: Turnstile,
    pub(crate) connections: Connections,
}

impl Routes {
    fn add_to(&self, config: &mut ServiceConfig, listener: Listener) {
        // Protocols come first: theirs are the more particular paths.
        if listener == Listener::Public {
            self.protocols.iter().for_each(|protocol| protocol.routes(config));
        }
        self.operations.routes(config);
        self.api.routes(config);
    }

    fn app(
        self,
        listener: Listener,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<impl MessageBody>,
            Error = Error,
            InitError = (),
        >,
    > {
        let turnstile = self.turnstile.clone();
        let pass = from_fn(move |req, next| turnstile.clone().pass(req, next));
        App::new().app_data(listener).wrap(pass).configure(|config| self.add_to(config, listener))
    }
}

/// TLS handshakes of a worker at a time. Each ends after [`HANDSHAKE`] and is no connection
/// before it has ended, so peers that say nothing must not fill this.
const HANDSHAKES: usize = 8192;

/// For a peer's part in a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The servers, running.
pub(crate) struct Http {
    servers: Vec<ServerHandle>,
    /// Where the public one listens.
    pub(crate) address: SocketAddr,
    /// Where it listens with TLS, if there is a certificate.
    pub(crate) tls_address: Option<SocketAddr>,
}

impl Http {
    /// Binds all addresses, then serves. Each task ends with its server. TLS has a server of
    /// its own, so that peers which are slow in their handshakes cost the other none of its
    /// places.
    pub(crate) fn start(
        config: &Config,
        routes: &Routes,
        tls: Option<ServerConfig>,
    ) -> Result<(Self, Vec<JoinHandle<Result<()>>>)> {
        let (plain, address) = plain(config, routes.clone())?;
        let tls = tls.map(|tls| encrypted(config, routes.clone(), tls)).transpose()?;
        let (tls, tls_address) = tls.unzip();
        let all = [Some(plain), tls, control(config, routes.clone())?];
        let running: Vec<_> = all.into_iter().flatten().collect();
        let servers = running.iter().map(Server::handle).collect();
        let serve = |server: Server| actix_rt::spawn(async { server.await.context("an HTTP server") });
        Ok((Self { servers, address, tls_address }, running.into_iter().map(serve).collect()))
    }

    /// Accepts no more, and waits for the answers that have begun.
    pub(crate) async fn stop(&self) {
        join_all(self.servers.iter().map(|server| server.stop(true))).await;
    }
}

/// What both public servers have in common; `$routes` is cloned for each worker.
macro_rules! public {
    ($config:expr, $routes:expr) => {{
        let (config, routes): (&Config, Routes) = ($config, $routes);
        let workers = threads(config.http.workers);
        let connections = routes.connections.clone();
        HttpServer::new(move || routes.clone().app(Listener::Public))
            .on_connect(move |io, extensions| connections.on_connect(io, extensions))
            .workers(workers)
            .max_connections(config.http.max_connections.div_ceil(workers).saturating_add(HEADROOM))
            .client_request_timeout(HEAD_DEADLINE)
            .shutdown_timeout(config.drain_seconds)
            .disable_signals()
    }};
}

/// The public server without TLS, and where it listens.
fn plain(config: &Config, routes: Routes) -> Result<(Server, SocketAddr)> {
    let address = config.http.listen;
    let server = public!(config, routes);
    let server = server.bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let bound = server.addrs().first().copied().context("the HTTP server has no address")?;
    Ok((server.run(), bound))
}

/// The public server with TLS, and where it listens.
fn encrypted(config: &Config, routes: Routes, tls: ServerConfig) -> Result<(Server, SocketAddr)> {
    let address = config.https.listen;
    let server = public!(config, routes).max_connection_rate(HANDSHAKES).tls_handshake_timeout(HANDSHAKE);
    let server =
        server.bind_rustls_0_23(address, tls).with_context(|| format!("cannot listen on {address}"))?;
    let bound = server.addrs().first().copied().context("the HTTPS server has no address")?;
    Ok((server.run(), bound))
}

/// The control server, if the configuration has one.
fn control(config: &Config, routes: Routes) -> Result<Option<Server>> {
    let server = HttpServer::new(move || routes.clone().app(Listener::Control))
        .on_connect(|io, _| hls::limit_writes(io))
        .workers(1)
        .max_connections(CONTROL_CONNECTIONS)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(config.drain_seconds)
        .disable_signals();
    let server = match &config.control.listen {
        Listen::Off => return Ok(None),
        Listen::Tcp(address) => {
            server.bind(address).with_context(|| format!("cannot listen on {address}"))?
        }
        Listen::Unix(path) => server.listen_uds(socket::listen_at(path)?)?,
    };
    Ok(Some(server.run()))
}
