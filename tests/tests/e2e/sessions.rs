//! Whom the panel's list shows, and that each of them is stopped from there.

use anyhow::{Context, Result};
use serde_json::Value;
use sluice_tests::browser::{Browser, Page};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::hls::{FOLDER, Grant};
use sluice_tests::http;
use sluice_tests::machine;
use sluice_tests::peer::Peer;
use sluice_tests::rest::Rest;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::Server;
use sluice_tests::tls::Identity;
use sluice_tests::wait::eventually;

const STREAM: &str = "visited";
const DETAIL: &str = "/rest/v2/panel/streams/live/visited";

fn sessions(rest: &Rest) -> Result<Vec<Value>> {
    let detail = rest.must("GET", DETAIL, None)?;
    detail["sessions"].as_array().cloned().context("no sessions")
}

/// The session of a protocol and role, as soon as there is one.
fn session(rest: &Rest, protocol: &str, role: &str) -> String {
    let found = || {
        let all = sessions(rest).ok()?;
        let one = all.iter().find(|s| s["protocol"] == protocol && s["role"] == role)?;
        one["id"].as_str().map(str::to_owned)
    };
    eventually(&format!("a {role} over {protocol}"), found).unwrap()
}

/// With an unregistered stream's publisher the stream goes, and the list of its sessions.
fn is_gone(rest: &Rest, id: &str) {
    let gone = || sessions(rest).unwrap_or_default().iter().all(|s| s["id"] != id).then_some(());
    eventually("the session to be gone", gone).unwrap();
}

#[test]
fn a_session_is_stopped_on_every_protocol_and_its_peer_may_come_back() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let rest = server.rest();
    rest.login().unwrap();
    let mut publisher = ffmpeg::publish(&clips().unwrap().plain, &server.rtmp_url(STREAM)).unwrap();
    rest.wait_live(STREAM).unwrap();
    let stop = |protocol: &str, role: &str| {
        let id = session(&rest, protocol, role);
        rest.succeed("DELETE", &format!("{DETAIL}/sessions/{id}"), None).unwrap();
        is_gone(&rest, &id);
    };

    let stays = RtmpClient::play(server.rtmp, STREAM).unwrap();
    stays.more(50_000).unwrap();
    let kept = session(&rest, "rtmp", "player");
    let rtmp = RtmpClient::play(server.rtmp, STREAM).unwrap();
    rtmp.more(50_000).unwrap();
    let newer = || {
        let all = sessions(&rest).ok()?;
        let players = all.iter().filter(|s| s["protocol"] == "rtmp" && s["role"] == "player");
        players.filter_map(|s| s["id"].as_str()).find(|id| **id != kept).map(str::to_owned)
    };
    let id = eventually("the second player", newer).unwrap();
    rest.succeed("DELETE", &format!("{DETAIL}/sessions/{id}"), None).unwrap();
    eventually("the connection to end", || rtmp.is_closed().then_some(())).unwrap();
    let last = rtmp.statuses().unwrap().pop().unwrap();
    assert_eq!(last.description, "The stream was stopped.", "{last:?}");
    assert!(!stays.is_closed(), "another was stopped");

    let whep = Peer::play(&server.http_url(&format!("whep/{STREAM}"))).unwrap();
    whep.plays(15).unwrap();
    stop("whep", "player");
    eventually("the WHEP peer to be told", || (whep.state() == "closed").then_some(())).unwrap();

    let hls = Grant::read(server.http, format!("{FOLDER}{STREAM}.m3u8")).unwrap();
    stop("hls", "player");
    // He had no code, so he comes back by asking.
    assert_eq!(http::get(server.http, &hls.playlist).unwrap().status, 200);

    let browser = Browser::start().unwrap();
    let socket = format!("ws://{}/live/websocket", server.http);
    let page = Page::sdk_play(&browser, &socket, STREAM, "", "").unwrap();
    page.plays(15).unwrap();
    stop("webrtc", "player");
    page.called_back("play_finished").unwrap();

    stays.more(50_000).unwrap();
    stop("rtmp", "publisher");
    publisher.wait().unwrap();
    rest.wait_not_live(STREAM).unwrap();
    server.stop().unwrap();
}

#[test]
fn a_publisher_is_stopped_over_tls_whip_and_the_sdk_and_may_come_back() {
    let _machine = machine::whole();
    let server = Server::start_with_tls(&Identity::new().unwrap()).unwrap();
    let rest = server.rest();
    rest.login().unwrap();
    let stop = |protocol: &str| {
        rest.wait_live(STREAM).unwrap();
        let id = session(&rest, protocol, "publisher");
        rest.succeed("DELETE", &format!("{DETAIL}/sessions/{id}"), None).unwrap();
        is_gone(&rest, &id);
    };
    let rtmps = format!("rtmps://{}/live/{STREAM}", server.rtmps);
    let publish = || ffmpeg::publish(&clips().unwrap().plain, &rtmps).unwrap();

    let mut encoder = publish();
    stop("rtmp");
    encoder.wait().unwrap();
    rest.wait_not_live(STREAM).unwrap();

    let whip = Peer::publish(&server.http_url(&format!("whip/{STREAM}"))).unwrap();
    stop("whip");
    eventually("the WHIP peer to be told", || (whip.state() == "closed").then_some(())).unwrap();
    rest.wait_not_live(STREAM).unwrap();

    let browser = Browser::start().unwrap();
    let socket = format!("ws://{}/live/websocket", server.http);
    let page = Page::sdk_publish(&browser, &socket, STREAM, "", "").unwrap();
    stop("webrtc");
    page.called_back("publish_finished").unwrap();
    page.close().unwrap();

    // A stop is no block: whoever was stopped first comes back.
    let _encoder = publish();
    rest.wait_live(STREAM).unwrap();
    session(&rest, "rtmp", "publisher");
    server.stop().unwrap();
}
