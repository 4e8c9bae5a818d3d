//! The edges: every protocol, and the HTTP server that carries their routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use anyhow::{Context, Result, anyhow};
use contract::{Clock, Secret, TrustedProxies};
use futures_util::future::{join_all, select_all};
use ingest::{rtmp, webrtc};
use rustls::ServerConfig;
use session::Protocol;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::banner::{Addresses, Ready};
use crate::config::Config;
use crate::control::Control;
use crate::tls::Certificate;

/// For players to be told and sockets to close.
const DRAIN: Duration = Duration::from_secs(5);

/// For an HTTP client to send a request's head. Nobody whom it takes longer will
/// play anything; bodies have deadlines where they are read.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// Everything that listens.
pub(crate) struct Edges {
    addresses: Addresses,
    server: ServerHandle,
    serving: tokio::sync::Mutex<Vec<JoinHandle<Result<()>>>>,
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
        let certificate = Certificate::load(&config.tls)?;
        let tls = certificate.as_ref().map(Certificate::server_config).transpose()?;
        let rtmp = rtmp_config(config, tls.clone());
        let rtmp = Arc::new(rtmp::Rtmp::bind(rtmp, admission.clone(), clock.clone())?);
        let webrtc = webrtc::Webrtc::start(
            webrtc::Config {
                listen: config.webrtc.listen,
                announced: config.webrtc.announced.clone(),
                transcodes: config.webrtc.transcodes,
                proxies: proxies.clone(),
            },
            admission.clone(),
            clock.clone(),
        )?;
        let hls = Arc::new(hls::Hls::new(admission, clock.clone(), proxies.clone())?);
        let (rtmp_addr, rtmps, webrtc_addr) = (rtmp.local_addr()?, rtmp.local_tls_addr()?, webrtc.local());
        let protocols: Vec<Arc<dyn Protocol>> = vec![rtmp, webrtc, hls];
        let api = rest::Api::new(
            control.links(),
            control.settings(),
            control.accounts(),
            clock.clone(),
            rest_options(config, proxies, rtmp_addr.port(), stop),
        );
        let Http { server, http, https, serving } = serve_http(config, api, &protocols, tls)?;
        let mut tasks = vec![serving];
        if let Some(certificate) = certificate {
            actix_rt::spawn(certificate.watch());
        }
        tasks.extend(protocols.into_iter().map(|protocol| {
            let serving = protocol.serve(stop.clone());
            actix_rt::spawn(async move { serving.await.map_err(Into::into) })
        }));
        let addresses = Addresses { http, https, rtmp: rtmp_addr, rtmps, webrtc: webrtc_addr };
        Ok(Self { addresses, server, serving: tasks.into() })
    }

    /// What to tell the operator.
    pub(crate) fn ready<'a>(&self, config: &'a Config, setup_token: Option<Secret<String>>) -> Ready<'a> {
        Ready { addresses: self.addresses, app: &config.applications[0], setup_token }
    }

    /// Resolves when one of them ends, which none should before the drain.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        let mut serving = self.serving.lock().await;
        let (ended, at, _) = select_all(serving.iter_mut()).await;
        serving.remove(at);
        match ended {
            Ok(Ok(())) => anyhow!("a protocol ended by itself"),
            Ok(Err(error)) => error,
            Err(panic) => panic.into(),
        }
    }

    /// Stops accepting, tells who is connected, and waits for them, at most [`DRAIN`].
    pub(crate) async fn drain(&self) {
        let mut serving = self.serving.lock().await;
        let all = async {
            futures_util::join!(self.server.stop(true), join_all(serving.iter_mut()));
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::warn!("not everybody left in time");
        }
    }
}

/// The HTTP server, running.
struct Http {
    server: ServerHandle,
    http: SocketAddr,
    https: Option<SocketAddr>,
    serving: JoinHandle<Result<()>>,
}

fn serve_http(
    config: &Config,
    api: rest::Api,
    protocols: &[Arc<dyn Protocol>],
    tls: Option<ServerConfig>,
) -> Result<Http> {
    let protocols = protocols.to_vec();
    let workers = threads(config.http.workers);
    let mut server = HttpServer::new(move || {
        // Protocols come first: theirs are the more particular paths.
        App::new()
            .configure(|routes| protocols.iter().for_each(|protocol| protocol.routes(routes)))
            .configure(|routes| api.routes(routes))
    })
    .on_connect(hls::on_connect)
    .workers(workers)
    .max_connections((config.http.max_connections / workers).max(1))
    .client_request_timeout(HEAD_DEADLINE)
    .shutdown_timeout(DRAIN.as_secs())
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

fn rest_options(
    config: &Config,
    trusted_proxies: TrustedProxies,
    rtmp_port: u16,
    stop: &CancellationToken,
) -> rest::Options {
    rest::Options {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trusted_proxies,
        host: Some(config.http.host.clone()).filter(|host| !host.is_empty()),
        rtmp_port,
        ports: rest::Ports { http: config.http.listen.port(), ..rest::Ports::default() },
        stop: stop.clone(),
    }
}
