//! Streams: make, show, change, remove, stop (C§2.3).

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, guard};
use contract::audit::{About, Deed};
use contract::auth::NotStored;
use contract::registry::{
    CreateStream, CreateStreamError, ListStreams, Order, RemoveStream, Removed, StopStream, StreamRecord,
    StreamSort, StreamView, UpdateStream,
};
use contract::{AppName, StreamId, StreamKey};
use data_encoding::BASE32_NOPAD;
use serde_json::{Map, Value};

use crate::api::Shared;
use crate::body::{Body, Fields};
use crate::dialect::{self, CannotCreate, Refused};
use crate::dto::{Answer, BroadcastEdit, Site, broadcast};
use crate::gate::Author;
use crate::path::{OfApp, OfStream, Page, Query, public_host, read};
use crate::statistics::stream_of;

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes. Those of one fixed word go before those that take any id.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    // A stream may have this name; by other methods it is one.
    cfg.service(web::resource("/create").guard(guard::Post()).route(web::post().to(create)))
        .service(web::resource("/list/{offset}/{size}").route(read().to(list)))
        .service(web::resource(["", "/"]).route(web::delete().to(remove_many)))
        .service(web::resource("/{id}/start").route(web::post().to(start)))
        .service(web::resource("/{id}/stop").route(web::post().to(stop)))
        .service(
            web::resource("/{id}")
                .route(read().to(get))
                .route(web::put().to(update))
                .route(web::delete().to(remove)),
        );
}

/// A stream in AMS's words, as this caller sees it.
fn shown(shared: &Shared, req: &HttpRequest, view: &StreamView) -> Map<String, Value> {
    let host = public_host(req, &shared.options);
    let site = Site { host: &host, rtmp_port: shared.options.rtmp_port, now: shared.clock.now().wall };
    broadcast(view, &site)
}

async fn create(
    shared: Data<Shared>,
    author: Author,
    path: Path<OfApp>,
    req: HttpRequest,
    body: Body,
) -> Answered {
    if Query::of(&req).get("autoStart") == Some("true") {
        return Ok(dialect::ok(&dialect::no_auto_start(body.0.is_some())));
    }
    let fields = body.or_empty();
    let id = new_id(&fields)?;
    let mut record = StreamRecord::new(StreamKey { app: path.into_inner().app, id }, shared.clock.now().wall);
    BroadcastEdit::parse(&fields)?.apply(&mut record)?;
    let made = shared.ask(&shared.links.create_stream, CreateStream { record }).await?;
    let view = made.map_err(|error| match error {
        CreateStreamError::Taken => CannotCreate::Taken.into(),
        CreateStreamError::NotStored(_) => Refused::Unavailable,
    })?;
    shared.note(&author, Deed::CreateStream, About::from(&view.record.key), String::new()).await;
    Ok(dialect::ok(&shown(&shared, &req, &view)))
}

/// The id that the body wants, or a new one that nobody can guess.
fn new_id(fields: &Fields) -> Result<StreamId, Refused> {
    let wanted = fields.text("streamId")?.unwrap_or_default();
    let text = match wanted.trim() {
        "" => random_id()?,
        id => id.to_owned(),
    };
    StreamId::parse(&text).map_err(|_| CannotCreate::Id.into())
}

fn random_id() -> Result<String, Refused> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).map_err(|_| Refused::Unavailable)?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

async fn get(shared: Data<Shared>, path: Path<OfStream>, req: HttpRequest) -> Answered {
    let view = stream_of(&shared, &path).await?.ok_or(Refused::NotFound)?;
    Ok(dialect::ok(&shown(&shared, &req, &view)))
}

async fn list(shared: Data<Shared>, path: Path<OfApp>, page: Path<Page>, req: HttpRequest) -> Answered {
    let query = Query::of(&req);
    // There are streams of this type only; pulled sources and recordings are none.
    if query.get("type_by").is_some_and(|kind| !kind.is_empty() && kind != "liveStream") {
        return Ok(dialect::ok(&[(); 0]));
    }
    let list = ListStreams {
        app: path.app.clone(),
        search: query.search()?,
        sort: sort(query.get("sort_by"), query.get("order_by")),
        offset: page.offset(),
        size: page.size(),
    };
    let found = shared.ask(&shared.links.list_streams, list).await?;
    let streams: Vec<_> = found.streams.iter().map(|view| shown(&shared, &req, view)).collect();
    Ok(dialect::ok(&streams))
}

/// Sorted only when both are valid (C§2.3).
fn sort(by: Option<&str>, order: Option<&str>) -> StreamSort {
    let order = match order {
        Some("asc") => Order::Ascending,
        Some("desc") => Order::Descending,
        _ => return StreamSort::Id,
    };
    match by {
        Some("name") => StreamSort::Name(order),
        Some("date") => StreamSort::Created(order),
        Some("status") => StreamSort::State(order),
        _ => StreamSort::Id,
    }
}

async fn update(shared: Data<Shared>, author: Author, path: Path<OfStream>, body: Body) -> Answered {
    let fields = body.or_empty();
    let detail = fields.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let outcome = updated(&shared, &path, BroadcastEdit::parse(&fields)?).await?;
    if let (Ok(true), Ok(stream)) = (outcome, path.key()) {
        shared.note(&author, Deed::UpdateStream, About::from(&stream), detail).await;
    }
    Ok(dialect::ok(&dialect::stream_updated(&path.id, outcome)))
}

async fn updated(
    shared: &Shared,
    path: &OfStream,
    edit: BroadcastEdit,
) -> Result<Result<bool, NotStored>, Refused> {
    let _one_at_a_time = shared.updates.lock().await;
    match stream_of(shared, path).await? {
        Some(StreamView { mut record, registered: true, .. }) => {
            edit.apply(&mut record)?;
            shared.ask(&shared.links.update_stream, UpdateStream { record }).await
        }
        _ => Ok(Ok(false)),
    }
}

async fn remove(shared: Data<Shared>, author: Author, path: Path<OfStream>) -> Answered {
    Ok(dialect::ok(&remove_one(&shared, &author, &path).await?))
}

async fn remove_one(shared: &Shared, author: &Author, path: &OfStream) -> Result<Answer, Refused> {
    let Ok(stream) = path.key() else { return Ok(dialect::stream_removed(Ok(Removed::Nothing))) };
    let about = About::from(&stream);
    let outcome = shared.ask(&shared.links.remove_stream, RemoveStream { stream }).await?;
    if matches!(outcome, Ok(Removed::Record | Removed::Live)) {
        shared.note(author, Deed::RemoveStream, about, String::new()).await;
    }
    Ok(dialect::stream_removed(outcome))
}

/// Stops at the first that fails, and answers with the last answer.
async fn remove_many(shared: Data<Shared>, author: Author, path: Path<OfApp>, req: HttpRequest) -> Answered {
    let query = Query::of(&req);
    let ids = query.get("ids").unwrap_or_default();
    let mut answer = dialect::no_ids();
    for id in ids.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        answer = remove_one(&shared, &author, &stream(&path.app, id)).await?;
        if !answer.is_success() {
            break;
        }
    }
    Ok(dialect::ok(&answer))
}

fn stream(app: &AppName, id: &str) -> OfStream {
    OfStream { app: app.clone(), id: id.to_owned() }
}

async fn start(shared: Data<Shared>, path: Path<OfStream>) -> Answered {
    let known = stream_of(&shared, &path).await?.map(|view| view.record.key);
    Ok(dialect::ok(&dialect::not_startable(&path.id, known.as_ref())))
}

async fn stop(shared: Data<Shared>, author: Author, path: Path<OfStream>) -> Answered {
    let Ok(stream) = path.key() else { return Ok(dialect::ok(&dialect::stream_stopped(false))) };
    let about = About::from(&stream);
    let was_live = shared.ask(&shared.links.stop_stream, StopStream { stream }).await?;
    if was_live {
        shared.note(&author, Deed::StopStream, about, String::new()).await;
    }
    Ok(dialect::ok(&dialect::stream_stopped(was_live)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_needs_both_words() {
        assert_eq!(sort(Some("name"), Some("asc")), StreamSort::Name(Order::Ascending));
        assert_eq!(sort(Some("date"), Some("desc")), StreamSort::Created(Order::Descending));
        assert_eq!(sort(Some("status"), Some("asc")), StreamSort::State(Order::Ascending));
        for (by, order) in [
            (None, None),
            (Some("name"), None),
            (None, Some("asc")),
            (Some("x"), Some("asc")),
            (Some("name"), Some("x")),
        ] {
            assert_eq!(sort(by, order), StreamSort::Id);
        }
    }

    #[test]
    fn a_made_up_id_is_a_name_and_new() {
        let made = random_id().unwrap();
        assert!(made.len() == 24 && StreamId::parse(&made).is_ok());
        assert_ne!(made, random_id().unwrap());
    }
}
