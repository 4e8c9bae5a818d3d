//! Subscribers from a file, and into one.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::accounts::Role;
use contract::auth::*;
use contract::*;
use serde_json::{Value, json};

use crate::world::{Reply, World, key};

const IMPORT: &str = "/rest/v2/panel/streams/LiveApp/cam/subscribers/import";
const EXPORT: &str = "/rest/v2/panel/streams/LiveApp/cam/subscribers.csv";

async fn import(world: &World, text: &str) -> Reply {
    let cookie = world.log_in(Role::User).await;
    let req = TestRequest::post().append_header(("content-type", "text/csv; charset=utf-8"));
    world.remote(req.set_payload(text.to_owned()), IMPORT, &cookie).await
}

fn subscriber(id: &str, has_secret: bool) -> SubscriberView {
    SubscriberView {
        id: SubscriberId::parse(id).unwrap(),
        stream: key("cam"),
        name: Some("Smith, \"Al\"".to_owned()),
        kind: Some(Action::Play),
        has_secret,
        sessions: 0,
        limit: -1,
        publish_blocked_until: None,
        play_blocked_until: None,
        period: None,
    }
}

#[actix_web::test]
async fn a_file_adds_subscribers_and_says_which_lines_it_could_not_take() {
    let world = World::new();
    let file = "subscriberId,subscriberName,type,b32Secret,concurrentConnectionsLimit,totpExpiryPeriodSeconds\r\n\
                alice,\"Smith, Al\",publish,JBSWY3DPEHPK3PXP,2,30\r\n\
                bob,,,,,\r\n\
                al,,,,,\r\n\
                a/bc,,,,,\r\n\
                carol,,both,,,\r\n\
                dave1,,,,many,\r\n\
                alice,,,,,\r\n\
                erin1,,,,,,extra\r\n\
                frank\r\n\
                carol,,play,,,\r\n";
    let reply = import(&world, file).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let answer = reply.json();
    let refused: Vec<_> = answer["refused"].as_array().unwrap().iter().collect();
    let short: Vec<_> =
        refused.iter().map(|r| (r["line"].as_u64().unwrap(), r["subscriberId"].as_str().unwrap())).collect();
    let expected =
        [(3, "bob"), (4, "al"), (5, "a/bc"), (6, "carol"), (7, "dave1"), (8, "alice"), (9, "erin1")];
    assert_eq!(
        (short, &answer["added"]),
        (expected.to_vec(), &json!(3)),
        "a line that is refused counts for nothing"
    );
    let text = |at: usize| refused[at]["message"].as_str().unwrap();
    assert_eq!(text(1), "subscriberId must have 4 characters or more");
    assert!(text(3).contains("type") && text(4).contains("concurrentConnectionsLimit"));
    assert!(text(5).contains("twice"), "{}", text(5));
    let put: Vec<_> = world.asked().into_iter().filter(|asked| asked.starts_with("PutSubscriber")).collect();
    assert_eq!(put.len(), 3);
    let alice = put.iter().find(|asked| asked.contains("alice")).unwrap();
    for part in [
        r#"name: Some("Smith, Al")"#,
        "secret: Some(***)",
        "kind: Some(Publish)",
        "limit: 2",
        "period: Some(30)",
    ] {
        assert!(alice.contains(part), "{part} in {alice}");
    }
    let frank = put.iter().find(|asked| asked.contains("frank")).unwrap();
    assert!(frank.contains("secret: None") && frank.contains("limit: 1"), "{frank}");
    let noted = world.noted().remove(0);
    assert_eq!((noted.what, noted.detail.as_str()), (audit::Deed::ImportSubscribers, "3 added, 7 refused"));
}

#[actix_web::test]
async fn what_the_owner_refuses_is_told_with_its_line() {
    let world = World::new();
    world.script().put_subscriber = Err(PutSubscriberError::Secret);
    let answer = import(&world, "subscriberId,b32Secret\nalice,short\n").await.json();
    assert_eq!((&answer["added"], &answer["refused"][0]["line"]), (&json!(0), &json!(2)));
    assert!(answer["refused"][0]["message"].as_str().unwrap().starts_with("Secret code"));
    assert!(world.noted().is_empty());
}

#[actix_web::test]
async fn a_line_without_a_secret_takes_none_away() {
    let world = World::new();
    world.script().get_subscriber = Some(subscriber("alice", true));
    let answer = import(&world, "subscriberId\nalice\n").await.json();
    assert_eq!((&answer["added"], &answer["refused"][0]["subscriberId"]), (&json!(0), &json!("alice")));
    world.script().get_subscriber = Some(subscriber("alice", false));
    assert_eq!(import(&world, "subscriberId\nalice\n").await.json()["added"], 1);
    world.script().get_subscriber = Some(subscriber("alice", true));
    assert_eq!(import(&world, "subscriberId,b32Secret\nalice,JBSWY3DPEHPK3PXP\n").await.json()["added"], 1);
}

#[actix_web::test]
async fn a_file_that_is_none_is_refused_whole() {
    let world = World::new();
    let long = format!("subscriberId\n{}", "x\n".repeat(10_001));
    for text in [
        "",
        "\n",
        "name\nalice",
        "subscriberId,secret\na,b",
        "subscriberId,subscriberid\na,b",
        "subscriberId\n\"alice",
        &long,
    ] {
        let reply = import(&world, text).await;
        let answer = reply.json();
        assert_eq!(
            (reply.status, &answer["success"]),
            (StatusCode::BAD_REQUEST, &json!(false)),
            "{text:.20}"
        );
        assert_ne!(answer["message"], Value::Null);
    }
    let large = format!("subscriberId\n{}", "x".repeat(2 << 20));
    assert_eq!(import(&world, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let cookie = world.log_in(Role::User).await;
    for kind in ["text/plain", "application/json", ""] {
        let req =
            TestRequest::post().append_header(("content-type", kind)).set_payload("subscriberId\nalice");
        let status = world.remote(req, IMPORT, &cookie).await.status;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    assert!(!world.asked().iter().any(|asked| asked.starts_with("PutSubscriber")));
}

#[actix_web::test]
async fn ten_thousand_lines_are_taken() {
    let world = World::new();
    let lines: String = (0..10_000).map(|n| format!("user{n}\n")).collect();
    let answer = import(&world, &format!("subscriberId\n{lines}")).await.json();
    assert_eq!((&answer["added"], answer["refused"].as_array().unwrap().len()), (&json!(10_000), 0));
}

#[actix_web::test]
async fn an_export_has_everybody_and_no_secrets() {
    let world = World::new();
    let cookie = world.log_in(Role::ReadOnly).await;
    let subscribers = vec![subscriber("alice", true), subscriber("bob b", true)];
    world.script().list_subscribers = SubscriberPage { subscribers, matching: 2 };
    let reply = world.remote(TestRequest::get(), EXPORT, &cookie).await;
    let expected = "subscriberId,subscriberName,type,concurrentConnectionsLimit,totpExpiryPeriodSeconds\r\n\
                    alice,\"Smith, \"\"Al\"\"\",play,-1,\r\n\
                    bob b,\"Smith, \"\"Al\"\"\",play,-1,\r\n";
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, expected));
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"cam-subscribers.csv\"");
    assert!(world.asked()[0].contains("offset: 0, size: 500"));
}
