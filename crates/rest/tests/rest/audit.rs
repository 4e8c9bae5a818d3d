//! What the audit log is told.

use actix_web::App;
use actix_web::dev::Service;
use actix_web::test::{TestRequest, init_service};
use contract::accounts::*;
use contract::audit::{AuditEntry, AuditPage, Deed};
use contract::auth::NotStored;
use contract::settings::PatchError;
use futures_util::future::poll_immediate;
use serde_json::json;

use crate::world::{World, idle, remote, with_json};

/// What was noted, in short.
fn short(entry: &AuditEntry) -> (Deed, Option<&str>, String, String) {
    let about = &entry.about;
    let parts = [
        about.app.as_ref().map(|app| app.as_str()),
        about.stream.as_ref().map(|stream| stream.as_str()),
        about.subscriber.as_ref().map(|subscriber| subscriber.as_str()),
    ];
    let about = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    (entry.what, entry.who.as_deref(), about, entry.detail.clone())
}

#[actix_web::test]
async fn every_change_says_who_did_what_to_whom() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let at = |path: &str| format!("/LiveApp/rest/v2/broadcasts{path}");
    world.script().get_stream = Some(idle("cam"));
    world.script().stop_stream = true;
    let stream = "LiveApp/cam";
    let alice = "LiveApp/cam/alice";
    let put = r#"{"subscriberId":"alice","b32Secret":"JBSWY3DPEHPK3PXP","type":"play"}"#;
    let user = r#"{"email":"b@example.org","password":"hunter2","userType":"USER"}"#;
    let changed = r#"{"email":"b@example.org","newPassword":"hunter3","userType":"ADMIN"}"#;
    let cases = [
        (TestRequest::post(), at("/create"), "{}", Deed::CreateStream, "LiveApp/made", ""),
        (TestRequest::put(), at("/cam"), r#"{"name":"n"}"#, Deed::UpdateStream, stream, "name"),
        (TestRequest::post(), at("/cam/stop"), "", Deed::StopStream, stream, ""),
        (TestRequest::delete(), at("/cam"), "", Deed::RemoveStream, stream, ""),
        (TestRequest::post(), at("/cam/subscribers"), put, Deed::PutSubscriber, alice, "may play"),
        (
            TestRequest::put(),
            at("/cam/subscribers/alice/block/60/play"),
            "",
            Deed::Block,
            alice,
            "watching, 1 min",
        ),
        (TestRequest::put(), at("/cam/subscribers/alice/block/0/play"), "", Deed::Unblock, alice, "watching"),
        (TestRequest::delete(), at("/cam/subscribers/alice"), "", Deed::RemoveSubscriber, alice, ""),
        (TestRequest::delete(), at("/cam/subscribers"), "", Deed::RemoveSubscriber, stream, "all 1"),
        (
            TestRequest::post(),
            "/rest/v2/applications/settings/LiveApp".to_owned(),
            r#"{"hlsTime":"4"}"#,
            Deed::ChangeSettings,
            "LiveApp",
            "hlsTime",
        ),
        (
            TestRequest::delete(),
            "/rest/v2/panel/streams/LiveApp/cam/sessions/7".to_owned(),
            "",
            Deed::StopSession,
            stream,
            "session 7",
        ),
        (
            TestRequest::delete(),
            "/rest/v2/panel/streams/LiveApp/cam/guesses/alice".to_owned(),
            "",
            Deed::ForgiveGuesses,
            alice,
            "",
        ),
        (
            TestRequest::delete(),
            "/rest/v2/panel/streams/LiveApp/cam/guesses".to_owned(),
            "",
            Deed::ForgiveGuesses,
            stream,
            "all who have no secret of their own",
        ),
        (
            TestRequest::post(),
            "/rest/v2/users".to_owned(),
            user,
            Deed::AddAccount,
            "",
            "b@example.org as USER",
        ),
        (
            TestRequest::put(),
            "/rest/v2/users".to_owned(),
            changed,
            Deed::ChangeAccount,
            "",
            "b@example.org is ADMIN, new password",
        ),
        (TestRequest::delete(), "/rest/v2/users/b@c".to_owned(), "", Deed::RemoveAccount, "", "b@c"),
        (TestRequest::post(), "/rest/v2/users/password".to_owned(), "{}", Deed::ChangePassword, "", ""),
    ];
    for (req, path, body, deed, about, detail) in cases {
        let reply = world.remote(with_json(req, body), &path, &cookie).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text);
        let noted = world.noted();
        let expected = (deed, Some("a@example.org"), about.to_owned(), detail.to_owned());
        assert_eq!(noted.iter().map(short).collect::<Vec<_>>(), [expected], "{path}");
        assert_eq!(noted[0].from.to_string(), "203.0.113.5");
        let written = format!("{noted:?}");
        assert!(!written.contains("hunter") && !written.contains("JBSWY"), "{written}");
    }
}

#[actix_web::test]
async fn what_was_refused_or_met_nothing_is_not_noted() {
    let world = World::new();
    {
        let mut script = world.script();
        script.put_subscriber = Err(NotStored.into());
        script.remove_subscriber = Ok(0);
        script.update_stream = Ok(false);
        script.remove_stream = Ok(contract::registry::Removed::Nothing);
        script.patch_settings = Err(PatchError::Invalid { field: "a".into(), reason: "b".into() });
    }
    let at = |path: &str| format!("/LiveApp/rest/v2/broadcasts{path}");
    world.post(&at("/cam/subscribers"), r#"{"subscriberId":"alice"}"#).await;
    world.post(&at("/cam/subscribers"), "{}").await;
    world.delete(&at("/cam/subscribers/alice")).await;
    world.put(&at("/cam")).await;
    world.delete(&at("/cam")).await;
    world.post(&at("/cam/stop"), "").await;
    world.put(&at("/cam/subscribers/alice/block/60/nonsense")).await;
    assert!(world.noted().is_empty());
}

#[actix_web::test]
async fn a_caller_without_an_account_is_noted_by_his_address() {
    let world = World::new();
    world.put("/LiveApp/rest/v2/broadcasts/cam/subscribers/alice/block/60/publish").await;
    let noted = world.noted();
    assert_eq!((noted[0].who.clone(), noted[0].from.to_string()), (None, "127.0.0.1".to_owned()));
}

#[actix_web::test]
async fn a_block_that_fails_is_in_the_log_too() {
    let world = World::new();
    world.script().block = Err(NotStored);
    world.put("/LiveApp/rest/v2/broadcasts/cam/subscribers/alice/block/60/publish").await;
    assert_eq!(world.noted()[0].what, Deed::Block);
}

#[actix_web::test]
async fn logins_are_noted_and_what_is_no_name_is_not_repeated() {
    let world = World::new();
    let log_in = async |email: &str| {
        let body = json!({"email": email, "password": "hunter2"}).to_string();
        world.post("/rest/v2/users/authenticate", &body).await;
        // A failure is noted by a task of its own.
        while world.script().noted.is_empty() {
            actix_web::rt::task::yield_now().await;
        }
        world.noted().remove(0)
    };
    let entry = log_in("a@example.org").await;
    assert_eq!((entry.what, entry.who.as_deref()), (Deed::LogIn, Some("a@example.org")));
    world.script().login = Err(LoginError::Wrong);
    let entry = log_in("a@example.org").await;
    assert_eq!((entry.what, entry.who.as_deref()), (Deed::LogInFailed, Some("a@example.org")));
    let entry = log_in("my-password-by-mistake").await;
    assert_eq!((entry.what, entry.who, entry.detail.as_str()), (Deed::LogInFailed, None, "unknown e-mail"));
}

#[actix_web::test]
async fn the_log_is_paged_and_searched() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    world.put("/LiveApp/rest/v2/broadcasts/cam/subscribers/alice/block/60/publish").await;
    let entries = world.noted();
    world.script().list_audit = AuditPage { entries, matching: 70 };
    world.asked();
    let path = "/rest/v2/panel/audit?offset=50&size=1000&search=%20alice";
    let reply = world.remote(TestRequest::get(), path, &cookie).await;
    assert_eq!(world.asked(), [r#"ListAudit { search: Some("alice"), offset: 50, size: 200 }"#]);
    let answer = reply.json();
    let at = answer["entries"][0]["at"].as_u64().unwrap();
    let expected = json!({"matching": 70, "entries": [{
        "at": at, "who": "REST", "from": "127.0.0.1", "what": "block", "title": "Blocked", "app": "LiveApp", "stream": "cam",
        "subscriber": "alice", "detail": "publishing, 1 min"
    }]});
    assert_eq!(answer, expected);
}

#[actix_web::test]
async fn who_hangs_up_in_the_middle_of_a_change_is_noted_all_the_same() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    for (req, path) in [
        (TestRequest::delete(), "/LiveApp/rest/v2/broadcasts/cam"),
        (TestRequest::delete(), "/rest/v2/users/b@c"),
    ] {
        let app = init_service(App::new().configure(|cfg| world.api.routes(cfg))).await;
        let mut call = Box::pin(app.call(remote(req, path, &cookie).to_request()));
        // As far as it goes without waiting for an owner.
        assert!(poll_immediate(&mut call).await.is_none(), "{path}");
        drop(call);
        for _ in 0..1000 {
            actix_web::rt::task::yield_now().await;
        }
        assert_eq!(world.noted().len(), 1, "{path}");
    }
}
