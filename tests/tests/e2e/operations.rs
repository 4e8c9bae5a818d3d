//! What whoever runs the server sees of it: is it ready, what does it count, how does it end.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rustix::process::Signal;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::hls::{FOLDER, Grant};
use sluice_tests::http::{self, Http};
use sluice_tests::machine;
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::{Home, Server};
use sluice_tests::tls::Identity;
use sluice_tests::wait::eventually;
use sluice_tests::websocket::WebSocket;

const STREAM: &str = "watched";
const ALICE: &str = "alice";

/// Samples by name and labels.
fn metrics(server: &Server) -> Result<BTreeMap<String, f64>> {
    let answer = http::get(server.http, "/metrics")?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a sample has a value")?;
            let family = name.split('{').next().unwrap_or_default();
            let family = ["_bucket", "_sum", "_count"].iter().fold(family, |name, end| {
                if name.starts_with("sluice_store_sync") { name.trim_end_matches(end) } else { name }
            });
            assert!(text.contains(&format!("# HELP {family} ")), "{name} has no HELP");
            assert!(text.contains(&format!("# TYPE {family} ")), "{name} has no TYPE");
            Ok((name.to_owned(), value.parse()?))
        })
        .collect()
}

#[test]
fn the_metrics_count_who_is_there_what_flows_and_who_was_refused() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let rest = server.rest();
    let before = metrics(&server).unwrap();
    assert_eq!(before["sluice_streams_live{application=\"live\"}"], 0.0);
    assert_eq!(before["sluice_sessions{protocol=\"rtmp\",role=\"publisher\"}"], 0.0);
    let _publisher = ffmpeg::publish(&clips().unwrap().plain, &server.rtmp_url(STREAM)).unwrap();
    rest.wait_live(STREAM).unwrap();
    let player = RtmpClient::play(server.rtmp, STREAM).unwrap();
    player.more(100_000).unwrap();
    let hls = Grant::read(server.http, format!("{FOLDER}{STREAM}.m3u8")).unwrap();
    let segment = http::get(server.http, &hls.segment).unwrap().body.len();

    rest.require_codes().unwrap();
    rest.add(STREAM, ALICE, "play").unwrap();
    rest.block(STREAM, ALICE, 600, "play").unwrap();
    let refused = RtmpClient::play(server.rtmp, &format!("{STREAM}?subscriberId=bob")).unwrap();
    refused.answer().unwrap();

    let now = metrics(&server).unwrap();
    assert_eq!(now["sluice_streams_live{application=\"live\"}"], 1.0);
    assert_eq!(now["sluice_sessions{protocol=\"rtmp\",role=\"publisher\"}"], 1.0);
    assert_eq!(now["sluice_sessions{protocol=\"rtmp\",role=\"player\"}"], 1.0);
    assert_eq!(now["sluice_sessions{protocol=\"hls\",role=\"player\"}"], 1.0);
    assert!(now["sluice_received_bytes_total{protocol=\"rtmp\",role=\"publisher\"}"] > 100_000.0);
    assert!(now["sluice_sent_bytes_total{protocol=\"rtmp\",role=\"player\"}"] >= 100_000.0);
    assert!(now["sluice_sent_bytes_total{protocol=\"hls\",role=\"player\"}"] >= segment as f64);
    assert_eq!(now["sluice_blocks"], 1.0);
    assert_eq!(now["sluice_admissions_total{verdict=\"granted\"}"], 3.0);
    assert_eq!(now["sluice_admissions_total{verdict=\"missing\"}"], 1.0);
    assert_eq!(now["sluice_store_writable"], 1.0);
    assert!(now["sluice_store_sync_seconds_count"] > before["sluice_store_sync_seconds_count"]);
    assert!(now["process_resident_memory_bytes"] > 1e6 && now["process_open_fds"] > 10.0);
    assert!(now["process_start_time_seconds"] > 1.6e9);

    drop(player);
    eventually("the player to be gone, and his bytes not", || {
        let later = metrics(&server).ok()?;
        let sent = "sluice_sent_bytes_total{protocol=\"rtmp\",role=\"player\"}";
        assert!(later[sent] >= now[sent], "a counter fell");
        (later["sluice_sessions{protocol=\"rtmp\",role=\"player\"}"] == 0.0).then_some(())
    })
    .unwrap();
    server.stop().unwrap();
}

/// Names of ours, and of the process, in a text of queries.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()));
    words.filter(|word| word.starts_with("sluice_") || word.starts_with("process_")).collect()
}

#[test]
fn every_metric_of_the_dashboard_and_of_the_alerts_is_there() {
    let server = Server::start_with_tls(&Identity::new().unwrap()).unwrap();
    let metrics = metrics(&server).unwrap();
    for file in ["config/grafana/sluice.json", "config/prometheus/alerts.yaml"] {
        let text = std::fs::read_to_string(machine::root().join(file)).unwrap();
        let names = named(&text);
        assert!(names.len() > 8, "{file}: {names:?}");
        for name in names {
            let known = metrics.keys().any(|key| key.split('{').next() == Some(name));
            assert!(known, "{file} asks for {name}, which nobody counts");
        }
    }
    server.stop().unwrap();
}

#[test]
fn a_drain_tells_publishers_and_players_finishes_answers_and_is_not_ready() {
    let _machine = machine::whole();
    // Long enough for all that is asked of it meanwhile.
    let mut server = Server::try_start(&Home::new().unwrap(), |command| {
        command.env("SLUICE__DRAIN_SECONDS", "60");
    })
    .unwrap();
    let rest = server.rest();
    assert_eq!(http::get(server.http, "/health").unwrap().text(), "ok\n");
    assert_eq!(http::get(server.http, "/ready").unwrap().json().unwrap()["ready"], true);
    let mut publisher = ffmpeg::publish(&clips().unwrap().plain, &server.rtmp_url(STREAM)).unwrap();
    rest.wait_live(STREAM).unwrap();
    let player = RtmpClient::play(server.rtmp, STREAM).unwrap();
    player.more(100_000).unwrap();
    let hls = Grant::read(server.http, format!("{FOLDER}{STREAM}.m3u8")).unwrap();
    let mut half = Http::connect(server.http).unwrap();
    half.send("GET", &hls.segment, &[], b"").unwrap();
    let head = half.head().unwrap();
    // While this is not answered the drain goes on, and whoever asks is told of it.
    let mut waiting = unfinished(&server);

    server.process.signal(Signal::TERM);
    let drains = || (http::get(server.http, "/ready").unwrap().status == 503).then_some(());
    eventually("the server not to be ready", drains).unwrap();
    publisher.wait().unwrap();
    eventually("the player's connection to end", || player.is_closed().then_some(())).unwrap();
    let last = player.statuses().unwrap().pop().unwrap();
    assert_eq!(last.description, "The stream was stopped.", "{last:?}");
    let length = head.header("content-length").unwrap().parse::<usize>().unwrap();
    let mut body = 0;
    while body < length {
        let some = half.some(1 << 16).unwrap().len();
        assert!(some > 0, "an answer was cut");
        body += some;
    }

    // Everybody else is gone, and nobody comes in any more.
    let ready = http::get(server.http, "/ready").unwrap();
    assert_eq!((ready.status, ready.json().unwrap()["state"].as_str()), (503, Some("draining")));
    assert_eq!(http::get(server.http, "/health").unwrap().status, 200);
    assert_eq!(http::get(server.http, &hls.playlist).unwrap().status, 503);
    assert!(WebSocket::connect(server.http, "/live/websocket").is_err());
    assert!(RtmpClient::play(server.rtmp, STREAM).is_err());
    waiting.write(&[b' '; 99]).unwrap();
    assert_eq!(waiting.answer(false).unwrap().status, 400, "what had begun is answered");
    assert!(server.process.wait().unwrap().success(), "{}", server.process.log.text());
    server.check_log(&[]).unwrap();
}

/// A request whose body never comes, and which the server therefore waits for.
fn unfinished(server: &Server) -> Http {
    let mut request = Http::connect(server.http).unwrap();
    let head = "POST /rest/v2/users/authenticate HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n{";
    request.write(head.as_bytes()).unwrap();
    assert_eq!(request.head().unwrap().status, 100);
    request
}

#[test]
fn a_drain_waits_no_longer_than_it_may() {
    let server = Server::try_start(&Home::new().unwrap(), |command| {
        command.env("SLUICE__DRAIN_SECONDS", "1");
    })
    .unwrap();
    let _request = unfinished(&server);
    let log = server.process.log.clone();
    server.stop().unwrap();
    assert!(log.text().contains("not everybody left in time"), "{}", log.text());
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::try_start(&Home::new().unwrap(), |command| {
        command.env("SLUICE__DRAIN_SECONDS", "600");
    })
    .unwrap();
    let _request = unfinished(&server);
    server.process.signal(Signal::TERM);
    server.process.line("word of the drain", |line| line.contains("draining").then_some(())).unwrap();
    server.process.signal(Signal::INT);
    let status = server.process.wait().unwrap();
    assert!(!status.success(), "{status}");
    assert!(server.process.log.text().contains("second signal"), "{}", server.process.log.text());
}

#[test]
fn a_reload_without_a_certificate_ends_nothing() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    let publisher = ffmpeg::publish(&clips().unwrap().plain, &server.rtmp_url(STREAM)).unwrap();
    server.rest().wait_live(STREAM).unwrap();
    let player = RtmpClient::play(server.rtmp, STREAM).unwrap();
    player.more(50_000).unwrap();
    server.process.signal(Signal::HUP);
    player.more(300_000).unwrap();
    assert_eq!(http::get(server.http, "/health").unwrap().status, 200);
    drop(publisher);
    server.stop().unwrap();
}
