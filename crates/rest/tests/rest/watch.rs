//! Pages that watch: server-sent events. Time is the test's.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::Service;
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, HttpResponse};
use contract::accounts::Role;
use contract::registry::{Board, SessionPage};
use serde_json::Value;
use sluice_rest::Options;

use crate::panel::row;
use crate::world::{NOW, World, account, remote};

const STREAMS: &str = "/rest/v2/panel/streams/events?app=LiveApp";
const ONE: &str = "/rest/v2/panel/streams/LiveApp/cam/events";

/// An answer whose events are read one by one.
struct Events(Pin<Box<BoxBody>>);

impl Events {
    /// The next event's name and value; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let chunk = poll_fn(|cx| self.0.as_mut().poll_next(cx)).await?.unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        let (name, data) = text.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data.strip_suffix("\n\n")?).unwrap()))
    }
}

/// What was answered, without waiting for all of it.
async fn open(world: &World, path: &str, cookie: &str) -> HttpResponse {
    let app = init_service(App::new().configure(|cfg| world.api.routes(cfg))).await;
    match app.call(remote(TestRequest::get(), path, cookie).to_request()).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => HttpResponse::from_error(error),
    }
}

async fn events(world: &World, path: &str, cookie: &str) -> Events {
    let response = open(world, path, cookie).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
    assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
    Events(Box::pin(response.into_body()))
}

fn world_with(ids: &[&str]) -> World {
    let world = World::new();
    show(&world, ids);
    world
}

fn show(world: &World, ids: &[&str]) {
    let streams = ids.iter().map(|id| row("LiveApp", id, None, true)).collect();
    world.script().survey = Arc::new(Board { at: NOW, streams });
}

#[actix_web::test]
async fn there_is_an_event_at_once_and_then_one_each_second() {
    let world = world_with(&["cam"]);
    let cookie = world.log_in(Role::ReadOnly).await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut events = events(&world, STREAMS, &cookie).await;
    let (name, board) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &board["streams"][0]["id"]), ("streams", &Value::from("cam")));
    // Paused time moves a little when all wait.
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
    show(&world, &["cam", "dam"]);
    world.clock.advance(Duration::from_secs(1));
    let (_, board) = events.next().await.unwrap();
    assert_eq!(board["live"], 2);
    assert!((1000..1100).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[actix_web::test]
async fn many_who_look_at_once_cost_one_survey() {
    let world = world_with(&["cam"]);
    let cookie = world.log_in(Role::ReadOnly).await;
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(events(&world, STREAMS, &cookie).await);
    }
    for events in &mut all {
        events.next().await.unwrap();
    }
    assert_eq!(world.asked(), ["Survey"]);
}

#[actix_web::test]
async fn it_ends_with_the_login() {
    let world = world_with(&["cam"]);
    for how in ["logout", "removed", "password"] {
        let cookie = world.log_in(Role::ReadOnly).await;
        let mut events = events(&world, STREAMS, &cookie).await;
        events.next().await.unwrap();
        match how {
            "logout" => _ = world.remote(TestRequest::delete(), "/rest/v2/users/logout", &cookie).await,
            "removed" => _ = world.accounts.send_replace(Arc::default()),
            _ => _ = world.accounts.send_replace(account(Role::ReadOnly, 2)),
        }
        tokio::time::pause();
        assert!(events.next().await.is_none(), "{how}");
        tokio::time::resume();
        assert_eq!(open(&world, STREAMS, &cookie).await.status(), StatusCode::FORBIDDEN);
    }
}

#[actix_web::test]
async fn it_ends_when_the_server_drains() {
    let options = Options::default();
    let stop = options.stop.clone();
    let world = World::with(contract::AppSettings::default(), options);
    let cookie = world.log_in(Role::ReadOnly).await;
    let mut events = events(&world, STREAMS, &cookie).await;
    events.next().await.unwrap();
    stop.cancel();
    assert!(events.next().await.is_none());
}

/// As many pages as one account may have.
const HIS: usize = 16;

#[actix_web::test]
async fn places_are_few_and_free_again_when_somebody_leaves() {
    let world = world_with(&["cam"]);
    let mut all = Vec::new();
    for n in 0..64 / HIS {
        let cookie = world.log_in_as(&format!("{n}@example.org")).await;
        for _ in 0..HIS {
            all.push(events(&world, STREAMS, &cookie).await);
        }
    }
    let cookie = world.log_in_as("late@example.org").await;
    assert_eq!(open(&world, STREAMS, &cookie).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    all.pop();
    tokio::time::pause();
    // The task that it had hears of it in its next turn.
    while open(&world, STREAMS, &cookie).await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn the_tabs_of_one_account_keep_nobody_else_out() {
    let world = world_with(&["cam"]);
    // Another login of the same account is no way around it.
    let logins = [world.log_in_as("ann@example.org").await, world.log_in_as("ann@example.org").await];
    let mut his = Vec::new();
    for n in 0..HIS {
        his.push(events(&world, STREAMS, &logins[n % 2]).await);
    }
    for login in &logins {
        assert_eq!(open(&world, STREAMS, login).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    // The newest is refused: those that are open go on.
    assert!(his[0].next().await.is_some());
    let other = world.log_in_as("bob@example.org").await;
    assert!(events(&world, STREAMS, &other).await.next().await.is_some());
    his.pop();
    tokio::time::pause();
    while open(&world, STREAMS, &logins[0]).await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn who_does_not_read_loses_his_place() {
    let world = world_with(&["cam"]);
    let cookie = world.log_in(Role::ReadOnly).await;
    let mut slow = events(&world, STREAMS, &cookie).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut had = 0;
    while slow.next().await.is_some() {
        had += 1;
    }
    assert_eq!(had, 4, "what waited for him, and then the end");
}

#[actix_web::test]
async fn one_stream_is_watched_while_it_is_there() {
    let world = World::new();
    let cookie = world.log_in(Role::ReadOnly).await;
    assert_eq!(open(&world, ONE, &cookie).await.status(), StatusCode::NOT_FOUND);
    let page = SessionPage {
        at: NOW,
        stream: row("LiveApp", "cam", None, true),
        total: 7,
        matching: 2,
        sessions: Vec::new(),
    };
    world.script().list_sessions = Some(page);
    world.asked();
    let path = format!("{ONE}?search=hls&offset=50&size=25");
    let mut events = events(&world, &path, &cookie).await;
    let (name, detail) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &detail["stream"]["id"]), ("stream", &Value::from("cam")));
    assert_eq!((&detail["total"], &detail["matching"]), (&Value::from(7), &Value::from(2)));
    let asked = world.asked();
    assert!(
        !asked.is_empty()
            && asked.iter().all(|ask| ask.ends_with("search: Some(\"hls\"), offset: 50, size: 25 }"))
    );
    world.script().list_sessions = None;
    tokio::time::pause();
    assert!(events.next().await.is_none());
}
