use serde_json::json;

use super::*;

fn live() -> AppName {
    AppName::parse("live").unwrap()
}

fn start(store: &Store) -> (Addr<Settings>, SettingsView) {
    let (settings, view) = Settings::load(store.clone(), &[live()]).unwrap();
    (settings.start(), view)
}

fn patch(value: Value) -> PatchSettings {
    PatchSettings { app: live(), expected: None, patch: value.as_object().cloned().unwrap() }
}

fn patched(revision: u64, changed: &[&str]) -> Patched {
    Patched { revision, changed: changed.iter().map(ToString::to_string).collect() }
}

#[actix_rt::test]
async fn only_what_is_other_than_before_counts_as_changed() {
    let (settings, _) = start(&Store::memory());
    let first = json!({"timeTokenPeriod": 60, "hlsTime": 4, "timeTokenSecretForPlay": "A", "x": null});
    let answer = settings.send(patch(first)).await.unwrap();
    assert_eq!(answer, Ok(patched(1, &["hlsTime", "timeTokenSecretForPlay"])));
    let again = json!({"hlsTime": "4", "timeTokenSecretForPlay": "********", "webRTCEnabled": false});
    assert_eq!(settings.send(patch(again)).await.unwrap(), Ok(patched(2, &["webRTCEnabled"])));
    let back = json!({"hlsTime": null, "timeTokenSecretForPlay": ""});
    let answer = settings.send(patch(back)).await.unwrap();
    assert_eq!(answer, Ok(patched(3, &["hlsTime", "timeTokenSecretForPlay"])));
}

fn period(view: &SettingsView) -> u32 {
    view.app(&live()).unwrap().security.period
}

#[actix_rt::test]
async fn what_an_earlier_version_stored_and_this_one_refuses_keeps_no_server_from_starting() {
    let store = Store::memory();
    let (settings, _) = start(&store);
    settings.send(patch(json!({"hlsTime": "4"}))).await.unwrap().unwrap();
    let values = json!({"stunServerURI": "stun.example.org", "timeTokenPeriod": 5, "hlsTime": "3"});
    let old = json!({"revision": 3, "values": values});
    let mut batch = Batch::new();
    batch.put(SETTINGS, b"live", &serde_json::to_vec(&old).unwrap());
    store.commit(batch).await.unwrap();
    let (settings, view) = start(&store);
    let document = settings.send(GetSettings { app: live() }).await.unwrap().unwrap();
    assert_eq!((period(&view), &document.values["stunServerURI"]), (10, &json!("")));
    assert_eq!((&document.values["hlsTime"], document.revision), (&json!("3"), 3));
}

#[actix_rt::test]
async fn a_change_is_seen_by_everybody_and_survives_a_restart() {
    let store = Store::memory();
    let (settings, view) = start(&store);
    assert_eq!(
        settings.send(patch(json!({"timeTokenPeriod": 30, "x": 1}))).await.unwrap(),
        Ok(patched(1, &["timeTokenPeriod", "x"]))
    );
    assert_eq!(period(&view), 30);
    let (settings, view) = start(&store);
    assert_eq!(period(&view), 30);
    let document = settings.send(GetSettings { app: live() }).await.unwrap().unwrap();
    assert_eq!((document.revision, &document.values["x"]), (1, &json!(1)));
}

#[actix_rt::test]
async fn what_is_not_on_disk_is_not_in_force() {
    let (store, fault) = Store::memory_with_fault();
    let (settings, view) = start(&store);
    fault.break_disk();
    let answer = settings.send(patch(json!({"timeTokenPeriod": 30}))).await.unwrap();
    assert_eq!(answer, Err(PatchError::NotStored(NotStored)));
    assert_eq!(period(&view), 60);
    assert_eq!(settings.send(GetSettings { app: live() }).await.unwrap().unwrap().revision, 0);
}

#[actix_rt::test]
async fn a_change_based_on_an_old_revision_is_refused() {
    let (settings, view) = start(&Store::memory());
    let stale = PatchSettings { expected: Some(0), ..patch(json!({"timeTokenPeriod": 20})) };
    // Both are sent before either is answered.
    let (first, second) = (settings.send(patch(json!({"timeTokenPeriod": 30}))), settings.send(stale));
    assert_eq!(first.await.unwrap(), Ok(patched(1, &["timeTokenPeriod"])));
    assert_eq!(second.await.unwrap(), Err(PatchError::Stale { expected: 0, current: 1 }));
    assert_eq!(period(&view), 30);
}

#[actix_rt::test]
async fn an_invalid_change_changes_nothing() {
    let (settings, view) = start(&Store::memory());
    let answer = settings.send(patch(json!({"timeTokenPeriod": 30, "hlsTime": true}))).await.unwrap();
    assert!(matches!(answer, Err(PatchError::Invalid { field, .. }) if field == "hlsTime"));
    assert_eq!(period(&view), 60);
}

#[actix_rt::test]
async fn a_document_that_does_not_fit_a_record_is_refused() {
    let (settings, _) = start(&Store::memory());
    let answer = settings.send(patch(json!({"small": 1, "huge": "x".repeat(MAX_VALUE)}))).await.unwrap();
    assert!(matches!(answer, Err(PatchError::Invalid { field, .. }) if field == "huge"));
}

#[actix_rt::test]
async fn an_application_that_is_not_configured_does_not_exist() {
    let (settings, view) = start(&Store::memory());
    let other = AppName::parse("other").unwrap();
    let ask = PatchSettings { app: other.clone(), ..patch(json!({})) };
    assert_eq!(settings.send(ask).await.unwrap(), Err(PatchError::UnknownApp));
    assert!(view.app(&other).is_none());
    assert!(settings.send(GetSettings { app: other }).await.unwrap().is_none());
}

#[test]
fn secrets_are_sealed_at_rest() {
    assert_eq!(SETTINGS.sealing(), Sealing::Sealed);
}
