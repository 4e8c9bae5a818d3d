//! WebRTC from outside: signalling over HTTP and WebSocket, media over UDP, and
//! a control plane that does as it is told.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

#[path = "support/client.rs"]
mod client;
#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use actix::Addr;
use actix_web::{App, HttpServer};
use client::{Client, Do, Met, Running};
use contract::session::{CloseReason, SetStanding};
use contract::{
    AppName, AppSettings, Clock, ManualClock, Secret, StreamId, StreamKey, SubscriberId, TrustedProxies,
    WallMs,
};
use futures_util::{SinkExt, StreamExt};
use media::{BusWriter, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};
use serde_json::{Value, json};
use session::Protocol;
use sluice_ingest::webrtc::{Config, Webrtc};
use str0m::media::Direction;
use support::{Asked, HushLate, Lags, Plane, PublishFrames, SetAll};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use transcode::{Decoding, Transcoding};

const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

const SUSPEND: SetStanding = SetStanding::Suspend { until: WallMs(0) };
const BLOCK: SetStanding = SetStanding::Revoke(CloseReason::Blocked);
const TAKE_OVER: SetStanding = SetStanding::Revoke(CloseReason::TakenOver);

struct Server {
    http: SocketAddr,
    plane: Addr<Plane>,
    system: actix_rt::System,
    calls: tokio::runtime::Runtime,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.system.stop();
    }
}

impl Server {
    fn start() -> Self {
        Self::start_with(2)
    }

    /// With room to encode so many streams again.
    fn start_with(transcodes: usize) -> Self {
        Self::start_set(transcodes, AppSettings::default(), Clock::system(), 512)
    }

    fn start_set(transcodes: usize, settings: AppSettings, clock: Clock, max_peers: usize) -> Self {
        let (ready, started) = channel();
        std::thread::spawn(move || {
            let system = actix_rt::System::new();
            system.block_on(async {
                let (plane, admission) = Plane::start_here(settings);
                let listen = ([127, 0, 0, 1], 0).into();
                let proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
                let transcoding = Transcoding::new(transcodes, Decoding::Here);
                let (announced, max_idle_sockets) = (Vec::new(), 32);
                let config = Config { listen, announced, transcoding, max_peers, max_idle_sockets, proxies };
                let webrtc = Webrtc::start(config, admission, clock).unwrap();
                let service = webrtc;
                let server = HttpServer::new(move || {
                    let service = service.clone();
                    App::new().configure(move |config| service.routes(config))
                });
                let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
                let http = server.addrs()[0];
                actix_rt::spawn(server.run());
                ready.send((http, plane, actix_rt::System::current())).unwrap();
            });
            system.run().unwrap();
        });
        let (http, plane, system) = started.recv().unwrap();
        let calls = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { http, plane, system, calls }
    }

    fn post(&self, path: &str, body: String) -> (u16, Option<String>, String) {
        self.post_from("127.0.0.1", path, body)
    }

    /// As a proxy of ours would, for a peer at this address.
    fn post_from(&self, from: &str, path: &str, body: String) -> (u16, Option<String>, String) {
        self.calls.block_on(async {
            let request = reqwest::Client::new().post(format!("http://{}{path}", self.http));
            let request = request.header("x-forwarded-for", from);
            let answer = request.header("content-type", "application/sdp").body(body).send().await.unwrap();
            let status = answer.status().as_u16();
            assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{path}: {status}");
            let location = answer.headers().get("location").map(|v| v.to_str().unwrap().to_owned());
            (status, location, answer.text().await.unwrap())
        })
    }

    /// The servers that the answer to an offer names.
    fn link(&self, path: &str, offer: &str) -> Option<String> {
        self.calls.block_on(async {
            let request = reqwest::Client::new().post(format!("http://{}{path}", self.http));
            let request = request.header("content-type", "application/sdp").body(offer.to_owned());
            let answer = request.send().await.unwrap();
            answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned())
        })
    }

    fn delete(&self, path: &str) -> u16 {
        self.calls.block_on(async {
            let request = reqwest::Client::new().delete(format!("http://{}{path}", self.http));
            request.send().await.unwrap().status().as_u16()
        })
    }

    fn whip(&self, stream: &str) -> Publisher {
        let mut client = Client::new();
        let offer = client.offer(Direction::SendOnly);
        let path = format!("/live/whip/{stream}?subscriberId=owner&subscriberCode=123456");
        let (status, location, answer) = self.post(&path, offer);
        assert_eq!(status, 201, "{answer}");
        client.accept(&answer);
        let running = client.run();
        running.connected();
        Publisher { running, location: location.unwrap(), time: 0 }
    }

    fn whep(&self, stream: &str, who: &str) -> (Running, String) {
        let mut client = Client::new();
        let offer = client.offer(Direction::RecvOnly);
        let path = format!("/live/whep/{stream}?subscriberId={who}&subscriberCode=123456");
        let (status, location, answer) = self.post(&path, offer);
        assert_eq!(status, 201, "{answer}");
        client.accept(&answer);
        let running = client.run();
        running.connected();
        (running, location.unwrap())
    }

    /// Publishes a stream with B-frames over another protocol; its writer, and the key
    /// frame that is in it.
    fn publish_reordered(&self, stream: &str) -> (BusWriter, Frame) {
        let (app, id) = (AppName::parse("live").unwrap(), StreamId::parse(stream).unwrap());
        let (tracks, frame) = reordered();
        let publish = PublishFrames { stream: StreamKey { app, id }, tracks };
        let mut frames = self.calls.block_on(self.plane.send(publish)).unwrap();
        frames.push(frame.clone());
        (frames, frame)
    }

    fn set(&self, stream: &str, who: &str, set: SetStanding) -> usize {
        let (app, id) = (AppName::parse("live").unwrap(), StreamId::parse(stream).unwrap());
        let subscriber = SubscriberId::parse(who).unwrap();
        let all = SetAll { stream: StreamKey { app, id }, subscriber, set };
        self.calls.block_on(self.plane.send(all)).unwrap()
    }

    /// Orders all players of a stream to hush, as for a publish before the one that
    /// is live; how many confirmed.
    fn hush_late(&self, stream: &str) -> usize {
        let (app, id) = (AppName::parse("live").unwrap(), StreamId::parse(stream).unwrap());
        self.calls.block_on(self.plane.send(HushLate { stream: StreamKey { app, id } })).unwrap()
    }

    /// How far behind a stream's players are.
    fn lags(&self, stream: &str) -> Vec<Option<Duration>> {
        let (app, id) = (AppName::parse("live").unwrap(), StreamId::parse(stream).unwrap());
        self.calls.block_on(self.plane.send(Lags { stream: StreamKey { app, id } })).unwrap()
    }

    /// How often auth was asked.
    fn asked(&self) -> usize {
        self.calls.block_on(self.plane.send(Asked)).unwrap()
    }

    fn socket(&self) -> Socket<'_> {
        self.socket_from("127.0.0.1")
    }

    fn socket_from(&self, from: &str) -> Socket<'_> {
        self.try_socket_from(from).unwrap()
    }

    /// The status of the answer, if there is no socket.
    fn try_socket_from(&self, from: &str) -> Result<Socket<'_>, u16> {
        let url = format!("ws://{}/live/websocket?target=edge", self.http);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
        match self.calls.block_on(tokio_tungstenite::connect_async(request)) {
            Ok((ws, _)) => Ok(Socket { server: self, ws }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

struct Publisher {
    running: Running,
    location: String,
    time: u32,
}

impl Publisher {
    fn send(&self, video: bool, payload: Vec<u8>, marker: bool) {
        let time = if video { self.time * 3000 } else { self.time * 960 };
        self.running.todo.send(Do::Send { video, payload, time, marker }).unwrap();
    }

    /// One picture and one block of sound; `n` is in the payload.
    fn picture(&mut self, n: u8, key: bool) {
        self.time += 1;
        if key {
            let mut sets = vec![0x78, 0, SPS.len() as u8];
            sets.extend(SPS);
            sets.extend([0, PPS.len() as u8]);
            sets.extend(PPS);
            self.send(true, sets, false);
        }
        let mut slice = vec![if key { 0x65 } else { 0x41 }, n];
        slice.resize(900, n);
        self.send(true, slice, true);
        self.send(false, vec![0xfc, n], false);
    }
}

/// The number in the next picture's payload.
fn next_picture(player: &Running) -> u8 {
    player.wait_for("a picture", |met| match met {
        Met::Packet { video: true, payload, .. } if payload[0] != 0x78 => Some(payload[1]),
        _ => None,
    })
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Publishes until the stream is live and a player has a picture.
fn live(server: &Server, stream: &str) -> (Publisher, Running, String) {
    let mut publisher = server.whip(stream);
    publisher.picture(0, true);
    let path = format!("/live/whep/{stream}?subscriberId=viewer");
    wait_until("the stream is live", || server.post(&path, String::new()).0 == 400);
    let (player, location) = server.whep(stream, "viewer");
    publisher.picture(1, true);
    next_picture(&player);
    (publisher, player, location)
}

#[test]
fn what_is_published_is_played_in_order_with_its_sound() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    publisher.picture(100, true);
    for n in 101..120 {
        publisher.picture(n, false);
    }
    let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
    while pictures.last() != Some(&119) || sounds.last() != Some(&119) {
        let what = format!("the rest after {pictures:?} and {sounds:?}");
        player.wait_for(&what, |met| match met {
            Met::Packet { video: true, payload, .. } if payload[0] == 0x78 => Some(()),
            Met::Packet { video: true, payload, marker, .. } => {
                assert!(marker);
                assert_eq!(payload.len(), 900);
                pictures.push(payload[1]);
                Some(())
            }
            Met::Packet { video: false, payload, .. } => {
                sounds.push(payload[1]);
                Some(())
            }
            _ => None,
        });
    }
    assert!(pictures.ends_with(&(100..120).collect::<Vec<_>>()), "{pictures:?}");
    assert!(sounds.ends_with(&(101..120).collect::<Vec<_>>()), "{sounds:?}");
}

#[test]
fn a_player_is_as_far_behind_as_what_he_was_not_sent() {
    let server = Server::start();
    let (mut publisher, _player, _) = live(&server, "s");
    let none = [Some(Duration::ZERO)];
    wait_until("he has what there is", || server.lags("s") == none);
    assert_eq!(server.set("s", "viewer", SUSPEND), 1);
    // Held back, he falls behind as the stream goes on.
    let behind = || server.lags("s").iter().flatten().any(|lag| *lag > Duration::from_millis(20));
    wait_until("he is behind", || {
        publisher.picture(2, true);
        behind()
    });
}

#[test]
fn a_player_of_a_frame_publisher_is_behind_on_the_frames_clock() {
    let server = Server::start_with(0);
    let (mut frames, frame) = server.publish_reordered("s");
    let (player, _) = server.whep("s", "viewer");
    assert_eq!(next_picture(&player), 7);
    wait_until("he has what there is", || server.lags("s") == [Some(Duration::ZERO)]);
    // Without room to encode, a picture that is no key frame is not for him.
    let at = MediaTime::from_millis(700);
    let mut data = frame.data.to_vec();
    data[4] = 0x41;
    frames.push(Frame { pts: at, dts: at, keyframe: false, data: data.into(), ..frame });
    assert_eq!(server.lags("s"), [Some(Duration::from_millis(700))]);
}

#[test]
fn after_a_block_is_confirmed_not_one_media_datagram_comes_and_after_it_a_key_frame() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    assert_eq!(server.set("s", "viewer", SUSPEND), 1);
    // What is in flight on loopback is in the socket already: let it be read.
    let mark = player.wire.other.load(Ordering::Relaxed);
    wait_until("ICE goes on", || player.wire.other.load(Ordering::Relaxed) > mark);
    let silent = player.wire.media.load(Ordering::Relaxed);
    for n in 10..60 {
        publisher.picture(n, n % 10 == 0);
    }
    let mark = player.wire.other.load(Ordering::Relaxed);
    wait_until("ICE goes on", || player.wire.other.load(Ordering::Relaxed) > mark + 1);
    assert_eq!(player.wire.media.load(Ordering::Relaxed), silent);
    while player.met.try_recv().is_ok() {}
    assert_eq!(server.set("s", "viewer", SetStanding::Grant), 1);
    publisher.picture(200, true);
    let first = player.wait_for("a packet", |met| match met {
        Met::Packet { video: true, payload, .. } => Some(payload),
        _ => None,
    });
    assert_eq!(first[0], 0x78, "parameter sets come first");
}

#[test]
fn a_lost_packet_is_sent_again() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    player.wire.drop_one_in.store(12, Ordering::Relaxed);
    publisher.picture(100, true);
    for n in 101..200 {
        publisher.picture(n, false);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut seen = std::collections::BTreeSet::new();
    while !(100..195).all(|n| seen.contains(&n)) {
        seen.insert(next_picture(&player));
    }
}

#[test]
fn a_players_wish_for_a_key_frame_reaches_the_publisher() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    while publisher.running.met.try_recv().is_ok() {}
    player.todo.send(Do::AskKeyframe).unwrap();
    // A wish is served with the next packet, at the latest.
    publisher.picture(3, false);
    publisher.running.wait_for("a wish", |met| matches!(met, Met::KeyframeAsked).then_some(()));
}

#[test]
fn a_revoked_publisher_is_closed_and_his_players_wait_for_the_next() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    publisher.picture(5, false);
    assert_eq!(server.set("s", "owner", BLOCK), 1);
    publisher.running.wait_for("the end", |met| matches!(met, Met::Closed).then_some(()));
    assert_eq!(server.delete(&publisher.location), 404, "his session is gone");
    let mut next = server.whip("s");
    next.picture(77, true);
    wait_until("the next publisher's picture", || next_picture(&player) == 77);
}

#[test]
fn a_hush_that_comes_when_the_next_publisher_is_live_takes_nothing_from_his_players() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    assert_eq!(server.hush_late("s"), 1);
    // No key frame: a player that had lost its place could not go on here.
    publisher.picture(9, false);
    wait_until("the next picture", || next_picture(&player) == 9);
}

#[test]
fn delete_ends_both_sides_and_names_are_not_guessed() {
    let server = Server::start();
    let (publisher, player, location) = live(&server, "s");
    assert_eq!(server.delete("/live/whep/s/00000000000000000000000000000000"), 404);
    let elsewhere = location.replace("/whep/s/", "/whep/other/");
    assert_eq!(server.delete(&elsewhere), 404);
    assert_eq!(server.delete(&location), 200);
    player.wait_for("the end", |met| matches!(met, Met::Closed).then_some(()));
    assert_eq!(server.delete(&publisher.location), 200);
    publisher.running.wait_for("the end", |met| matches!(met, Met::Closed).then_some(()));
}

#[test]
fn refusals_have_their_status() {
    let server = Server::start();
    let (publisher, ..) = live(&server, "s");
    let offer = |direction| Client::new().offer(direction);
    for (path, direction, status) in [
        ("/live/whip/s", Direction::SendOnly, 409),
        ("/live/whep/none", Direction::RecvOnly, 404),
        ("/live/whep/s?subscriberId=x1x&subscriberCode=000000", Direction::RecvOnly, 403),
        ("/live/whep/none?subscriberId=x1x&subscriberCode=000000", Direction::RecvOnly, 403),
        ("/nope/whip/s", Direction::SendOnly, 404),
        ("/live/whip/a%7Cb", Direction::SendOnly, 400),
    ] {
        let (got, _, text) = server.post(path, offer(direction));
        assert_eq!(got, status, "{path}: {text}");
    }
    assert_eq!(server.post("/live/whip/t", "v=0\r\n".repeat(20_000)).0, 413);
    assert_eq!(server.post("/live/whip/t", "hello".to_owned()).0, 400);
    drop(publisher);
}

struct Socket<'a> {
    server: &'a Server,
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket<'_> {
    fn say(&mut self, text: String) {
        self.server.calls.block_on(self.ws.send(Message::text(text))).unwrap();
    }

    fn ask(&mut self, message: &Value) {
        self.say(message.to_string());
    }

    fn hear(&mut self) -> Value {
        self.server.calls.block_on(async {
            loop {
                let heard = tokio::time::timeout(Duration::from_secs(15), self.ws.next()).await;
                match heard.expect("an answer").expect("an open socket").unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
    }

    /// Waits until the server closes it.
    fn closes(&mut self) {
        let closed = async {
            while let Some(Ok(message)) = self.ws.next().await {
                if matches!(message, Message::Close(_)) {
                    return;
                }
            }
        };
        let closed = async { tokio::time::timeout(Duration::from_secs(15), closed).await };
        self.server.calls.block_on(closed).expect("the end");
    }

    fn pings(&mut self) {
        self.ask(&json!({"command":"ping"}));
        assert_eq!(self.hear()["command"], "pong");
    }

    fn hear_definition(&mut self, definition: &str) -> Value {
        loop {
            let heard = self.hear();
            if heard["definition"] == definition {
                return heard;
            }
        }
    }
}

#[test]
fn a_socket_that_carries_nothing_ends_whatever_it_pings_or_is_refused() {
    let time = ManualClock::new(WallMs(0));
    let server = Server::start_set(0, AppSettings::default(), time.clock(), 512);
    let (mut idle, mut asks, mut publishes) = (server.socket(), server.socket(), server.socket());
    idle.pings();
    asks.pings();
    publishes.pings();
    time.advance(Duration::from_secs(25));
    idle.pings();
    // The page waits for a stream that is not live yet; it asks again on another socket.
    asks.ask(&play("none", "123456"));
    assert_eq!(asks.hear()["definition"], "no_stream_exist");
    publishes.ask(&publish("s"));
    assert_eq!(publishes.hear()["command"], "start");
    time.advance(Duration::from_secs(6));
    idle.closes();
    asks.closes();
    publishes.pings();
    // Its invitation ends first, and the socket is idle from then on.
    time.advance(Duration::from_secs(25));
    assert_eq!(publishes.hear()["definition"], "publishTimeoutError");
    publishes.pings();
    time.advance(Duration::from_secs(31));
    publishes.closes();
}

#[test]
fn sockets_that_carry_nothing_are_bounded_by_network() {
    let server = Server::start();
    let mut of_one: Vec<_> = (0..4).map(|_| server.socket_from("203.0.113.1")).collect();
    assert_eq!(server.try_socket_from("203.0.113.1").err(), Some(503));
    assert!(server.try_socket_from("203.0.113.2").is_ok());
    // One that carries a stream is not counted.
    of_one[0].ask(&publish("s"));
    assert_eq!(of_one[0].hear()["command"], "start");
    wait_until("there is room", || server.try_socket_from("203.0.113.1").is_ok());
}

#[test]
fn an_invitation_that_is_not_answered_gives_way_to_a_peer_from_elsewhere() {
    let mut settings = AppSettings::default();
    settings.webrtc.start_timeout = Duration::from_secs(3600);
    let server = Server::start_set(0, settings, Clock::system(), 512);
    let (_publisher, ..) = live(&server, "s");
    // As many as there may be in one application, of the fewest networks.
    let mut pages: Vec<_> = (0..6).map(|n| server.socket_from(&format!("203.0.113.{n}"))).collect();
    for (n, page) in pages.iter_mut().enumerate() {
        for of_one in 0..32 {
            page.ask(&publish(&format!("s{n}x{of_one}")));
            assert_eq!(page.hear()["command"], "start");
        }
    }
    let offer = Client::new().offer(Direction::RecvOnly);
    let (status, ..) = server.post_from("198.51.100.1", "/live/whep/s?subscriberId=viewer", offer);
    assert_eq!(status, 201);
    // One of them is told.
    let problem = server.calls.block_on(async {
        let heard = pages.iter_mut().map(|page| Box::pin(page.ws.next()));
        futures_util::future::select_all(heard).await.0
    });
    let Some(Ok(Message::Text(text))) = problem else { panic!("{problem:?}") };
    assert!(text.contains("highResourceUsage"), "{text}");
}

#[test]
fn the_password_of_a_turn_server_is_for_those_who_were_let_in() {
    let mut settings = AppSettings::default();
    settings.webrtc.stun_uri = "turn:turn.example.org:3478".to_owned();
    settings.webrtc.turn_username = "relay".to_owned();
    settings.webrtc.turn_credential = Secret::new("hush".to_owned());
    let server = Server::start_set(0, settings, Clock::system(), 512);
    let told = json!({"command":"iceServerConfig","stunServerUri":"turn:turn.example.org:3478",
        "turnServerUsername":"relay","turnServerCredential":"hush"});
    let nothing = json!({"command":"iceServerConfig","stunServerUri":"",
        "turnServerUsername":"","turnServerCredential":""});
    let ask = json!({"command":"getIceServerConfig"});
    let mut page = server.socket();
    page.ask(&ask);
    assert_eq!(page.hear(), nothing);
    page.ask(&play("s", "000000"));
    assert_eq!(page.hear()["definition"], "unauthorized_access");
    page.ask(&ask);
    assert_eq!(page.hear(), nothing);
    page.ask(&publish("s"));
    assert_eq!(page.hear(), told);
    assert_eq!(page.hear()["command"], "start");
    page.ask(&ask);
    assert_eq!(page.hear(), told);
    page.ask(&json!({"command":"stop","streamId":"s"}));
    page.hear_definition("publish_finished");
    page.ask(&ask);
    assert_eq!(page.hear(), nothing);
    let offer = Client::new().offer(Direction::SendOnly);
    let link = |code| server.link(&format!("/live/whip/w?subscriberId=owner&subscriberCode={code}"), &offer);
    assert_eq!(link("000000"), None);
    assert!(link("123456").is_some_and(|link| link.contains("hush")));
}

#[test]
fn players_leave_places_to_publishers_and_are_told_that_there_is_no_room() {
    let server = Server::start_set(2, AppSettings::default(), Clock::system(), 8);
    let (_publisher, _player, _) = live(&server, "s");
    let offer = Client::new().offer(Direction::RecvOnly);
    let path = "/live/whep/s?subscriberId=viewer";
    let player = |n| server.post_from(&format!("203.0.113.{n}"), path, offer.clone()).0;
    let answers: Vec<u16> = (0..7).map(player).collect();
    // Two peers are there already, and one place is for publishers alone.
    assert_eq!(answers, [201, 201, 201, 201, 201, 503, 503]);
    let mut page = server.socket_from("198.51.100.1");
    page.ask(&play("s", "123456"));
    assert_eq!(page.hear()["definition"], "highResourceUsage");
    page.ask(&publish("t"));
    assert_eq!(page.hear()["command"], "start");
}

/// What the seed's `publish(stream, null, subscriber, code)` sends.
fn publish(stream: &str) -> Value {
    json!({"command":"publish","streamId":stream,"token":null,"subscriberId":"owner","subscriberCode":"123456",
        "streamName":"","mainTrack":"","video":true,"audio":true,"metaData":"","role":""})
}

/// What the seed's `play(stream, null, subscriber, code)` sends.
fn play(stream: &str, code: &str) -> Value {
    json!({"command":"play","streamId":stream,"token":"","room":"viewer","trackList":code,"subscriberId":"",
        "subscriberCode":"","viewerInfo":"","role":"","userPublishId":""})
}

#[test]
fn the_ams_dialect_publishes_and_plays() {
    let server = Server::start();
    let mut page = server.socket();
    page.ask(&json!({"command":"getIceServerConfig"}));
    assert_eq!(page.hear()["command"], "iceServerConfig");
    page.ask(&publish("s"));
    assert_eq!(page.hear(), json!({"command":"start","streamId":"s","subscriberId":"owner"}));
    let mut client = Client::new();
    let sdp = client.offer(Direction::SendOnly);
    page.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"offer","sdp":sdp}));
    let answer = page.hear();
    assert_eq!((&answer["command"], &answer["type"]), (&json!("takeConfiguration"), &json!("answer")));
    client.accept(answer["sdp"].as_str().unwrap());
    let running = client.run();
    running.connected();
    let mut publisher = Publisher { running, location: String::new(), time: 0 };
    publisher.picture(1, true);
    assert_eq!(page.hear()["definition"], "publish_started");

    let mut watching = server.socket();
    watching.ask(&play("s", "123456"));
    let offer = watching.hear();
    assert_eq!(offer["type"], "offer");
    let mids = offer["idMapping"].as_object().unwrap();
    assert_eq!(mids.values().collect::<Vec<_>>(), [&json!("s"), &json!("s")]);
    let mut client = Client::new();
    let sdp = client.answer(offer["sdp"].as_str().unwrap());
    watching.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"answer","sdp":sdp}));
    let player = client.run();
    player.connected();
    player.wait_for("the data channel", |met| match met {
        Met::Channel(label) => (label == "s").then_some(()),
        _ => None,
    });
    publisher.picture(2, true);
    next_picture(&player);
    assert_eq!(watching.hear()["definition"], "play_started");

    assert_eq!(server.hush_late("s"), 1);
    watching.ask(&json!({"command":"getStreamInfo","streamId":"s"}));
    assert_eq!(watching.hear()["streamInfo"][0]["streamHeight"], 480);
    watching.ask(&json!({"command":"getStreamInfo","streamId":"other"}));
    assert_eq!(watching.hear()["definition"], "no_stream_exist");
    assert_eq!(server.set("s", "viewer", SUSPEND), 1);
    assert_eq!(watching.hear(), json!({"command":"error","definition":"user_blocked","streamId":"s"}));
    assert_eq!(server.set("s", "viewer", SetStanding::Grant), 1);
    publisher.picture(3, true);
    assert_eq!(watching.hear()["definition"], "play_started");

    page.ask(&json!({"command":"stop","streamId":"s"}));
    assert_eq!(page.hear()["definition"], "publish_finished");
    assert_eq!(watching.hear()["definition"], "play_finished");
    watching.ask(&json!({"command":"ping"}));
    assert_eq!(watching.hear()["command"], "pong");
}

#[test]
fn a_stream_that_is_taken_is_refused_before_the_page_may_offer() {
    let server = Server::start();
    let (publisher, ..) = live(&server, "s");
    let mut page = server.socket();
    page.ask(&publish("s"));
    assert_eq!(page.hear()["definition"], "streamIdInUse");
    assert_eq!(server.delete(&publisher.location), 200);
    wait_until("the stream is free", || {
        page.ask(&publish("s"));
        page.hear()["command"] == "start"
    });
}

#[test]
fn peers_that_never_connect_do_not_take_the_room_of_others() {
    let server = Server::start();
    let offer = Client::new().offer(Direction::SendOnly);
    let post = |from: &str, n: usize| server.post_from(from, &format!("/live/whip/s{n}"), offer.clone());
    let made: Vec<String> = (0..32)
        .map(|n| {
            let (status, location, text) = post("203.0.113.1", n);
            assert_eq!(status, 201, "{n}: {text}");
            location.unwrap()
        })
        .collect();
    assert_eq!(post("203.0.113.1", 40).0, 503);
    let (status, ..) = server.post_from("203.0.113.1", "/live/whep/s", offer.clone());
    assert_eq!(status, 503);
    let mut page = server.socket_from("203.0.113.1");
    page.ask(&publish("s"));
    assert_eq!(page.hear()["definition"], "highResourceUsage");
    page.ask(&play("s", "123456"));
    assert_eq!(page.hear()["definition"], "highResourceUsage");
    let mut page = server.socket_from("203.0.113.2");
    page.ask(&publish("s"));
    assert_eq!(page.hear()["command"], "start");

    assert_eq!(server.delete(&made[0]), 200);
    wait_until("the place is given back", || post("203.0.113.1", 41).0 == 201);
}

#[test]
fn who_has_connected_leaves_his_place_to_the_next() {
    let server = Server::start();
    let mut connected = Vec::new();
    // More than there may be of one address on their way.
    for n in 0..40 {
        let mut client = Client::new();
        let offer = client.offer(Direction::SendOnly);
        let mut answer = String::new();
        wait_until("there is room", || {
            let (status, _, text) =
                server.post_from("203.0.113.1", &format!("/live/whip/s{n}"), offer.clone());
            answer = text;
            status == 201
        });
        client.accept(&answer);
        let running = client.run();
        running.connected();
        connected.push(running);
    }
}

#[test]
fn a_broken_description_is_refused_before_auth_is_asked() {
    let server = Server::start();
    let (status, ..) = server.post("/live/whip/s?subscriberId=owner&subscriberCode=123456", "v=0".into());
    assert_eq!((status, server.asked()), (400, 0), "leave to publish fences the subscriber's own stream");
}

#[test]
fn a_description_is_parsed_for_those_who_may_publish_only() {
    let server = Server::start();
    let offer = Client::new().offer(Direction::SendOnly);
    // Good line by line; the parser misses the sections' names.
    let broken = offer.replace("a=mid:", "a=x-mid:");
    assert_ne!(offer, broken);
    let path = |code| format!("/live/whip/s?subscriberId=owner&subscriberCode={code}");
    assert_eq!((server.post(&path("000000"), broken.clone()).0, server.asked()), (403, 1));
    assert_eq!((server.post(&path("123456"), broken).0, server.asked()), (400, 2));
    assert_eq!(server.post(&path("123456"), offer).0, 201);
}

#[test]
fn a_description_with_more_lines_of_a_kind_than_any_browsers_is_refused() {
    let server = Server::start();
    let offer = Client::new().offer(Direction::SendOnly) + &"a=ssrc:1 cname:x\r\n".repeat(65);
    let (status, _, text) = server.post("/live/whip/s", offer.clone());
    assert_eq!((status, server.asked()), (413, 0));
    assert!(text.contains("a=ssrc:"), "{text}");
    let mut page = server.socket();
    page.ask(&publish("s"));
    page.hear();
    page.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"offer","sdp":offer}));
    let heard = page.hear();
    assert_eq!(
        (&heard["definition"], &heard["information"]),
        (&json!("notSetRemoteDescription"), &json!("description_too_large"))
    );
}

/// A stream with B-frames; its key frame.
fn reordered() -> (Tracks, Frame) {
    let mut config = vec![1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1, 0, SPS.len() as u8];
    config.extend(SPS);
    config.extend([1, 0, PPS.len() as u8]);
    config.extend(PPS);
    let (codec, config) = (VideoCodec::H264, config.into());
    let video = VideoTrack { codec, config, width: 640, height: 480, reordered: true };
    let at = MediaTime::from_millis(0);
    // Too large to share a packet with its parameter sets.
    let mut data = 1190u32.to_be_bytes().to_vec();
    data.push(0x65);
    data.resize(4 + 1190, 7);
    let data = data.into();
    let frame = Frame { track: TrackKind::Video, pts: at, dts: at, keyframe: true, data };
    (Tracks { video: Some(video), audio: None }, frame)
}

#[test]
fn a_player_that_sees_key_frames_only_is_told_once() {
    let server = Server::start_with(0);
    let (mut frames, frame) = server.publish_reordered("s");
    let mut page = server.socket();
    page.ask(&play("s", "123456"));
    let mut client = Client::new();
    let sdp = client.answer(page.hear()["sdp"].as_str().unwrap());
    page.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"answer","sdp":sdp}));
    let player = client.run();
    player.connected();
    assert_eq!(next_picture(&player), 7);
    let problem = json!({"command":"error","definition":"encoderNotOpened","streamId":"s",
        "information":"key_frames_only"});
    let heard = [page.hear(), page.hear()];
    assert!(heard.contains(&problem), "{heard:?}");
    assert!(heard.iter().any(|heard| heard["definition"] == "play_started"), "{heard:?}");
    let at = MediaTime::from_millis(2000);
    frames.push(Frame { pts: at, dts: at, ..frame });
    next_picture(&player);
    page.ask(&json!({"command":"ping"}));
    assert_eq!(page.hear()["command"], "pong");
}

/// A page that publishes `s`, connected.
fn publishing_page(server: &Server) -> (Socket<'_>, Publisher) {
    let mut page = server.socket();
    page.ask(&publish("s"));
    page.hear();
    let mut client = Client::new();
    let sdp = client.offer(Direction::SendOnly);
    page.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"offer","sdp":sdp}));
    client.accept(page.hear()["sdp"].as_str().unwrap());
    let running = client.run();
    running.connected();
    (page, Publisher { running, location: String::new(), time: 0 })
}

#[test]
fn publishers_who_are_blocked_while_they_connect_are_ended() {
    let server = Server::start();
    let mut page = server.socket();
    page.ask(&publish("s"));
    page.hear();
    let sdp = Client::new().offer(Direction::SendOnly);
    page.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"offer","sdp":sdp}));
    assert_eq!(page.hear()["type"], "answer");
    let offer = Client::new().offer(Direction::SendOnly);
    let (status, location, _) = server.post("/live/whip/s?subscriberId=owner&subscriberCode=123456", offer);
    assert_eq!((status, server.set("s", "owner", BLOCK)), (201, 2));
    assert_eq!(page.hear()["definition"], "user_blocked");
    assert_eq!(page.hear()["definition"], "publish_finished");
    wait_until("the end of both sessions", || server.set("s", "owner", BLOCK) == 0);
    assert_eq!(server.delete(&location.unwrap()), 404);
}

#[test]
fn a_publisher_who_was_taken_over_is_told_that_and_does_not_come_back_by_himself() {
    let server = Server::start();
    let (mut page, mut publisher) = publishing_page(&server);
    publisher.picture(1, true);
    page.hear_definition("publish_started");
    assert_eq!(server.set("s", "owner", TAKE_OVER), 1);
    assert_eq!(page.hear(), json!({"command":"error","definition":"streamIdInUse","streamId":"s"}));
    assert_eq!(page.hear()["definition"], "publish_finished");
    // The SDK connects again by itself until it hears this.
    assert_eq!(page.hear(), json!({"command":"stop","streamId":"s"}));
    publisher.running.wait_for("the end", |met| matches!(met, Met::Closed).then_some(()));
}

#[test]
fn a_blocked_publisher_is_told_in_ams_words_and_not_stopped() {
    let server = Server::start();
    let (mut page, mut publisher) = publishing_page(&server);
    publisher.picture(1, true);
    page.hear_definition("publish_started");
    assert_eq!(server.set("s", "owner", BLOCK), 1);
    assert_eq!(page.hear()["definition"], "user_blocked");
    assert_eq!(page.hear()["definition"], "publish_finished");
    publisher.running.wait_for("the end", |met| matches!(met, Met::Closed).then_some(()));
    page.ask(&publish("s"));
    assert_eq!(page.hear()["command"], "start", "the page may try again");
}

#[test]
fn what_a_page_says_wrongly_is_answered_and_the_socket_stays() {
    let server = Server::start();
    let mut page = server.socket();
    let long = "a".repeat(10_000);
    for (said, definition) in [
        ("{".to_owned(), "missingParameter"),
        ("[1]".to_owned(), "missingParameter"),
        (json!({"command":"play"}).to_string(), "noStreamNameSpecified"),
        (publish("a/b").to_string(), "invalidStreamName"),
        (publish(&long).to_string(), "invalidStreamName"),
        (play("none", "123456").to_string(), "no_stream_exist"),
        (play("none", "999999").to_string(), "unauthorized_access"),
        (
            json!({"command":"takeConfiguration","streamId":"s","type":"offer","sdp":"v=0"}).to_string(),
            "no_peer_associated_before",
        ),
        (
            json!({"command":"takeConfiguration","streamId":"s","type":"answer","sdp":"v=0"}).to_string(),
            "no_peer_associated_before",
        ),
        (json!({"command":"takeCandidate","streamId":"s","candidate":"x"}).to_string(), "missingParameter"),
    ] {
        page.say(said.clone());
        let heard = page.hear();
        assert_eq!(heard["definition"], definition, "{said:.80}");
        assert!(heard.to_string().len() < 500);
    }
    page.ask(&publish("s"));
    assert_eq!(page.hear()["command"], "start");
    page.ask(&publish("s"));
    assert_eq!(page.hear()["definition"], "already_publishing");
    page.ask(&json!({"command":"takeConfiguration","streamId":"s","type":"offer","sdp":"v=0"}));
    assert_eq!(page.hear()["definition"], "notSetRemoteDescription");
    page.ask(&json!({"command":"stop","streamId":"never"}));
    page.ask(&json!({"command":"whatever","streamId":"s"}));
    page.ask(&json!({"command":"ping"}));
    assert_eq!(page.hear()["command"], "pong");
}

#[test]
fn strangers_datagrams_change_nothing() {
    let server = Server::start();
    let (mut publisher, player, _) = live(&server, "s");
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = player.wire.other.load(Ordering::Relaxed);
    assert!(to > 0);
    let mut state = 7u32;
    for size in 0..2000usize {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut bytes = vec![(state >> 24) as u8; size % 1500];
        if let Some(first) = bytes.first_mut() {
            *first = [0, 22, 128, 200][size % 4];
        }
        let _ = stranger.send_to(&bytes, server_media(&publisher));
    }
    publisher.picture(50, true);
    wait_until("picture 50", || next_picture(&player) == 50);
}

fn server_media(publisher: &Publisher) -> SocketAddr {
    publisher.running.remote
}
