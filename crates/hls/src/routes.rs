//! `/{app}/streams/{file}` (C§5.4).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE, X_FORWARDED_FOR, X_FORWARDED_PROTO,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use contract::{
    AppName, AppSettings, Credentials, Standing, StreamKey, TrustedProxies, UNKNOWN_PEER, canonical,
    is_over_tls,
};
use serde::Deserialize;

use crate::body::{FileBody, NoBody};
use crate::connection::{Carrier, Connection, Served};
use crate::dialect::{self, Refusal};
use crate::edge::{Asker, By, Edge};
use crate::grant::{Crowded, Grant};
use crate::name::{self, File, FileName};
use crate::pace::Pace;
use crate::packager::Names;
use crate::shelf::{Nothing, Shelf};

/// Adds the routes.
pub(crate) fn configure(edge: &Arc<Edge>, config: &mut web::ServiceConfig) {
    let edge = edge.clone();
    let serve = move |request: HttpRequest| {
        let edge = edge.clone();
        async move { answer(&edge, &request).await }
    };
    config.service(web::resource("/{app}/streams/{file:.*}").route(web::route().to(serve)));
}

/// Where a request comes from (C§16.3).
fn peer(proxies: &TrustedProxies, request: &HttpRequest) -> IpAddr {
    let socket = request.peer_addr().map_or(UNKNOWN_PEER, |peer| peer.ip());
    proxies.origin(socket, request.headers().get_all(X_FORWARDED_FOR))
}

/// What carries a request.
fn carrier(proxies: &TrustedProxies, request: &HttpRequest) -> Carrier {
    let socket = request.peer_addr().map_or(UNKNOWN_PEER, |peer| canonical(peer.ip()));
    match socket {
        _ if proxies.contains(socket) => Carrier::Proxy,
        _ if socket.is_loopback() => Carrier::Local,
        _ => Carrier::Player,
    }
}

/// Query parameters that mean something (C§5.4), and our grant.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Query {
    subscriber_id: Option<String>,
    subscriber_code: Option<String>,
    token: Option<String>,
    grant: Option<String>,
}

impl Query {
    /// A query that cannot be read says nothing.
    fn of(request: &HttpRequest) -> Self {
        web::Query::<Self>::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default()
    }

    fn credentials(&self) -> Credentials {
        Credentials::from_texts(
            self.subscriber_id.as_deref(),
            self.subscriber_code.as_deref(),
            self.token.as_deref(),
        )
    }
}

/// The grant of a query, which `scripts/fuzz` reads whole.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_query(text: &str) -> Option<String> {
    let query = web::Query::<Query>::from_query(text).ok()?.into_inner();
    let _credentials = query.credentials();
    query.grant
}

async fn answer(edge: &Arc<Edge>, request: &HttpRequest) -> HttpResponse {
    match *request.method() {
        Method::OPTIONS => dialect::preflight(),
        Method::GET | Method::HEAD => serve(edge, request).await.unwrap_or_else(Refusal::response),
        _ => Refusal::Method.response(),
    }
}

/// What is asked for, from the path.
struct Wanted {
    settings: Arc<AppSettings>,
    stream: StreamKey,
    file: File,
}

impl Wanted {
    fn of(edge: &Edge, request: &HttpRequest) -> Result<Self, Refusal> {
        let path = request.match_info();
        let app = AppName::parse(path.get("app").unwrap_or_default()).map_err(|_| Refusal::NotFound)?;
        let settings = edge.admission.settings(&app).ok_or(Refusal::NotFound)?;
        if !settings.hls.enabled {
            return Err(Refusal::NotFound);
        }
        let name = path.get("file").unwrap_or_default();
        match FileName::parse(name) {
            Some(FileName { id, file }) => Ok(Self { settings, stream: StreamKey { app, id }, file }),
            None if settings.security.totp_play => Err(Refusal::NoStreamId),
            None if name.is_empty() => Err(Refusal::Listing),
            None => Err(Refusal::NotFound),
        }
    }
}

async fn serve(edge: &Arc<Edge>, request: &HttpRequest) -> Result<HttpResponse, Refusal> {
    let wanted = Wanted::of(edge, request)?;
    let query = Query::of(request);
    let cookie = cookie(request, &cookie_name(&wanted.stream));
    let asker = Asker {
        stream: &wanted.stream,
        credentials: query.credentials(),
        tokens: [query.grant.as_deref(), cookie.as_deref()],
        peer: peer(&edge.proxies, request),
        settings: &wanted.settings,
    };
    let (grant, by) = edge.admit(asker).await?;
    grant.hear(edge.clock.now());
    let connection = request.conn_data::<Served>().ok_or_else(|| {
        tracing::error!("hls::on_connect is not installed, or the connection has no descriptor");
        Refusal::Unavailable
    })?;
    let head = request.method() == Method::HEAD;
    let sealed = is_over_tls(request.app_config().secure(), request.headers().get_all(X_FORWARDED_PROTO));
    let carrier = carrier(&edge.proxies, request);
    let visit = Visit { edge, wanted: &wanted, grant: &grant, by, head, sealed, carrier };
    visit.fetch(connection.connection()).await
}

/// A request that was let in.
struct Visit<'a> {
    edge: &'a Arc<Edge>,
    wanted: &'a Wanted,
    grant: &'a Arc<Grant>,
    by: By,
    head: bool,
    /// Whether it came over TLS.
    sealed: bool,
    carrier: Carrier,
}

impl Visit<'_> {
    async fn fetch(&self, connection: &Arc<Connection>) -> Result<HttpResponse, Refusal> {
        self.may_play()?;
        let shelf = self.edge.shelf(self.grant).ok_or(Refusal::NotFound)?;
        if matches!(self.wanted.file, File::Playlist | File::Multivariant) {
            shelf.ready().await.map_err(|nothing| match nothing {
                Nothing::Over => Refusal::NotFound,
                Nothing::NotYet => Refusal::NotYet,
            })?;
        }
        // In this order: a fence that does not know the body yet has set the
        // standing, or emptied the shelf, before it looked for bodies.
        let open = self.grant.open(connection, self.carrier).map_err(|Crowded| Refusal::Unavailable)?;
        self.may_play()?;
        let (kind, bytes) = self.file(&shelf).ok_or(Refusal::NotFound)?;
        let until = match self.wanted.file {
            File::Segment(number) => shelf.until(number),
            File::Playlist | File::Multivariant | File::Init(_) => None,
        };
        let pace = self.pace(&shelf, bytes.len());
        Ok(self.respond(kind, FileBody::new(bytes, open.until(until), pace)))
    }

    /// Media goes to a proxy at a pace: a fence does not reach what it has taken.
    fn pace(&self, shelf: &Shelf, bytes: usize) -> Option<Pace> {
        let File::Segment(number) = self.wanted.file else { return None };
        let plays = shelf.read(|packager| packager.plays(number)).filter(|_| self.carrier == Carrier::Proxy);
        plays.map(|plays| Pace::new(bytes, plays, Instant::now()))
    }

    fn may_play(&self) -> Result<(), Refusal> {
        match self.grant.standing() {
            Some(Standing::Granted) => Ok(()),
            Some(Standing::Suspended) => Err(Refusal::Blocked),
            Some(Standing::Revoked) | None => Err(Refusal::Credentials),
        }
    }

    fn file(&self, shelf: &Shelf) -> Option<(&'static str, Bytes)> {
        let id = self.wanted.stream.id.as_str();
        let query = self.query();
        let names = Names { id, query: &query };
        shelf.read(|packager| match self.wanted.file {
            File::Playlist if !self.needs_variant() => {
                Some((dialect::PLAYLIST, packager.playlist(&names)?.into()))
            }
            File::Playlist | File::Multivariant => {
                let url = names.url(&name::playlist(id));
                Some((dialect::PLAYLIST, packager.variant()?.playlist(&url).into()))
            }
            File::Init(number) => Some((dialect::INIT, packager.init(number)?)),
            File::Segment(number) => Some((dialect::SEGMENT, packager.segment(number)?)),
        })
    }

    /// Whether the answer is for one player only.
    fn is_gated(&self) -> bool {
        self.grant.key.coded || self.grant.key.subscriber.is_some()
    }

    /// Who came with credentials is given a URL that outlives them: a player
    /// without cookies reloads it for as long as it plays (C§16.18).
    fn needs_variant(&self) -> bool {
        self.is_gated() && self.by == By::Credentials
    }

    fn query(&self) -> String {
        if self.is_gated() { format!("grant={}", self.edge.grants.token(self.grant)) } else { String::new() }
    }

    fn respond(&self, kind: &'static str, body: FileBody) -> HttpResponse {
        let mut answer = dialect::answer(StatusCode::OK);
        answer.insert_header((CONTENT_TYPE, kind)).insert_header((CACHE_CONTROL, self.caching()));
        if self.needs_variant() {
            answer.insert_header((SET_COOKIE, self.cookie()));
        }
        if self.head {
            return answer.body(NoBody(body.len()));
        }
        answer.body(body)
    }

    /// Segments never change; playlists do at every reload (C§1).
    fn caching(&self) -> &'static str {
        match self.wanted.file {
            _ if self.is_gated() => "private, no-store",
            File::Playlist | File::Multivariant => "no-cache",
            File::Init(_) | File::Segment(_) => "public, max-age=10",
        }
    }

    fn cookie(&self) -> String {
        let (name, token) = (cookie_name(&self.wanted.stream), self.edge.grants.token(self.grant));
        let secure = if self.sealed { "; Secure" } else { "" };
        format!("{name}={token}; Path=/{}/streams; HttpOnly; SameSite=Lax{secure}", self.wanted.stream.app)
    }
}

/// One per stream, because the path of all is the same. A stream id has only
/// characters that a cookie's name may have.
fn cookie_name(stream: &StreamKey) -> String {
    format!("sluice-{}", stream.id)
}

fn cookie(request: &HttpRequest, name: &str) -> Option<String> {
    let pairs = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_a_proxy_that_is_named_is_one() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let of = |peer: &str| {
            let request = TestRequest::default().peer_addr(peer.parse().unwrap());
            carrier(&proxies, &request.insert_header((X_FORWARDED_FOR, "10.0.0.1")).to_http_request())
        };
        assert_eq!(of("10.0.0.2:1"), Carrier::Proxy);
        assert_eq!(of("[::ffff:10.0.0.2]:1"), Carrier::Proxy);
        assert_eq!([of("127.0.0.1:1"), of("[::1]:1")], [Carrier::Local; 2]);
        assert_eq!(of("192.0.2.1:1"), Carrier::Player, "whatever it says");
    }
}
