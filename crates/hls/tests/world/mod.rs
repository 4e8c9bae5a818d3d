//! A control plane, a publisher and an HTTP client for tests, all in this
//! process; only the sockets between client and server are real.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_web::{App, HttpServer};
use contract::auth::{Authorize, Change, Denied, Permit, PermitChanged, PermitId};
use contract::registry::{
    End, GetStream, KeyframesOnly, Live, Place, Play, PlayLease, PlayRefused, Publish, PublishLease,
    PublishRefused, Silence, StreamView,
};
use contract::session::{Close, CloseReason, Fenced, Hush, SessionRef, SetStanding};
use contract::settings::Security;
use contract::{
    AppName, AppSettings, ManualClock, Protocol as Proto, SettingsView, Standing, StandingCell, StreamId,
    StreamKey, TrustedProxies, WallMs,
};
use media::{BusWriter, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};
use session::{Admission, Links, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub const CODE: &str = "451222";

/// Auth and registry of one stream, as simple as can be.
pub struct World {
    totp: bool,
    connected: usize,
    live: watch::Sender<Option<Arc<Live>>>,
    held: Vec<(PermitId, Arc<StandingCell>, SessionRef)>,
    players: HashSet<contract::SessionId>,
    stop_next: bool,
}

impl Actor for World {
    type Context = Context<Self>;
}

impl Handler<Authorize> for World {
    type Result = Result<Permit, Denied>;
    fn handle(&mut self, ask: Authorize, ctx: &mut Self::Context) -> Self::Result {
        let code = ask.credentials.code.as_ref().is_some_and(|code| code.reveal() == CODE);
        if self.totp && (!code || ask.credentials.subscriber.is_none()) {
            return Err(Denied::Credentials);
        }
        let id = PermitId(ask.session.id.to_string().parse().unwrap());
        let standing = Arc::new(StandingCell::new(Standing::Granted));
        self.held.push((id, standing.clone(), ask.session));
        Ok(Permit::new(id, standing, None, ctx.address().recipient()))
    }
}

impl Handler<PermitChanged> for World {
    type Result = ();
    fn handle(&mut self, msg: PermitChanged, _: &mut Self::Context) {
        match msg.change {
            Change::Connected => self.connected += 1,
            Change::Disconnected => self.held.retain(|(id, ..)| *id != msg.permit),
        }
    }
}

impl Handler<GetStream> for World {
    type Result = Option<StreamView>;
    fn handle(&mut self, _: GetStream, _: &mut Self::Context) -> Self::Result {
        None
    }
}

impl Handler<Publish> for World {
    type Result = Result<PublishLease, PublishRefused>;
    fn handle(&mut self, _: Publish, _: &mut Self::Context) -> Self::Result {
        Err(PublishRefused::Unavailable)
    }
}

impl Handler<Play> for World {
    type Result = ResponseFuture<Result<PlayLease, PlayRefused>>;
    fn handle(&mut self, msg: Play, ctx: &mut Self::Context) -> Self::Result {
        if self.live.borrow().is_none() {
            return Box::pin(std::future::ready(Err(PlayRefused::NotLive)));
        }
        self.players.insert(msg.session.id);
        let place = Place::new(msg.stream, msg.session.id, ctx.address().recipient());
        let lease = PlayLease { live: self.live.subscribe(), place };
        let stop = std::mem::take(&mut self.stop_next).then_some(msg.session.close);
        Box::pin(async move {
            if let Some(close) = stop {
                close.send(Close { reason: CloseReason::Stopped }).await.unwrap();
            }
            Ok(lease)
        })
    }
}

impl Handler<End> for World {
    type Result = ();
    fn handle(&mut self, msg: End, _: &mut Self::Context) {
        self.players.remove(&msg.session);
    }
}

impl Handler<Silence> for World {
    type Result = Fenced;
    fn handle(&mut self, _: Silence, _: &mut Self::Context) -> Self::Result {
        Fenced::Confirmed
    }
}

/// What a test makes the control plane do.
#[derive(Message)]
#[rtype(result = "usize")]
pub enum Do {
    /// A publisher comes.
    Live(Arc<Live>),
    /// He leaves.
    Over,
    /// Sets every player's standing; answers when all are fenced.
    Stand(SetStanding),
    /// The publisher is blocked.
    Silence,
    /// How many players there are.
    Count,
    /// How many sessions ever got a place.
    Connected,
    /// The first player's lag in milliseconds, and 1 more; 0 if it is not known.
    Lag,
    /// The next player is stopped after he was let in, and before he knows it.
    StopNext,
}

impl Handler<Do> for World {
    type Result = ResponseFuture<usize>;
    fn handle(&mut self, msg: Do, _: &mut Self::Context) -> Self::Result {
        let players = self.players.len();
        match msg {
            Do::Live(live) => _ = self.live.send_replace(Some(live)),
            Do::Over => _ = self.live.send_replace(None),
            Do::Count => {}
            Do::Connected => return Box::pin(std::future::ready(self.connected)),
            Do::Lag => {
                let newest = self.live.borrow().as_ref().and_then(|live| live.newest());
                let lag = self.held[0].2.traffic.lag(newest.unwrap());
                return Box::pin(std::future::ready(lag.map_or(0, |lag| lag.as_millis() as usize + 1)));
            }
            Do::StopNext => self.stop_next = true,
            Do::Stand(set) => {
                self.held.iter().for_each(|(_, cell, _)| cell.set(set.standing()));
                let all: Vec<_> = self.held.iter().map(|(.., s)| s.standing.clone()).collect();
                return Box::pin(async move {
                    for one in all {
                        assert_eq!(one.send(set).await, Ok(Fenced::Confirmed));
                    }
                    players
                });
            }
            Do::Silence => {
                if let Some(live) = self.live.send_replace(None) {
                    live.frames.silence();
                }
                let all: Vec<_> = self.held.iter().map(|(.., s)| s.hush.clone()).collect();
                return Box::pin(async move {
                    for one in all {
                        assert_eq!(one.send(Hush).await, Ok(Fenced::Confirmed));
                    }
                    players
                });
            }
        }
        Box::pin(std::future::ready(players))
    }
}

/// A server and its world.
pub struct Server {
    pub world: Addr<World>,
    pub http: SocketAddr,
    pub clock: ManualClock,
    pub hls: Arc<sluice_hls::Hls>,
    generation: u64,
}

impl Server {
    pub async fn start(totp: bool) -> Self {
        Self::with(Security { totp_play: totp, ..Security::default() }).await
    }

    pub async fn with(security: Security) -> Self {
        let totp = security.totp_play;
        let live = watch::Sender::new(None);
        let world =
            World { totp, connected: 0, live, held: Vec::new(), players: HashSet::new(), stop_next: false }
                .start();
        let links = Links {
            authorize: world.clone().recipient(),
            get_stream: world.clone().recipient(),
            publish: world.clone().recipient(),
            play: world.clone().recipient(),
            silence: world.clone().recipient(),
        };
        let settings = AppSettings { security, ..AppSettings::default() };
        let settings = SettingsView::fixed(AppName::parse("live").unwrap(), settings);
        let clock = ManualClock::new(WallMs(1_795_509_765_000));
        let admission = Admission::new(links, settings, Arbiter::current());
        let proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let hls = Arc::new(sluice_hls::Hls::new(admission, clock.clock(), proxies).unwrap());
        let routes = hls.clone();
        let server = HttpServer::new(move || App::new().configure(|cfg| routes.routes(cfg)))
            .on_connect(|io, extensions| drop(sluice_hls::on_connect(io, extensions)))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let http = server.addrs()[0];
        actix_rt::spawn(server.run());
        Self { world, http, clock, hls, generation: 0 }
    }

    /// A publisher comes.
    pub async fn publish(&mut self, size: usize) -> Publisher {
        Publisher { writer: self.publish_tracks(tracks()).await, size, next: 0 }
    }

    /// A publisher of something real comes.
    pub async fn publish_tracks(&mut self, tracks: Tracks) -> BusWriter {
        self.generation += 1;
        let writer = media::bus(tracks);
        let live = Live {
            generation: self.generation,
            protocol: Proto::Rtmp,
            frames: writer.ring(),
            packets: None,
            keyframes_only: KeyframesOnly::default(),
        };
        self.world.send(Do::Live(Arc::new(live))).await.unwrap();
        writer
    }

    pub async fn act(&self, what: Do) -> usize {
        self.world.send(what).await.unwrap()
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.http).await.unwrap())
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.connect().await.get(path, "").await
    }
}

pub fn stream() -> StreamKey {
    StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() }
}

pub fn tracks() -> Tracks {
    let config = vec![1, 0x42, 0xc0, 0x1e, 0xff, 0xe0, 0].into();
    let video = VideoTrack { codec: VideoCodec::H264, config, width: 320, height: 180, reordered: false };
    Tracks { video: Some(video), audio: None }
}

/// A publisher: pictures of `size` bytes, one a second, each a keyframe.
pub struct Publisher {
    pub writer: BusWriter,
    size: usize,
    next: i64,
}

impl Publisher {
    /// Seconds of the newest picture.
    pub fn newest(&self) -> i64 {
        self.next - 1
    }

    /// Sends one more second.
    pub fn second(&mut self) {
        let at = MediaTime::from_millis(self.next * 1000);
        let data = vec![self.next as u8; self.size].into();
        self.next += 1;
        self.writer.push(Frame { track: TrackKind::Video, pts: at, dts: at, keyframe: true, data });
    }

    /// Sends until a request that waits is answered.
    pub async fn until<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        loop {
            self.second();
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(5), &mut answer).await {
                return answer;
            }
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The last line of a playlist that is a URL.
    pub fn url(&self) -> String {
        let line = self.text().lines().rfind(|line| !line.starts_with('#')).unwrap();
        format!("/live/streams/{line}")
    }
}

/// One HTTP/1.1 connection.
pub struct Client(pub TcpStream);

impl Client {
    pub async fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.send("GET", path, headers).await;
        self.read(true).await.unwrap()
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: t\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    pub async fn read(&mut self, with_body: bool) -> std::io::Result<Answer> {
        let (status, headers) = self.read_head().await?;
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |v| v.parse::<usize>().unwrap());
        if with_body {
            answer.body = vec![0; length];
            self.0.read_exact(&mut answer.body).await?;
        }
        Ok(answer)
    }

    pub async fn read_head(&mut self) -> std::io::Result<(u16, String)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        Ok((head[9..12].parse().unwrap(), head))
    }

    /// What still comes until the connection ends, and how it ended.
    pub async fn rest(&mut self) -> (usize, std::io::Result<usize>) {
        let (mut got, mut chunk) = (0, vec![0; 1 << 16]);
        loop {
            let read = tokio::time::timeout(Duration::from_secs(10), self.0.read(&mut chunk)).await.unwrap();
            match read {
                Ok(n @ 1..) => got += n,
                end => return (got, end),
            }
        }
    }
}
