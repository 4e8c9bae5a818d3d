//! After a block's 200 not one more media byte, on the wire, by the kernel's clock; nobody
//! else loses anything; and it comes back.

use std::net::SocketAddr;

use anyhow::Result;
use sluice_tests::browser::{Browser, Page};
use sluice_tests::capture::{Capture, Time, Wire, is_rtcp};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{self, Player, Sound};
use sluice_tests::hls::{FOLDER, Grant, first_uri};
use sluice_tests::http::{self, Http};
use sluice_tests::machine;
use sluice_tests::peer::Peer;
use sluice_tests::proc::Process;
use sluice_tests::rest::Rest;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::rtmp_wire::{self, Status};
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

    /// An SDK player on a page of its own.
    fn sdk_player(&self, browser: &Browser, stream: &str, subscriber: &str) -> Result<Page> {
        let code = self.rest.code(stream, subscriber, "play")?;
        Page::sdk_play(browser, &self.socket(), stream, subscriber, &code)
    }

    fn socket(&self) -> String {
        format!("ws://{}/live/websocket", self.server.http)
    }

    fn hls_url(&self, stream: &str, subscriber: &str) -> Result<String> {
        let query = self.rest.query(stream, subscriber, "play")?;
        Ok(self.server.http_url(&format!("streams/{stream}.m3u8?{query}")))
    }

    /// What the server answers to who wants to publish with this query.
    fn asks_to_publish(&self, query: &str) -> Result<Status> {
        RtmpClient::publish(self.server.rtmp, &format!("{STREAM}?{query}"))?.answer()
    }

    /// The player's code of before is worth nothing from now on.
    fn forget_code(&self, subscriber: &str) -> Result<()> {
        self.rest.forget_code(STREAM, subscriber, "play")
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

    stage.forget_code(ALICE).unwrap();
    let before = alice.sight().count();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.sight().more(30).unwrap();
    assert!(alice.sight().count() > before);
    assert_eq!(bob.seen().holes(), 0, "the other subscriber lost pictures");
    assert_eq!(elsewhere.seen().holes(), 0, "the same subscriber lost pictures elsewhere");
    stage.server.check_log(&[sluice_tests::rest::SUBSCRIBER_SECRET]).unwrap();
    stage.end().unwrap();
}

#[test]
fn a_play_block_that_runs_out_gives_the_picture_back() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    let alice = stage.rtmp_player(STREAM, ALICE).unwrap();
    let sdk = stage.sdk_player(&browser, STREAM, ALICE).unwrap();
    let mut whep = Peer::play(&stage.whep_url(STREAM, BOB).unwrap()).unwrap();
    let hls = Page::hls_play(&browser, &stage.hls_url(STREAM, BOB).unwrap()).unwrap();
    assert_eq!(whep.status().unwrap().0, 201);
    alice.plays(30, Sound::Leave).unwrap();
    sdk.plays(30).unwrap();
    whep.plays(30).unwrap();
    hls.plays(30).unwrap();
    for subscriber in [ALICE, BOB] {
        stage.forget_code(subscriber).unwrap();
    }
    stage.rest.block(STREAM, ALICE, 3, "play").unwrap();
    // Long enough for hls.js to ask for something, and to be refused it.
    stage.rest.block(STREAM, BOB, 5, "play").unwrap();
    sdk.is_told("user_blocked", 1).unwrap();
    alice.sight().more(60).unwrap();
    sdk.more(60).unwrap();
    whep.more(60).unwrap_or_else(|e| panic!("{e:#}\n{}", stage.server.process.log.text()));
    hls.until("window.events.some(l => l[0] === 'error' && l[2] === '401')").unwrap();
    hls.outlives_its_buffer().unwrap();
    stage.end().unwrap();
}

#[test]
fn a_blocked_whep_player_is_silent_and_comes_back_without_a_code() {
    let _machine = machine::whole();
    let stage = Stage::set().unwrap();
    let capture = stage.capture().unwrap();
    let mut alice = Peer::play(&stage.whep_url(STREAM, ALICE).unwrap()).unwrap();
    let mut bob = Peer::play(&stage.whep_url(STREAM, BOB).unwrap()).unwrap();
    let elsewhere = Peer::play(&stage.whep_url(OTHER, ALICE).unwrap()).unwrap();
    for player in [&alice, &bob, &elsewhere] {
        player.plays(30).unwrap();
    }
    let (bobs, elsewheres) = (bob.count(), elsewhere.count());
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    bob.more(60).unwrap();
    elsewhere.more(60).unwrap();
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    check_silent(&wire, &stage.server, &alice.ports().unwrap(), at, Allowed::Nothing);
    let heard =
        bob.ports().unwrap().iter().map(|p| wire.rtp(stage.server.webrtc, *p, at).len()).sum::<usize>();
    assert!(heard > 60, "the other subscriber got {heard} packets after the block");

    stage.forget_code(ALICE).unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.more(30).unwrap();
    assert_eq!(alice.state(), "connected");
    assert_eq!(bob.seen().since(bobs).holes(), 0, "the other subscriber lost pictures");
    assert_eq!(elsewhere.seen().since(elsewheres).holes(), 0, "the same subscriber lost pictures elsewhere");
    stage.end().unwrap();
}

/// The capture's clock.
const SECOND: Time = 1_000_000;
/// From one picture of the clip to the next, in ticks of 90 kHz.
const PICTURE: u32 = 3000;

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
    let alice = stage.sdk_player(&browser, STREAM, ALICE).unwrap();
    let bob = stage.sdk_player(&browser, STREAM, BOB).unwrap();
    let elsewhere = stage.sdk_player(&browser, OTHER, ALICE).unwrap();
    for player in [&alice, &bob, &elsewhere] {
        player.plays(30).unwrap();
    }
    let port = alice.port(STREAM).unwrap();
    let others = [bob.port(STREAM).unwrap(), elsewhere.port(OTHER).unwrap()];
    let blocked = stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    bob.more(60).unwrap();
    elsewhere.more(60).unwrap();
    alice.is_told("user_blocked", 1).unwrap();
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    check_silent(&wire, &stage.server, &[port], at, Allowed::Nothing);
    // A busy browser leaves pictures out by itself, so these two are looked at on the wire.
    for port in others {
        let step = wire.longest_step(stage.server.webrtc, port, at - SECOND).unwrap();
        assert!(step < PICTURE * 3 / 2, "pictures are missing: {step} ticks between two");
    }

    stage.forget_code(ALICE).unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    alice.more(30).unwrap();
    stage.end().unwrap();
}

#[test]
fn a_blocked_rtmp_publisher_silences_his_stream_until_he_logs_in_again() {
    let _machine = machine::whole();
    let mut stage = Stage::set().unwrap();
    let browser = Browser::start().unwrap();
    let capture = stage.capture().unwrap();
    let host = stage.server.http;
    let name = format!("{STREAM}?{}", stage.rest.query(STREAM, ALICE, "play").unwrap());
    let rtmp = RtmpClient::play(stage.server.rtmp, &name).unwrap();
    let mut whep = Peer::play(&stage.whep_url(STREAM, BOB).unwrap()).unwrap();
    let sdk = stage.sdk_player(&browser, STREAM, BOB).unwrap();
    let master = format!("{FOLDER}{STREAM}.m3u8?{}", stage.rest.query(STREAM, ALICE, "play").unwrap());
    let hls = Grant::take(host, &master).unwrap();
    rtmp.more(100_000).unwrap();
    whep.plays(30).unwrap();
    sdk.plays(30).unwrap();
    assert_eq!(http::get(host, &hls.segment).unwrap().status, 200);
    let port = sdk.port(STREAM).unwrap();

    let blocked = stage.rest.block(STREAM, "publisher", 600, "publish").unwrap();
    for path in [&hls.playlist, &hls.segment, &master] {
        let status = http::get(host, path).unwrap().status;
        assert_eq!(status, 404, "what a blocked publisher left goes at once");
    }
    stage.publisher.wait().expect("the blocked publisher's connection is closed");
    let again = stage.rest.query(STREAM, "publisher", "publish").unwrap();
    assert_eq!(stage.asks_to_publish(&again).unwrap(), refusal(BLOCKED));
    assert_eq!(
        stage.asks_to_publish(&wrong(&again)).unwrap(),
        refusal(NOT_ALLOWED),
        "strangers learn no block"
    );
    let wire = capture.stop().unwrap();
    let at = wire.answered(blocked.local).unwrap();
    assert!(rtmp_media(&wire, stage.server.rtmp, rtmp.port().unwrap(), 0).unwrap() > 100_000);
    assert_eq!(rtmp_media(&wire, stage.server.rtmp, rtmp.port().unwrap(), at).unwrap(), 0);
    check_silent(&wire, &stage.server, &whep.ports().unwrap(), at, Allowed::Reports);
    check_silent(&wire, &stage.server, &[port], at, Allowed::Reports);

    stage.rest.block(STREAM, "publisher", 0, "publish").unwrap();
    stage.rest.forget_code(STREAM, "publisher", "publish").unwrap();
    let valid = stage.rest.query(STREAM, "publisher", "publish").unwrap();
    for invalid in [again, wrong(&valid), "subscriberId=publisher".into(), String::new()] {
        assert_eq!(stage.asks_to_publish(&invalid).unwrap(), refusal(NOT_ALLOWED));
    }
    stage.publisher = publish(&stage.server, &stage.rest, STREAM).unwrap();
    rtmp.more(100_000).unwrap();
    assert!(!rtmp.is_closed());
    whep.more(30).unwrap();
    assert_eq!(whep.state(), "connected");
    sdk.more(30).unwrap();
    assert_eq!(sdk.port(STREAM).unwrap(), port, "the page has the connection that it had");
    let then = Grant::read(host, hls.playlist).unwrap();
    assert!(then.sequence > hls.sequence, "{} after {}", then.sequence, hls.sequence);
    assert_eq!(http::get(host, &then.segment).unwrap().status, 200);
    assert_eq!(http::get(host, &hls.segment).unwrap().status, 404, "what was blocked is back");
    stage.end().unwrap();
}

/// What RTMP says to a blocked publisher, and to one with a wrong code (C§14).
const BLOCKED: (&str, &str) = ("NetStream.Failed", "Subscriber publisher is blocked to publish stream.");
const NOT_ALLOWED: (&str, &str) = ("NetStream.Publish.BadName", "You are not allowed to publish the stream.");

fn refusal((code, description): (&str, &str)) -> Status {
    Status { level: "error".into(), code: code.into(), description: description.into() }
}

/// The query with another last digit in its code.
fn wrong(query: &str) -> String {
    let (rest, last) = query.split_at(query.len() - 1);
    format!("{rest}{}", if last == "7" { "3" } else { "7" })
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
    let code = stage.rest.code("browser", "publisher", "publish").unwrap();
    let page = Page::sdk_publish(&browser, &stage.socket(), "browser", "publisher", &code).unwrap();
    stage.rest.wait_live("browser").unwrap();
    let capture = stage.capture().unwrap();
    let mut player = Peer::play(&stage.whep_url("browser", BOB).unwrap()).unwrap();
    player.plays(30).unwrap();
    let blocked = stage.rest.block("browser", "publisher", 600, "publish").unwrap();
    page.called_back("publish_finished").unwrap();
    // The first as he is blocked, the second as the SDK's own loop asks again.
    page.is_told("user_blocked", 2).unwrap();
    let wire = capture.stop().unwrap();
    check_silent(
        &wire,
        &stage.server,
        &player.ports().unwrap(),
        wire.answered(blocked.local).unwrap(),
        Allowed::Reports,
    );
    // The loop publishes again with the code that it has for as long as that is good.
    stage.rest.block("browser", "publisher", 0, "publish").unwrap();
    player.more(30).unwrap();
    stage.rest.forget_code("browser", "publisher", "publish").unwrap();
    stage.rest.block("browser", "publisher", 600, "publish").unwrap();
    stage.rest.block("browser", "publisher", 0, "publish").unwrap();
    page.is_told("unauthorized_access", 1).unwrap();
    stage.rest.wait_not_live("browser").unwrap();
    stage.end().unwrap();
}

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
    let grant = Grant::read(host, first_uri(&master).unwrap()).unwrap();
    let Grant { playlist: variant, segment, .. } = grant;
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
    let page = Page::hls_play(&browser, &stage.hls_url(STREAM, ALICE).unwrap()).unwrap();
    // ffmpeg shows every picture, however late; a busy browser does not.
    let bob = Player::start(&stage.hls_url(STREAM, BOB).unwrap(), Sound::Leave).unwrap();
    let elsewhere = Player::start(&stage.hls_url(OTHER, ALICE).unwrap(), Sound::Leave).unwrap();
    page.plays(30).unwrap();
    for player in [&bob, &elsewhere] {
        player.plays(30, Sound::Leave).unwrap();
    }
    stage.rest.block(STREAM, ALICE, 600, "play").unwrap();
    page.until("window.events.some(l => l[0] === 'error' && l[2] === '401')").unwrap();
    stage.forget_code(ALICE).unwrap();
    stage.rest.block(STREAM, ALICE, 0, "play").unwrap();
    page.outlives_its_buffer().unwrap();
    // So many that the segments of the time of the block are among them.
    bob.sight().more(150).unwrap();
    elsewhere.sight().more(150).unwrap();
    assert_eq!(bob.seen().holes(), 0, "the other subscriber lost pictures");
    assert_eq!(elsewhere.seen().holes(), 0, "the same subscriber lost pictures elsewhere");
    stage.end().unwrap();
}
