//! `/{id}/subscribers` and what belongs to it (C§2.1, C§14), and the seed's curls.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::auth::*;
use contract::session::Fenced;
use contract::{Action, Protocol, SubscriberId, TotpCode, WallMs};
use serde_json::json;

use crate::world::{NOW, World, key, local, no, no_in_field, result, with_json};

const BASE: &str = "/LiveApp/rest/v2/broadcasts/stream1";

fn at(path: &str) -> String {
    format!("{BASE}{path}")
}

fn subscriber(id: &str) -> SubscriberView {
    SubscriberView {
        id: SubscriberId::parse(id).unwrap(),
        stream: key("stream1"),
        name: Some("Alice".to_owned()),
        kind: Some(Action::Publish),
        has_secret: true,
        sessions: 1,
        limit: 1,
        publish_blocked_until: None,
        play_blocked_until: None,
        period: Some(60),
    }
}

fn event(change: Change) -> ConnectionEvent {
    ConnectionEvent {
        at: NOW,
        stream: key("stream1"),
        subscriber: SubscriberId::parse("playerA").unwrap(),
        change,
        action: Action::Play,
        protocol: Protocol::Webrtc,
    }
}

#[actix_web::test]
async fn the_seeds_curls_add_a_publisher_and_a_player() {
    let world = World::new();
    for (id, kind, shown) in [("publisherA", "publish", "Some(Publish)"), ("playerA", "play", "Some(Play)")] {
        let body = format!(r#"{{"subscriberId":"{id}", "b32Secret":"mysecret", "type":"{kind}"}}"#);
        let req = local(TestRequest::post(), &at("/subscribers"))
            .append_header(("Accept", "Application/json"))
            .append_header(("Content-Type", "application/json"))
            .set_payload(body);
        let reply = world.call(req).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.json(), result(true, Some(""), None));
        let asked = world.asked().remove(0);
        assert!(asked.contains(&format!("subscriber: {id}, ")), "{asked}");
        assert!(asked.contains(&format!("kind: {shown}, limit: 1, period: None")), "{asked}");
        assert!(asked.contains("secret: Some(***)") && !asked.contains("mysecret"), "{asked}");
    }
}

#[actix_web::test]
async fn an_incomplete_subscriber_is_refused_in_amss_words() {
    let world = World::new();
    let missing = no(
        "Missing parameter: Make sure you set subscriber object correctly and make subscriberId's length at least 3",
    );
    for body in [
        "",
        "null",
        "{}",
        r#"{"subscriberId":null}"#,
        r#"{"subscriberId":"    "}"#,
        r#"{"subscriberId":"abc"}"#,
    ] {
        let reply = world.post(&at("/subscribers"), body).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, missing.clone()), "{body}");
    }
    let blank_stream = "/LiveApp/rest/v2/broadcasts/%20/subscribers";
    assert_eq!(world.post(blank_stream, r#"{"subscriberId":"alice"}"#).await.json(), missing);
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn what_auth_refuses_is_said_in_amss_words() {
    let world = World::new();
    let texts = [
        (
            PutSubscriberError::Secret,
            "Secret code is not multiple of 8 bytes length. Use b32Secret which is a string and its lenght is multiple of 8 bytes and allowed characters A-Z, 2-7",
        ),
        (PutSubscriberError::Period, "Custom TOTP expiry period must be between 10 and 2147483647"),
        (PutSubscriberError::NotStored(NotStored), "The change could not be stored; nothing was changed"),
    ];
    for (error, text) in texts {
        world.script().put_subscriber = Err(error);
        let reply =
            world.post(&at("/subscribers"), r#"{"subscriberId":"alice","b32Secret":"SecretKey"}"#).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, no(text)));
    }
}

#[actix_web::test]
async fn ids_that_ams_would_clean_up_are_refused() {
    let world = World::new();
    let bad_stream = no("Stream id is not valid.");
    let bad_subscriber = no(
        "Subscriber id is not valid. It must not contain '/', '|' or control characters, nor be longer than 255 bytes",
    );
    for sid in ["al|ce", "al/ce", "al\\nice", "al\\rice"] {
        let body = format!(r#"{{"subscriberId":"{sid}"}}"#);
        assert_eq!(world.post(&at("/subscribers"), &body).await.json(), bad_subscriber, "{sid}");
    }
    for sid in ["a%7Cb", "a%2Fb", "a%0Ab", "a%0Db", "a%FFb", "a%09b"] {
        for path in [format!("/subscribers/{sid}/block/1/play")] {
            let reply = world.put(&at(&path)).await;
            assert_eq!((reply.status, reply.json()), (StatusCode::OK, bad_subscriber.clone()), "{path}");
        }
        assert_eq!(world.delete(&at(&format!("/subscribers/{sid}"))).await.json(), bad_subscriber);
        let totp = world.get(&at(&format!("/subscribers/{sid}/totp?type=play"))).await;
        assert_eq!(totp.json()["message"], bad_subscriber["message"]);
    }
    for id in ["a%7Cb", "a%2Fb", "a%0D%0Ab", "%C3%A4", "a%20b"] {
        let base = format!("/LiveApp/rest/v2/broadcasts/{id}");
        assert_eq!(
            world.post(&format!("{base}/subscribers"), r#"{"subscriberId":"alice"}"#).await.json(),
            bad_stream
        );
        assert_eq!(world.put(&format!("{base}/subscribers/alice/block/1/play")).await.json(), bad_stream);
        assert_eq!(world.delete(&format!("{base}/subscribers")).await.json(), bad_stream);
        for list in ["subscribers/list/0/10", "subscriber-stats/list/0/10", "connection-events/0/10"] {
            let reply = world.get(&format!("{base}/{list}")).await;
            assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, bad_stream.clone()), "{list}");
        }
    }
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn block_and_connection_fields_of_a_body_are_ignored() {
    let world = World::new();
    let body = r#"{"subscriberId":"alice","blockedType":7,"blockedUntilUnitTimeStampMs":"x","connected":true,
        "registeredNodeIp":1,"streamId":"other","type":"both","unknown":{}}"#;
    assert_eq!(world.post(&at("/subscribers"), body).await.json(), result(true, Some(""), None));
    let asked = world.asked().remove(0);
    assert!(asked.contains("stream: StreamKey { app: LiveApp, id: stream1 }"), "{asked}");
    assert!(asked.contains("name: None, secret: None, kind: None, limit: 1, period: None"), "{asked}");
}

#[actix_web::test]
async fn a_field_of_the_wrong_type_is_named() {
    let world = World::new();
    let cases = [
        (r#"{"subscriberId":5}"#, "subscriberId must be a string"),
        (r#"{"subscriberId":"alice","b32Secret":[]}"#, "b32Secret must be a string of reasonable length"),
        (r#"{"subscriberId":"alice","type":{}}"#, "type must be a string"),
        (
            r#"{"subscriberId":"alice","concurrentConnectionsLimit":2147483648}"#,
            "concurrentConnectionsLimit must be a whole number of 32 bits",
        ),
        (
            r#"{"subscriberId":"alice","totpExpiryPeriodSeconds":"60"}"#,
            "totpExpiryPeriodSeconds must be a whole number",
        ),
        ("[]", "Request body is not a JSON object"),
        ("{", "Request body is not a JSON object"),
    ];
    for (body, text) in cases {
        let reply = world.post(&at("/subscribers"), body).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, no_in_field(text)), "{body}");
    }
}

#[actix_web::test]
async fn a_body_must_be_json_by_its_type_and_not_too_large() {
    let world = World::new();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let req = local(TestRequest::post(), &at("/subscribers"))
            .append_header(("content-type", content_type))
            .set_payload(r#"{"subscriberId":"alice"}"#);
        let reply = world.call(req).await;
        let expected = (StatusCode::UNSUPPORTED_MEDIA_TYPE, no("Content-Type must be application/json"));
        assert_eq!((reply.status, reply.json()), expected, "{content_type}");
    }
    let req = local(TestRequest::post(), &at("/subscribers"))
        .append_header(("content-type", "Application/JSON; charset=utf-8"))
        .set_payload(r#"{"subscriberId":"alice"}"#);
    assert_eq!(world.call(req).await.json(), result(true, Some(""), None));
    let large = format!(r#"{{"subscriberId":"{}"}}"#, "a".repeat(128 << 10));
    let reply = world.post(&at("/subscribers"), &large).await;
    let expected = (StatusCode::PAYLOAD_TOO_LARGE, no("Request body is larger than 131072 bytes"));
    assert_eq!((reply.status, reply.json()), expected);
}

#[actix_web::test]
async fn a_list_shows_all_of_a_subscriber_but_the_secret() {
    let world = World::new();
    world.script().list_subscribers = page(vec![subscriber("publisherA")]);
    let reply = world.get(&at("/subscribers/list/0/10")).await;
    assert_eq!(reply.status, StatusCode::OK);
    let expected = json!([{
        "subscriberId": "publisherA", "subscriberName": "Alice", "streamId": "stream1", "type": "publish",
        "connected": true, "currentConcurrentConnections": 1, "concurrentConnectionsLimit": 1,
        "blockedType": null, "blockedUntilUnitTimeStampMs": 0, "publishBlockedUntilMs": 0,
        "playBlockedUntilMs": 0, "registeredNodeIp": null, "avgVideoBitrate": 0, "avgAudioBitrate": 0,
        "totpExpiryPeriodSeconds": 60,
    }]);
    assert_eq!(reply.json(), expected);
    assert_eq!(reply.header("cache-control"), "no-store");
}

#[actix_web::test]
async fn two_block_deadlines_are_shown_beside_amss_one() {
    let world = World::new();
    let cases = [
        (Some(5), Some(9), json!("publish_play"), 9),
        (Some(5), None, json!("publish"), 5),
        (None, Some(9), json!("play"), 9),
        (None, None, json!(null), 0),
    ];
    for (publish, play, kind, until) in cases {
        let view = SubscriberView {
            publish_blocked_until: publish.map(WallMs),
            play_blocked_until: play.map(WallMs),
            ..subscriber("alice")
        };
        world.script().list_subscribers = page(vec![view]);
        let shown = world.get(&at("/subscribers/list/0/1")).await.json();
        assert_eq!(shown[0]["blockedType"], kind);
        assert_eq!(shown[0]["blockedUntilUnitTimeStampMs"], until);
        assert_eq!(shown[0]["publishBlockedUntilMs"], publish.unwrap_or(0));
        assert_eq!(shown[0]["playBlockedUntilMs"], play.unwrap_or(0));
    }
}

#[actix_web::test]
async fn pages_are_clamped_and_what_is_no_number_is_no_path() {
    let world = World::new();
    let cases =
        [("0/10", "offset: 0, size: 10"), ("-3/1000", "offset: 0, size: 50"), ("7/-1", "offset: 7, size: 0")];
    for list in ["subscribers/list", "subscriber-stats/list", "connection-events"] {
        for (page, asked) in cases {
            let reply = world.get(&at(&format!("/{list}/{page}"))).await;
            assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, "[]"), "{list}/{page}");
            assert!(world.asked()[0].contains(asked), "{list}/{page}");
        }
        for page in ["a/10", "0/b", "0/1.5", "0/99999999999", "%20/1"] {
            let reply = world.get(&at(&format!("/{list}/{page}"))).await;
            assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NOT_FOUND, ""), "{list}/{page}");
        }
        let blank = world.get(&format!("/LiveApp/rest/v2/broadcasts/%20/{list}/0/10")).await;
        assert_eq!((blank.status, blank.text.as_str()), (StatusCode::OK, "[]"));
    }
}

#[actix_web::test]
async fn a_list_is_searched_and_says_how_many_there_are() {
    let world = World::new();
    world.script().list_subscribers =
        SubscriberPage { subscribers: vec![subscriber("playerA")], matching: 70 };
    let reply = world.get(&at("/subscribers/list/0/10?search=play")).await;
    assert_eq!((reply.header("x-total-count"), reply.json().as_array().unwrap().len()), ("70", 1));
    assert!(world.asked()[0].contains(r#"search: Some("play")"#));
}

fn page(subscribers: Vec<SubscriberView>) -> SubscriberPage {
    SubscriberPage { matching: subscribers.len(), subscribers }
}

#[actix_web::test]
async fn statistics_group_events_by_subscriber_and_both_list_paths_mean_what_they_say() {
    let world = World::new();
    world.script().list_subscribers = page(vec![subscriber("playerA")]);
    world.script().list_events =
        EventPage { events: vec![event(Change::Connected), event(Change::Disconnected)], matching: 2 };
    let shown = |what: &str| {
        json!({
            "timestamp": NOW.0, "eventType": what, "instanceIP": "127.0.0.1", "type": "play",
            "eventProtocol": "webrtc", "streamId": "stream1", "subscriberId": "playerA",
        })
    };
    let both = json!([shown("connected"), shown("disconnected")]);
    let reply = world.get(&at("/subscriber-stats/list/0/10")).await;
    let expected = json!([{
        "subscriberId": "playerA", "streamId": "stream1", "connectionEvents": both,
        "avgVideoBitrate": 0, "avgAudioBitrate": 0,
    }]);
    assert_eq!(reply.json(), expected);
    assert!(
        world.asked()[1]
            .contains("subscriber: Some(playerA), search: None, order: Ascending, offset: 0, size: 200")
    );

    assert_eq!(world.get(&at("/connection-events/0/10")).await.json(), both);
    assert!(
        world.asked()[0].contains("subscriber: None, search: None, order: Ascending, offset: 0, size: 10")
    );
    world.get(&at("/connection-events/2/10?subscriberId=playerA")).await;
    assert!(
        world.asked()[0]
            .contains("subscriber: Some(playerA), search: None, order: Ascending, offset: 2, size: 10")
    );
    let newest = world.get(&at("/connection-events/0/10?order_by=desc&search=yer")).await;
    assert_eq!(newest.header("x-total-count"), "2");
    assert!(world.asked()[0].contains(r#"search: Some("yer"), order: Descending"#));
    let bad = world.get(&at("/connection-events/0/10?subscriberId=a%7Cb")).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

#[actix_web::test]
async fn a_code_comes_in_data_id_and_the_seeds_curls_work_as_pasted() {
    let world = World::new();
    let kinds = [
        ("?type=publish-H", "For(Publish)"),
        ("?type=play-H", "For(Play)"),
        ("?type=publish", "For(Publish)"),
        ("?x=1&type=play&type=publish", "For(Play)"),
        ("", "Unsaid"),
        ("?type=", "Unsaid"),
        ("?type=foo", "Unknown"),
    ];
    for (query, kind) in kinds {
        let reply = world.get(&at(&format!("/subscribers/SubscriberId/totp{query}"))).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, result(true, Some(""), Some("001891"))));
        assert!(world.asked()[0].contains(&format!("kind: {kind}")), "{query}");
    }
}

#[actix_web::test]
async fn no_code_is_said_in_amss_words() {
    let world = World::new();
    let texts = [
        (
            IssueCodeError::NoSecret,
            "Secret is not set in AppSettings. Please set timetokensecret publish or play in Application settings",
        ),
        (IssueCodeError::Kind, "Invalid type. Supported types are 'play' and 'publish'"),
    ];
    for (error, text) in texts {
        world.script().issue_code = Err(error);
        let reply = world.get(&at("/subscribers/alice/totp?type=x")).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, result(false, Some(text), Some(""))));
    }
    let blank = result(false, Some("streamId or subscriberId is blank"), Some(""));
    assert_eq!(world.get(&at("/subscribers/%20/totp?type=play")).await.json(), blank);
    world.script().issue_code = Err(IssueCodeError::Unavailable);
    let reply = world.get(&at("/subscribers/alice/totp")).await;
    let expected = (StatusCode::SERVICE_UNAVAILABLE, no("Server is not available; try again"));
    assert_eq!((reply.status, reply.json()), expected);
}

#[actix_web::test]
async fn the_seeds_curls_block_and_unblock() {
    let world = World::new();
    let cases = [
        ("120/publish", "Block", "Only(Publish), duration: 120s"),
        ("120/play", "Block", "Only(Play), duration: 120s"),
        ("120/publish_play", "Block", "Both, duration: 120s"),
        ("4294967296/play", "Block", "Only(Play), duration: 4294967296s"),
        ("0/publish", "Unblock", "Only(Publish)"),
        ("0/play", "Unblock", "Only(Play)"),
        ("-0/publish_play", "Unblock", "Both"),
    ];
    for (path, message, actions) in cases {
        let reply = world.put(&at(&format!("/subscribers/subscriberId/block/{path}"))).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, result(true, Some(""), None)), "{path}");
        let asked = world.asked();
        let expected = format!(
            "{message} {{ stream: StreamKey {{ app: LiveApp, id: stream1 }}, subscriber: subscriberId, actions: {actions} }}"
        );
        assert_eq!(asked, [expected]);
    }
}

#[actix_web::test]
async fn a_block_of_nonsense_changes_nothing() {
    let world = World::new();
    let kind = no("Block type is not valid. Supported types are 'publish', 'play' and 'publish_play'");
    let seconds = no("Block duration must be a number of seconds, 0 or more");
    let blank = no("streamId or subscriberId is blank");
    for (path, expected) in [
        ("/subscribers/alice/block/120/foo", &kind),
        ("/subscribers/alice/block/-1/foo", &kind),
        ("/subscribers/alice/block/-1/play", &seconds),
        ("/subscribers/alice/block/99999999999999999999999/play", &seconds),
        ("/subscribers/%20/block/1/play", &blank),
    ] {
        let reply = world.put(&at(path)).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected.clone()), "{path}");
    }
    for path in ["abc/play", "1.5/play", "1e3/play", "%20/play"] {
        let reply = world.put(&at(&format!("/subscribers/alice/block/{path}"))).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn a_block_that_is_not_on_disk_or_not_silent_is_not_acknowledged() {
    let world = World::new();
    world.script().block = Err(NotStored);
    let reply = world.put(&at("/subscribers/alice/block/120/play")).await;
    let text = "The block could not be stored; it holds only until the server restarts";
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, no(text)));
    world.script().block = Ok(Blocked { until: NOW, stopped: 1, fenced: Fenced::Uncertain });
    let reply = world.put(&at("/subscribers/alice/block/120/play")).await;
    let text =
        "The block holds, but this system resets no connection: media that was under way may still arrive";
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, no(text)));
    world.script().unblock = Err(NotStored);
    let reply = world.put(&at("/subscribers/alice/block/0/play")).await;
    assert_eq!(reply.json(), no("The change could not be stored; nothing was changed"));
}

#[actix_web::test]
async fn deleting_says_whether_there_was_anybody() {
    let world = World::new();
    let cases = [
        (Ok(3), result(true, None, None)),
        (Ok(0), result(false, None, None)),
        (Err(NotStored), no("The change could not be stored; nothing was changed")),
    ];
    for (outcome, expected) in cases {
        world.script().remove_subscriber = outcome;
        assert_eq!(world.delete(&at("/subscribers")).await.json(), expected);
        assert_eq!(world.delete(&at("/subscribers/alice")).await.json(), expected);
        let asked = world.asked();
        assert!(asked[0].ends_with("subscriber: None }") && asked[1].ends_with("subscriber: Some(alice) }"));
    }
}

#[actix_web::test]
async fn a_wrong_method_on_a_known_path_is_405() {
    let world = World::new();
    for path in [
        "/subscribers/list/0/10",
        "/subscriber-stats/list/0/10",
        "/connection-events/0/10",
        "/subscribers/alice/totp",
        "/subscribers/alice/block/1/play",
    ] {
        assert_eq!(world.post(&at(path), "{}").await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(world.get(&at("/subscribers")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.get(&at("/subscribers/alice")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.get(&at("/nothing/of/the/kind")).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn without_owners_the_answer_is_503_and_no_acknowledgement() {
    let world = World::new();
    world.lose_owners().await;
    let put = with_json(local(TestRequest::post(), &at("/subscribers")), r#"{"subscriberId":"alice"}"#);
    for reply in [
        world.call(put).await,
        world.put(&at("/subscribers/alice/block/120/play")).await,
        world.get(&at("/subscribers/list/0/10")).await,
        world.delete(&at("/subscribers")).await,
    ] {
        let expected = (StatusCode::SERVICE_UNAVAILABLE, no("Server is not available; try again"));
        assert_eq!((reply.status, reply.json()), expected);
    }
}

#[actix_web::test]
async fn the_code_is_in_the_answer_and_nowhere_else() {
    let code = TotpCode::parse("001891");
    assert_eq!(format!("{code:?}"), "Some(***)");
    let world = World::new();
    let reply = world.get(&at("/subscribers/alice/totp?type=play")).await;
    assert!(reply.headers.iter().all(|(_, value)| !value.to_str().unwrap().contains("001891")));
    assert_eq!(reply.header("cache-control"), "no-store");
}
