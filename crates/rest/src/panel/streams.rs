//! Streams as the panel shows them: many at once, one with who is there, and both
//! again each second.

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use contract::audit::{About, Deed};
use contract::registry::{Board, ListSessions, StopSession, StreamRow};
use contract::{AppName, SessionId, StreamId, StreamKey};
use serde::Deserialize;

use super::Window;
use super::watch::{View, watch};
use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::dto::{StreamBoard, StreamDetail, StreamLine};
use crate::gate::{Leave, Streams};
use crate::path::{OfStream, Query, read};

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes. No stream is hidden by those of one fixed word: a stream's have
/// an application before the id.
pub(super) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/streams").route(read().to(list)))
        .service(web::resource("/streams/events").route(web::get().to(watch_list)))
        .service(web::resource("/streams/{app}/{id}").route(read().to(one)))
        .service(web::resource("/streams/{app}/{id}/events").route(web::get().to(watch_one)))
        .service(
            web::resource("/streams/{app}/{id}/sessions/{session}").route(web::delete().to(stop_session)),
        );
}

/// Which streams a page shows.
struct Choice {
    app: Option<AppName>,
    live_only: bool,
    window: Window,
}

impl Choice {
    /// No application is all of them; one that does not exist is none.
    fn of(shared: &Shared, req: &HttpRequest) -> Result<Self, Refused> {
        let query = Query::of(req);
        let app = query.get("app").filter(|app| !app.is_empty());
        let app = app.map(|app| AppName::parse(app).map_err(|_| Refused::NotFound)).transpose()?;
        if app.as_ref().is_some_and(|app| shared.settings.app(app).is_none()) {
            return Err(Refused::NotFound);
        }
        Ok(Self { app, live_only: query.get("live") == Some("true"), window: Window::of(&query)? })
    }

    fn is_in_app(&self, row: &StreamRow) -> bool {
        self.app.as_ref().is_none_or(|app| row.key.app == *app)
    }

    /// Live ones first, then by name of application and stream.
    fn board(&self, board: &Board) -> StreamBoard {
        let needle = self.window.search.as_deref().unwrap_or_default().to_lowercase();
        let all = || board.streams.iter().filter(|row| self.is_in_app(row));
        let mut wanted: Vec<_> =
            all().filter(|row| (row.live.is_some() || !self.live_only) && matches(row, &needle)).collect();
        wanted.sort_by_key(|row| (row.live.is_none(), &row.key));
        let page = wanted.iter().skip(self.window.offset).take(self.window.size);
        let lines = page.map(|row| StreamLine::from(*row)).collect();
        StreamBoard::new(board.at, all(), wanted.len(), lines)
    }
}

fn matches(row: &StreamRow, needle: &str) -> bool {
    let holds = |text: &str| text.to_lowercase().contains(needle);
    needle.is_empty() || holds(row.key.id.as_str()) || row.name.as_deref().is_some_and(holds)
}

impl View for Choice {
    const EVENT: &'static str = "streams";

    async fn look(&self, shared: &Shared) -> Result<String, Refused> {
        json(&self.board(&*shared.glance().await?))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, Refused> {
    serde_json::to_string(value).map_err(|_| Refused::Unavailable)
}

async fn list(shared: Data<Shared>, _leave: Leave<Streams>, req: HttpRequest) -> Answered {
    let choice = Choice::of(&shared, &req)?;
    Ok(dialect::ok(&choice.board(&*shared.survey().await?)))
}

async fn watch_list(shared: Data<Shared>, leave: Leave<Streams>, req: HttpRequest) -> Answered {
    watch(&shared, &req, &leave.account, Choice::of(&shared, &req)?)
}

/// One stream with some of its sessions.
struct One {
    stream: StreamKey,
    window: Window,
}

impl One {
    fn of(path: &OfStream, req: &HttpRequest) -> Result<Self, Refused> {
        Ok(Self { stream: key(path)?, window: Window::of(&Query::of(req))? })
    }

    async fn detail(&self, shared: &Shared) -> Result<StreamDetail, Refused> {
        let Window { search, offset, size } = self.window.clone();
        let ask = ListSessions { stream: self.stream.clone(), search, offset, size };
        let page = shared.ask(&shared.links.list_sessions, ask).await?;
        Ok(page.ok_or(Refused::NotFound)?.into())
    }
}

impl View for One {
    const EVENT: &'static str = "stream";

    async fn look(&self, shared: &Shared) -> Result<String, Refused> {
        json(&self.detail(shared).await?)
    }
}

/// The stream that a path names; what is none is not found.
pub(super) fn key(path: &OfStream) -> Result<StreamKey, Refused> {
    path.key().map_err(|_| Refused::NotFound)
}

async fn one(
    shared: Data<Shared>,
    _leave: Leave<Streams>,
    path: Path<OfStream>,
    req: HttpRequest,
) -> Answered {
    Ok(dialect::ok(&One::of(&path, &req)?.detail(&shared).await?))
}

/// Ends when the stream is no more; an unregistered one goes with its publisher.
async fn watch_one(
    shared: Data<Shared>,
    leave: Leave<Streams>,
    path: Path<OfStream>,
    req: HttpRequest,
) -> Answered {
    let view = One::of(&path, &req)?;
    view.detail(&shared).await?;
    watch(&shared, &req, &leave.account, view)
}

/// Paths that name a session.
#[derive(Deserialize)]
struct OfSession {
    app: AppName,
    id: StreamId,
    session: String,
}

async fn stop_session(shared: Data<Shared>, leave: Leave<Streams>, path: Path<OfSession>) -> Answered {
    let OfSession { app, id, session } = path.into_inner();
    let stream = StreamKey { app, id };
    let session = SessionId::parse(&session).ok_or(Refused::NotFound)?;
    let about = About::from(&stream);
    let stopped = shared.ask(&shared.links.stop_session, StopSession { stream, session }).await?;
    if stopped {
        shared.note(&leave.author(), Deed::StopSession, about, format!("session {session}")).await;
    }
    Ok(dialect::ok(&dialect::stream_stopped(stopped)))
}
