//! After a block's 200 not one more media byte, on the wire, by the kernel's clock; nobody
//! else loses anything; and it comes back.

use std::net::SocketAddr;

use anyhow::Result;
use sluice_tests::browser::{Browser, Page};
use sluice_tests::capture::{Capture, Time, Wire, is_rtcp};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{self, Player, Sound};
use sluice_tests::http::{self, Answer, Http};
use sluice_tests::machine;
use sluice_tests::peer::Peer;
use sluice_tests::proc::Process;
use sluice_tests::rest::Rest;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::rtmp_wire;
use sluice_tests::server::Server;
use sluice_tests::wait::eventually;

const STREAM: &str = "quiet";
const OTHER: &str = "loud";
/// Who is blocked.
const ALICE: &str = "alice";
/// Who must not notice.
const BOB: &str = "bobby";

/// A server that requires codes, with `STREAM` and `OTHER` published by a third.
struct Stage {
    server: Server,
    rest: Rest,
    publisher: Process,
    _other: Process,
}

impl Stage {
    fn set() -> Result<Self> {
        let server = Server::start()?;
        let rest = server.rest();
        rest.require_codes()?;
        for stream in [STREAM, OTHER] {
            rest.add(stream, "publisher", "publish")?;
            rest.add(stream, ALICE, "play")?;
            rest.add(stream, BOB, "play")?;
        }
        let publisher = publish(&server, &rest, STREAM)?;
        let _other = publish(&server, &rest, OTHER)?;
        Ok(Self { server, rest, publisher, _other })
    }

    fn rtmp_player(&self, stream: &str, subscriber: &str) -> Result<Player> {
        let query = self.rest.query(stream, subscriber, "play")?;
        Player::start(&self.server.rtmp_url(&format!("{stream}?{query}")), Sound::Leave)
    }

    fn whep_url(&self, stream: &str, subscriber: &str) -> Result<String> {
        Ok(self.server.http_url(&format!("whep/{stream}?{}", self.rest.query(stream, subscriber, "play")?)))
    }

    /// The subscriber's code will never be asked for again: it becomes another one.
    fn forget_codes(&self) -> Result<()> {
        self.rest.set(&serde_json::json!({"timeTokenPeriod": 61})).map(drop)
    }

    fn capture(&self) -> Result<Capture> {
        Capture::start(&[self.server.http, self.server.rtmp, self.server.webrtc])
    }

    fn end(self) -> Result<()> {
        drop(self.publisher);
        self.server.stop().map(drop)
    }
}

fn publish(server: &Server, rest: &Rest, stream: &str) -> Result<Process> {
    let query = rest.query(stream, "publisher", "publish")?;
    let process = ffmpeg::publish(&clips()?.plain, &server.rtmp_url(&format!("{stream}?{query}")))?;
    rest.wait_live(stream)?;
    Ok(process)
}

/// Media bytes that the RTMP connection of `port` got after `after`.
fn rtmp_media(wire: &Wire, rtmp: SocketAddr, port: u16, after: Time) -> Result<usize> {
    let stream = wire.tcp(rtmp.port(), port);
    rtmp_wire::media_from(&stream.bytes, stream.sent_by(after))
}

/// RTMP connections that had media at all, with the media bytes after `after`.
fn rtmp_players(wire: &Wire, rtmp: SocketAddr, after: Time) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for port in wire.tcp_peers(rtmp) {
        if rtmp_media(wire, rtmp, port, 0)? > 0 {
            found.push(rtmp_media(wire, rtmp, port, after)?);
        }
    }
    Ok(found)
}

#[test]
fn a_blocked_rtmp_player_is_silent_and_comes_back_without_a_code() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let capture = stage.capture().unwrap();
    let alice = stage.rtmp_player(STREAM, ALICE).unwrap();
    let bob = stage.rtmp_player(STREAM, BOB).unwrap();
    let elsewhere = stage.rtmp_player(OTHER, ALICE).unwrap();
    for player in [&alice, &bob, &elsewhere] {
        player.plays(30, Sound::Leave).unwrap();
    }
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    bob.sight().more(60).unwrap();
    elsewhere.sight().more(60).unwrap();
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    let after = rtmp_players(&wire, stage.server.rtmp, at).unwrap();
    assert_eq!(after.len(), 3, "three players had media: {after:?}");
    assert_eq!(after.iter().filter(|bytes| **bytes == 0).count(), 1, "media bytes after the 200: {after:?}");

    stage.forget_codes().unwrap();
    let before = alice.sight().count();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.sight().more(30).unwrap();
    assert!(alice.sight().count() > before);
    assert_eq!(bob.seen().jumps(), wraps(&bob), "the other subscriber lost pictures");
    assert_eq!(elsewhere.seen().jumps(), wraps(&elsewhere), "the same subscriber lost pictures elsewhere");
    stage.server.check_log(&[sluice_tests::rest::SUBSCRIBER_SECRET]).unwrap();
    stage.end().unwrap();
}

/// How often the clip began again: the number falls, which is no loss.
fn wraps(player: &Player) -> usize {
    let numbers: Vec<u16> = player.seen().numbers().collect();
    numbers.windows(2).filter(|w| w[0] > w[1] && w[1] == 0).count()
}

#[test]
fn a_play_block_that_runs_out_gives_the_picture_back() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let alice = stage.rtmp_player(STREAM, ALICE).unwrap();
    let mut whep = Peer::play(&stage.whep_url(STREAM, BOB).unwrap()).unwrap();
    assert_eq!(whep.status().unwrap().0, 201);
    alice.plays(30, Sound::Leave).unwrap();
    whep.plays(30).unwrap();
    stage.rest.block(STREAM, ALICE, 3, "play").unwrap();
    stage.rest.block(STREAM, BOB, 3, "play").unwrap();
    stage.forget_codes().unwrap();
    alice.sight().more(60).unwrap();
    whep.more(60).unwrap_or_else(|e| panic!("{e:#}\n{}", stage.server.process.log.text()));
    stage.end().unwrap();
}

#[test]
fn a_blocked_whep_player_is_silent_and_comes_back_without_a_code() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let capture = stage.capture().unwrap();
    let mut alice = Peer::play(&stage.whep_url(STREAM, ALICE).unwrap()).unwrap();
    let mut bob = Peer::play(&stage.whep_url(STREAM, BOB).unwrap()).unwrap();
    alice.plays(30).unwrap();
    bob.plays(30).unwrap();
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    bob.more(60).unwrap();
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    check_silent(&wire, &stage.server, &alice.ports().unwrap(), at, Allowed::Nothing);
    let heard =
        bob.ports().unwrap().iter().map(|p| wire.rtp(stage.server.webrtc, *p, at).len()).sum::<usize>();
    assert!(heard > 60, "the other subscriber got {heard} packets after the block");

    stage.forget_codes().unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.more(30).unwrap();
    assert_eq!(alice.state(), "connected");
    stage.end().unwrap();
}

/// What a player may still get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// A blocked player: neither RTP nor RTCP.
    Nothing,
    /// A player whose publisher was blocked: he is connected as before, so RTCP goes on.
    Reports,
}

/// Media flowed to these ports before the block, and nothing after it.
fn check_silent(wire: &Wire, server: &Server, ports: &[u16], at: Time, allowed: Allowed) {
    let (mut all, mut after) = (0, Vec::new());
    for port in ports {
        all += wire.rtp(server.webrtc, *port, 0).len();
        after.extend(wire.rtp(server.webrtc, *port, at));
    }
    after.retain(|(_, second)| allowed == Allowed::Nothing || !is_rtcp(*second));
    assert!(all > 30, "the capture shows only {all} packets to {ports:?}");
    let Some((first, second)) = after.first() else { return };
    panic!(
        "{} packets after the 200, the first {} us later, its second byte {second}",
        after.len(),
        first - at
    );
}

#[test]
fn a_blocked_sdk_player_is_silent_and_comes_back_without_a_code() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    let capture = stage.capture().unwrap();
    let socket = format!("ws://{}/live/websocket", stage.server.http);
    let code = stage.rest.code(STREAM, ALICE, "play").unwrap();
    let alice = Page::sdk_play(&browser, &socket, STREAM, ALICE, &code).unwrap();
    let bob = stage.rtmp_player(STREAM, BOB).unwrap();
    alice.plays(30).unwrap();
    let port = alice.port(STREAM).unwrap();
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    bob.plays(30, Sound::Leave).unwrap();
    bob.sight().more(90).unwrap();
    let wire = capture.stop().unwrap();
    check_silent(&wire, &stage.server, &[port], wire.answered(blocked.local).unwrap(), Allowed::Nothing);
    alice.until("window.events.some(l => l[0] === 'error' && l[1] === 'user_blocked')").unwrap();

    stage.forget_codes().unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.more(30).unwrap();
    stage.end().unwrap();
}

#[test]
fn a_blocked_rtmp_publisher_silences_his_stream_until_he_logs_in_again() {
    let _machine = machine::whole();
    let mut stage = Stage::set().unwrap();
    let capture = stage.capture().unwrap();
    let name = format!("{STREAM}?{}", stage.rest.query(STREAM, ALICE, "play").unwrap());
    let rtmp = RtmpClient::play(stage.server.rtmp, &name).unwrap();
    let mut whep = Peer::play(&stage.whep_url(STREAM, BOB).unwrap()).unwrap();
    rtmp.more(100_000).unwrap();
    whep.plays(30).unwrap();
    let blocked = stage.rest.block(STREAM, "publisher", 600, "publish").unwrap();
    stage.publisher.wait().expect("the blocked publisher's connection is closed");
    let again = stage.rest.query(STREAM, "publisher", "publish").unwrap();
    let url = stage.server.rtmp_url(&format!("{STREAM}?{again}"));
    let refused = ffmpeg::publish(&clips().unwrap().plain, &url).unwrap().wait().unwrap();
    assert!(!refused.success());
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    assert!(rtmp_media(&wire, stage.server.rtmp, rtmp.port().unwrap(), 0).unwrap() > 100_000);
    assert_eq!(rtmp_media(&wire, stage.server.rtmp, rtmp.port().unwrap(), at).unwrap(), 0);
    check_silent(&wire, &stage.server, &whep.ports().unwrap(), at, Allowed::Reports);
    let playlist = http::get(
        stage.server.http,
        &format!("/live/streams/{STREAM}.m3u8?{}", stage.rest.query(STREAM, ALICE, "play").unwrap()),
    );
    assert_eq!(playlist.unwrap().status, 404, "a blocked publisher's playlist goes at once");

    stage.rest.block(STREAM, "publisher", 0, "publish").unwrap();
    stage.publisher = publish(&stage.server, &stage.rest, STREAM).unwrap();
    rtmp.more(100_000).unwrap();
    assert!(!rtmp.is_closed());
    whep.more(30).unwrap();
    stage.end().unwrap();
}

#[test]
fn a_blocked_whip_publisher_silences_his_stream() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    stage.rest.add("whipped", "publisher", "publish").unwrap();
    stage.rest.add("whipped", BOB, "play").unwrap();
    let url = |rest: &Rest| {
        stage
            .server
            .http_url(&format!("whip/whipped?{}", rest.query("whipped", "publisher", "publish").unwrap()))
    };
    let mut publisher = Peer::publish(&url(&stage.rest)).unwrap();
    publisher.connected().unwrap();
    stage.rest.wait_live("whipped").unwrap();
    let capture = stage.capture().unwrap();
    let mut player = Peer::play(&stage.whep_url("whipped", BOB).unwrap()).unwrap();
    player.plays(30).unwrap();
    let blocked = stage.rest.block("whipped", "publisher", 600, "publish").unwrap();
    let mut refused = Peer::publish(&url(&stage.rest)).unwrap();
    assert_eq!(refused.status().unwrap().0, 403);
    let wire = capture.stop().unwrap();
    check_silent(
        &wire,
        &stage.server,
        &player.ports().unwrap(),
        wire.answered(blocked.local).unwrap(),
        Allowed::Reports,
    );

    stage.rest.block("whipped", "publisher", 0, "publish").unwrap();
    drop(publisher);
    let mut again = Peer::publish(&url(&stage.rest)).unwrap();
    assert_eq!(again.status().unwrap().0, 201);
    player.more(30).unwrap();
    stage.end().unwrap();
}

#[test]
fn a_blocked_sdk_publisher_silences_his_stream() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    stage.rest.add("browser", "publisher", "publish").unwrap();
    stage.rest.add("browser", BOB, "play").unwrap();
    let socket = format!("ws://{}/live/websocket", stage.server.http);
    let code = stage.rest.code("browser", "publisher", "publish").unwrap();
    let page = Page::sdk_publish(&browser, &socket, "browser", "publisher", &code).unwrap();
    stage.rest.wait_live("browser").unwrap();
    let capture = stage.capture().unwrap();
    let mut player = Peer::play(&stage.whep_url("browser", BOB).unwrap()).unwrap();
    player.plays(30).unwrap();
    let blocked = stage.rest.block("browser", "publisher", 600, "publish").unwrap();
    page.until("window.events.some(l => l[0] === 'error' && l[1] === 'user_blocked')").unwrap();
    let wire = capture.stop().unwrap();
    check_silent(
        &wire,
        &stage.server,
        &player.ports().unwrap(),
        wire.answered(blocked.local).unwrap(),
        Allowed::Reports,
    );
    // The SDK's own loop publishes again with the code that it has, which is still good.
    stage.rest.block("browser", "publisher", 0, "publish").unwrap();
    player.more(30).unwrap();
    stage.end().unwrap();
}

/// The first URI of a playlist that is not a comment, made absolute to the host.
fn first_uri(playlist: &Answer, folder: &str) -> String {
    let text = playlist.text();
    let uri = text
        .lines()
        .find(|l| !l.is_empty() && !l.starts_with('#'))
        .unwrap_or_else(|| panic!("no URI in {text}"));
    if uri.starts_with('/') { uri.to_owned() } else { format!("{folder}{uri}") }
}

const FOLDER: &str = "/live/streams/";

#[test]
fn a_blocked_hls_player_gets_no_playlist_no_segment_and_no_head_by_query_or_cookie() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let host = stage.server.http;
    let query = stage.rest.query(STREAM, ALICE, "play").unwrap();
    let by_query = format!("{FOLDER}{STREAM}.m3u8?{query}");
    let master =
        eventually("a playlist", || http::get(host, &by_query).ok().filter(|a| a.status == 200)).unwrap();
    assert!(!master.text().contains(query.rsplit('=').next().unwrap()), "the code is in the playlist");
    let variant = first_uri(&master, FOLDER);
    let media = eventually("a segment", || {
        http::get(host, &variant).ok().filter(|a| a.status == 200 && a.text().contains("#EXTINF"))
    });
    let segment = first_uri(&media.unwrap(), FOLDER);
    assert_eq!(http::get(host, &segment).unwrap().status, 200);

    let cookie = master.cookies();
    let bare = segment.split('?').next().unwrap().to_owned();
    let plain = format!("{FOLDER}{STREAM}.m3u8");
    let ways = [
        (&by_query, ""),
        (&variant, ""),
        (&segment, ""),
        (&plain, cookie.as_str()),
        (&bare, cookie.as_str()),
    ];
    let statuses = |wanted: u16| {
        for (method, (path, cookie)) in ["GET", "HEAD"].iter().flat_map(|m| ways.map(|way| (m, way))) {
            let answer = http::ask(host, method, path, &[("Cookie", cookie)], b"").unwrap();
            let shown = path.split('?').next().unwrap();
            assert_eq!(
                answer.status,
                wanted,
                "{method} {shown} with cookie {}: {}",
                !cookie.is_empty(),
                answer.text()
            );
            assert!(wanted == 200 || answer.body.len() < 200, "a refusal carries media");
        }
    };
    // A download that stands when the block comes must not go on.
    let mut half = Http::connect(host).unwrap();
    half.send("GET", &segment, &[], b"").unwrap();
    half.head().unwrap();
    let capture = stage.capture().unwrap();
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    statuses(401);
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    let stream = wire.tcp(host.port(), half.local().unwrap().port());
    assert_eq!(stream.bytes.len(), stream.sent_by(at), "bytes of an open download after the 200");

    let other = format!("{FOLDER}{STREAM}.m3u8?{}", stage.rest.query(STREAM, BOB, "play").unwrap());
    assert_eq!(http::get(host, &other).unwrap().status, 200);
    let elsewhere = format!("{FOLDER}{OTHER}.m3u8?{}", stage.rest.query(OTHER, ALICE, "play").unwrap());
    assert_eq!(http::get(host, &elsewhere).unwrap().status, 200);
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    assert_eq!(http::get(host, &variant).unwrap().status, 200);
    stage.end().unwrap();
}

#[test]
fn hls_js_comes_back_after_a_block_without_a_code() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    let query = stage.rest.query(STREAM, ALICE, "play").unwrap();
    let page =
        Page::hls_play(&browser, &stage.server.http_url(&format!("streams/{STREAM}.m3u8?{query}"))).unwrap();
    page.plays(30).unwrap();
    stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    page.until("window.events.some(l => l[0] === 'error' && l[2] === '401')").unwrap();
    stage.forget_codes().unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    page.more(60).unwrap();
    stage.end().unwrap();
}
