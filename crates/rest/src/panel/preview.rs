//! A pass for the preview of one stream. As with thumbnails, whoever is logged in may
//! see what players see, whatever codes they need.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use contract::auth::IssuePreview;

use super::streams::key;
use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::dto::Answer;
use crate::gate::{Leave, Streams};
use crate::path::{OfStream, read};

/// Adds the route.
pub(super) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/streams/{app}/{id}/preview").route(read().to(preview)));
}

async fn preview(
    shared: Data<Shared>,
    _leave: Leave<Streams>,
    path: Path<OfStream>,
) -> Result<HttpResponse, Refused> {
    let pass = shared.ask(&shared.links.issue_preview, IssuePreview { stream: key(&path)? }).await?;
    Ok(dialect::ok(&Answer::silent_yes().with(pass.reveal())))
}
