//! Bad input on every port: a clear refusal, bounded memory, no panic, and a player next to
//! it that loses nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{self, Player, Sound};
use sluice_tests::http::{self, Http};
use sluice_tests::machine;
use sluice_tests::proc::Process;
use sluice_tests::rest::{self, Rest};
use sluice_tests::rtmp_client;
use sluice_tests::server::Server;
use sluice_tests::wait::eventually_within;
use sluice_tests::websocket::WebSocket;

/// How much the server may grow under hostile load (C§16.20).
const GROWTH: u64 = 96 << 20;
const STREAM: &str = "bystander";

/// A server with one stream and one player that must not notice.
struct Scene {
    server: Server,
    player: Player,
    _publisher: Process,
    memory: u64,
}

impl Scene {
    fn set() -> Result<Self> {
        Self::set_on(Server::start()?)
    }

    fn set_on(server: Server) -> Result<Self> {
        let publisher = ffmpeg::publish(&clips()?.plain, &server.rtmp_url(STREAM))?;
        server.rest().wait_live(STREAM)?;
        let player = Player::start(&server.rtmp_url(STREAM), Sound::Leave)?;
        player.plays(60, Sound::Leave)?;
        let memory = server.memory()?;
        Ok(Self { server, player, _publisher: publisher, memory })
    }

    /// The bystander plays on without a gap, and the server is as large as it may be.
    fn check(&self) {
        self.player.sight().more(30).unwrap();
        let seen = self.player.seen();
        assert_eq!(seen.holes(), 0, "the bystander lost pictures");
        let growth = self.server.memory().unwrap().saturating_sub(self.memory);
        assert!(growth < GROWTH, "the server grew by {} MiB", growth >> 20);
        self.server.check_log(&[]).unwrap();
    }

    fn end(self) {
        self.check();
        self.server.stop().unwrap();
    }
}

/// Bytes that look random and are the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// Connections that the server has to close: all that it was sent on them is no RTMP.
#[derive(Default)]
struct Refused(Vec<(String, TcpStream)>);

impl Refused {
    /// Sends what the server takes of `bytes`.
    fn throw(&mut self, server: &Server, what: impl Into<String>, bytes: &[u8]) {
        let mut stream = TcpStream::connect(server.rtmp).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        // A refusal in the middle of our sending is what we hope for.
        let _refused = stream.write_all(bytes);
        stream.set_nonblocking(true).unwrap();
        self.0.push((what.into(), stream));
    }

    /// Waits until all are closed, and none was let in before.
    fn check(mut self) {
        eventually_within(Duration::from_secs(30), "all of them to be closed", || {
            self.0.retain_mut(|(what, stream)| !is_closed(what, stream));
            self.0.is_empty().then_some(())
        })
        .unwrap_or_else(|e| panic!("{e:#}: {:?}", self.0.iter().map(|(what, _)| what).collect::<Vec<_>>()));
    }
}

fn is_closed(what: &str, stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(count) => {
                let welcome = bytes[..count].windows(WELCOME.len()).any(|w| w == WELCOME);
                assert!(!welcome, "{what} was let in");
            }
            Err(e) => return e.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// What a connection that is let in is told.
const WELCOME: &[u8] = b"NetConnection.Connect.Success";

/// A client's simple handshake.
fn handshake() -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.extend([0; 8]);
    bytes.extend(noise(1, 1528));
    bytes.extend([0; 1536]);
    bytes
}

fn chunk(kind: u8, length: u32, payload: &[u8]) -> Vec<u8> {
    let l = length.to_be_bytes();
    [&[3, 0, 0, 0, l[1], l[2], l[3], kind, 0, 0, 0, 0][..], payload].concat()
}

#[test]
fn rtmp_survives_what_no_client_would_send() {
    let _machine = machine::whole();
    let scene = Scene::set().unwrap();
    let after_handshake = |tail: &[u8]| [&handshake(), tail].concat();
    let mut refused = Refused::default();
    for seed in 0..200 {
        refused.throw(&scene.server, format!("noise {seed}"), &noise(seed, 4000));
        let late = after_handshake(&noise(seed, 4000));
        refused.throw(&scene.server, format!("noise {seed} after a handshake"), &late);
    }
    // 16 MB claims on many chunk streams, none of them ever complete.
    let claims: Vec<u8> = (3..64)
        .flat_map(|id| [&[id, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0][..], &[0; 128]].concat())
        .collect();
    let small_chunks = [chunk(1, 4, &[0; 4]), chunk(20, 100, &noise(3, 100))].concat();
    let large_chunks =
        [chunk(1, 4, &[0x7f, 0xff, 0xff, 0xff]), chunk(20, 0xff_ffff, &noise(3, 9000))].concat();
    for (what, bytes) in [
        ("claims of 16 MB", claims),
        ("a strict array of 2^32-1 elements", chunk(20, 5, &[0x0a, 0xff, 0xff, 0xff, 0xff])),
        ("an object of as many", chunk(20, 5, &[0x08, 0xff, 0xff, 0xff, 0xff])),
        ("arrays 24 deep", chunk(20, 120, &[0x0a, 0, 0, 0, 1].repeat(24))),
        ("a chunk size of zero", small_chunks),
        ("the largest chunk size there is, and a message to fill it", large_chunks),
    ] {
        refused.throw(&scene.server, what, &after_handshake(&bytes));
    }
    refused.check();
    // Ending a message that never began means nothing, and hurts nobody.
    let mut stream = TcpStream::connect(scene.server.rtmp).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
        .write_all(&after_handshake(&[chunk(2, 4, &[0, 0, 9, 9]), rtmp_client::connect()].concat()))
        .unwrap();
    let mut answer = Vec::new();
    while !answer.windows(WELCOME.len()).any(|w| w == WELCOME) {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "an abort closed the connection");
        answer.extend_from_slice(&bytes[..count]);
    }
    scene.end();
}

#[test]
fn a_handshake_that_stalls_is_ended() {
    let server = Server::start().unwrap();
    let mut stalled: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server.rtmp).unwrap()).collect();
    for stream in &mut stalled {
        stream.write_all(&handshake()[..700]).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    eventually_within(Duration::from_secs(30), "all stalled connections to be closed", || {
        let closed = |s: &mut TcpStream| !matches!(s.read(&mut [0; 4096]), Err(e) if e.kind() == ErrorKind::WouldBlock);
        stalled.retain_mut(|s| !closed(s));
        stalled.is_empty().then_some(())
    })
    .unwrap();
    server.stop().unwrap();
}

#[test]
fn the_websocket_survives_what_no_sdk_would_send() {
    let _machine = machine::whole();
    let scene = Scene::set().unwrap();
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let long = format!(r#"{{"command":"play","streamId":"{}"}}"#, "x".repeat(10_000));
    let offer = |sdp: &str| {
        serde_json::json!({"command": "takeConfiguration", "streamId": "s", "type": "offer", "sdp": sdp})
            .to_string()
    };
    let messages = [
        "",
        "{",
        "null",
        "[]",
        "\"play\"",
        r#"{"command":5}"#,
        r#"{"command":"play","streamId":{}}"#,
        r#"{"command":"publish","streamId":"a/../b"}"#,
        r#"{"command":"play","streamId":"a|b\r\nSet-Cookie: x"}"#,
        r#"{"command":"takeCandidate","streamId":"s","label":-1,"id":7,"candidate":"not one"}"#,
        r#"{"command":"play","streamId":"s","trackList":"123456","room":"r"}"#,
        &deep,
        &long,
    ];
    for message in messages {
        let mut socket = WebSocket::connect(scene.server.http, "/live/websocket").unwrap();
        let _sent = socket.send(message);
        assert_refused(&mut socket, message);
    }
    for sdp in [
        "",
        "v=0",
        "v=0\r\nm=video\r\n",
        &"a=x\r\n".repeat(100_000),
        "m=video 9 UDP/TLS/RTP/SAVPF 999999999999\r\n",
    ] {
        let mut socket = WebSocket::connect(scene.server.http, "/live/websocket").unwrap();
        socket.send(r#"{"command":"publish","streamId":"s","video":true,"audio":true}"#).unwrap();
        let _sent = socket.send(&offer(sdp));
        assert_refused(&mut socket, sdp);
    }
    let mut socket = WebSocket::connect(scene.server.http, "/live/websocket").unwrap();
    // A candidate of nobody means nothing; what comes behind it is answered.
    socket.send(r#"{"command":"takeCandidate","streamId":"s","candidate":"candidate:not one"}"#).unwrap();
    socket.send("{").unwrap();
    assert_refused(&mut socket, "{");
    // A frame that claims 2^62 bytes, and more of them than the server may grow by.
    socket.raw(&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let _refused = (0..200).try_for_each(|_| socket.raw(&[0; 1 << 20]));
    scene.check();
    assert!(matches!(socket.receive(), Ok(None)), "a frame that is too long is waited for");
    scene.end();
}

/// An error, or the end of the connection, which is as good a refusal.
fn assert_refused(socket: &mut WebSocket, what: &str) {
    let shown: String = what.chars().take(100).collect();
    loop {
        let Some(text) = socket.receive().unwrap_or_else(|e| panic!("{e:#} to {shown}")) else { return };
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        match answer["command"].as_str() {
            Some("error") => return assert!(answer["definition"].is_string(), "{answer} to {shown}"),
            // To the publish request in front of an offer.
            Some("start") => {}
            _ => panic!("{answer} to {shown}"),
        }
    }
}

#[test]
fn http_survives_bodies_names_and_sdp_that_are_not_meant_well() {
    let _machine = machine::whole();
    let scene = Scene::set().unwrap();
    let host = scene.server.http;
    let sdp = [("Content-Type", "application/sdp")];
    for body in [&b""[..], b"v=0", b"\xff\xfe\x00", &noise(9, 20_000), &vec![b'a'; 2 << 20]] {
        for path in ["/live/whip/s", "/live/whep/bystander"] {
            // A reset in the middle of a body that is too long is a refusal as well.
            let status = http::ask(host, "POST", path, &sdp, body).map_or(413, |a| a.status);
            assert!((400..500).contains(&status), "POST {path} with {} bytes: {status}", body.len());
        }
    }
    let json = [("Content-Type", "application/json")];
    for id in ["a%2Fb", "a%7Cb", "a%0D%0Ab", "..%2f..%2fetc", &"n".repeat(10_000)] {
        let body = b"{\"subscriberId\":\"abcd\"}";
        assert_no_success(host, "POST", &rest::broadcasts(&format!("{id}/subscribers")), body);
        for path in [format!("{id}/subscribers/abcd"), format!("s/subscribers/{id}")] {
            assert_no_success(host, "PUT", &rest::broadcasts(&format!("{path}/block/5/play")), b"");
            assert_no_success(host, "DELETE", &rest::broadcasts(&path), b"");
        }
    }
    for block in ["-1/play", "99999999999999999999999/play", "5/record", "5/", "x/play", "5/play/more"] {
        assert_no_success(host, "PUT", &rest::broadcasts(&format!("s/subscribers/abcd/block/{block}")), b"");
    }
    assert!(scene.server.rest().subscribers("s").unwrap().is_empty(), "a refused block left a record");
    for body in ["{", "[[[[[[", "{\"subscriberId\":[]}", "{\"concurrentConnectionsLimit\":1e400}"] {
        let status =
            http::ask(host, "POST", "/live/rest/v2/broadcasts/s/subscribers", &json, body.as_bytes())
                .unwrap()
                .status;
        assert_eq!(status, 400, "{body}");
    }
    claim_a_gigabyte(&scene.server);
    scene.end();
}

/// A refusal that says so: `success: false` with words, or a 4xx of bad requests. A reset in the
/// middle of a request line that is too long will do as well.
fn assert_no_success(host: SocketAddr, method: &str, path: &str, body: &[u8]) {
    let Ok(answer) = http::ask(host, method, path, &[("Content-Type", "application/json")], body) else {
        return assert!(path.len() > 8192, "{method} {path} is not answered");
    };
    let shown = format!("{method} {}: {} {}", &path[..path.len().min(120)], answer.status, answer.text());
    match answer.status {
        200 => {
            let json = answer.json().unwrap();
            assert_eq!(json["success"], false, "{shown}");
            assert!(json["message"].as_str().is_some_and(|m| !m.is_empty()), "{shown}");
        }
        status => assert!(matches!(status, 400 | 404 | 414 | 431), "{shown}"),
    }
}

/// Says that 1 GB follows: the refusal comes long before it could all have been sent.
fn claim_a_gigabyte(server: &Server) {
    for path in ["/live/rest/v2/broadcasts/create", "/live/whip/s", "/rest/v2/users/authenticate"] {
        let mut http = Http::connect(server.http).unwrap();
        let kind = if path.ends_with("/s") { "application/sdp" } else { "application/json" };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: 1073741824\r\n\r\n",
            server.http
        );
        http.write(head.as_bytes()).unwrap();
        // What follows may be read and thrown away, or end in a reset.
        let _taken = http.write(&vec![b' '; 8 << 20]);
        let status = http.head().map_or(413, |answer| answer.status);
        assert!((400..500).contains(&status), "{path} answers {status} to a gigabyte");
        let block = vec![b' '; 1 << 20];
        let _taken = (0..1000).take_while(|_| http.write(&block).is_ok()).count();
    }
}

#[test]
fn the_media_port_survives_datagrams_from_strangers() {
    let _machine = machine::whole();
    let scene = Scene::set().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..20_000 {
        let mut datagram = noise(seed, 20 + (seed as usize * 7) % 1400);
        // A third each as STUN, DTLS and RTP, which go different ways inside.
        datagram[0] = [0, 22, 128][seed as usize % 3];
        if seed % 6 == 0 {
            datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        socket.send_to(&datagram, scene.server.webrtc).unwrap();
    }
    scene.end();
}

/// Wrong codes of one network for one subscriber, or for all unregistered ones (C§16.9).
const PER_NETWORK: usize = 4;
/// Of all networks together that never succeeded.
const SHARED: usize = 60;
/// Of one network, over all subscribers.
const OVER_ALL: usize = 100;

/// The status of a playlist that somebody asks for with a subscriber's code.
fn try_code_from(server: &Server, from: &str, subscriber: &str, code: &str) -> u16 {
    let path = format!("/live/streams/{STREAM}.m3u8?subscriberId={subscriber}&subscriberCode={code}");
    http::ask(server.http, "GET", &path, &[("X-Forwarded-For", from)], b"").unwrap().status
}

/// From 203.0.113.n.
fn try_code(server: &Server, from: u8, subscriber: &str, code: &str) -> u16 {
    try_code_from(server, &format!("203.0.113.{from}"), subscriber, code)
}

/// So many different codes that are not `right`.
fn wrong_codes(right: &str, count: usize) -> impl Iterator<Item = String> {
    let all = (0..).map(|n| format!("{:06}", n * 331 % 1_000_000));
    all.filter(move |code| code != right).take(count)
}

#[test]
fn who_guesses_is_refused_even_the_right_code_and_locks_nobody_else_out() {
    let _machine = machine::whole();
    let scene = Scene::set_on(Server::start_behind_a_proxy().unwrap()).unwrap();
    let rest = scene.server.rest();
    rest.require_codes().unwrap();
    a_network_slows_itself_only(&scene.server, &rest);
    many_networks_slow_unknown_ones_only(&scene.server, &rest);
    an_address_has_a_budget_over_all(&scene.server, &rest);
    scene.end();
}

/// One address, 26 wrong codes, under made-up names and under one that exists.
fn a_network_slows_itself_only(server: &Server, rest: &Rest) {
    rest.add(STREAM, "alice1", "play").unwrap();
    let code = |who: &str| rest.code(STREAM, who, "play").unwrap();
    for (n, wrong) in wrong_codes(&code("alice1"), 26).enumerate() {
        assert_eq!(try_code(server, 2, "alice1", &wrong), 403);
        assert_eq!(try_code(server, 2, &format!("invented{n}"), &wrong), 403);
    }
    for who in ["alice1", "viewer"] {
        assert_eq!(try_code(server, 2, who, &code(who)), 403, "the address may guess on");
        assert_eq!(try_code(server, 4, who, &code(who)), 200, "a new viewer pays for it");
    }
}

fn many_networks_slow_unknown_ones_only(server: &Server, rest: &Rest) {
    rest.add(STREAM, "alice2", "play").unwrap();
    let code = || rest.code(STREAM, "alice2", "play").unwrap();
    assert_eq!(try_code(server, 1, "alice2", &code()), 200);
    for (n, wrong) in wrong_codes(&code(), SHARED).enumerate() {
        assert_eq!(try_code_from(server, &format!("198.18.{}.7", n / PER_NETWORK), "alice2", &wrong), 403);
    }
    assert_eq!(try_code(server, 3, "alice2", &code()), 403, "strangers may guess on");
    assert_eq!(try_code(server, 1, "alice2", &code()), 200, "the owner is locked out");
    let warned = server.process.log.find(|line| line.contains("somebody guesses").then_some(()));
    assert!(warned.is_some(), "nothing in the log about the attack");
}

fn an_address_has_a_budget_over_all(server: &Server, rest: &Rest) {
    for n in 0..OVER_ALL / PER_NETWORK {
        let subscriber = format!("guest{n}");
        rest.add(STREAM, &subscriber, "play").unwrap();
        let right = rest.code(STREAM, &subscriber, "play").unwrap();
        for code in wrong_codes(&right, PER_NETWORK) {
            assert_eq!(try_code(server, 5, &subscriber, &code), 403);
        }
    }
    rest.add(STREAM, "alice", "play").unwrap();
    let right = rest.code(STREAM, "alice", "play").unwrap();
    assert_eq!(try_code(server, 5, "alice", &right), 403, "the address may guess on");
    assert_eq!(try_code(server, 6, "alice", &right), 200, "another address pays for it");
    // Ids of nobody share one budget, and use up nobody else's.
    for code in wrong_codes(&right, 1000) {
        assert_eq!(try_code(server, 7, "mallory", &code), 403);
    }
    let again = rest.code(STREAM, "alice", "play").unwrap();
    assert_eq!(try_code(server, 6, "alice", &again), 200, "the owner is locked out");
    server.check_log(&[&right]).unwrap();
}
