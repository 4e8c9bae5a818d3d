use serde_json::json;

use super::*;

fn parsed(value: Value) -> Result<AppSettings, PatchError> {
    parse(&Document::default().merged(value.as_object().unwrap()).unwrap())
}

fn refused_field(value: Value) -> String {
    match parsed(value) {
        Err(PatchError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_of_the_document_are_the_defaults_of_the_types() {
    assert_eq!(parsed(json!({})).unwrap(), AppSettings::default());
}

#[test]
fn every_key_that_is_read_is_a_known_one_of_the_right_kind() {
    let all = json!({
        "enableTimeTokenForPlay": true, "timeTokenSecretForPublish": "a", "timeTokenSecretForPlay": " ",
        "timeTokenPeriod": 30, "acceptOnlyStreamsInDataStore": true, "allowedPublisherCIDR": "10.0.0.0/8, ::1",
        "ipFilterEnabled": false, "hlsGrantBoundToAddress": true, "hlsMuxingEnabled": false, "hlsTime": "0.2",
        "hlsListSize": 3, "rtmpPlaybackEnabled": false, "webRTCEnabled": false,
        "webRTCClientStartTimeoutMs": 5000, "stunServerURI": "", "turnServerUsername": "u",
        "turnServerCredential": "c", "ingestingStreamLimit": 0, "webRTCViewerLimit": 7,
        "writeSubscriberEventsToDatastore": true,
    });
    let got = parsed(all).unwrap();
    let security = Security {
        totp_publish: false,
        totp_play: true,
        secret_publish: Some(Secret::new("a".into())),
        secret_play: None,
        period: 30,
        registered_only: true,
        publisher_networks: vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()],
        rest_networks: None,
        hls_grant_bound_to_address: true,
    };
    let hls = Hls { enabled: false, segment: Duration::from_secs(1), list_size: 5 };
    let webrtc = Webrtc {
        enabled: false,
        start_timeout: Duration::from_secs(5),
        stun_uri: String::new(),
        turn_username: "u".into(),
        turn_credential: Secret::new("c".into()),
    };
    let streams = Streams { live_limit: Some(0), webrtc_player_limit: Some(7), write_events: true };
    assert_eq!(got, AppSettings { security, hls, rtmp: Rtmp { playback: false }, webrtc, streams });
}

#[test]
fn subscriber_only_stands_for_both_flags_only_when_both_are_off() {
    let flags = |value| {
        let security = parsed(value).unwrap().security;
        (security.totp_publish, security.totp_play)
    };
    assert_eq!(flags(json!({"timeTokenSubscriberOnly": true})), (true, true));
    let one = json!({"timeTokenSubscriberOnly": true, "enableTimeTokenForPlay": true});
    assert_eq!(flags(one), (false, true));
    assert_eq!(flags(json!({"timeTokenSubscriberOnly": false})), (false, false));
}

#[test]
fn two_kinds_of_token_for_one_direction_conflict_and_both_are_named() {
    let rows = [
        (TOTP, "publishTokenControlEnabled", "enableTimeTokenForPublish"),
        (TOTP, "publishJwtControlEnabled", "enableTimeTokenForPublish"),
        ("enableTimeTokenForPlay", "playJwtControlEnabled", "enableTimeTokenForPlay"),
        ("playTokenControlEnabled", "playJwtControlEnabled", "playTokenControlEnabled"),
        ("timeTokenSubscriberOnly", "playTokenControlEnabled", "timeTokenSubscriberOnly"),
    ];
    for (one, other, named) in rows {
        let error = parsed(json!({one: true, other: true})).unwrap_err();
        let expected = PatchError::Conflict { first: named.into(), second: other.into() };
        assert_eq!(error, expected);
    }
}

const TOTP: &str = "enableTimeTokenForPublish";

#[test]
fn protection_that_does_not_exist_cannot_be_switched_on() {
    for name in key::NOT_BUILT {
        let on = match key::kind(name).unwrap() {
            key::Kind::Bool(false) => json!(true),
            key::Kind::Text("") => json!("https://example.org/"),
            key::Kind::Int(0) => json!(720),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(refused_field(json!({*name: on})), *name);
        assert!(parsed(json!({*name: key_off(name)})).is_ok());
    }
}

fn key_off(name: &str) -> Value {
    Document::default().get(name)
}

#[test]
fn values_out_of_range_name_their_field() {
    let rows = [
        ("timeTokenPeriod", json!(9)),
        ("timeTokenPeriod", json!(2_147_483_648_u64)),
        ("stunServerURI", json!("stun.example.org:3478")),
        ("stunServerURI", json!("turn:")),
        ("stunServerURI", json!("stun:a b")),
        ("hlsSegmentType", json!("mpegts")),
        ("hlsTime", json!("61")),
        ("hlsListSize", json!(301)),
        ("webRTCClientStartTimeoutMs", json!(0)),
        ("allowedPublisherCIDR", json!("10.0.0.0/33")),
        ("remoteAllowedCIDR", json!("localhost")),
    ];
    for (name, value) in rows {
        assert_eq!(refused_field(json!({name: value})), name);
    }
}

#[test]
fn a_network_of_mapped_addresses_is_one_of_v4() {
    assert_eq!(network("::ffff:10.0.0.0/104"), "10.0.0.0/8".parse().ok());
    assert_eq!(network("2001:db8::/32"), "2001:db8::/32".parse().ok());
}
