//! Which role may do what, over HTTP.

use actix_web::http::Method;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::accounts::Role;

use crate::world::{World, account, remote, with_json};

/// What may be done: only with a login, and at all.
const LOOK: &[(&str, &str)] = &[
    ("GET", "/LiveApp/rest/v2/broadcasts/count"),
    ("GET", "/LiveApp/rest/v2/broadcasts/list/0/10"),
    ("GET", "/LiveApp/rest/v2/broadcasts/cam/subscribers/list/0/10"),
    ("GET", "/rest/v2/applications"),
    ("GET", "/rest/v2/applications/settings/LiveApp"),
    ("GET", "/rest/v2/version"),
    ("GET", "/rest/v2/panel/me"),
    ("GET", "/rest/v2/panel/streams"),
    ("GET", "/rest/v2/panel/streams/LiveApp/cam"),
    ("GET", "/rest/v2/panel/streams/LiveApp/cam/guesses"),
    ("GET", "/rest/v2/panel/streams/LiveApp/cam/preview"),
    ("GET", "/rest/v2/panel/addresses"),
    ("GET", "/rest/v2/panel/settings"),
    ("POST", "/rest/v2/users/password"),
];
const OPERATE: &[(&str, &str)] = &[
    ("POST", "/LiveApp/rest/v2/broadcasts/create"),
    ("PUT", "/LiveApp/rest/v2/broadcasts/cam"),
    ("DELETE", "/LiveApp/rest/v2/broadcasts/cam"),
    ("POST", "/LiveApp/rest/v2/broadcasts/cam/stop"),
    ("POST", "/LiveApp/rest/v2/broadcasts/cam/subscribers"),
    ("DELETE", "/LiveApp/rest/v2/broadcasts/cam/subscribers/alice"),
    ("PUT", "/LiveApp/rest/v2/broadcasts/cam/subscribers/alice/block/60/play"),
    ("GET", "/LiveApp/rest/v2/broadcasts/cam/subscribers/alice/totp"),
    ("DELETE", "/rest/v2/panel/streams/LiveApp/cam/sessions/7"),
    ("DELETE", "/rest/v2/panel/streams/LiveApp/cam/guesses"),
    ("DELETE", "/rest/v2/panel/streams/LiveApp/cam/guesses/alice"),
];
const ADMINISTER: &[(&str, &str)] = &[
    ("POST", "/rest/v2/applications/settings/LiveApp"),
    ("GET", "/rest/v2/user-list"),
    ("POST", "/rest/v2/users"),
    ("PUT", "/rest/v2/users"),
    ("DELETE", "/rest/v2/users/b@example.org"),
    ("GET", "/rest/v2/panel/audit"),
];

fn request(method: &str) -> TestRequest {
    with_json(TestRequest::default().method(Method::from_bytes(method.as_bytes()).unwrap()), "{}")
}

/// The status and text of a call, and whether an owner heard of it.
async fn call(world: &World, (method, path): (&str, &str), cookie: &str) -> (StatusCode, String, bool) {
    world.asked();
    // Nobody changes a password in these tests, so it keeps its revision.
    world.script().change_password = Ok(1);
    let reply = world.remote(request(method), path, cookie).await;
    (reply.status, reply.text, !world.asked().is_empty())
}

async fn assert_refused(world: &World, route: (&str, &str), cookie: &str, text: &str) {
    let refused = call(world, route, cookie).await;
    assert_eq!(refused, (StatusCode::FORBIDDEN, text.to_owned(), false), "{route:?}");
}

async fn assert_allowed(world: &World, route: (&str, &str), cookie: &str) {
    let (status, text, _) = call(world, route, cookie).await;
    assert_ne!(status, StatusCode::FORBIDDEN, "{route:?} {text}");
    assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{route:?}");
}

const LOW: &str = "Not allowed to access this resource. Contact system admin";

#[actix_web::test]
async fn who_is_not_logged_in_may_nothing_from_elsewhere() {
    let world = World::new();
    for route in LOOK.iter().chain(OPERATE).chain(ADMINISTER) {
        let text = if route.1.starts_with("/LiveApp") { "Not allowed IP" } else { "Not authenticated user" };
        assert_refused(&world, *route, "", text).await;
        assert_refused(&world, *route, "sluice_login=AAAA", text).await;
    }
}

#[actix_web::test]
async fn an_administrator_may_everything_from_everywhere() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    for route in LOOK.iter().chain(OPERATE).chain(ADMINISTER) {
        assert_allowed(&world, *route, &cookie).await;
    }
}

#[actix_web::test]
async fn a_user_may_neither_settings_nor_accounts_nor_the_audit_log() {
    let world = World::new();
    let cookie = world.log_in(Role::User).await;
    for route in LOOK.iter().chain(OPERATE) {
        assert_allowed(&world, *route, &cookie).await;
    }
    for route in ADMINISTER {
        assert_refused(&world, *route, &cookie, LOW).await;
    }
}

#[actix_web::test]
async fn who_may_read_only_changes_nothing_and_gets_no_code() {
    let world = World::new();
    let cookie = world.log_in(Role::ReadOnly).await;
    for route in LOOK {
        assert_allowed(&world, *route, &cookie).await;
    }
    for route in OPERATE.iter().chain(ADMINISTER) {
        assert_refused(&world, *route, &cookie, LOW).await;
    }
    // Not even at the machine, where everybody may who is not logged in.
    let stop = crate::world::local(TestRequest::post(), "/LiveApp/rest/v2/broadcasts/cam/stop");
    let reply = world.call(stop.append_header(("cookie", cookie.clone()))).await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::FORBIDDEN, LOW));
    let out = world.remote(TestRequest::delete(), "/rest/v2/users/logout", &cookie).await;
    assert_eq!(out.status, StatusCode::OK);
}

#[actix_web::test]
async fn another_role_counts_at_once() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    world.accounts.send_replace(account(Role::ReadOnly, 1));
    assert_refused(&world, ADMINISTER[0], &cookie, LOW).await;
    world.accounts.send_replace(account(Role::ReadOnly, 2));
    assert_refused(&world, ADMINISTER[0], &cookie, "Not authenticated user").await;
}

#[actix_web::test]
async fn a_foreign_page_gets_nothing_by_somebodys_login() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    for (method, path) in LOOK.iter().chain(OPERATE).chain(ADMINISTER) {
        let foreign =
            remote(request(method), path, &cookie).append_header(("origin", "https://evil.example"));
        let reply = world.call(foreign).await;
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (StatusCode::FORBIDDEN, "Not allowed origin"),
            "{path}"
        );
    }
    assert!(world.asked().is_empty());
    let own =
        remote(TestRequest::get(), LOOK[0].1, &cookie).append_header(("origin", "https://video.example"));
    assert_eq!(world.call(own).await.status, StatusCode::OK);
}
