//! The edges: every protocol, and the HTTP server that carries their routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use anyhow::{Context, Result, anyhow};
use contract::{Clock, Secret, TrustedProxies};
use futures_util::future::{join_all, select_all};
use ingest::{rtmp, webrtc};
use rustls::ServerConfig;
use session::Protocol;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transcode::{Decoding, Transcoding};

use crate::banner::{Addresses, Pages, Ready};
use crate::config::Config;
use crate::control::Control;
use crate::decoding;
use crate::metrics::Metrics;
use crate::tls::Certificate;
use crate::turnstile::Turnstile;

/// For an HTTP client to send a request's head. Nobody whom it takes longer will
/// play anything; bodies have deadlines where they are read.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// Everything that listens.
pub(crate) struct Edges {
    addresses: Addresses,
    server: ServerHandle,
    turnstile: Turnstile,
    serving: Mutex<Serving>,
    /// Ends what is only asked for over HTTP, when HTTP has ended.
    http_over: CancellationToken,
}

/// Everybody who serves, in the order in which they end.
struct Serving {
    /// Protocols with connections of their own: each says goodbye.
    connected: Vec<Task>,
    /// The HTTP server, and protocols that live by its requests.
    asked: Vec<Task>,
}

type Task = JoinHandle<Result<()>>;

impl Serving {
    /// How the first of them that ends does.
    async fn any(&mut self) -> std::result::Result<Result<()>, tokio::task::JoinError> {
        let all = self.connected.iter_mut().chain(&mut self.asked);
        select_all(all).await.0
    }
}

fn spawn(protocol: Arc<dyn Protocol>, stop: CancellationToken) -> Task {
    let serving = protocol.serve(stop);
    actix_rt::spawn(async move { serving.await.map_err(Into::into) })
}

impl Edges {
    /// Binds all addresses, then serves. A new protocol is one line in `protocols`.
    pub(crate) fn start(
        config: &Config,
        control: &Control,
        clock: &Clock,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let admission = control.admission();
        let proxies = TrustedProxies::new(config.http.trusted_proxies.clone());
        let certificate = Certificate::load(&config.tls);
        let certificate = certificate.map_err(|error| anyhow!("{}: {error}", error.setting()))?;
        let tls = certificate.as_ref().map(Certificate::server_config).transpose()?;
        let rtmp = rtmp_config(config, tls.clone());
        let rtmp = Arc::new(rtmp::Rtmp::bind(rtmp, admission.clone(), clock.clone())?);
        let decoding = decoding::apart();
        let webrtc = webrtc_config(config, proxies.clone(), decoding.clone());
        let webrtc = webrtc::Webrtc::start(webrtc, admission.clone(), clock.clone())?;
        let census = admission.census();
        let hls = Arc::new(hls::Hls::new(admission, clock.clone(), proxies.clone())?);
        let (rtmp_addr, rtmps, webrtc_addr) = (rtmp.local_addr(), rtmp.local_tls_addr(), webrtc.local());
        let connected: Vec<Arc<dyn Protocol>> = vec![rtmp, webrtc.clone()];
        let mut protocols = connected.clone();
        protocols.push(hls.clone());
        let api = rest::Api::new(
            control.links(),
            control.settings(),
            control.accounts(),
            clock.clone(),
            rest_options(config, proxies.clone(), rtmp_addr.port(), decoding.clone(), stop),
        );
        let links = control.links();
        let metrics = Metrics {
            census,
            auth: control.counters(),
            streams: links.list_streams,
            applications: config.applications.clone(),
            webrtc,
            transcodes: config.webrtc.transcodes,
            decoding,
            store: control.store(),
            certificate: certificate.clone(),
            stop: stop.clone(),
        };
        let networks = config.metrics.networks.clone();
        let operations = rest::Operations::new(Arc::new(metrics), networks, proxies);
        let turnstile = Turnstile::new(stop.clone());
        let routes = Routes { protocols, operations, api, turnstile: turnstile.clone() };
        let Http { server, http, https, serving } = serve_http(config, routes, tls)?;
        if let Some(certificate) = certificate {
            actix_rt::spawn(certificate.watch());
        }
        let http_over = CancellationToken::new();
        let connected = connected.into_iter().map(|protocol| spawn(protocol, stop.clone())).collect();
        let asked = vec![serving, spawn(hls, http_over.clone())];
        let addresses = Addresses { http, https, rtmp: rtmp_addr, rtmps, webrtc: webrtc_addr };
        Ok(Self { addresses, server, turnstile, serving: Serving { connected, asked }.into(), http_over })
    }

    /// What to tell the operator.
    pub(crate) fn ready<'a>(&self, config: &'a Config, setup_token: Option<Secret<String>>) -> Ready<'a> {
        let (addresses, app) = (self.addresses, &config.applications[0]);
        Ready { addresses, app, pages: Pages::ours(), setup_token }
    }

    /// Resolves when one of them ends, which none should before the drain.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        match self.serving.lock().await.any().await {
            Ok(Ok(())) => anyhow!("a protocol ended by itself"),
            Ok(Err(error)) => error,
            Err(panic) => panic.into(),
        }
    }

    /// Waits, at most so long, for those who were told that it is over, and for the
    /// answers that have begun. HTTP accepts meanwhile, to say that the server is not
    /// ready and to refuse all else; then nobody is accepted any more.
    pub(crate) async fn drain(&self, limit: Duration) {
        let mut serving = self.serving.lock().await;
        let Serving { connected, asked } = &mut *serving;
        let all = async {
            let goodbyes = tokio::time::timeout(limit / 2, ends(connected)).await;
            self.turnstile.empty().await;
            self.server.stop(true).await;
            self.http_over.cancel();
            ends(asked).await;
            goodbyes
        };
        if !matches!(tokio::time::timeout(limit, all).await, Ok(Ok(_))) {
            tracing::warn!("not everybody left in time");
        }
    }
}

/// Waits for those that have not ended yet.
async fn ends(tasks: &mut [Task]) {
    join_all(tasks.iter_mut().filter(|task| !task.is_finished())).await;
}

/// The HTTP server, running.
struct Http {
    server: ServerHandle,
    http: SocketAddr,
    https: Option<SocketAddr>,
    serving: JoinHandle<Result<()>>,
}

/// All that answers over HTTP.
#[derive(Clone)]
struct Routes {
    protocols: Vec<Arc<dyn Protocol>>,
    operations: rest::Operations,
    api: rest::Api,
    turnstile: Turnstile,
}

impl Routes {
    /// Protocols come first: theirs are the more particular paths.
    fn add_to(&self, config: &mut ServiceConfig) {
        self.protocols.iter().for_each(|protocol| protocol.routes(config));
        self.operations.routes(config);
        self.api.routes(config);
    }
}

fn serve_http(config: &Config, routes: Routes, tls: Option<ServerConfig>) -> Result<Http> {
    let workers = threads(config.http.workers);
    let app = move || {
        let turnstile = routes.turnstile.clone();
        let pass = from_fn(move |req, next| turnstile.clone().pass(req, next));
        App::new().wrap(pass).configure(|config| routes.add_to(config))
    };
    let mut server = HttpServer::new(app)
        .on_connect(hls::on_connect)
        .workers(workers)
        .max_connections((config.http.max_connections / workers).max(1))
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(config.drain_seconds)
        .disable_signals()
        .bind(config.http.listen)
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    if let Some(tls) = tls {
        let address = config.https.listen;
        server =
            server.bind_rustls_0_23(address, tls).with_context(|| format!("cannot listen on {address}"))?;
    }
    let bound = server.addrs_with_scheme();
    let at = |wanted| bound.iter().find(|(_, scheme)| *scheme == wanted).map(|(address, _)| *address);
    let (http, https) = (at("http").context("the HTTP server has no address")?, at("https"));
    let server = server.run();
    let handle = server.handle();
    let serving = actix_rt::spawn(async move { server.await.context("the HTTP server") });
    Ok(Http { server: handle, http, https, serving })
}

fn threads(configured: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if configured == 0 { cores() } else { configured }
}

fn rtmp_config(config: &Config, tls: Option<ServerConfig>) -> rtmp::Config {
    let listen = config.rtmp.tls_listen;
    rtmp::Config {
        listen: config.rtmp.listen,
        tls: tls.map(|tls| rtmp::TlsListen { listen, config: Arc::new(tls) }),
        max_connections: config.rtmp.max_connections,
        threads: threads(config.rtmp.threads),
    }
}

fn webrtc_config(config: &Config, proxies: TrustedProxies, decoding: Decoding) -> webrtc::Config {
    webrtc::Config {
        listen: config.webrtc.listen,
        announced: config.webrtc.announced.clone(),
        transcoding: Transcoding::new(config.webrtc.transcodes, decoding),
        proxies,
    }
}

fn rest_options(
    config: &Config,
    trusted_proxies: TrustedProxies,
    rtmp_port: u16,
    decoding: Decoding,
    stop: &CancellationToken,
) -> rest::Options {
    let tls = config.tls.is_on();
    let ports = rest::Ports {
        http: config.http.listen.port(),
        https: tls.then(|| config.https.listen.port()),
        rtmps: tls.then(|| config.rtmp.tls_listen.port()),
    };
    rest::Options {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trusted_proxies,
        host: Some(config.http.host.clone()).filter(|host| !host.is_empty()),
        rtmp_port,
        ports,
        decoding,
        stop: stop.clone(),
    }
}
