//! The routes of the web panel, `/`, and of the pages `/{app}/play.html` and
//! `/{app}/publish.html`. What they answer is built elsewhere (`panel`); here is what
//! browsers are told about it.

use actix_web::HttpResponse;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Compress;
use actix_web::web::{self, Data, Path, ServiceConfig};
use contract::AppName;
use panel::Asset;
use serde::Deserialize;

use crate::api::Shared;
use crate::dialect::Refused;
use crate::path::read;

/// Our own files and our own server only, its WebSockets too (`'self'` covers them in
/// the browsers of this decade). hls.js makes its worker and its media from blobs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      media-src 'self' blob:; worker-src 'self' blob:; img-src 'self' data: blob:; \
                      base-uri 'none'; form-action 'self'";

/// The panel: a page with a login is not to be put into a foreign one.
const NOBODY: &str = "; frame-ancestors 'none'";

/// The pages that play and publish are made to be framed, by files and applications too:
/// `*` would be pages of the network only. A click that a foreign page catches for the
/// publish page opens no camera: browsers ask for it in the name of the page around, which
/// could as well have asked itself, and not at all unless that page's `allow` says so.
const ANYBODY: &str = "";

/// A page is asked for again each time; its files have a hash in their names.
const PAGE_CACHE: &str = "no-cache";
const FILE_CACHE: &str = "public, max-age=31536000, immutable";

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig, shared: &Data<Shared>) {
    cfg.service(web::resource("/").route(read().to(front)))
        .service(web::resource("/favicon.svg").route(read().to(icon)))
        .service(web::resource("/assets/{file}").wrap(Compress::default()).route(read().to(file)))
        .service(web::resource("/{app}/play.html").app_data(shared.clone()).route(read().to(play)))
        .service(web::resource("/{app}/publish.html").app_data(shared.clone()).route(read().to(publish)));
}

/// A page's path. The application may be none.
#[derive(Deserialize)]
struct OfPage {
    app: String,
}

/// A file's path: one segment, so it cannot climb.
#[derive(Deserialize)]
struct OfFile {
    file: String,
}

async fn front() -> HttpResponse {
    page("index.html", NOBODY)
}

async fn play(shared: Data<Shared>, path: Path<OfPage>) -> Answered {
    of_app(&shared, &path, "play.html")
}

async fn publish(shared: Data<Shared>, path: Path<OfPage>) -> Answered {
    of_app(&shared, &path, "publish.html")
}

fn of_app(shared: &Shared, path: &OfPage, name: &str) -> Answered {
    let app = AppName::parse(&path.app).ok().and_then(|app| shared.settings.app(&app));
    app.ok_or(Refused::NotFound)?;
    Ok(page(name, ANYBODY))
}

fn page(name: &str, framed_by: &str) -> HttpResponse {
    let Some(asset) = panel::asset(name) else { return not_built() };
    respond(asset, PAGE_CACHE, framed_by)
}

async fn icon() -> Answered {
    let asset = panel::asset("favicon.svg").ok_or(Refused::NotFound)?;
    Ok(respond(asset, PAGE_CACHE, NOBODY))
}

async fn file(path: Path<OfFile>) -> Answered {
    let asset = panel::asset(&["assets/", &path.file].concat()).ok_or(Refused::NotFound)?;
    let cache = if asset.immutable { FILE_CACHE } else { PAGE_CACHE };
    Ok(respond(asset, cache, NOBODY))
}

/// The address of a page may have codes in its query, so it is nobody's referrer.
fn respond(asset: Asset, cache: &'static str, framed_by: &str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, asset.mime))
        .insert_header((CACHE_CONTROL, cache))
        .insert_header((CONTENT_SECURITY_POLICY, [POLICY, framed_by].concat()))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(asset.bytes.into_owned())
}

fn not_built() -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(panel::HOW_TO_BUILD)
}
