//! The panel's own routes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::accounts::Role;
use contract::auth::Guessed;
use contract::registry::*;
use contract::settings::{SettingKind, SettingRow};
use contract::*;
use media::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};
use serde_json::{Value, json};
use sluice_rest::{AddressRules, Options, Ports};

use crate::world::{NOW, World};

pub(crate) fn tracks() -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Default::default(),
            width: 1280,
            height: 720,
            reordered: false,
        }),
        audio: Some(AudioTrack {
            codec: AudioCodec::Aac,
            config: Default::default(),
            sample_rate: 48_000,
            channels: 2,
        }),
    }
}

/// A stream; live ones have one WebRTC player.
pub(crate) fn row(app: &str, id: &str, name: Option<&str>, live: bool) -> StreamRow {
    let live = live.then(|| LiveView {
        protocol: Protocol::Rtmp,
        subscriber: SubscriberId::parse("alice").ok(),
        peer: IpAddr::from([192, 0, 2, 7]),
        since: NOW,
        tracks: Arc::new(tracks()),
        received_bytes: 1000,
        video_bytes: 0,
        audio_bytes: 0,
        keyframes_only: true,
    });
    let webrtc = usize::from(live.is_some());
    StreamRow {
        key: StreamKey { app: AppName::parse(app).unwrap(), id: StreamId::parse(id).unwrap() },
        name: name.map(str::to_owned),
        registered: live.is_none(),
        live,
        players: PlayerCounts { webrtc, hls: 0, rtmp: 0, gaps: 0 },
    }
}

fn board() -> Arc<Board> {
    let streams = vec![
        row("LiveApp", "b", Some("Garden"), false),
        row("LiveApp", "d", None, true),
        row("LiveApp", "c", None, true),
        row("other", "a", None, true),
    ];
    Arc::new(Board { at: NOW, streams })
}

async fn get(world: &World, path: &str) -> Value {
    let cookie = world.log_in(Role::ReadOnly).await;
    let reply = world.remote(TestRequest::get(), path, &cookie).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
    reply.json()
}

fn ids(board: &Value) -> Vec<&str> {
    board["streams"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn live_streams_come_first_and_sums_are_of_the_whole_application() {
    let world = World::new();
    world.script().survey = board();
    let all = get(&world, "/rest/v2/panel/streams").await;
    assert_eq!((ids(&all), &all["live"], &all["matching"]), (vec!["c", "d", "a", "b"], &json!(3), &json!(4)));
    let one = get(&world, "/rest/v2/panel/streams?app=LiveApp&offset=1&size=1").await;
    assert_eq!((ids(&one), &one["matching"]), (vec!["d"], &json!(3)));
    assert_eq!(one["players"], json!({"webrtc": 2, "hls": 0, "rtmp": 0}));
    assert_eq!((&one["receivedBytes"], &one["at"]), (&json!(2000), &json!(NOW.0)));
    let live = get(&world, "/rest/v2/panel/streams?app=LiveApp&live=true").await;
    assert_eq!((ids(&live), &live["matching"]), (vec!["c", "d"], &json!(2)));
    let found = get(&world, "/rest/v2/panel/streams?app=LiveApp&search=gARd").await;
    assert_eq!((ids(&found), &found["matching"], &found["live"]), (vec!["b"], &json!(1), &json!(2)));
}

#[actix_web::test]
async fn a_stream_says_what_it_is_made_of() {
    let world = World::new();
    world.script().survey = board();
    let board = get(&world, "/rest/v2/panel/streams?app=LiveApp").await;
    let live = json!({
        "app": "LiveApp", "id": "c", "name": null, "live": true, "registered": false, "protocol": "rtmp",
        "publisher": "alice", "peer": "192.0.2.7", "since": NOW.0,
        "video": {"codec": "H264", "width": 1280, "height": 720},
        "audio": {"codec": "Aac", "rate": 48000, "channels": 2},
        "receivedBytes": 1000, "players": {"webrtc": 1, "hls": 0, "rtmp": 0}, "keyframesOnly": true
    });
    assert_eq!(board["streams"][0], live);
    let idle = json!({
        "app": "LiveApp", "id": "b", "name": "Garden", "live": false, "registered": true, "protocol": null,
        "publisher": null, "peer": null, "since": null, "video": null, "audio": null, "receivedBytes": 0,
        "players": {"webrtc": 0, "hls": 0, "rtmp": 0}, "keyframesOnly": false
    });
    assert_eq!(board["streams"][2], idle);
}

#[actix_web::test]
async fn a_page_of_ten_thousand_streams_is_a_page() {
    let world = World::new();
    let streams = (0..10_000).map(|n| row("LiveApp", &format!("s{n:05}"), None, true)).collect();
    world.script().survey = Arc::new(Board { at: NOW, streams });
    let page = get(&world, "/rest/v2/panel/streams?offset=9990&size=999999").await;
    assert_eq!((ids(&page).len(), &page["matching"]), (10, &json!(10_000)));
    assert_eq!(ids(&get(&world, "/rest/v2/panel/streams?size=999999").await).len(), 200);
}

#[actix_web::test]
async fn an_application_that_is_none_is_not_found() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    for path in ["streams?app=nothing", "streams?app=a.b", "streams/LiveApp/cam", "streams/a.b/cam"] {
        let reply = world.remote(TestRequest::get(), &format!("/rest/v2/panel/{path}"), &cookie).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
}

fn session(id: SessionId, standing: Standing) -> SessionView {
    SessionView {
        id,
        role: Action::Play,
        protocol: Protocol::Hls,
        subscriber: None,
        peer: IpAddr::from([192, 0, 2, 8]),
        since: NOW,
        bytes: 12,
        gaps: 3,
        lag: Some(Duration::from_micros(120_900)),
        standing,
    }
}

#[actix_web::test]
async fn a_stream_shows_who_is_there() {
    let world = World::new();
    let id = SessionId::new();
    let sessions = vec![session(id, Standing::Suspended)];
    let stream = row("LiveApp", "c", None, true);
    world.script().list_sessions =
        Some(SessionPage { at: NOW, stream, total: 10_001, matching: 61, sessions });
    let path = "/rest/v2/panel/streams/LiveApp/c";
    let detail = get(&world, &format!("{path}?search=%20Alice&offset=60&size=999")).await;
    assert_eq!((&detail["stream"]["id"], &detail["at"]), (&json!("c"), &json!(NOW.0)));
    assert_eq!((&detail["total"], &detail["matching"]), (&json!(10_001), &json!(61)));
    let expected = json!([{
        "id": id.to_string(), "role": "player", "protocol": "hls", "subscriber": null, "peer": "192.0.2.8",
        "since": NOW.0, "bytes": 12, "gaps": 3, "lag": 120, "standing": "suspended"
    }]);
    assert_eq!(detail["sessions"], expected);
    let of = "ListSessions { stream: StreamKey { app: LiveApp, id: c }, search:";
    assert_eq!(world.asked(), [format!("{of} Some(\"Alice\"), offset: 60, size: 200 }}")]);
    get(&world, path).await;
    assert_eq!(world.asked(), [format!("{of} None, offset: 0, size: 50 }}")]);
}

#[actix_web::test]
async fn what_is_longer_than_any_name_is_not_searched_for() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let status = async |path: &str, length: usize| {
        let path = format!("/rest/v2/panel/{path}?search={}", "x".repeat(length));
        world.remote(TestRequest::get(), &path, &cookie).await.status
    };
    for path in ["streams", "streams/LiveApp/c", "audit"] {
        assert_ne!(status(path, 1024).await, StatusCode::BAD_REQUEST, "{path}");
        world.asked();
        assert_eq!(status(path, 1025).await, StatusCode::BAD_REQUEST, "{path}");
        assert!(world.asked().is_empty(), "{path}");
    }
}

#[actix_web::test]
async fn one_session_is_stopped_by_its_number() {
    let world = World::new();
    let cookie = world.log_in(Role::User).await;
    let stop = async |id: &str| {
        let path = format!("/rest/v2/panel/streams/LiveApp/c/sessions/{id}");
        world.remote(TestRequest::delete(), &path, &cookie).await
    };
    assert_eq!(stop("7").await.json()["success"], true);
    assert!(world.asked()[0].contains("SessionId(7)"));
    world.script().stop_session = false;
    assert_eq!(stop("8").await.json()["success"], false);
    assert_eq!(stop("x").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.noted().len(), 1);
}

#[actix_web::test]
async fn it_is_seen_whose_codes_are_guessed_and_the_slow_down_is_lifted() {
    let world = World::new();
    let path = "/rest/v2/panel/streams/LiveApp/c/guesses";
    assert_eq!(get(&world, path).await, json!({"derived": false, "subscribers": []}));
    world.script().list_guessed =
        Guessed { derived: true, subscribers: vec![SubscriberId::parse("alice").unwrap()] };
    assert_eq!(get(&world, path).await, json!({"derived": true, "subscribers": ["alice"]}));
    world.asked();
    let cookie = world.log_in(Role::User).await;
    let lift =
        async |rest: &str| world.remote(TestRequest::delete(), &format!("{path}{rest}"), &cookie).await;
    for (rest, subscriber) in [("", "None"), ("/alice", "Some(alice)")] {
        assert_eq!(lift(rest).await.json()["success"], true);
        let asked = world.asked();
        assert!(asked.last().unwrap().ends_with(&format!("subscriber: {subscriber} }}")), "{asked:?}");
    }
    assert_eq!(lift("/a%00b").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.noted().len(), 2);
    world.script().forgive_guesses = false;
    assert_eq!(lift("").await.status, StatusCode::SERVICE_UNAVAILABLE, "auth did not hear it");
    assert!(world.noted().is_empty());
}

#[actix_web::test]
async fn a_preview_has_a_pass() {
    let world = World::new();
    assert_eq!(get(&world, "/rest/v2/panel/streams/LiveApp/c/preview").await["dataId"], "a pass");
    assert_eq!(world.asked(), ["IssuePreview { stream: StreamKey { app: LiveApp, id: c } }"]);
}

#[actix_web::test]
async fn addresses_are_those_that_are_served() {
    let world = World::new();
    let expected = json!({
        "rtmp": {"host": null, "port": 1935}, "rtmps": null, "http": {"host": null, "port": 5080}, "https": null
    });
    assert_eq!(get(&world, "/rest/v2/panel/addresses").await, expected);
    let ports = Ports { http: 80, https: Some(443), rtmps: Some(1936) };
    let addresses = AddressRules { host: Some("video.example".to_owned()), ..AddressRules::default() };
    let options = Options { ports, addresses, ..Options::default() };
    let world = World::with(AppSettings::default(), options);
    let at = |port| json!({"host": "video.example", "port": port});
    let expected = json!({"rtmp": at(1935), "rtmps": at(1936), "http": at(80), "https": at(443)});
    assert_eq!(get(&world, "/rest/v2/panel/addresses").await, expected);
}

#[actix_web::test]
async fn settings_are_described() {
    let world = World::new();
    world.script().list_settings = vec![SettingRow {
        name: "hlsTime",
        group: "HLS",
        kind: SettingKind::Whole,
        default: json!("2"),
        min: Some(1),
        max: None,
        label: "Seconds",
        help: "Of a segment.",
    }];
    let expected = json!([{
        "name": "hlsTime", "group": "HLS", "kind": "whole", "default": "2", "min": 1, "label": "Seconds",
        "help": "Of a segment."
    }]);
    assert_eq!(get(&world, "/rest/v2/panel/settings").await, expected);
}
