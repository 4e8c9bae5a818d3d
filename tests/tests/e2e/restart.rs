//! A publisher ends and comes back: players that stay are served on.

use sluice_tests::browser::{Browser, Page};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::machine;
use sluice_tests::server::Server;

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
