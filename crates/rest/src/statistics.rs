//! How many watch, and how many streams there are (C§2.4).

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use contract::AppName;
use contract::registry::{GetStream, ListStreams, PlayerCounts, StreamPage, StreamSort, StreamView};
use serde::Deserialize;

use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::dto::{AppStatistics, Number, StreamInfo, StreamStatistics};
use crate::path::{OfApp, OfStream, read};

/// An application's streams are added up in pages of this many, so that the
/// registry never stops for all of them at once.
const SUM_PAGE: usize = 500;

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/{id}/broadcast-statistics").route(read().to(of_stream)))
        .service(web::resource("/{id}/stream-info").route(read().to(stream_info)))
        .service(web::resource("/total-broadcast-statistics").route(read().to(of_app)))
        .service(web::resource("/active-live-stream-count").route(read().to(live_count)))
        .service(web::resource("/count").route(read().to(count)))
        .service(web::resource("/count/{search}").route(read().to(count_matching)));
}

/// One stream; `None` also for an id that cannot exist.
pub(crate) async fn stream_of(shared: &Shared, path: &OfStream) -> Result<Option<StreamView>, Refused> {
    match path.key() {
        Ok(stream) => shared.ask(&shared.links.get_stream, GetStream { stream }).await,
        Err(_) => Ok(None),
    }
}

async fn of_stream(shared: Data<Shared>, path: Path<OfStream>) -> Answered {
    let stream = stream_of(&shared, &path).await?;
    Ok(dialect::ok(&StreamStatistics::new(stream.as_ref())))
}

async fn stream_info(shared: Data<Shared>, path: Path<OfStream>) -> Answered {
    let stream = stream_of(&shared, &path).await?;
    let live = stream.and_then(|s| s.live);
    let now = shared.clock.now().wall;
    Ok(dialect::ok(&live.iter().map(|live| StreamInfo::new(live, now)).collect::<Vec<_>>()))
}

async fn page(
    shared: &Shared,
    app: &AppName,
    search: Option<String>,
    offset: usize,
    size: usize,
) -> Result<StreamPage, Refused> {
    let list = ListStreams { app: app.clone(), search, sort: StreamSort::Id, offset, size };
    shared.ask(&shared.links.list_streams, list).await
}

async fn of_app(shared: Data<Shared>, path: Path<OfApp>) -> Answered {
    let mut sum = PlayerCounts::default();
    let mut offset = 0;
    loop {
        let page = page(&shared, &path.app, None, offset, SUM_PAGE).await?;
        for stream in &page.streams {
            sum.hls += stream.players.hls;
            sum.webrtc += stream.players.webrtc;
        }
        offset += page.streams.len();
        if page.streams.is_empty() || offset >= page.matching {
            return Ok(dialect::ok(&AppStatistics::new(sum, page.live)));
        }
    }
}

async fn live_count(shared: Data<Shared>, path: Path<OfApp>) -> Answered {
    let number = page(&shared, &path.app, None, 0, 0).await?.live;
    Ok(dialect::ok(&Number { number }))
}

async fn count(shared: Data<Shared>, path: Path<OfApp>) -> Answered {
    let number = page(&shared, &path.app, None, 0, 0).await?.matching;
    Ok(dialect::ok(&Number { number }))
}

#[derive(Deserialize)]
struct OfSearch {
    app: AppName,
    search: String,
}

async fn count_matching(shared: Data<Shared>, path: Path<OfSearch>) -> Answered {
    let number = page(&shared, &path.app, Some(path.search.clone()), 0, 0).await?.matching;
    Ok(dialect::ok(&Number { number }))
}
