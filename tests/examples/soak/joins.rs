//! One join each: good ones by all protocols, and hostile ones that are harmless.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sluice_tests::hls::{FOLDER, first_uri};
use sluice_tests::http::{Answer, Http};
use sluice_tests::rest::Rest;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::Server;
use sluice_tests::websocket::WebSocket;

/// What everybody plays.
pub const STREAM: &str = "cam";
/// Subscribers who play it, in turn: more than are there at a time.
const PLAYERS: usize = 60;
/// Streams that are asked to be published.
const STREAMS: usize = 10;
/// How long a good player stays.
const STAY: Duration = Duration::from_secs(3);
/// How long a hostile peer holds what it has.
const HOLD: Duration = Duration::from_secs(5);

/// What joins need to know.
pub struct World {
    http: SocketAddr,
    rtmp: SocketAddr,
    /// The operator's side.
    pub rest: Rest,
}

/// Whether the join of this number is a hostile one: every fifth.
pub fn is_hostile(number: usize) -> bool {
    number % 5 == 4
}

impl World {
    /// Registers who joins.
    pub fn new(server: &Server, rest: Rest) -> Result<Self> {
        rest.add(STREAM, "encoder", "publish")?;
        for player in 0..PLAYERS {
            rest.add(STREAM, &format!("player{player}"), "play")?;
        }
        for stream in 0..STREAMS {
            rest.add(&format!("stream{stream}"), "encoder", "publish")?;
        }
        Ok(Self { http: server.http, rtmp: server.rtmp, rest })
    }

    /// A stream's name with its publisher's code of now.
    pub fn publishing(&self, stream: &str) -> Result<String> {
        Ok(format!("{stream}?{}", self.rest.query(stream, "encoder", "publish")?))
    }

    /// One join from its beginning to its end; an error if it was not met as it should be.
    pub fn join(&self, number: usize) -> Result<()> {
        if is_hostile(number) {
            return self.hostile(number / 5 % 8, number);
        }
        let query = || self.rest.query(STREAM, &format!("player{}", number % PLAYERS), "play");
        let from = format!("198.51.{}.{}", number / 250 % 100, number % 250);
        match number / 5 * 4 % 16 + number % 5 {
            0..=4 => self.rtmp_play(&query()?).context("RTMP, playing"),
            5 | 6 => self.rtmp_publish(number % STREAMS).context("RTMP, publishing"),
            7..=10 => self.hls(&query()?, &from).context("HLS"),
            11..=13 => self.signalling(&query()?, &from).context("WebSocket"),
            _ => self.whep(&query()?, &from).context("WHEP"),
        }
    }

    fn rtmp_play(&self, query: &str) -> Result<()> {
        let player = RtmpClient::play(self.rtmp, &format!("{STREAM}?{query}"))?;
        player.more(1)?;
        std::thread::sleep(STAY);
        ensure!(!player.is_closed(), "closed while it played");
        Ok(())
    }

    fn rtmp_publish(&self, stream: usize) -> Result<()> {
        let publisher = RtmpClient::publish(self.rtmp, &self.publishing(&format!("stream{stream}"))?)?;
        let answer = publisher.answer()?;
        ensure!(answer.code.ends_with("Publish.Start"), "{}", answer.code);
        Ok(())
    }

    fn hls(&self, query: &str, from: &str) -> Result<()> {
        let mut http = Http::connect(self.http)?;
        let mut get = |path: &str| -> Result<Answer> {
            let answer = http.ask("GET", path, &[("X-Forwarded-For", from)], b"")?;
            ensure!(answer.status == 200, "{}", answer.status);
            Ok(answer)
        };
        let playlist = first_uri(&get(&format!("{FOLDER}{STREAM}.m3u8?{query}"))?)?;
        for _ in 0..20 {
            let listed = get(&playlist)?;
            if listed.text().contains("#EXTINF") {
                get(&first_uri(&listed)?)?;
                return Ok(());
            }
            // A packager that has just been started; players ask again after a while, too.
            std::thread::sleep(Duration::from_millis(500));
        }
        bail!("no segment")
    }

    fn signalling(&self, query: &str, from: &str) -> Result<()> {
        let mut socket = WebSocket::connect_from(self.http, "/live/websocket", from)?;
        let (subscriber, code) = query.split_once('&').context("a query of two")?;
        let value = |pair: &str| pair.split('=').nth(1).unwrap_or_default().to_owned();
        let ask = serde_json::json!({
            "command": "play", "streamId": STREAM,
            "subscriberId": value(subscriber), "subscriberCode": value(code),
        });
        socket.send(&ask.to_string())?;
        while let Some(text) = socket.receive()? {
            if text.contains("takeConfiguration") {
                std::thread::sleep(STAY);
                return Ok(());
            }
            ensure!(!text.contains(r#""command":"error""#), "{text}");
        }
        bail!("no offer")
    }

    fn whep(&self, query: &str, from: &str) -> Result<()> {
        let headers = [("Content-Type", "application/sdp"), ("X-Forwarded-For", from)];
        let mut http = Http::connect(self.http)?;
        let made = http.ask("POST", &format!("/live/whep/{STREAM}?{query}"), &headers, OFFER.as_bytes())?;
        ensure!(made.status == 201, "{} {}", made.status, made.text());
        let place = made.header("Location").context("no Location")?;
        let path = place.find("/live/").map_or(place, |at| &place[at..]).to_owned();
        std::thread::sleep(STAY);
        let gone = http.ask("DELETE", &path, &headers[1..], b"")?;
        ensure!(gone.status == 200 || gone.status == 204, "DELETE: {}", gone.status);
        Ok(())
    }
}

// Hostile ones.
impl World {
    fn hostile(&self, kind: usize, number: usize) -> Result<()> {
        let from = format!("203.0.{}.{}", number / 250 % 100, number % 250);
        match kind {
            0 => silent(self.rtmp, &[&[3][..], &[0; 700]].concat()).context("half a handshake"),
            1 => silent(self.rtmp, b"").context("silence at RTMP"),
            2 => silent(self.http, b"GET / HTT").context("half a request"),
            3 => self.large_head(&from).context("a large head"),
            4 => self.unread(&from).context("unread answers"),
            5 => self.wrong_code(number, &from).context("a wrong code"),
            6 => self.large_offer(&from).context("a large offer"),
            _ => self.large_message(&from).context("a large message"),
        }
    }

    fn large_head(&self, from: &str) -> Result<()> {
        let mut http = Http::connect(self.http)?;
        let padding = "x".repeat(200 << 10);
        // The server may answer and close before it was sent all.
        let _cut = http.send("GET", "/", &[("X-Forwarded-For", from), ("X-Padding", &padding)], b"");
        match http.head() {
            Ok(answer) => ensure!((400..500).contains(&answer.status), "{}", answer.status),
            Err(_closed) => {}
        }
        Ok(())
    }

    /// Asks for pages and reads none of them.
    fn unread(&self, from: &str) -> Result<()> {
        let mut http = Http::connect(self.http)?;
        for _ in 0..50 {
            http.send("GET", "/live/play.html", &[("X-Forwarded-For", from)], b"")?;
        }
        std::thread::sleep(HOLD);
        Ok(())
    }

    fn wrong_code(&self, number: usize, from: &str) -> Result<()> {
        let path =
            format!("{FOLDER}{STREAM}.m3u8?subscriberId=player{}&subscriberCode=000000", number % PLAYERS);
        let answer = Http::connect(self.http)?.ask("GET", &path, &[("X-Forwarded-For", from)], b"")?;
        ensure!((400..500).contains(&answer.status), "{}", answer.status);
        Ok(())
    }

    fn large_offer(&self, from: &str) -> Result<()> {
        let offer = OFFER.to_owned() + &"a=x-padding:1\r\n".repeat(5000);
        let headers = [("Content-Type", "application/sdp"), ("X-Forwarded-For", from)];
        let path = format!("/live/whep/{STREAM}");
        let answer = Http::connect(self.http)?.ask("POST", &path, &headers, offer.as_bytes())?;
        ensure!((400..500).contains(&answer.status), "{}", answer.status);
        Ok(())
    }

    fn large_message(&self, from: &str) -> Result<()> {
        let mut socket = WebSocket::connect_from(self.http, "/live/websocket", from)?;
        socket.send("[]")?;
        // The server may close before it was sent all.
        let _cut = socket.send(&"x".repeat(200 << 10));
        while let Ok(Some(_)) = socket.receive() {}
        Ok(())
    }
}

/// Says so much and no more, and leaves.
fn silent(host: SocketAddr, words: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(words)?;
    stream.set_read_timeout(Some(HOLD))?;
    // Until it is closed, or has held what it has for long enough.
    let _end = stream.read_to_end(&mut Vec::new());
    Ok(())
}

/// A player's, as browsers send it; nothing ever comes from there.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 108\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:108 H264/90000\r\n\
a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";
