use serde_json::json;

use super::*;

fn patch(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn app() -> AppName {
    AppName::parse("live").unwrap()
}

fn merged(document: &Document, value: Value) -> Document {
    document.merged(&patch(value)).unwrap()
}

#[test]
fn a_patch_merges_and_null_gives_the_default() {
    let first = merged(&Document::default(), json!({"hlsTime": "4", "timeTokenPeriod": 30}));
    let second = merged(&first, json!({"hlsTime": null, "somethingNew": {"a": [1]}}));
    assert_eq!(second.get("hlsTime"), "2");
    assert_eq!(second.get("timeTokenPeriod"), 30);
    assert_eq!(second.shown(&app())["somethingNew"], json!({"a": [1]}));
}

#[test]
fn every_key_is_shown_once_with_its_default() {
    let shown = Document::default().shown(&app());
    assert_eq!(shown.len(), dialect::all().count() + 1, "a key is listed twice");
    assert_eq!(shown["appName"], "live");
    assert_eq!(shown["rtmpPlaybackEnabled"], true);
    assert_eq!(shown["hlsSegmentType"], "fmp4");
    assert_eq!(shown["timeTokenSecretForPlay"], Value::Null);
}

#[test]
fn secrets_are_masked_kept_when_written_back_and_cleared_by_an_empty_text() {
    for secret in SECRETS {
        let set = merged(&Document::default(), json!({*secret: "hush"}));
        let shown = set.shown(&app());
        assert_eq!(shown[*secret], MASK);
        assert!(!format!("{set:?}").contains("hush"));
        let kept = set.merged(&shown).unwrap();
        assert_eq!(kept.get(secret), "hush");
        let cleared = merged(&kept, json!({*secret: ""}));
        assert_ne!(cleared.shown(&app())[*secret], MASK, "{secret}");
    }
}

#[test]
fn what_is_shown_can_be_written_back_whole() {
    let document = merged(&Document::default(), json!({"hlsTime": 3, "mine": 1}));
    let again = document.merged(&document.shown(&app())).unwrap();
    assert_eq!(again.shown(&app()), document.shown(&app()));
}

#[test]
fn a_wrong_kind_names_its_field() {
    let rows = [
        ("enableTimeTokenForPublish", json!("true")),
        ("timeTokenPeriod", json!("60")),
        ("timeTokenPeriod", json!(1.5)),
        ("hlsTime", json!("soon")),
        ("hlsTime", json!("NaN")),
        ("timeTokenSecretForPlay", json!(7)),
        ("encoderSettings", json!({})),
        ("customSettings", json!([])),
        ("abrUpScalePacketLostRatio", json!("0.1")),
    ];
    for (key, value) in rows {
        let error = Document::default().merged(&patch(json!({key: value}))).unwrap_err();
        assert!(matches!(&error, PatchError::Invalid { field, .. } if field == key), "{error:?}");
    }
}

#[test]
fn keys_are_bounded_and_the_application_keeps_its_name() {
    let long = "k".repeat(300);
    assert!(Document::default().merged(&patch(json!({long: 1}))).is_err());
    assert!(Document::default().merged(&patch(json!({"": 1}))).is_err());
    assert_eq!(merged(&Document::default(), json!({"appName": "other"})).shown(&app())["appName"], "live");
}
