//! Accounts over HTTP (C§2.11).

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::accounts::*;
use serde_json::{Value, json};

use crate::world::{Reply, World, account, result, with_json};

const USERS: &str = "/rest/v2/users";
const PASSWORD: &str = "/rest/v2/users/password";

async fn send(world: &World, req: TestRequest, path: &str, cookie: &str, body: &str) -> Reply {
    world.remote(with_json(req, body), path, cookie).await
}

fn yes() -> (StatusCode, Value) {
    (StatusCode::OK, result(true, None, None))
}

#[actix_web::test]
async fn the_list_shows_roles_in_amss_words_and_no_passwords() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let reply = world.remote(TestRequest::get(), "/rest/v2/user-list", &cookie).await;
    let expected = json!([{
        "email": "a@example.org", "firstName": "Ada", "lastName": "B",
        "userType": "ADMIN", "appNameUserType": {"system": "ADMIN"}
    }]);
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, expected));
    let me = world.remote(TestRequest::get(), "/rest/v2/panel/me", &cookie).await;
    let expected = json!({"email": "a@example.org", "firstName": "Ada", "lastName": "B", "role": "ADMIN"});
    assert_eq!(me.json(), expected);
}

#[actix_web::test]
async fn a_login_answers_its_role() {
    let world = World::new();
    world.accounts.send_replace(account(Role::ReadOnly, 1));
    let who = Account { email: "a@example.org".to_owned(), role: Role::ReadOnly, revision: 1 };
    world.script().login = Ok(who);
    let reply = world.post("/rest/v2/users/authenticate", r#"{"email":"a","password":"b"}"#).await;
    assert_eq!(reply.json(), result(true, Some(r#"{"system":"READ_ONLY"}"#), None));
}

#[actix_web::test]
async fn an_account_is_added_changed_and_removed() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let body = r#"{"email":"b@example.org","password":"hunter2","firstName":"B","lastName":"C","userType":"USER","scope":"system"}"#;
    let reply = send(&world, TestRequest::post(), USERS, &cookie, body).await;
    assert_eq!((reply.status, reply.json()), yes());
    let asked = world.asked().remove(0);
    assert!(asked.starts_with("AddAccount") && asked.contains("role: User"), "{asked}");
    assert!(!asked.contains("hunter2"), "{asked}");

    let body = r#"{"email":"b@example.org","newPassword":"hunter3","userType":"READ_ONLY"}"#;
    let reply = send(&world, TestRequest::put(), USERS, &cookie, body).await;
    assert_eq!((reply.status, reply.json()), yes());
    let asked = world.asked().remove(0);
    assert!(asked.contains("role: Some(ReadOnly)") && asked.contains("first_name: None"), "{asked}");
    assert!(asked.contains("password: Some(***)"), "{asked}");

    let reply = send(&world, TestRequest::delete(), "/rest/v2/users/b%40example.org", &cookie, "").await;
    assert_eq!((reply.status, reply.json()), yes());
    assert_eq!(world.asked(), [r#"RemoveAccount { email: "b@example.org" }"#]);
}

#[actix_web::test]
async fn a_refusal_names_the_field() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let cases = [
        (AccountError::Email, 400, json!("email")),
        (AccountError::Password, 400, json!("password")),
        (AccountError::Taken, 409, json!("email")),
        (AccountError::TooMany, 409, Value::Null),
        (AccountError::NotStored(contract::auth::NotStored), 503, Value::Null),
    ];
    for (error, status, field) in cases {
        world.script().add_account = Err(error);
        let reply = send(&world, TestRequest::post(), USERS, &cookie, "{}").await;
        let answer = reply.json();
        assert_eq!((reply.status.as_u16(), &answer["success"]), (status, &json!(false)), "{error}");
        assert_eq!(answer["field"], field, "{error}");
        assert!(answer["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
    for (body, field) in [
        (r#"{"userType":"ROOT"}"#, "userType"),
        (r#"{"scope":"live"}"#, "scope"),
        (r#"{"email":1}"#, "email"),
    ] {
        let reply = send(&world, TestRequest::post(), USERS, &cookie, body).await;
        assert_eq!((reply.status, &reply.json()["field"]), (StatusCode::BAD_REQUEST, &json!(field)));
    }
    world.script().remove_account = Err(AccountError::LastAdmin);
    let reply = send(&world, TestRequest::delete(), "/rest/v2/users/a@example.org", &cookie, "").await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    world.script().change_account = Err(AccountError::Unknown);
    let reply = send(&world, TestRequest::put(), USERS, &cookie, "{}").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert!(world.noted().is_empty(), "what was not done is not in the audit log");
}

#[actix_web::test]
async fn an_own_password_keeps_the_own_login_and_ends_the_others() {
    let world = World::new();
    let (cookie, other) = (world.log_in(Role::ReadOnly).await, world.log_in(Role::ReadOnly).await);
    let body = r#"{"password":"old one","newPassword":"new one"}"#;
    let status = async |cookie| world.remote(TestRequest::get(), "/rest/v2/panel/me", cookie).await.status;
    let reply = send(&world, TestRequest::post(), PASSWORD, &cookie, body).await;
    assert_eq!((reply.status, reply.json()), yes());
    // The owner has answered revision 2, and shows it to everybody.
    world.accounts.send_replace(account(Role::ReadOnly, 2));
    assert_eq!(status(&cookie).await, StatusCode::OK);
    assert_eq!(status(&other).await, StatusCode::FORBIDDEN);
    let asked = world.asked().remove(0);
    assert!(asked.contains("a@example.org") && asked.contains("peer: 203.0.113.5"), "{asked}");
    assert!(!asked.contains("old one") && !asked.contains("new one"), "{asked}");
    world.script().change_password = Err(AccountError::Wrong);
    let reply = send(&world, TestRequest::post(), PASSWORD, &cookie, body).await;
    assert_eq!((reply.status, &reply.json()["field"]), (StatusCode::BAD_REQUEST, &json!("password")));
    world.script().change_password = Err(AccountError::Locked);
    let reply = send(&world, TestRequest::post(), PASSWORD, &cookie, body).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
}
