//! A publisher ends and comes back: players that stay are served on.

use sluice_tests::browser::{Browser, Page};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::hls::{FOLDER, Grant};
use sluice_tests::http;
use sluice_tests::machine;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::Server;
use sluice_tests::wait::eventually;

const STREAM: &str = "again";

#[test]
fn hls_js_plays_on_when_the_publisher_comes_back_with_a_smaller_picture() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let (rest, clips) = (server.rest(), clips().unwrap());
    let browser = Browser::start().unwrap();
    let publisher = ffmpeg::publish(&clips.plain, &server.rtmp_url(STREAM)).unwrap();
    rest.wait_live(STREAM).unwrap();
    let page = Page::hls_play(&browser, &server.http_url(&format!("streams/{STREAM}.m3u8"))).unwrap();
    page.plays(30).unwrap();
    assert_eq!(page.eval("document.getElementById('video').videoHeight").unwrap(), 360);

    drop(publisher);
    rest.wait_not_live(STREAM).unwrap();
    let _publisher = ffmpeg::publish(&clips.small, &server.rtmp_url(STREAM)).unwrap();
    page.until("document.getElementById('video').videoHeight === 180").unwrap();
    page.eval("window.peak = 0").unwrap();
    let before = page.seen().unwrap().pictures.len();
    page.plays(before + 60).unwrap();
    page.seen().unwrap().since(before).check_picture().unwrap();
    assert_eq!(
        page.eval("window.events.filter(l => l[3] === true)").unwrap(),
        serde_json::json!([]),
        "fatal errors"
    );
    server.stop().unwrap();
}

#[test]
fn a_publisher_who_takes_himself_over_leaves_his_players_where_they_are() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let (rest, clips) = (server.rest(), clips().unwrap());
    rest.require_codes().unwrap();
    rest.add(STREAM, "publisher", "publish").unwrap();
    rest.add(STREAM, "alice", "play").unwrap();
    let publish = || {
        let query = rest.query(STREAM, "publisher", "publish").unwrap();
        ffmpeg::publish(&clips.plain, &server.rtmp_url(&format!("{STREAM}?{query}"))).unwrap()
    };
    let mut first = publish();
    rest.wait_live(STREAM).unwrap();
    let name = format!("{STREAM}?{}", rest.query(STREAM, "alice", "play").unwrap());
    let rtmp = RtmpClient::play(server.rtmp, &name).unwrap();
    let query = rest.query(STREAM, "alice", "play").unwrap();
    let hls = Grant::take(server.http, &format!("{FOLDER}{STREAM}.m3u8?{query}")).unwrap();
    rtmp.more(100_000).unwrap();

    let _second = publish();
    let mut asked = 0;
    eventually("segments of the second publisher behind those of the first", || {
        let answer = http::get(server.http, &hls.playlist).unwrap();
        asked += 1;
        assert_eq!(answer.status, 200, "the playlist is gone after {asked} requests");
        let text = answer.text();
        text.split_once("#EXT-X-DISCONTINUITY\n").filter(|(_, after)| after.contains("#EXTINF")).map(drop)
    })
    .unwrap();
    first.wait().expect("the first connection is closed");
    let audited = |line: &String| line.contains("taken over by a new login").then_some(());
    server.process.log.find(audited).expect("the take-over is in the audit log");
    let then = Grant::read(server.http, hls.playlist).unwrap();
    assert!(then.sequence >= hls.sequence, "{} after {}", then.sequence, hls.sequence);
    assert_eq!(http::get(server.http, &then.segment).unwrap().status, 200);
    rtmp.more(100_000).unwrap();
    assert!(!rtmp.is_closed());
    server.stop().unwrap();
}
