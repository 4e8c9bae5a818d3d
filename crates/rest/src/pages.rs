//! The pages to try a stream with: `/{app}/play.html` and `/{app}/publish.html`.
//!
//! They are ours, whole, and speak WHIP and WHEP with what browsers have. hls.js is
//! not ours: it comes from a directory that the operator fills, if it is there.

use std::path::{Path as FsPath, PathBuf};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};
use contract::AppName;
use serde::Deserialize;

use crate::api::Shared;
use crate::dialect::Refused;
use crate::path::read;

const PLAY: &str = include_str!("../pages/play.html");
const PUBLISH: &str = include_str!("../pages/publish.html");
const PAGE_CSS: &str = include_str!("../pages/page.css");
const PLAY_JS: &str = include_str!("../pages/play.js");
const PUBLISH_JS: &str = include_str!("../pages/publish.js");
const WHIP_JS: &str = include_str!("../pages/whip.js");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Our own files only. hls.js makes its worker and its media from blobs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      media-src 'self' blob:; worker-src 'self' blob:; img-src 'self' data:; \
                      base-uri 'none'; form-action 'self'";

/// A page that opens the camera is not to be put into a foreign one. The play page
/// is: that is what it is for.
const UNFRAMED: &str = "; frame-ancestors 'none'";

/// The names that hls.js has as a file: as configured by hand, and as its package
/// has it.
const HLS_JS: [&str; 2] = ["hls.js", "hls.min.js"];

/// hls.js is 0.6 MB; what is larger than this is something else.
const MAX_ASSET: u64 = 4 << 20;

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig, shared: &Data<Shared>) {
    for (path, kind, text) in [
        ("/assets/page.css", CSS, PAGE_CSS),
        ("/assets/play.js", JS, PLAY_JS),
        ("/assets/publish.js", JS, PUBLISH_JS),
        ("/assets/whip.js", JS, WHIP_JS),
    ] {
        let answer = move || async move { file(kind).body(text) };
        cfg.service(web::resource(path).route(read().to(answer)));
    }
    cfg.service(web::resource("/assets/hls.js").app_data(shared.clone()).route(read().to(hls_js)))
        .service(web::resource("/{app}/play.html").app_data(shared.clone()).route(read().to(play)))
        .service(web::resource("/{app}/publish.html").app_data(shared.clone()).route(read().to(publish)));
}

/// The address of a page has codes in its query, so it is nobody's referrer.
fn file(kind: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

/// A page's path. The application may be none.
#[derive(Deserialize)]
struct OfPage {
    app: String,
}

async fn play(shared: Data<Shared>, path: Path<OfPage>) -> Answered {
    page(&shared, &path, POLICY.to_owned(), PLAY)
}

async fn publish(shared: Data<Shared>, path: Path<OfPage>) -> Answered {
    page(&shared, &path, [POLICY, UNFRAMED].concat(), PUBLISH)
}

fn page(shared: &Shared, path: &OfPage, policy: String, text: &'static str) -> Answered {
    let app = AppName::parse(&path.app).ok().and_then(|app| shared.settings.app(&app));
    app.ok_or(Refused::NotFound)?;
    Ok(file(HTML).insert_header((CONTENT_SECURITY_POLICY, policy)).body(text))
}

async fn hls_js(shared: Data<Shared>) -> Answered {
    let assets = shared.options.assets.clone().ok_or(Refused::NotFound)?;
    let script = web::block(move || read_first(&assets)).await.map_err(|_| Refused::Unavailable)?;
    Ok(file(JS).body(script.ok_or(Refused::NotFound)?))
}

fn read_first(assets: &FsPath) -> Option<Vec<u8>> {
    HLS_JS.iter().map(|name| assets.join(name)).find_map(|path| read_small(&path))
}

fn read_small(path: &PathBuf) -> Option<Vec<u8>> {
    let size = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
    (size <= MAX_ASSET).then(|| std::fs::read(path).ok()).flatten()
}
