//! The pages to try a stream with.

use actix_web::web::{Data, ServiceConfig};

use crate::api::Shared;

/// Adds the routes.
pub(crate) fn routes(_cfg: &mut ServiceConfig, _shared: &Data<Shared>) {}
