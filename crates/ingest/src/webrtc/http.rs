//! WHIP (RFC 9725) and WHEP: one POST to begin, one DELETE to end.
//!
//! AMS's dialect at the edge (C§5.8, §16.11): every refusal has the reason as
//! text, and CORS headers whatever the outcome.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use contract::auth::Denied;
use contract::registry::{PlayRefused, PublishRefused};
use contract::session::CloseReason;
use contract::{AppName, AppSettings, Credentials, StreamId, StreamKey, UNKNOWN_PEER};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use session::Refused;
use thiserror::Error;

use super::command::Busy;
use super::resources::ResourceId;
use super::sdp::SdpError;
use super::signalling::socket::{Caller, Socket};
use super::{Core, signalling, whep, whip};

/// More than any description that we read. A longer body is not read to its end.
const MAX_BODY: usize = 256 << 10;
/// A client that sends its description more slowly holds a connection for nothing.
const BODY_DEADLINE: Duration = Duration::from_secs(20);
const SDP: &str = "application/sdp";

/// Adds the routes. Each stands for itself: a scope would swallow what other
/// protocols serve below `/{app}`.
pub(super) fn routes(config: &mut web::ServiceConfig, webrtc: &Arc<Core>) {
    let shared = || web::Data::from(webrtc.clone());
    let upgrade = web::resource("/{app}/websocket").app_data(shared()).route(web::get().to(websocket));
    config.service(upgrade);
    let endpoints = [
        ("/{app}/whip/{stream}", web::post().to(whip::post)),
        ("/{app}/whep/{stream}", web::post().to(whep::post)),
        ("/{app}/whip/{stream}/{resource}", web::delete().to(delete)),
        ("/{app}/whep/{stream}/{resource}", web::delete().to(delete)),
    ];
    for (path, route) in endpoints {
        let preflight = web::method(Method::OPTIONS).to(preflight);
        let endpoint = web::resource(path).app_data(shared());
        config.service(endpoint.route(route).route(preflight).default_service(web::to(wrong_method)));
    }
}

/// What the query of a POST may say.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Query {
    subscriber_id: Option<String>,
    subscriber_code: Option<String>,
    token: Option<String>,
}

/// A POST, read.
pub(super) struct Posted {
    pub(super) stream: StreamKey,
    pub(super) settings: Arc<AppSettings>,
    pub(super) credentials: Credentials,
    pub(super) peer: IpAddr,
    pub(super) offer: String,
    path: String,
}

/// Why a request was not served.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// The peer: no such application, stream or session.
    #[error("not found")]
    NotFound,
    /// The peer: the stream's name cannot exist.
    #[error("invalid stream id")]
    BadStream,
    /// The peer: something other than SDP.
    #[error("the content type must be application/sdp")]
    NotSdp,
    /// The peer: its body did not come in time.
    #[error("the description did not come in time")]
    Slow,
    /// The peer: see [`SdpError`].
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// The control plane said no.
    #[error("{}", words(*.0))]
    Refused(#[from] Refused),
    /// Us: no room.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// A stranger learns as little here as on the WebSocket.
const fn words(refused: Refused) -> &'static str {
    match refused {
        Refused::UnknownApp => "not found",
        Refused::Denied(Denied::Blocked) | Refused::Ended(CloseReason::Blocked) => "user_blocked",
        Refused::Denied(Denied::UnknownStream) => "not_allowed_unregistered_streams",
        Refused::Denied(Denied::Ip | Denied::Credentials | Denied::Limit)
        | Refused::Ended(CloseReason::Withdrawn) => "unauthorized_access",
        Refused::Publish(PublishRefused::AlreadyPublishing) | Refused::Ended(CloseReason::TakenOver) => {
            "streamIdInUse"
        }
        Refused::Publish(PublishRefused::Dates) => "stream_not_active_or_expired",
        Refused::Publish(PublishRefused::Limit | PublishRefused::Memory) => "highResourceUsage",
        Refused::Play(PlayRefused::NotLive) | Refused::Ended(CloseReason::Stopped) => "no_stream_exist",
        Refused::Play(PlayRefused::Limit) => "viewerLimitReached",
        Refused::Denied(Denied::Unavailable)
        | Refused::Publish(PublishRefused::Unavailable)
        | Refused::Play(PlayRefused::Unavailable)
        | Refused::Unavailable => "not_initialized_yet",
    }
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadStream | Self::Sdp(SdpError::Malformed) => StatusCode::BAD_REQUEST,
            Self::NotSdp => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Sdp(SdpError::TooLarge | SdpError::TooMany(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Sdp(SdpError::NoCodec | SdpError::FirstRefused) => StatusCode::NOT_ACCEPTABLE,
            Self::Busy(Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(refused) => status(*refused),
        }
    }
}

const fn status(refused: Refused) -> StatusCode {
    match refused {
        Refused::UnknownApp | Refused::Play(PlayRefused::NotLive) | Refused::Ended(CloseReason::Stopped) => {
            StatusCode::NOT_FOUND
        }
        Refused::Publish(PublishRefused::AlreadyPublishing) | Refused::Ended(CloseReason::TakenOver) => {
            StatusCode::CONFLICT
        }
        Refused::Denied(Denied::Unavailable)
        | Refused::Publish(PublishRefused::Unavailable | PublishRefused::Memory)
        | Refused::Play(PlayRefused::Unavailable)
        | Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Denied(_)
        | Refused::Ended(CloseReason::Blocked | CloseReason::Withdrawn)
        | Refused::Publish(PublishRefused::Dates | PublishRefused::Limit)
        | Refused::Play(PlayRefused::Limit) => StatusCode::FORBIDDEN,
    }
}

/// Reads a POST, everything but its right to be served. Within [`BODY_DEADLINE`],
/// and of a body not more than [`MAX_BODY`].
pub(super) async fn read(
    webrtc: &Core,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<Posted, Refusal> {
    let (app, stream) = (segment(request, "app"), segment(request, "stream"));
    let app = AppName::parse(app).map_err(|_| Refusal::NotFound)?;
    let settings = webrtc.admission().settings(&app).filter(|s| s.webrtc.enabled);
    let settings = settings.ok_or(Refusal::NotFound)?;
    let id = StreamId::parse(stream).map_err(|_| Refusal::BadStream)?;
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let is_sdp = kind.and_then(|kind| kind.split(';').next()).is_some_and(|kind| kind.trim() == SDP);
    if !is_sdp {
        return Err(Refusal::NotSdp);
    }
    let offer = description(body, BODY_DEADLINE).await?;
    Ok(Posted {
        stream: StreamKey { app, id },
        settings,
        credentials: credentials(request),
        peer: peer(webrtc, request),
        offer,
        path: request.path().to_owned(),
    })
}

/// A body that is text, if it comes within `limit`.
async fn description<E>(
    body: impl Stream<Item = Result<web::Bytes, E>> + Unpin,
    limit: Duration,
) -> Result<String, Refusal> {
    let bytes = tokio::time::timeout(limit, collect(body)).await.map_err(|_| Refusal::Slow)??;
    String::from_utf8(bytes).map_err(|_| SdpError::Malformed.into())
}

async fn collect<E>(
    mut body: impl Stream<Item = Result<web::Bytes, E>> + Unpin,
) -> Result<Vec<u8>, SdpError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| SdpError::Malformed)?;
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(SdpError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// From the query, or from a bearer token: `subscriber:code`, for clients such
/// as OBS that have one field for everything, or a token.
fn credentials(request: &HttpRequest) -> Credentials {
    let query = web::Query::<Query>::from_query(request.query_string()).map(web::Query::into_inner);
    let query = query.unwrap_or(Query { subscriber_id: None, subscriber_code: None, token: None });
    let bearer = bearer(request.headers());
    let pair = bearer.and_then(|bearer| bearer.rsplit_once(':'));
    match (&query.subscriber_id, pair) {
        (None, Some((subscriber, code))) => {
            Credentials::from_texts(Some(subscriber), Some(code), query.token.as_deref())
        }
        (subscriber, _) => Credentials::from_texts(
            subscriber.as_deref(),
            query.subscriber_code.as_deref(),
            query.token.as_deref().or(bearer),
        ),
    }
}

/// `Bearer X`, or `X` alone as AMS takes it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let has_scheme = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
    Some(if has_scheme { value[7..].trim() } else { value })
}

/// Where a request comes from, in canonical form.
fn peer(webrtc: &Core, request: &HttpRequest) -> IpAddr {
    let Some(address) = request.peer_addr() else { return UNKNOWN_PEER };
    webrtc.proxies().origin(address.ip(), request.headers().get_all("x-forwarded-for"))
}

fn segment<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}

/// 201, where the session is, and the answer.
pub(super) fn created(posted: &Posted, id: &ResourceId, answer: String) -> HttpResponse {
    let mut response = HttpResponse::Created();
    cors(&mut response);
    response.insert_header((header::LOCATION, format!("{}/{id}", posted.path.trim_end_matches('/'))));
    response.insert_header((header::ETAG, format!("\"{id}\"")));
    if let Some(link) = ice_link(&posted.settings) {
        response.insert_header((header::LINK, link));
    }
    response.content_type(SDP).body(answer)
}

/// RFC 9725 §4.6.
fn ice_link(settings: &AppSettings) -> Option<HeaderValue> {
    let webrtc = &settings.webrtc;
    if webrtc.stun_uri.is_empty() {
        return None;
    }
    let mut link = format!("<{}>; rel=\"ice-server\"", webrtc.stun_uri);
    if webrtc.stun_uri.starts_with("turn") {
        link.push_str(&format!(
            "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
            webrtc.turn_username,
            webrtc.turn_credential.reveal()
        ));
    }
    HeaderValue::from_str(&link).ok()
}

/// The outcome of a request that may have been refused.
pub(super) fn respond(outcome: Result<HttpResponse, Refusal>) -> HttpResponse {
    outcome.unwrap_or_else(|refusal| plain(refusal.status(), &refusal.to_string()))
}

fn plain(status: StatusCode, text: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    cors(&mut response);
    response.content_type("text/plain; charset=utf-8").body(text.to_owned())
}

/// Any page may play and publish; what it may see, its credentials say.
fn cors(response: &mut HttpResponseBuilder) {
    response.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    response.insert_header((header::ACCESS_CONTROL_EXPOSE_HEADERS, "Location, ETag, Link"));
}

async fn preflight() -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    cors(&mut response);
    response.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST, DELETE, OPTIONS"));
    response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"));
    response.insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"));
    response.insert_header((HeaderName::from_static("accept-post"), SDP));
    response.finish()
}

async fn wrong_method() -> HttpResponse {
    // No trickle and no ICE restart: RFC 9725 §4.3 wants 405 for PATCH then.
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE, OPTIONS"));
    response
}

async fn delete(webrtc: web::Data<Core>, request: HttpRequest) -> HttpResponse {
    let found = webrtc.resources().remove(segment(&request, "resource"), request.path());
    let (status, success) = if found { (StatusCode::OK, true) } else { (StatusCode::NOT_FOUND, false) };
    let mut response = HttpResponse::build(status);
    cors(&mut response);
    // AMS's `Result` (C§3.5).
    let body = serde_json::json!({"success": success, "message": null, "dataId": null, "errorId": 0});
    response.content_type("application/json").body(body.to_string())
}

async fn websocket(
    webrtc: web::Data<Core>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, actix_web::Error> {
    let app = AppName::parse(segment(&request, "app")).ok();
    let known = app.filter(|app| webrtc.admission().settings(app).is_some());
    let Some(app) = known else { return Ok(plain(StatusCode::NOT_FOUND, "not found")) };
    let from = peer(&webrtc, &request);
    let Some(idle) = webrtc.idle().enter(from, &app) else {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "too many connections that carry nothing"));
    };
    let max = signalling::dialect::MAX_MESSAGE;
    let body = signalling::frames::limit(&request, body, max as u64).await?;
    let (response, out, frames) = actix_ws::handle(&request, body)?;
    let frames = frames.max_frame_size(max).aggregate_continuations().max_continuation_size(max);
    let webrtc = webrtc.into_inner();
    actix_web::rt::spawn(Socket::run(webrtc, Caller { app, from, idle }, out, frames));
    Ok(response)
}

#[cfg(test)]
mod tests;
