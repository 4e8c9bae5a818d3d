//! What publishers and slow players may make the server hold.

use sluice_tests::http;
use sluice_tests::machine;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::{Home, Server};
use sluice_tests::wait::eventually;

const MIB: usize = 1 << 20;

/// A decoder configuration record of x264, 640 by 360, in a video message.
const CONFIGURATION: &[u8] = b"\x17\0\0\0\0\
    \x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48\
    \x01\0\x05\x68\xcb\x83\xcb\x20";

/// RTMP message types.
const CHUNK_SIZE: u8 = 1;
const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const AGGREGATE: u8 = 22;

/// A message in one chunk.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[4, 0, 0, 0][..], &length[1..], &[kind, 1, 0, 0, 0], body].concat()
}

/// A key frame of so many bytes: one NAL unit.
fn picture(size: usize) -> Vec<u8> {
    let unit = (size as u32).to_be_bytes();
    message(VIDEO, &[&[0x17, 1, 0, 0, 0][..], &unit, &[0x65], &vec![7; size - 1]].concat())
}

/// A publisher that is live with pictures, and with sound that it has said nothing of yet.
fn publish(server: &Server, stream: &str) -> RtmpClient {
    let publisher = RtmpClient::publish(server.rtmp, stream).unwrap();
    assert_eq!(publisher.answer().unwrap().code, "NetStream.Publish.Start");
    publisher.say(&message(CHUNK_SIZE, &(16_u32 << 20).to_be_bytes())).unwrap();
    publisher.say(&message(VIDEO, CONFIGURATION)).unwrap();
    publisher.say(&message(AUDIO, b"\xaf\0\x12\x10")).unwrap();
    publisher.say(&picture(1000)).unwrap();
    server.rest().wait_live(stream).unwrap();
    publisher
}

/// A sample of `/metrics`.
fn metric(server: &Server, name: &str) -> f64 {
    let text = http::get(server.http, "/metrics").unwrap().text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

fn resident(server: &Server) -> f64 {
    metric(server, "process_resident_memory_bytes")
}

/// Waits until so many bytes of publishers came.
fn until_received(server: &Server, bytes: usize) {
    let received = r#"sluice_received_bytes_total{protocol="rtmp",role="publisher"}"#;
    eventually("the server to have it", || (metric(server, received) >= bytes as f64).then_some(())).unwrap();
}

#[test]
fn aggregates_hold_no_more_than_their_media() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let publisher = publish(&server, "aggregates");
    let before = resident(&server);
    // Three bytes of sound, and a tag that nobody reads for the rest.
    let filler = 8 * MIB - 100;
    let length = (filler as u32).to_be_bytes();
    let sound = [&[AUDIO, 0, 0, 3][..], &[0; 7], b"\xaf\x01\x21", &[0; 4]].concat();
    let rest = [&[18][..], &length[1..], &[0; 7], &vec![7; filler], &[0; 4]].concat();
    let aggregate = message(AGGREGATE, &[sound, rest].concat());
    for _ in 0..12 {
        publisher.say(&aggregate).unwrap();
    }
    let picture = picture(1000);
    publisher.say(&picture).unwrap();
    until_received(&server, 2000 + 12);
    let grown = resident(&server) - before;
    assert!(grown < 48.0 * MIB as f64, "grew by {} MiB of 96", grown as usize / MIB);
    server.stop().unwrap();
}

#[test]
fn players_that_take_next_to_nothing_share_one_picture() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let publisher = publish(&server, "shared");
    publisher.say(&picture(7 * MIB)).unwrap();
    until_received(&server, 7 * MIB);
    let before = resident(&server);
    let players: Vec<_> =
        (0..10).map(|_| RtmpClient::play_slowly(server.rtmp, "shared", 20_000).unwrap()).collect();
    for player in &players {
        player.answer().unwrap();
        player.more(2000).unwrap();
    }
    let grown = resident(&server) - before;
    assert!(grown < 10.0 * MIB as f64, "grew by {} MiB for ten players", grown as usize / MIB);
    drop(players);
    server.stop().unwrap();
}

#[test]
fn publishers_together_keep_to_the_budget_and_stay_live() {
    let _machine = machine::whole();
    let home = Home::new().unwrap();
    let server = Server::try_start(&home, |command| {
        command.env("SLUICE__MEDIA__MEMORY", "32MiB");
    })
    .unwrap();
    assert_eq!(metric(&server, "sluice_media_memory_limit_bytes"), 32.0 * MIB as f64);
    let publishers = ["a", "b", "c", "d"].map(|stream| publish(&server, stream));
    let picture = picture(500_000);
    for _ in 0..40 {
        publishers.iter().for_each(|publisher| publisher.say(&picture).unwrap());
        assert!(metric(&server, "sluice_media_memory_bytes") <= 32.0 * MIB as f64);
    }
    until_received(&server, 4 * 40 * 500_000);
    assert!(metric(&server, r#"sluice_media_memory_losses_total{loser="history"}"#) > 0.0);
    assert_eq!(metric(&server, r#"sluice_streams_live{application="live"}"#), 4.0);
    // Whoever comes now has a picture to begin with.
    let player = RtmpClient::play(server.rtmp, "a").unwrap();
    player.more(500_000).unwrap();
    server.stop().unwrap();
}
