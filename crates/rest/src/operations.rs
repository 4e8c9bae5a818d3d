//! What the operator's tools ask: is it alive, may it be sent work, what does it
//! count.

use std::sync::Arc;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use serde_json::json;

use crate::access::AddressRules;
use crate::path::read;

/// Prometheus's text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the server may be sent work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Everything is up, and what must last can be written.
    Ready,
    /// It was told to stop.
    Draining,
    /// The disk failed; nothing that must last can be changed until a restart.
    ReadOnly,
}

impl Readiness {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::ReadOnly => "store is read-only",
        }
    }
}

/// Who knows how the server is.
pub trait Vitals: Send + Sync + 'static {
    /// Whether it may be sent work.
    fn readiness(&self) -> Readiness;

    /// All that is counted, in Prometheus's text format 0.0.4.
    fn metrics(&self) -> BoxFuture<'_, String>;
}

/// `/health`, `/ready` and `/metrics`. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Operations(Data<Shared>);

struct Shared {
    vitals: Arc<dyn Vitals>,
    networks: Vec<IpNet>,
    addresses: AddressRules,
}

impl Operations {
    /// `networks` may read `/metrics`; everybody may ask the other two.
    pub fn new(vitals: Arc<dyn Vitals>, networks: Vec<IpNet>, addresses: AddressRules) -> Self {
        Self(Data::new(Shared { vitals, networks, addresses }))
    }

    /// Adds the routes. Called once for each HTTP worker.
    pub fn routes(&self, cfg: &mut ServiceConfig) {
        let (ready, metrics) = (self.0.clone(), self.0.clone());
        cfg.route("/health", read().to(async || HttpResponse::Ok().body("ok\n")))
            .service(web::resource("/ready").app_data(ready).route(read().to(is_ready)))
            .service(web::resource("/metrics").app_data(metrics).route(read().to(all_metrics)));
    }
}

async fn is_ready(shared: Data<Shared>) -> HttpResponse {
    let readiness = shared.vitals.readiness();
    let ready = readiness == Readiness::Ready;
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.insert_header((CACHE_CONTROL, "no-store"));
    answer.json(json!({"ready": ready, "state": readiness.as_str()}))
}

async fn all_metrics(shared: Data<Shared>, req: HttpRequest) -> HttpResponse {
    if !shared.addresses.caller(&req).is_within(&shared.networks) {
        return HttpResponse::Forbidden().body("not one of the networks that may read this\n");
    }
    let text = shared.vitals.metrics().await;
    HttpResponse::Ok().content_type(TEXT).insert_header((CACHE_CONTROL, "no-store")).body(text)
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, http::StatusCode};

    use super::*;

    struct Known(Readiness);

    impl Vitals for Known {
        fn readiness(&self) -> Readiness {
            self.0
        }

        fn metrics(&self) -> BoxFuture<'_, String> {
            Box::pin(async { "m 1\n".to_owned() })
        }
    }

    async fn ask(readiness: Readiness, peer: &str, path: &str) -> (StatusCode, String) {
        let networks = vec!["127.0.0.1/32".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
        let operations = Operations::new(Arc::new(Known(readiness)), networks, AddressRules::default());
        let app = init_service(App::new().configure(|cfg| operations.routes(cfg))).await;
        let peer = format!("{peer}:4000").parse().unwrap();
        let request = TestRequest::get().uri(path).peer_addr(peer).insert_header(("host", "localhost"));
        let answer = call_service(&app, request.to_request()).await;
        let status = answer.status();
        (status, String::from_utf8(read_body(answer).await.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn it_is_alive_while_it_drains_but_not_ready() {
        for readiness in [Readiness::Ready, Readiness::Draining, Readiness::ReadOnly] {
            assert_eq!(ask(readiness, "203.0.113.1", "/health").await.0, StatusCode::OK);
            let (status, text) = ask(readiness, "203.0.113.1", "/ready").await;
            assert_eq!(status == StatusCode::OK, readiness == Readiness::Ready, "{text}");
            assert!(text.contains(readiness.as_str()), "{text}");
        }
    }

    #[actix_web::test]
    async fn only_the_networks_read_the_metrics() {
        for (peer, allowed) in [("127.0.0.1", true), ("192.0.2.9", true), ("203.0.113.1", false)] {
            let (status, text) = ask(Readiness::Ready, peer, "/metrics").await;
            assert_eq!(status == StatusCode::OK, allowed, "{peer}");
            assert_eq!(text == "m 1\n", allowed, "{peer}");
        }
    }
}
