//! The edges: every protocol, and the HTTP server that carries their routes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use contract::{Clock, Secret, TrustedProxies};
use futures_util::future::{join_all, select_all};
use ingest::{rtmp, webrtc};
use media::Memory;
use rustls::ServerConfig;
use session::Protocol;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transcode::{Decoding, Transcoding};

use crate::banner::{Addresses, Pages, Ready};
use crate::config::{Config, Listen};
use crate::connections::Connections;
use crate::control::Control;
use crate::decoding;
use crate::http::{Http, Routes};
use crate::metrics::Metrics;
use crate::tls::Certificate;
use crate::turnstile::Turnstile;

/// Everything that listens.
pub(crate) struct Edges {
    addresses: Addresses,
    http: Http,
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
        let rtmp = rtmp_config(config, control.memory(), tls.clone());
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
            rest_options(config, rtmp_addr.port(), decoding.clone(), stop),
        );
        let links = control.links();
        let connections = connections(config, control, proxies);
        let metrics = Metrics {
            connections: connections.clone(),
            census,
            auth: control.counters(),
            streams: links.list_streams,
            applications: config.applications.clone(),
            webrtc,
            transcodes: config.webrtc.transcodes,
            max_peers: config.webrtc.max_peers,
            memory: control.memory(),
            decoding,
            store: control.store(),
            certificate: certificate.clone(),
            stop: stop.clone(),
        };
        let networks = config.metrics.networks.clone();
        let operations = rest::Operations::new(Arc::new(metrics), networks, address_rules(config));
        let turnstile = Turnstile::new(stop.clone());
        let routes = Routes { protocols, operations, api, turnstile: turnstile.clone(), connections };
        let (http, serving) = Http::start(config, &routes, tls)?;
        if let Some(certificate) = certificate {
            actix_rt::spawn(certificate.watch());
        }
        let http_over = CancellationToken::new();
        let connected = connected.into_iter().map(|protocol| spawn(protocol, stop.clone())).collect();
        let asked = serving.into_iter().chain([spawn(hls, http_over.clone())]).collect();
        let addresses = Addresses {
            http: http.address,
            https: http.tls_address,
            control: config.control.listen.clone(),
            rtmp: rtmp_addr,
            rtmps,
            webrtc: webrtc_addr,
        };
        Ok(Self { addresses, http, turnstile, serving: Serving { connected, asked }.into(), http_over })
    }

    /// What to tell the operator.
    pub(crate) fn ready<'a>(&self, config: &'a Config, setup_token: Option<Secret<String>>) -> Ready<'a> {
        let (addresses, app) = (self.addresses.clone(), &config.applications[0]);
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
            self.http.stop().await;
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

/// How many threads a setting means; 0 is one per core.
pub(crate) fn threads(configured: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if configured == 0 { cores() } else { configured }
}

fn rtmp_config(config: &Config, memory: Memory, tls: Option<ServerConfig>) -> rtmp::Config {
    let listen = config.rtmp.tls_listen;
    rtmp::Config {
        listen: config.rtmp.listen,
        tls: tls.map(|tls| rtmp::TlsListen { listen, config: Arc::new(tls) }),
        max_connections: config.rtmp.max_connections,
        memory,
        threads: threads(config.rtmp.threads),
    }
}

fn webrtc_config(config: &Config, proxies: TrustedProxies, decoding: Decoding) -> webrtc::Config {
    webrtc::Config {
        listen: config.webrtc.listen,
        announced: config.webrtc.announced.clone(),
        transcoding: Transcoding::new(config.webrtc.transcodes, decoding),
        max_peers: config.webrtc.max_peers,
        // The other half is for HLS, the control API and sockets that carry something.
        max_idle_sockets: (config.http.max_connections / 2).max(1),
        proxies,
    }
}

/// Who shares the connections of the public HTTP server.
fn connections(config: &Config, control: &Control, proxies: TrustedProxies) -> Connections {
    let rules = address_rules(config);
    let trusts_loopback = !rules.control && !rules.distrust_loopback;
    Connections::new(config.http.max_connections, control.settings(), proxies, trusts_loopback)
}

/// When the address of a request proves something.
fn address_rules(config: &Config) -> rest::AddressRules {
    rest::AddressRules {
        proxies: TrustedProxies::new(config.http.trusted_proxies.clone()),
        distrust_loopback: !config.http.local_trust,
        control: config.control.listen != Listen::Off,
        host: Some(config.http.host.clone()).filter(|host| !host.is_empty()),
    }
}

fn rest_options(
    config: &Config,
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
        addresses: address_rules(config),
        setup_from_loopback: config.http.setup_from_loopback,
        rtmp_port,
        ports,
        decoding,
        stop: stop.clone(),
    }
}
