//! Which codes are being guessed, and an end to the waiting that it costs others.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use contract::audit::{About, Deed};
use contract::auth::{ForgiveGuesses, ListGuessed};
use contract::{StreamKey, SubscriberId};

use super::MAX_PAGE;
use super::streams::key;
use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::dto::{Answer, GuessedCodes};
use crate::gate::{Leave, Streams};
use crate::path::{OfStream, OfSubscriber, read};

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(super) fn routes(cfg: &mut ServiceConfig) {
    let guesses = "/streams/{app}/{id}/guesses";
    cfg.service(web::resource(guesses).route(read().to(list)).route(web::delete().to(forgive_derived)))
        .service(web::resource([guesses, "/{sid}"].concat()).route(web::delete().to(forgive_one)));
}

async fn list(shared: Data<Shared>, _leave: Leave<Streams>, path: Path<OfStream>) -> Answered {
    let ask = ListGuessed { stream: key(&path)?, size: MAX_PAGE };
    let guessed = shared.ask(&shared.links.list_guessed, ask).await?;
    Ok(dialect::ok(&GuessedCodes::from(guessed)))
}

async fn forgive_derived(shared: Data<Shared>, leave: Leave<Streams>, path: Path<OfStream>) -> Answered {
    forgive(&shared, &leave, key(&path)?, None).await
}

async fn forgive_one(shared: Data<Shared>, leave: Leave<Streams>, path: Path<OfSubscriber>) -> Answered {
    let (stream, subscriber) = path.names().map_err(|_| Refused::NotFound)?;
    forgive(&shared, &leave, stream, Some(subscriber)).await
}

async fn forgive(
    shared: &Shared,
    leave: &Leave<Streams>,
    stream: StreamKey,
    subscriber: Option<SubscriberId>,
) -> Answered {
    let stream_only = About::from(&stream);
    let (about, detail) = match &subscriber {
        Some(subscriber) => (stream_only.subscriber(subscriber), ""),
        None => (stream_only, "all who have no secret of their own"),
    };
    let heard = shared.ask(&shared.links.forgive_guesses, ForgiveGuesses { stream, subscriber }).await?;
    if !heard {
        return Err(Refused::Unavailable);
    }
    shared.note(&leave.author(), Deed::ForgiveGuesses, about, detail.to_owned()).await;
    Ok(dialect::ok(&Answer::silent_yes()))
}
