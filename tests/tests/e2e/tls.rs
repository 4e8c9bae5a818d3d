//! Everything goes over TLS as it does without, a block included, and a new certificate costs
//! nobody his connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::Result;
use rustix::process::Signal;
use sluice_tests::browser::{Browser, Page};
use sluice_tests::capture::Capture;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{self, Player, Sound};
use sluice_tests::hls::{FOLDER, first_uri};
use sluice_tests::http::{self, Http};
use sluice_tests::machine;
use sluice_tests::peer::Peer;
use sluice_tests::proc::Process;
use sluice_tests::rest::Rest;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::Server;
use sluice_tests::tls::{self, Identity, TlsClient};
use sluice_tests::wait::eventually;
use sluice_tests::websocket::WebSocket;

const STREAM: &str = "sealed";
const ALICE: &str = "alice";
const BOB: &str = "bobby";

/// A server with a certificate, which requires codes, and a publisher over RTMPS.
struct Stage {
    server: Server,
    rest: Rest,
    identity: Identity,
    _publisher: Process,
}

impl Stage {
    fn set() -> Result<Self> {
        let identity = Identity::new()?;
        let server = Server::start_with_tls(&identity)?;
        let rest = server.rest();
        rest.require_codes()?;
        rest.add(STREAM, "publisher", "publish")?;
        rest.add(STREAM, ALICE, "play")?;
        rest.add(STREAM, BOB, "play")?;
        let query = rest.query(STREAM, "publisher", "publish")?;
        let _publisher = ffmpeg::publish(&clips()?.plain, &rtmps(&server, &format!("{STREAM}?{query}")))?;
        rest.wait_live(STREAM)?;
        Ok(Self { server, rest, identity, _publisher })
    }

    fn rtmp_name(&self, subscriber: &str) -> Result<String> {
        Ok(format!("{STREAM}?{}", self.rest.query(STREAM, subscriber, "play")?))
    }

    fn hls_path(&self, subscriber: &str) -> Result<String> {
        Ok(format!("{FOLDER}{STREAM}.m3u8?{}", self.rest.query(STREAM, subscriber, "play")?))
    }

    /// `https://…/live/{tail}`.
    fn url(&self, tail: &str) -> String {
        format!("https://{}/live/{tail}", self.server.https)
    }

    fn socket(&self) -> String {
        format!("wss://{}/live/websocket", self.server.https)
    }
}

fn rtmps(server: &Server, tail: &str) -> String {
    format!("rtmps://{}/live/{tail}", server.rtmps)
}

/// Asks until the answer is good.
fn get(host: SocketAddr, path: &str) -> http::Answer {
    let good = || http::get_tls(host, path).ok().filter(|a| a.status == 200);
    eventually("a good answer over HTTPS", good).unwrap()
}

#[test]
fn every_protocol_publishes_and_plays_over_tls() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    let url = rtmps(&stage.server, &stage.rtmp_name(ALICE).unwrap());
    Player::start(&url, Sound::Decode).unwrap().plays(60, Sound::Decode).unwrap().check_picture().unwrap();
    let url = format!("https://{}{}", stage.server.https, stage.hls_path(ALICE).unwrap());
    Player::start(&url, Sound::Decode).unwrap().plays(60, Sound::Decode).unwrap().check_picture().unwrap();
    let code = stage.rest.code(STREAM, ALICE, "play").unwrap();
    Page::sdk_play(&browser, &stage.socket(), STREAM, ALICE, &code).unwrap().plays(30).unwrap();

    let query = stage.rest.query(STREAM, ALICE, "play").unwrap();
    Peer::play(&stage.url(&format!("whep/{STREAM}?{query}")))
        .unwrap()
        .plays(30)
        .unwrap()
        .check_picture()
        .unwrap();

    stage.rest.add("whip", "publisher", "publish").unwrap();
    let query = stage.rest.query("whip", "publisher", "publish").unwrap();
    let _peer = Peer::publish(&stage.url(&format!("whip/whip?{query}"))).unwrap();
    stage.rest.wait_live("whip").unwrap();
    stage.rest.add("browser", "publisher", "publish").unwrap();
    let code = stage.rest.code("browser", "publisher", "publish").unwrap();
    let _page = Page::sdk_publish(&browser, &stage.socket(), "browser", "publisher", &code).unwrap();
    stage.rest.wait_live("browser").unwrap();
    let master = http::get_tls(stage.server.https, &stage.hls_path(BOB).unwrap()).unwrap();
    let cookie = master.header("set-cookie").unwrap();
    assert!(cookie.contains("; Secure"), "a cookie that goes over plain HTTP too");
    stage.server.stop().unwrap();
}

/// Browsers give camera and microphone to pages over HTTPS alone, but for their own machine's.
#[test]
fn our_pages_publish_and_play_where_the_browser_is_on_another_machine() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    let start = "document.querySelector('form button').click()";
    let plain = format!("http://sluice.test:{}/live/publish.html?id=camera", stage.server.http.port());
    let page = browser.open(&plain).unwrap();
    page.eval(start).unwrap();
    page.until("!isSecureContext && document.querySelector('[role=alert]').textContent.includes('https')")
        .unwrap();

    let at = |page: &str, stream: &str, subscriber: &str, role: &str| {
        let query = stage.rest.query(stream, subscriber, role).unwrap();
        format!("https://sluice.test:{}/live/{page}.html?id={stream}&{query}", stage.server.https.port())
    };
    stage.rest.add("camera", "publisher", "publish").unwrap();
    let publisher = browser.open(&at("publish", "camera", "publisher", "publish")).unwrap();
    publisher.eval(start).unwrap();
    stage.rest.wait_live("camera").unwrap();
    publisher.until("document.querySelector('main').dataset.state === 'live'").unwrap();
    stage.rest.add("camera", ALICE, "play").unwrap();
    for order in ["webrtc", "hls"] {
        let url = at("play", "camera", ALICE, "play");
        let player = browser.open(&format!("{url}&playOrder={order}")).unwrap();
        player
            .until("document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 60")
            .unwrap();
    }
    stage.server.stop().unwrap();
}

/// Streams of HTTP/2 would share the connection that a block resets.
#[test]
fn https_speaks_no_http_2() {
    let identity = Identity::new().unwrap();
    let server = Server::start_with_tls(&identity).unwrap();
    let client = TlsClient::connect(TcpStream::connect(server.https).unwrap()).unwrap();
    assert_eq!(client.protocol(), Some(b"http/1.1".as_slice()));
    server.stop().unwrap();
}

#[test]
fn a_block_silences_rtmps_and_https_and_rtmps_comes_back() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let https = stage.server.https;
    let master = get(https, &stage.hls_path(ALICE).unwrap());
    let variant = get(https, &first_uri(&master).unwrap());
    let segment = first_uri(&variant).unwrap();
    assert_eq!(http::get_tls(https, &segment).unwrap().status, 200);

    let capture = Capture::start(&[stage.server.http, https, stage.server.rtmps]).unwrap();
    let alice = RtmpClient::play_sealed(stage.server.rtmps, &stage.rtmp_name(ALICE).unwrap()).unwrap();
    let bob = RtmpClient::play_sealed(stage.server.rtmps, &stage.rtmp_name(BOB).unwrap()).unwrap();
    alice.more(100_000).unwrap();
    bob.more(100_000).unwrap();
    // A download that stands when the block comes must not go on.
    let mut half = Http::connect_tls(https).unwrap();
    half.send("GET", &segment, &[], b"").unwrap();
    half.head().unwrap();
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    bob.more(300_000).unwrap();
    assert_eq!(http::get_tls(https, &segment).unwrap().status, 401);
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    let sent = wire.tcp(stage.server.rtmps.port(), alice.port().unwrap());
    assert!(alice.media_after(0).unwrap() > 100_000);
    assert_eq!(alice.media_after(sent.sent_by(at)).unwrap(), 0, "media bytes after the 200");
    let sent = wire.tcp(https.port(), half.local().unwrap().port());
    assert_eq!(sent.bytes.len(), sent.sent_by(at), "bytes of an open download after the 200");
    assert!(!alice.is_closed());

    stage.rest.forget_code(STREAM, ALICE, "play").unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.more(100_000).unwrap();
    assert_eq!(http::get_tls(https, &first_uri(&master).unwrap()).unwrap().status, 200);
    stage.server.stop().unwrap();
}

#[test]
fn a_new_certificate_is_shown_to_the_next_and_a_bad_one_to_nobody() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let addresses = [stage.server.https, stage.server.rtmps];
    let player = RtmpClient::play_sealed(stage.server.rtmps, &stage.rtmp_name(ALICE).unwrap()).unwrap();
    player.more(100_000).unwrap();
    let browser = Browser::start().unwrap();
    let code = stage.rest.code(STREAM, BOB, "play").unwrap();
    let page = Page::sdk_play(&browser, &stage.socket(), STREAM, BOB, &code).unwrap();
    page.plays(30).unwrap();
    let mut https = Http::connect_tls(stage.server.https).unwrap();
    let mut wss = WebSocket::connect_tls(stage.server.https, "/live/websocket").unwrap();
    let mut kept_answer = || {
        assert_eq!(https.ask("GET", "/rest/v2/liveness", &[], b"").unwrap().status, 200);
        wss.send(r#"{"command":"ping"}"#).unwrap();
        let pong = wss.receive().unwrap().expect("the socket is open");
        assert!(pong.contains("pong"), "{pong}");
    };
    // Asked on and on: an HTTP connection that nobody uses is closed after five seconds.
    let mut shows = |wanted: &[u8]| {
        for address in addresses {
            let shown = || {
                kept_answer();
                (tls::certificate_of(address).ok()? == wanted).then_some(())
            };
            eventually("another certificate", shown).unwrap();
        }
    };
    // By its own look at the files, then by the signal.
    let renewed = stage.identity.renew().unwrap();
    shows(&renewed);
    stage.identity.spoil().unwrap();
    stage.server.process.signal(Signal::HUP);
    let said = |line: &String| line.contains("the certificate stays the old one").then_some(());
    eventually("the log to say so", || stage.server.process.log.find(said)).unwrap();
    shows(&renewed);
    player.more(100_000).unwrap();
    page.more(30).unwrap();
    assert!(!player.is_closed(), "the player over RTMPS");
    let ends = "window.events.filter(l => /^(closed|reconnection)/.test(l[1]))";
    assert_eq!(page.eval(ends).unwrap(), serde_json::json!([]), "the page's own socket");
    stage.server.stop().unwrap();
}

#[test]
fn who_speaks_no_tls_is_turned_away_and_nobody_else_notices() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let player = RtmpClient::play_sealed(stage.server.rtmps, &stage.rtmp_name(ALICE).unwrap()).unwrap();
    let plain_http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let rtmp = [&[3][..], &[0; 1536]].concat();
    // A record that claims to be longer than any may be, and one that never ends.
    let long = [&[22, 3, 1, 255, 255][..], &[1; 70_000]].concat();
    let half = vec![22, 3, 1, 2, 0, 1, 0, 1];
    for (address, words) in [stage.server.https, stage.server.rtmps]
        .into_iter()
        .flat_map(|address| [&plain_http, &rtmp, &long, &half].map(|words| (address, words)))
    {
        let mut stream = TcpStream::connect(address).unwrap();
        // It may hang up before it has heard all.
        let _ = stream.write_all(words);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        assert!(heard.len() < 100, "{} bytes to a stranger", heard.len());
    }
    player.more(100_000).unwrap();
    stage.server.stop().unwrap();
}
