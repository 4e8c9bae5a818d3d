//! The console: first account, login, settings (C§2.11, C§16.2, C§16.3a).

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::AppSettings;
use contract::accounts::*;
use contract::auth::NotStored;
use contract::settings::{PatchError, SettingsDocument};
use serde_json::{Value, json};
use sluice_rest::Options;
use std::time::Duration;

use crate::world::{Reply, World, local, no, remote, result, with_json};

const SETTINGS: &str = "/rest/v2/applications/settings/LiveApp";
const LOGIN: &str = r#"{"email":"a@example.org","password":"hunter2"}"#;

/// Logs in; answers the cookie.
async fn log_in(world: &World) -> String {
    let reply = world.post("/rest/v2/users/authenticate", LOGIN).await;
    assert_eq!(
        (reply.status, reply.json()),
        (StatusCode::OK, result(true, Some(r#"{"system":"ADMIN"}"#), None))
    );
    world.asked();
    reply.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn with_cookie(req: TestRequest, path: &str, cookie: &str) -> TestRequest {
    local(req, path).append_header(("cookie", cookie.to_owned()))
}

async fn get(world: &World, path: &str, cookie: &str) -> Reply {
    world.call(with_cookie(TestRequest::get(), path, cookie)).await
}

#[actix_web::test]
async fn this_machine_makes_the_first_account_where_the_operator_says_so() {
    let world =
        World::with(AppSettings::default(), Options { setup_from_loopback: true, ..Options::default() });
    assert_eq!(world.get("/rest/v2/first-login-status").await.json(), result(true, None, None));
    world.script().needs_first_account = false;
    assert_eq!(world.get("/rest/v2/first-login-status").await.json(), result(false, None, None));
    world.asked();
    let body = r#"{"email":"a@example.org","password":"hunter2","firstName":"A","lastName":"B"}"#;
    let reply = world.post("/rest/v2/users/initial", body).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, result(true, None, None)));
    let asked = world.asked().remove(0);
    assert!(asked.contains("proof: Loopback") && !asked.contains("hunter2"), "{asked}");
}

#[actix_web::test]
async fn by_default_it_takes_the_set_up_token_on_this_machine_too() {
    let world = World::new();
    world.post("/rest/v2/users/initial", "{}").await;
    assert!(world.asked()[0].contains("proof: None"));
    let remote = |body: &str| {
        let req =
            TestRequest::post().uri("/rest/v2/users/initial").peer_addr("203.0.113.5:1".parse().unwrap());
        with_json(req.append_header(("host", "a.example")), body)
    };
    world.call(remote("{}")).await;
    assert!(world.asked()[0].contains("proof: None"));
    world.call(remote("{}").append_header(("x-setup-token", "abc"))).await;
    assert!(world.asked()[0].contains("proof: Token(***)"));
    world.call(remote(r#"{"setupToken":"abc"}"#)).await;
    assert!(world.asked()[0].contains("proof: Token(***)"));
    let world =
        World::with(AppSettings::default(), Options { setup_from_loopback: true, ..Options::default() });
    let rebound = TestRequest::post().uri("/rest/v2/users/initial").peer_addr("127.0.0.1:1".parse().unwrap());
    world.call(with_json(rebound.append_header(("host", "evil.example")), "{}")).await;
    assert!(world.asked()[0].contains("proof: None"));
}

#[actix_web::test]
async fn a_refused_first_account_says_why() {
    let world = World::new();
    let machine = "The first user is created with the set-up token that the server printed at its start, or by `sluice user add` on its machine";
    let cases = [
        (FirstAccountError::Exists, StatusCode::OK, "There is already a user"),
        (FirstAccountError::Blank, StatusCode::OK, "E-mail or password is blank"),
        (FirstAccountError::NotAllowed, StatusCode::FORBIDDEN, machine),
        (
            FirstAccountError::NotStored(NotStored),
            StatusCode::OK,
            "The change could not be stored; nothing was changed",
        ),
    ];
    for (error, status, text) in cases {
        world.script().create_first_account = Err(error);
        let reply = world.post("/rest/v2/users/initial", "{}").await;
        assert_eq!((reply.status, reply.json()), (status, no(text)));
    }
}

#[actix_web::test]
async fn a_login_is_a_cookie_that_no_script_and_no_other_site_has() {
    let world = World::new();
    let reply = world.post("/rest/v2/users/authenticate", LOGIN).await;
    let cookie = reply.header("set-cookie");
    for part in ["sluice_login=", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Path=/rest") && !cookie.contains("Secure"), "{cookie}");
    // A cookie of its own: a browser would not let the plain one replace it (RFC 6265bis,
    // section 5.7).
    let over_tls = |req: TestRequest| req.append_header(("x-forwarded-proto", "https"));
    let proxied = over_tls(with_json(local(TestRequest::post(), "/rest/v2/users/authenticate"), LOGIN));
    let proxied = world.call(proxied).await;
    let secure = proxied.header("set-cookie");
    assert!(secure.starts_with("__Host-sluice_login=") && secure.contains("Secure"), "{secure}");
    let secure = secure.split(';').next().unwrap();
    let me = |cookie: &str| remote(TestRequest::get(), "/rest/v2/panel/me", cookie);
    assert_eq!(world.call(over_tls(me(secure))).await.status, 200);
    assert_eq!(world.call(me(secure)).await.status, 200, "where a proxy does not tell of its TLS");
    let plain = reply.header("set-cookie").split(';').next().unwrap();
    assert_eq!(world.call(me(plain)).await.status, 200);
    assert_eq!(world.call(over_tls(me(plain))).await.status, 403, "anybody may have set it");
    let asked = world.asked().remove(0);
    assert!(asked.contains("peer: 127.0.0.1") && !asked.contains("hunter2"), "{asked}");
}

#[actix_web::test]
async fn a_refused_login_sets_no_cookie() {
    let world = World::new();
    let cases = [
        (LoginError::Wrong, result(false, None, None)),
        (LoginError::Locked, no("Too many login attempts. User is blocked for 300 secs")),
    ];
    for (error, expected) in cases {
        world.script().login = Err(error);
        let reply = world.post("/rest/v2/users/authenticate", LOGIN).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
        assert!(reply.headers.get("set-cookie").is_none());
    }
}

#[actix_web::test]
async fn a_foreign_page_cannot_log_in_or_change_anything() {
    let world = World::new();
    let cookie = log_in(&world).await;
    let foreign =
        with_cookie(TestRequest::post(), SETTINGS, &cookie).append_header(("origin", "https://evil.example"));
    let reply = world.call(with_json(foreign, "{}")).await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::FORBIDDEN, "Not allowed origin"));
    for path in [SETTINGS, "/rest/v2/users/authenticate", "/rest/v2/users/initial"] {
        let form = with_cookie(TestRequest::post(), path, &cookie)
            .append_header(("content-type", "text/plain"))
            .set_payload("{}");
        assert_eq!(world.call(form).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
    }
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn what_needs_a_login_is_refused_without_one() {
    let world = World::new();
    for path in ["/rest/v2/admin-status", "/rest/v2/applications", SETTINGS, "/rest/v2/version"] {
        for cookie in ["", "sluice_login=", "sluice_login=AAAA"] {
            let reply = get(&world, path, cookie).await;
            assert_eq!(
                (reply.status, reply.text.as_str()),
                (StatusCode::FORBIDDEN, "Not authenticated user")
            );
        }
    }
    assert_eq!(world.post(SETTINGS, "{}").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.delete("/rest/v2/users/logout").await.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get("/rest/v2/authentication-status").await.json(), result(false, None, None));
    let alive = world.get("/rest/v2/liveness").await.json();
    assert_eq!(alive, json!({"host": "127.0.0.1", "status": "ok"}));
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn a_login_opens_the_console_until_logout_or_half_an_hour_of_nothing() {
    let world = World::new();
    let cookie = log_in(&world).await;
    for path in ["/rest/v2/admin-status", "/rest/v2/authentication-status"] {
        assert_eq!(get(&world, path, &cookie).await.json(), result(true, None, None));
    }
    assert_eq!(get(&world, "/rest/v2/applications", &cookie).await.text, r#"{"applications":["LiveApp"]}"#);
    assert_eq!(get(&world, "/rest/v2/version", &cookie).await.json()["serverName"], "Sluice");
    let out = world.call(with_cookie(TestRequest::delete(), "/rest/v2/users/logout", &cookie)).await;
    assert_eq!((out.status, out.json()), (StatusCode::OK, result(true, None, None)));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(get(&world, "/rest/v2/admin-status", &cookie).await.status, StatusCode::FORBIDDEN);

    let cookie = log_in(&world).await;
    world.clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(get(&world, "/rest/v2/admin-status", &cookie).await.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn settings_are_read_with_their_revision() {
    let world = World::new();
    let cookie = log_in(&world).await;
    assert_eq!(get(&world, SETTINGS, &cookie).await.status, StatusCode::NOT_FOUND);
    let values = json!({"timeTokenPeriod": 60, "timeTokenSecretForPlay": "********"});
    let document = SettingsDocument { values: values.as_object().unwrap().clone(), revision: 7 };
    world.script().get_settings = Some(document);
    let reply = get(&world, SETTINGS, &cookie).await;
    assert_eq!((reply.status, reply.json(), reply.header("etag")), (StatusCode::OK, values, "\"7\""));
    assert_eq!(
        get(&world, "/rest/v2/applications/settings/a.b", &cookie).await.status,
        StatusCode::NOT_FOUND
    );
}

async fn change(world: &World, cookie: &str, if_match: Option<&str>, body: &str) -> Reply {
    let mut req = with_cookie(TestRequest::post(), SETTINGS, cookie);
    if let Some(tag) = if_match {
        req = req.append_header(("if-match", tag.to_owned()));
    }
    world.call(with_json(req, body)).await
}

#[actix_web::test]
async fn settings_are_changed_and_a_stale_change_is_not_made() {
    let world = World::new();
    let cookie = log_in(&world).await;
    for (tag, expected) in [(None, "None"), (Some("*"), "None"), (Some("\"7\""), "Some(7)")] {
        let reply = change(&world, &cookie, tag, r#"{"enableTimeTokenForPlay":true,"hlsTime":null}"#).await;
        let answer: Value = json!({"success": true, "errorId": 0});
        assert_eq!((reply.status, reply.json(), reply.header("etag")), (StatusCode::OK, answer, "\"8\""));
        let asked = world.asked().remove(0);
        assert!(asked.contains(&format!("expected: {expected}")), "{asked}");
        assert_eq!(world.script().patch, json!({"enableTimeTokenForPlay": true, "hlsTime": null}));
    }
    let stale = no("Settings have changed meanwhile; read them again");
    for tag in ["7", "W/\"7\"", "\"x\"", "\"7\", \"8\""] {
        let reply = change(&world, &cookie, Some(tag), "{}").await;
        assert_eq!((reply.status, reply.json()), (StatusCode::PRECONDITION_FAILED, stale.clone()), "{tag}");
    }
    assert!(world.asked().is_empty());
    world.script().patch_settings = Err(PatchError::Stale { expected: 7, current: 9 });
    let reply = change(&world, &cookie, Some("\"7\""), "{}").await;
    assert_eq!((reply.status, reply.json()), (StatusCode::PRECONDITION_FAILED, stale));
}

#[actix_web::test]
async fn refused_settings_say_which_and_why() {
    let world = World::new();
    let cookie = log_in(&world).await;
    let conflict = PatchError::Conflict {
        first: "publishJwtControlEnabled".into(),
        second: "enableTimeTokenForPublish".into(),
    };
    world.script().patch_settings = Err(conflict);
    let reply = change(&world, &cookie, None, "{}").await;
    let text = "publishJwtControlEnabled and enableTimeTokenForPublish cannot be on together";
    let expected = json!({"success": false, "message": text, "errorId": 0});
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));

    let invalid =
        PatchError::Invalid { field: "timeTokenPeriod".into(), reason: "must be a whole number".into() };
    world.script().patch_settings = Err(invalid);
    let reply = change(&world, &cookie, None, "{}").await;
    let mut expected = no("timeTokenPeriod: must be a whole number");
    expected["field"] = "timeTokenPeriod".into();
    assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, expected));

    world.script().patch_settings = Err(PatchError::NotStored(NotStored));
    let reply = change(&world, &cookie, None, "{}").await;
    assert_eq!(reply.json()["success"], false);
    world.script().patch_settings = Err(PatchError::UnknownApp);
    assert_eq!(change(&world, &cookie, None, "{}").await.status, StatusCode::NOT_FOUND);
    assert_eq!(change(&world, &cookie, None, "[]").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(change(&world, &cookie, None, "").await.status, StatusCode::BAD_REQUEST);
}

#[actix_web::test]
async fn a_wrong_method_on_a_known_path_is_405() {
    let world = World::new();
    for path in ["/rest/v2/users/initial", "/rest/v2/users/authenticate", "/rest/v2/users/logout"] {
        assert_eq!(world.get(path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(world.put("/rest/v2/applications").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.get("/rest/v2/nothing").await.status, StatusCode::NOT_FOUND);
}
