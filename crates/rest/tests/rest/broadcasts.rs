//! Streams and statistics (C§2.3, C§2.4, C§3.1).

use std::sync::Arc;

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use contract::Protocol;
use contract::auth::NotStored;
use contract::registry::*;
use media::{Tracks, VideoCodec, VideoTrack};
use serde_json::{Value, json};

use crate::world::{NOW, World, idle, local, no, no_in_field, result};

const BASE: &str = "/LiveApp/rest/v2/broadcasts";

fn at(path: &str) -> String {
    format!("{BASE}{path}")
}

/// A stream that nobody set anything of.
fn plain(id: &str) -> Value {
    json!({
        "streamId": id, "status": "created", "playListStatus": null, "type": "liveStream", "publishType": null,
        "name": null, "description": null, "category": null, "publish": true, "date": NOW.0,
        "plannedStartDate": 0, "plannedEndDate": 0, "duration": 0, "endPointList": null, "playListItemList": null,
        "publicStream": true, "is360": false, "listenerHookURL": null, "ipAddr": null, "username": null,
        "password": null, "streamUrl": null, "quality": null, "speed": 0.0, "originAdress": "127.0.0.1",
        "mp4Enabled": 0, "webMEnabled": 0, "seekTimeInMs": 0, "subtracksLimit": -1, "expireDurationMS": 0,
        "rtmpURL": format!("rtmp://127.0.0.1/LiveApp/{id}"), "zombi": false, "pendingPacketSize": 0,
        "encoderQueueSize": 0, "dropPacketCountInIngestion": 0, "dropFrameCountInEncoding": 0,
        "hlsViewerCount": 0, "dashViewerCount": 0, "webRTCViewerCount": 0, "rtmpViewerCount": 0, "startTime": 0,
        "updateTime": 0, "absoluteStartTimeMs": 0, "receivedBytes": 0, "bitrate": 0, "width": 0, "height": 0,
        "packetLostRatio": 0.0, "packetsLost": 0, "jitterMs": 0, "rttMs": 0, "userAgent": "N/A", "remoteIp": null,
        "latitude": null, "longitude": null, "altitude": null, "mainTrackStreamId": null, "webRTCViewerLimit": -1,
        "hlsViewerLimit": -1, "dashViewerLimit": -1, "subFolder": null, "metaData": null, "role": null,
        "currentPlayIndex": 0, "playlistLoopEnabled": true, "hlsParameters": null, "autoStartStopEnabled": false,
        "encoderSettingsList": null, "virtual": false, "maxIdleTime": 0, "anyoneWatching": false,
        "webRTCKeyframesOnly": false,
    })
}

fn with(mut base: Value, changes: &Value) -> Value {
    base.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    base
}

fn live(id: &str) -> StreamView {
    let video =
        VideoTrack { codec: VideoCodec::H264, config: "".into(), width: 1280, height: 720, reordered: false };
    let live = LiveView {
        protocol: Protocol::Whip,
        subscriber: None,
        peer: "203.0.113.5".parse().unwrap(),
        since: NOW,
        tracks: Arc::new(Tracks { video: Some(video), audio: None }),
        received_bytes: 1_250_000,
        video_bytes: 1_000_000,
        audio_bytes: 125_000,
        keyframes_only: false,
    };
    StreamView {
        live: Some(live),
        registered: false,
        players: PlayerCounts { rtmp: 1, hls: 2, webrtc: 3, gaps: 4 },
        ..idle(id)
    }
}

#[actix_web::test]
async fn a_stream_is_made_with_a_given_or_a_new_id() {
    let world = World::new();
    let reply = world.post(&at("/create"), r#"{"streamId":" cam-1 ","name":"Camera","unknown":1}"#).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, plain("made")));
    let asked = world.asked().remove(0);
    assert!(asked.contains("id: cam-1 }") && asked.contains(r#"name: Some("Camera")"#), "{asked}");
    for body in ["", "{}", r#"{"streamId":""}"#, r#"{"streamId":"  ","status":"broadcasting"}"#] {
        assert_eq!(world.post(&at("/create"), body).await.status, StatusCode::OK);
        let asked = world.asked().remove(0);
        let (_, id) = asked.split_once("id: ").unwrap();
        assert_eq!(id.find(' '), Some(24), "{asked}");
    }
    // By any other method it is a stream's name.
    world.script().get_stream = Some(idle("create"));
    assert_eq!(world.get(&at("/create")).await.json()["streamId"], "create");
}

#[actix_web::test]
async fn what_cannot_be_made_is_said_in_amss_words() {
    let world = World::new();
    let cases = [
        (r#"{"streamId":"a b"}"#, "Stream id is not valid."),
        (r#"{"streamId":"a/b"}"#, "Stream id is not valid."),
        (r#"{"streamId":".."}"#, "Stream id is not valid."),
        (r#"{"subFolder":"../x"}"#, "Subfolder is not valid. "),
        (r#"{"type":"ipCamera"}"#, "Broadcast type is not supported. It can be liveStream"),
        (r#"{"name":5}"#, "name must be a string"),
        (r#"{"publish":"yes"}"#, "publish must be true or false"),
        (r#"{"plannedStartDate":-1}"#, "plannedStartDate must be a whole number, 0 or more"),
        (r#"{"endPointList":{}}"#, "endPointList must be a list"),
        (r#"{"hlsParameters":[]}"#, "hlsParameters must be an object"),
        (r#"{"maxIdleTime":1.5}"#, "maxIdleTime must be a whole number"),
    ];
    for (body, text) in cases {
        let reply = world.post(&at("/create"), body).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, no_in_field(text)), "{body}");
    }
    let with = |length| format!(r#"{{"metaData":"{}"}}"#, "a".repeat(length));
    let reply = world.post(&at("/create"), &with(MAX_RECORD)).await;
    let expected = no("The stream's fields are larger than 23552 bytes together");
    assert_eq!((reply.status, reply.json()), (StatusCode::PAYLOAD_TOO_LARGE, expected));
    assert!(world.asked().is_empty());
    let reply = world.post(&at("/create"), &with(MAX_RECORD - 1024)).await;
    assert_eq!(reply.status, StatusCode::OK, "what is left is for the other fields");
    world.asked();

    world.script().create_stream = Err(CreateStreamError::Taken);
    let reply = world.post(&at("/create"), r#"{"streamId":"cam"}"#).await;
    let text = "Stream id is already being used. Please change stream id or keep it empty";
    assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, no_in_field(text)));
}

#[actix_web::test]
async fn nothing_is_started_by_making_it() {
    let world = World::new();
    let reply = world.post(&at("/create?autoStart=true"), "").await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, no("unexpected parameters received")));
    let reply = world.post(&at("/create?autoStart=true"), "{}").await;
    assert_eq!(reply.json(), no("Auto start query needs an IP camera or stream source."));
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn a_stream_is_shown_whole_and_a_missing_one_with_nothing() {
    let world = World::new();
    let missing = world.get(&at("/cam")).await;
    assert_eq!((missing.status, missing.text.as_str()), (StatusCode::NOT_FOUND, ""));
    assert_eq!(world.get(&at("/a%7Cb")).await.status, StatusCode::NOT_FOUND);

    let mut view = idle("cam");
    view.record.name = Some("Camera".to_owned());
    view.record.finished = true;
    view.record.planned_end = 9;
    view.record.webrtc_limit = 5;
    view.record.attributes =
        json!({"category": "sport", "password": "secret", "foreign": 1}).as_object().unwrap().clone();
    world.script().get_stream = Some(view);
    let changes = json!({
        "status": "finished", "name": "Camera", "plannedEndDate": 9, "webRTCViewerLimit": 5, "category": "sport",
    });
    assert_eq!(world.get(&at("/cam")).await.json(), with(plain("cam"), &changes));
}

#[actix_web::test]
async fn a_live_stream_shows_who_publishes_and_who_watches() {
    let world = World::new();
    world.script().get_stream = Some(live("cam"));
    let req = TestRequest::get().uri(&at("/cam")).peer_addr("127.0.0.1:1".parse().unwrap());
    let reply = world.call(req.append_header(("host", "[::1]:5080"))).await;
    let changes = json!({
        "status": "broadcasting", "publishType": "WebRTC", "zombi": true, "startTime": NOW.0,
        "absoluteStartTimeMs": NOW.0, "updateTime": NOW.0 + 10_000, "receivedBytes": 1_250_000,
        "bitrate": 1_000_000, "width": 1280, "height": 720, "remoteIp": "203.0.113.5", "hlsViewerCount": 2,
        "webRTCViewerCount": 3, "rtmpViewerCount": 1, "anyoneWatching": true, "originAdress": "[::1]",
        "rtmpURL": "rtmp://[::1]/LiveApp/cam",
    });
    assert_eq!(reply.json(), with(plain("cam"), &changes));
}

#[actix_web::test]
async fn a_list_is_searched_sorted_and_paged_by_the_registry() {
    let world = World::new();
    world.script().list_streams.streams = vec![idle("a"), idle("b")];
    let cases = [
        ("/list/0/10", "search: None, sort: Id, offset: 0, size: 10"),
        ("/list/-1/500?type_by=liveStream", "search: None, sort: Id, offset: 0, size: 50"),
        (
            "/list/5/2?sort_by=name&order_by=desc&search=c%20m",
            r#"search: Some("c m"), sort: Name(Descending), offset: 5, size: 2"#,
        ),
        ("/list/0/10?sort_by=name", "search: None, sort: Id, offset: 0, size: 10"),
    ];
    for (path, asked) in cases {
        let reply = world.get(&at(path)).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!([plain("a"), plain("b")])), "{path}");
        let heard = world.asked().remove(0);
        assert!(heard.contains(asked), "{heard}");
    }
    assert_eq!(world.get(&at("/list/0/10?type_by=VoD")).await.text, "[]");
    assert_eq!(world.get(&at("/list/x/10")).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn counts_are_numbers() {
    let world = World::new();
    for (path, body) in [
        ("/count", r#"{"number":7}"#),
        ("/count/cam", r#"{"number":7}"#),
        ("/active-live-stream-count", r#"{"number":3}"#),
    ] {
        let reply = world.get(&at(path)).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, body), "{path}");
    }
    assert!(world.asked()[1].contains(r#"search: Some("cam")"#));
}

#[actix_web::test]
async fn what_can_be_read_can_be_asked_for_its_head() {
    let world = World::new();
    let reply = world.call(local(TestRequest::default().method(Method::HEAD), &at("/count"))).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"));
}

#[actix_web::test]
async fn statistics_count_players_and_are_minus_one_for_nothing() {
    let world = World::new();
    let counts = |rtmp, hls, webrtc, dash| {
        json!({
            "totalRTMPWatchersCount": rtmp, "totalHLSWatchersCount": hls, "totalWebRTCWatchersCount": webrtc,
            "totalDASHWatchersCount": dash,
        })
    };
    let of_stream = |rtmp, hls, webrtc, dash| {
        let skips = if rtmp > 0 { 4 } else { 0 };
        let ours = json!({"webRTCKeyframesOnly": false, "slowPlayerSkips": skips});
        with(counts(rtmp, hls, webrtc, dash), &ours)
    };
    for id in ["cam", "a%7Cb", "%20"] {
        let reply = world.get(&at(&format!("/{id}/broadcast-statistics"))).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, of_stream(-1, -1, -1, -1)), "{id}");
    }
    world.script().get_stream = Some(live("cam"));
    assert_eq!(world.get(&at("/cam/broadcast-statistics")).await.json(), of_stream(1, 2, 3, 0));
    let info = json!([{
        "videoHeight": 720, "videoWidth": 1280, "videoBitrate": 800_000, "audioBitrate": 100_000,
        "videoCodec": "H264",
    }]);
    assert_eq!(world.get(&at("/cam/stream-info")).await.json(), info);
    world.script().list_streams = StreamPage { streams: vec![live("a"), live("b")], matching: 2, live: 2 };
    let total = with(counts(-1, 4, 6, 0), &json!({"activeLiveStreamCount": 2}));
    assert_eq!(world.get(&at("/total-broadcast-statistics")).await.json(), total);
}

#[actix_web::test]
async fn players_that_get_key_frames_only_are_shown_beside_their_counts() {
    let world = World::new();
    let mut view = live("cam");
    for short in [true, false] {
        view.live.as_mut().unwrap().keyframes_only = short;
        world.script().get_stream = Some(view.clone());
        for path in ["/cam/broadcast-statistics", "/cam"] {
            assert_eq!(world.get(&at(path)).await.json()["webRTCKeyframesOnly"], short, "{path}");
        }
    }
}

#[actix_web::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let world = World::new();
    let mut view = idle("cam");
    view.record.name = Some("old".to_owned());
    view.record.planned_start = 4;
    view.record.attributes = json!({"category": "sport"}).as_object().unwrap().clone();
    world.script().get_stream = Some(view);
    let body = r#"{"streamId":"other","status":"finished","name":null,"plannedEndDate":9,"description":"d","date":1}"#;
    let req = crate::world::with_json(local(TestRequest::put(), &at("/cam")), body);
    let reply = world.call(req).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, result(true, None, None)));
    let asked = world.asked().remove(1);
    for part in [
        "id: cam }",
        r#"name: Some("old")"#,
        "planned_start: 4, planned_end: 9",
        r#""category": String("sport")"#,
        r#""description": String("d")"#,
        "created: WallMs(1700000000000)",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
}

#[actix_web::test]
async fn an_update_of_nothing_says_so() {
    let world = World::new();
    let update = |path: &str| crate::world::with_json(local(TestRequest::put(), &at(path)), "{}");
    for (path, id) in [("/cam", "cam"), ("/a%7Cb", "a|b")] {
        let reply = world.call(update(path)).await;
        assert_eq!(reply.json(), no(&format!("Broadcast with streamId: {id} does not exist")));
    }
    world.script().get_stream = Some(live("cam"));
    let reply = world.call(update("/cam")).await;
    assert_eq!(reply.json(), no("Broadcast with streamId: cam does not exist"));
    world.script().get_stream = Some(idle("cam"));
    world.script().update_stream = Err(NotStored);
    let reply = world.call(update("/cam")).await;
    assert_eq!(reply.json(), no("The change could not be stored; nothing was changed"));
}

#[actix_web::test]
async fn deleting_says_what_was_met() {
    let world = World::new();
    let cases = [
        (Ok(Removed::Live), result(true, Some("broadcast is deleted and stopped successfully"), None)),
        (Ok(Removed::Record), result(true, Some("broadcast is deleted but could not stopped "), None)),
        (Ok(Removed::Nothing), result(false, None, None)),
        (Err(NotStored), no("The change could not be stored; nothing was changed")),
    ];
    for (outcome, expected) in cases {
        world.script().remove_stream = outcome;
        let reply = world.delete(&at("/cam?deleteSubtracks=false")).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
    }
    assert_eq!(world.delete(&at("/a%7Cb")).await.json(), result(false, None, None));
}

#[actix_web::test]
async fn many_are_deleted_until_one_fails() {
    let world = World::new();
    for path in ["?ids=a,b", "/?ids=a,%20b,"] {
        let expected = result(true, Some("broadcast is deleted but could not stopped "), None);
        assert_eq!(world.delete(&at(path)).await.json(), expected);
        assert_eq!(world.asked().len(), 2);
    }
    world.script().remove_stream = Ok(Removed::Nothing);
    assert_eq!(world.delete(&at("/?ids=a,b")).await.json(), result(false, None, None));
    assert_eq!(world.asked().len(), 1);
    for path in ["", "/", "/?ids=", "/?ids=%20,"] {
        assert_eq!(world.delete(&at(path)).await.json(), no("ids parameter is blank"), "{path}");
    }
}

#[actix_web::test]
async fn stopping_says_whether_it_was_live_and_starting_is_for_what_is_pulled() {
    let world = World::new();
    for live in [true, false] {
        world.script().stop_stream = live;
        assert_eq!(world.post(&at("/cam/stop"), "").await.json(), result(live, None, None));
    }
    assert_eq!(world.post(&at("/a%7Cb/stop"), "").await.json(), result(false, None, None));
    assert_eq!(world.post(&at("/cam/start"), "").await.json(), no("No Stream Exists with id:cam"));
    world.script().get_stream = Some(idle("cam"));
    let text = "Broadcast type is not supported. It can be StreamSource, IP Camera, VOD, Playlist";
    assert_eq!(world.post(&at("/cam/start"), "").await.json(), no(text));
}

#[actix_web::test]
async fn a_wrong_method_on_a_known_path_is_405() {
    let world = World::new();
    for path in ["", "/", "/cam/stop", "/cam/start"] {
        assert_eq!(world.get(&at(path)).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(world.put(&at(path)).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    for path in ["/list/0/10", "/count", "/count/x", "/cam/broadcast-statistics", "/cam"] {
        assert_eq!(world.post(&at(path), "{}").await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[actix_web::test]
async fn the_version_is_one_that_clients_of_ant_media_accept() {
    let world = World::new();
    let reply = world.get("/LiveApp/rest/v2/version").await;
    let own = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "versionName": "3.0.0", "versionType": "Enterprise Edition", "buildNumber": own, "serverName": "Sluice",
        "serverVersion": own,
    });
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
}
