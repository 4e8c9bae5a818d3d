//! Who is inside the HTTP server while it drains: those whom it was answering when it was
//! told to stop. It goes on accepting until they have left, so that whoever sends it work
//! (a load balancer, an orchestrator) can ask and is told that it is not ready.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// What an operator's tools look at until the end. Nobody waits for these.
const ALWAYS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Lets requests in and counts them, until `stop`; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Turnstile {
    stop: CancellationToken,
    inside: TaskTracker,
}

impl Turnstile {
    /// Refuses whoever comes after `stop` was cancelled.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { stop, inside: TaskTracker::new() }
    }

    /// A middleware around everything that is answered over HTTP.
    pub(crate) async fn pass(
        self,
        req: ServiceRequest,
        next: Next<BoxBody>,
    ) -> Result<ServiceResponse<Counted>, Error> {
        // Taken before the look at `stop`, so that `empty` misses nobody who is let in.
        let mut place = (!ALWAYS.contains(&req.path())).then(|| self.inside.token());
        let answer = if place.is_some() && self.stop.is_cancelled() {
            // Whoever is refused is not waited for, however slowly he reads it.
            place = None;
            req.into_response(HttpResponse::ServiceUnavailable().body("the server is stopping\n"))
        } else {
            next.call(req).await?
        };
        Ok(self.out(answer, place))
    }

    /// A connection that is kept after its answer would only be waited for.
    fn out(
        &self,
        mut answer: ServiceResponse<BoxBody>,
        place: Option<TaskTrackerToken>,
    ) -> ServiceResponse<Counted> {
        if self.stop.is_cancelled() {
            answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        answer.map_body(|_, body| Counted { body, _place: place })
    }

    /// Waits until everybody who was let in has the answer. To be called after `stop`.
    pub(crate) async fn empty(&self) {
        self.inside.close();
        self.inside.wait().await;
    }
}

/// A body whose request counts until it is written or dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    body: BoxBody,
    _place: Option<TaskTrackerToken>,
}

impl MessageBody for Counted {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service, read_body};
    use actix_web::{App, dev::Service, web};
    use futures_util::{FutureExt, stream};

    use super::*;

    #[actix_web::test]
    async fn what_had_begun_is_waited_for_and_nothing_else_begins() {
        let stop = CancellationToken::new();
        let turnstile = Turnstile::new(stop.clone());
        let around = turnstile.clone();
        let bytes = async || {
            let one = stream::iter([Ok::<_, Error>(Bytes::from_static(b"all"))]);
            HttpResponse::Ok().streaming(one)
        };
        let app = App::new()
            .wrap(from_fn(move |req, next| around.clone().pass(req, next)))
            .route("/slow", web::get().to(bytes))
            .route("/ready", web::get().to(async || "asked"));
        let app = init_service(app).await;
        let ask = |path: &str| app.call(TestRequest::get().uri(path).to_request());

        let slow = ask("/slow").await.unwrap();
        assert!(slow.response().head().keep_alive());
        stop.cancel();
        let refused = ask("/slow").await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let ready = ask("/ready").await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
        assert!(!ready.response().head().keep_alive(), "a connection that is waited for");
        assert!(turnstile.empty().now_or_never().is_none(), "somebody has not got his answer");
        assert_eq!(read_body(slow).await, "all");
        turnstile.empty().await;
        drop((ready, refused));
    }
}
