use super::*;
use proptest::prelude::*;

fn id(text: &str) -> StreamId {
    StreamId::parse(text).unwrap()
}

fn shown(credentials: &Credentials) -> (Option<&str>, Option<&str>, bool) {
    (
        credentials.subscriber.as_ref().map(contract::SubscriberId::as_str),
        credentials.code.as_ref().map(contract::TotpCode::reveal),
        credentials.token.is_some(),
    )
}

/// Recorded from `publish('teststream', null, 'lastpeony', '451222')`.
#[test]
fn the_seeds_publish_is_understood() {
    let text = r#"{"command":"publish","streamId":"teststream","token":null,"subscriberId":"lastpeony","subscriberCode":"451222","streamName":"","mainTrack":"","video":true,"audio":true,"metaData":"","role":""}"#;
    let Ok(Ask::Publish { stream, credentials }) = parse(text) else { panic!("not a publish") };
    assert_eq!(stream, id("teststream"));
    assert_eq!(shown(&credentials), (Some("lastpeony"), Some("451222"), false));
}

/// Recorded from `play('teststream', null, 'lastpeony', '451222')`: the SDK's
/// parameters are others, so the words land in `room` and `trackList`.
#[test]
fn the_seeds_play_is_understood() {
    let text = r#"{"command":"play","streamId":"teststream","token":"","room":"lastpeony","trackList":"451222","subscriberId":"","subscriberCode":"","viewerInfo":"","role":"","userPublishId":""}"#;
    let Ok(Ask::Play { credentials, .. }) = parse(text) else { panic!("not a play") };
    assert_eq!(shown(&credentials), (Some("lastpeony"), Some("451222"), false));
}

#[test]
fn the_sdks_own_play_keeps_its_meaning() {
    let text = r#"{"command":"play","streamId":"s1","token":"tok2","room":"r","trackList":[],"subscriberId":"sub2","subscriberCode":654321}"#;
    let Ok(Ask::Play { credentials, .. }) = parse(text) else { panic!("not a play") };
    assert_eq!(shown(&credentials), (Some("sub2"), Some("654321"), true));
    let listed = r#"{"command":"play","streamId":"s1","trackList":"111111","subscriberId":"sub2","subscriberCode":"654321"}"#;
    let Ok(Ask::Play { credentials, .. }) = parse(listed) else { panic!("not a play") };
    assert_eq!(shown(&credentials).1, Some("654321"));
}

#[test]
fn what_means_nothing_is_named() {
    for (text, unclear) in [
        ("", Unclear::Message),
        ("[]", Unclear::Message),
        (r#"{"command":7}"#, Unclear::Message),
        (r#"{"command":"publish"}"#, Unclear::NoStream),
        (r#"{"command":"play","streamId":" "}"#, Unclear::NoStream),
        (r#"{"command":"play","streamId":"a/b"}"#, Unclear::BadStream),
        (r#"{"command":"takeConfiguration","streamId":"s","type":"offer"}"#, Unclear::Missing),
    ] {
        assert_eq!(parse(text).unwrap_err(), unclear, "{text}");
    }
    let long = format!(r#"{{"command":"publish","streamId":"{}"}}"#, "a".repeat(10_000));
    assert_eq!(parse(&long).unwrap_err(), Unclear::BadStream);
    assert!(matches!(parse(r#"{"command":"joinRoom","streamId":"s"}"#), Ok(Ask::Other)));
    assert!(matches!(parse(r#"{"command":"ping"}"#), Ok(Ask::Ping)));
}

#[test]
fn messages_read_as_ams_writes_them() {
    let stream = id("s1");
    let golden = [
        (pong(), r#"{"command":"pong"}"#),
        (start(&stream, "p"), r#"{"command":"start","streamId":"s1","subscriberId":"p"}"#),
        (
            description(Description::Offer, &stream, "v=0", &["0".to_owned(), "1".to_owned()], ""),
            r#"{"command":"takeConfiguration","streamId":"s1","type":"offer","sdp":"v=0","idMapping":{"0":"s1","1":"s1"},"subscriberId":""}"#,
        ),
        (
            description(Description::Answer, &stream, "v=0", &[], "p"),
            r#"{"command":"takeConfiguration","streamId":"s1","type":"answer","sdp":"v=0","subscriberId":"p"}"#,
        ),
        (
            notice(Notice::PublishStarted, Some(&stream), "p"),
            r#"{"command":"notification","definition":"publish_started","streamId":"s1","subscriberId":"p"}"#,
        ),
        (
            notice(Notice::ServerWillStop, None, ""),
            r#"{"command":"notification","definition":"server_will_stop"}"#,
        ),
        (
            problem(Problem::Refused(Refused::Play(PlayRefused::NotLive)), Some(&stream)),
            r#"{"command":"error","definition":"no_stream_exist","streamId":"s1","error_code":"404","information":"stream_not_exist_or_not_streaming"}"#,
        ),
        (
            problem(Problem::Blocked, Some(&stream)),
            r#"{"command":"error","definition":"user_blocked","streamId":"s1"}"#,
        ),
        (
            problem(Problem::Unclear(Unclear::NoStream), None),
            r#"{"command":"error","definition":"noStreamNameSpecified"}"#,
        ),
        (track_list(&stream), r#"{"command":"trackList","streamId":"s1","trackList":["s1"]}"#),
        (
            ice_servers(&AppSettings::default()),
            r#"{"command":"iceServerConfig","stunServerUri":"stun:stun1.l.google.com:19302","turnServerUsername":"","turnServerCredential":""}"#,
        ),
    ];
    for (said, expected) in golden {
        assert_eq!(said, expected);
    }
}

#[test]
fn every_refusal_has_its_ams_name() {
    for (refused, name) in [
        (Refused::Denied(Denied::Credentials), "unauthorized_access"),
        (Refused::Denied(Denied::Ip), "unauthorized_access"),
        (Refused::Denied(Denied::Limit), "unauthorized_access"),
        (Refused::Denied(Denied::Blocked), "user_blocked"),
        (Refused::Denied(Denied::UnknownStream), "not_allowed_unregistered_streams"),
        (Refused::Denied(Denied::Unavailable), "data_store_not_available"),
        (Refused::Publish(PublishRefused::AlreadyPublishing), "streamIdInUse"),
        (Refused::Publish(PublishRefused::Dates), "stream_not_active_or_expired"),
        (Refused::Publish(PublishRefused::Limit), "highResourceUsage"),
        (Refused::Publish(PublishRefused::Memory), "highResourceUsage"),
        (Refused::Play(PlayRefused::Limit), "viewerLimitReached"),
        (Refused::Unavailable, "not_initialized_yet"),
        (Refused::Ended(CloseReason::Blocked), "user_blocked"),
        (Refused::Ended(CloseReason::Withdrawn), "unauthorized_access"),
        (Refused::Ended(CloseReason::TakenOver), "streamIdInUse"),
        (Refused::Ended(CloseReason::Stopped), "no_stream_exist"),
    ] {
        assert_eq!(Problem::from(refused).definition(), name);
    }
}

proptest! {
    #[test]
    fn hostile_text_does_not_panic(text in "\\PC{0,300}") {
        let _ = parse(&text);
    }
}

#[test]
fn what_a_page_asks_is_shown_without_its_secrets() {
    for text in [
        r#"{"command":"takeConfiguration","streamId":"s","type":"offer","sdp":"a=ice-pwd:hunter2"}"#,
        r#"{"command":"takeConfiguration","streamId":"s","type":"answer","sdp":"a=ice-pwd:hunter2"}"#,
        r#"{"command":"takeCandidate","streamId":"s","candidate":"candidate:hunter2"}"#,
        r#"{"command":"publish","streamId":"s","token":"hunter2","subscriberCode":"hunter2"}"#,
    ] {
        let shown = format!("{:?}", parse(text));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
