//! Behind nginx and behind Caddy, as `config/proxy` sets them up: how many bytes still reach
//! a player over HLS after its block was answered. What a proxy has taken is out of our reach,
//! so it must have taken little.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::hls::Grant;
use sluice_tests::http::{self, Http};
use sluice_tests::machine;
use sluice_tests::proc::Process;
use sluice_tests::proxy::Proxy;
use sluice_tests::rest::Rest;
use sluice_tests::server::Server;
use sluice_tests::wait::eventually;
use sluice_tests::websocket::WebSocket;

const STREAM: &str = "behind";
const ALICE: &str = "alice";
/// Bytes of a body that a player reads before it is blocked.
const TASTE: usize = 64 << 10;
/// Bytes that a player reads at a time, and how long it takes for them on its link: 3.2 MB a
/// second. The stream has 1.5.
const SIP: usize = 64 << 10;
const LINK: Duration = Duration::from_millis(20);
/// Bytes that sockets and proxies on the way may hold: the kernel lets some sockets have more
/// than a megabyte. A segment has more than twice as many.
const BUFFERS: usize = 2 << 20;

struct Stage {
    server: Server,
    rest: Rest,
    _publisher: Process,
}

impl Stage {
    fn set() -> Self {
        let server = Server::start_behind_a_proxy().unwrap();
        let rest = server.rest();
        rest.require_codes().unwrap();
        rest.set(&json!({"hlsTime": "4"})).unwrap();
        rest.add(STREAM, "publisher", "publish").unwrap();
        rest.add(STREAM, ALICE, "play").unwrap();
        let query = rest.query(STREAM, "publisher", "publish").unwrap();
        let url = server.rtmp_url(&format!("{STREAM}?{query}"));
        let _publisher = ffmpeg::publish(&clips().unwrap().heavy, &url).unwrap();
        rest.wait_live(STREAM).unwrap();
        Self { server, rest, _publisher }
    }

    /// Bytes that the player was given.
    fn given(&self) -> Option<u64> {
        let detail = self.rest.must("GET", &format!("/rest/v2/panel/streams/live/{STREAM}"), None).ok()?;
        let session = detail["sessions"].as_array()?.iter().find(|s| s["subscriber"] == ALICE)?;
        session["bytes"].as_u64()
    }

    /// Waits until the buffers on the way to a player that reads nothing are full.
    fn full(&self) {
        let (mut before, mut looks) = (None, 0);
        let stands = || {
            let now = Some(self.given()?);
            looks = if before == now { looks + 1 } else { 0 };
            before = now;
            (looks == 20).then_some(())
        };
        eventually("full buffers", stands).unwrap();
    }

    /// A player that has the beginning of a segment, and the segment's length.
    fn player(&self, proxy: SocketAddr) -> (Http, usize) {
        let query = self.rest.query(STREAM, ALICE, "play").unwrap();
        let grant = Grant::take(proxy, &format!("/live/streams/{STREAM}.m3u8?{query}")).unwrap();
        let mut player = Http::connect(proxy).unwrap();
        player.send("GET", &grant.segment, &[], b"").unwrap();
        let head = player.head().unwrap();
        assert_eq!(head.status, 200);
        let mut got = 0;
        while got < TASTE {
            got += player.some(TASTE).unwrap().len();
        }
        (player, head.header("content-length").unwrap().parse().unwrap())
    }

    fn block(&self, seconds: u64) {
        self.rest.block(STREAM, ALICE, seconds, "play").unwrap();
    }
}

/// Reads all that still comes, so much at a time and so fast, and counts it.
fn drink(mut player: Http, pause: Duration, count: &AtomicUsize) {
    while let Ok(bytes) = player.some(SIP)
        && !bytes.is_empty()
    {
        count.fetch_add(bytes.len(), Ordering::SeqCst);
        std::thread::sleep(pause);
    }
}

/// Bytes that reach a player that had stopped to read, after the answer to its block.
fn late_to_one_that_stopped(stage: &Stage, proxy: SocketAddr) -> usize {
    let (player, whole) = stage.player(proxy);
    assert!(whole > 2 * BUFFERS, "{whole} bytes are no large segment");
    stage.full();
    stage.block(600);
    let count = AtomicUsize::new(0);
    drink(player, Duration::ZERO, &count);
    stage.block(0);
    let late = count.into_inner();
    println!("{late} of some {whole} bytes reached a player that had stopped to read");
    late
}

/// The same of a player that reads, on a link of little more than twice the stream's rate.
fn late_to_one_that_reads(stage: &Stage, proxy: SocketAddr) -> usize {
    let (player, whole) = stage.player(proxy);
    assert!(whole > 2 * BUFFERS, "{whole} bytes are no large segment");
    let count = AtomicUsize::new(0);
    let before = std::thread::scope(|scope| {
        scope.spawn(|| drink(player, LINK, &count));
        stage.block(600);
        count.load(Ordering::SeqCst)
    });
    stage.block(0);
    let late = count.into_inner() - before;
    println!("{late} of some {whole} bytes reached a player that reads");
    late
}

#[test]
fn little_comes_after_a_block_through_a_proxy_as_we_set_it_up() {
    let _machine = machine::whole();
    let stage = Stage::set();
    let nginx = Proxy::nginx(stage.server.http).unwrap();
    let late = late_to_one_that_stopped(&stage, nginx.http);
    assert!(late < BUFFERS, "nginx: {late}");
    let late = late_to_one_that_reads(&stage, nginx.http);
    assert!(late < BUFFERS, "nginx: {late}");
    // One that has stopped to read gets what this machine's kernel lets Caddy's socket hold.
    let caddy = Proxy::caddy(stage.server.http).unwrap();
    late_to_one_that_stopped(&stage, caddy.http);
    let late = late_to_one_that_reads(&stage, caddy.http);
    assert!(late < BUFFERS, "Caddy: {late}");
    stage.server.stop().unwrap();
}

#[test]
fn a_proxy_that_takes_all_it_can_get_has_no_segment_ahead() {
    let _machine = machine::whole();
    let stage = Stage::set();
    let nginx = Proxy::greedy_nginx(stage.server.http).unwrap();
    let late = late_to_one_that_reads(&stage, nginx.http);
    assert!(late < BUFFERS, "{late}");
    let errors: Vec<_> =
        stage.server.process.log.lines().into_iter().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors, Vec::<String>::new(), "a block is normal work");
    stage.server.stop().unwrap();
}

/// A server that answers each request with its head.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = String::new();
            let mut lines = BufReader::new(&stream);
            while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).is_ok_and(|n| n > 0) {}
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_proxy_says_where_a_peer_is_whatever_the_peer_says() {
    let mirror = mirror();
    for proxy in [Proxy::nginx(mirror).unwrap(), Proxy::caddy(mirror).unwrap()] {
        let host = proxy.http.to_string();
        let claims = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Host", "elsewhere.example.org")];
        let head = http::ask(proxy.http, "GET", "/", &claims, b"").unwrap().text();
        let said = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let said = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name));
            said.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(said("X-Forwarded-For"), ["127.0.0.1"], "{head}");
        assert_eq!(said("X-Forwarded-Proto"), ["http"], "{head}");
        assert_eq!([said("X-Forwarded-Host"), said("Host")], [[host.as_str()], [host.as_str()]], "{head}");
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    }
}

#[test]
fn a_proxy_passes_websockets() {
    let server = Server::start_behind_a_proxy().unwrap();
    for proxy in [Proxy::nginx(server.http).unwrap(), Proxy::caddy(server.http).unwrap()] {
        WebSocket::connect(proxy.http, "/live/websocket").unwrap();
    }
    server.stop().unwrap();
}
