//! Bad input on every port: a clear refusal, bounded memory, no panic, and a player next to
//! it that loses nothing.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{self, Player, Sound};
use sluice_tests::http::{self, Http};
use sluice_tests::machine;
use sluice_tests::proc::Process;
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
        let server = Server::start()?;
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
        let numbers: Vec<u16> = seen.numbers().collect();
        let lost = numbers.windows(2).filter(|w| w[1] != w[0] + 1 && w[1] != 0).count();
        assert_eq!(lost, 0, "the bystander lost pictures");
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

/// Sends what the server takes of `bytes` and waits until it closes, or asks for no more.
fn throw(server: &Server, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server.rtmp).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    // A refusal in the middle of our sending is what we hope for.
    let _refused = stream.write_all(bytes);
    let _answer = stream.read(&mut [0; 4096]);
}

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
    for seed in 0..200 {
        throw(&scene.server, &noise(seed, 4000));
        throw(&scene.server, &after_handshake(&noise(seed, 4000)));
    }
    // 16 MB claims on many chunk streams, none of them ever complete.
    let claims: Vec<u8> = (3..64)
        .flat_map(|id| [&[id, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0][..], &[0; 128]].concat())
        .collect();
    throw(&scene.server, &after_handshake(&claims));
    // A strict array of 2^32-1 elements, an object of that many, and arrays 60 deep.
    throw(&scene.server, &after_handshake(&chunk(20, 5, &[0x0a, 0xff, 0xff, 0xff, 0xff])));
    throw(&scene.server, &after_handshake(&chunk(20, 5, &[0x08, 0xff, 0xff, 0xff, 0xff])));
    throw(&scene.server, &after_handshake(&chunk(20, 120, &[0x0a, 0, 0, 0, 1].repeat(24))));
    // A chunk size of zero and the largest there is; an abort of a stream that never was.
    throw(&scene.server, &after_handshake(&[chunk(1, 4, &[0; 4]), chunk(20, 100, &noise(3, 100))].concat()));
    throw(
        &scene.server,
        &after_handshake(
            &[chunk(1, 4, &[0x7f, 0xff, 0xff, 0xff]), chunk(20, 0xff_ffff, &noise(3, 9000))].concat(),
        ),
    );
    throw(&scene.server, &after_handshake(&chunk(2, 4, &[0, 0, 9, 9])));
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
        let closed = |s: &mut TcpStream| !matches!(s.read(&mut [0; 4096]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
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
        r#"{"command":"takeCandidate","streamId":"s","label":-1,"id":7,"candidate":"candidate:not one"}"#,
        r#"{"command":"play","streamId":"s","trackList":"123456","room":"r"}"#,
        &deep,
        &long,
    ];
    for message in messages {
        let mut socket = WebSocket::connect(scene.server.http, "/live/websocket").unwrap();
        // A close is as good a refusal as an error.
        let _sent = socket.send(message);
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
    }
    let mut socket = WebSocket::connect(scene.server.http, "/live/websocket").unwrap();
    // A frame that claims 2^62 bytes.
    let _sent = socket
        .frame(0x81, &[])
        .and_then(|()| socket.raw(&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    scene.end();
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
        for tail in ["subscribers", "subscribers/x/block/5/play"] {
            let path = format!("/live/rest/v2/broadcasts/{id}/{tail}");
            let status = http::ask(host, "POST", &path, &json, b"{\"subscriberId\":\"abcd\"}")
                .map_or(431, |a| a.status);
            assert!(status < 500, "{status} for an id of {} characters", id.len());
        }
    }
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

#[test]
fn thousands_of_wrong_codes_let_nobody_in_and_lock_nobody_out() {
    let _machine = machine::whole();
    let scene = Scene::set().unwrap();
    let rest = scene.server.rest();
    rest.require_codes().unwrap();
    rest.add(STREAM, "alice", "play").unwrap();
    let good = rest.query(STREAM, "alice", "play").unwrap();
    let path = |query: &str| format!("/live/streams/{STREAM}.m3u8?{query}");
    assert_eq!(http::get(scene.server.http, &path(&good)).unwrap().status, 200);
    let right = good.rsplit('=').next().unwrap();
    let mut http = Http::connect(scene.server.http).unwrap();
    for code in (0..3000).map(|n| format!("{:06}", n * 331 % 1_000_000)).filter(|c| c != right) {
        let answer = http
            .ask("GET", &path(&format!("subscriberId=mallory{}&subscriberCode={code}", code.len())), &[], b"")
            .unwrap();
        assert_eq!(answer.status, 403);
    }
    let again = rest.query(STREAM, "alice", "play").unwrap();
    assert_eq!(http::get(scene.server.http, &path(&again)).unwrap().status, 200, "the owner is locked out");
    scene.server.check_log(&[right]).unwrap();
    scene.end();
}
