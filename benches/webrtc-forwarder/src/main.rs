//! The baseline of `benches/webrtc-fanout`: a WHIP to WHEP forwarder as a user of the
//! `webrtc` crate writes it. A broadcast channel per track, a task and a
//! `TrackLocalStaticRTP` per player and track, the crate's default interceptors.
//! `webrtc-forwarder ADDRESS` serves `/live/whip/{stream}` and `/live/whep/{stream}`.

mod peer;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::stream::Stream;

type Streams = Arc<Mutex<HashMap<String, Arc<Stream>>>>;

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).context("usage: webrtc-forwarder ADDRESS")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let routes = axum::Router::new()
        .route("/live/whip/{stream}", post(whip))
        .route("/live/whep/{stream}", post(whep))
        .with_state(Streams::default());
    Ok(axum::serve(listener, routes).await?)
}

async fn whip(State(streams): State<Streams>, Path(name): Path<String>, offer: String) -> Response {
    match Stream::publish(offer).await {
        Ok((stream, answer)) => {
            lock(&streams).insert(name.clone(), stream);
            created(format!("/live/whip/{name}"), answer)
        }
        Err(error) => refused(&error),
    }
}

async fn whep(State(streams): State<Streams>, Path(name): Path<String>, offer: String) -> Response {
    let stream = lock(&streams).get(&name).cloned();
    let Some(stream) = stream else { return StatusCode::NOT_FOUND.into_response() };
    match stream.play(offer).await {
        Ok(answer) => created(format!("/live/whep/{name}"), answer),
        Err(error) => refused(&error),
    }
}

fn lock(streams: &Streams) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Stream>>> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

fn created(location: String, answer: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/sdp".to_owned()), (header::LOCATION, location)];
    (StatusCode::CREATED, headers, answer).into_response()
}

fn refused(error: &anyhow::Error) -> Response {
    (StatusCode::BAD_REQUEST, format!("{error:#}\n")).into_response()
}
