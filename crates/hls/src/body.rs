//! Response bodies that a fence can stop.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::grant::OpenBody;
use crate::pace::Pace;

/// Bytes handed to the HTTP server at a time. It buffers twice this much before
/// it waits for the socket.
const CHUNK: usize = 16 << 10;

/// A file of a stream, sent in chunks; before each, the standing is read.
#[derive(Debug)]
pub(crate) struct FileBody {
    rest: Bytes,
    open: OpenBody,
    paced: Option<Paced>,
}

/// A pace, and the timer that wakes the HTTP server for the next chunk.
#[derive(Debug)]
struct Paced {
    pace: Pace,
    timer: Pin<Box<Sleep>>,
}

impl Paced {
    fn new(pace: Pace) -> Self {
        Self { pace, timer: Box::pin(sleep_until(Instant::now())) }
    }

    /// Ready when so many bytes may go.
    fn poll(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        while let Err(when) = self.pace.take(bytes, Instant::now().into_std()) {
            self.timer.as_mut().reset(when.into());
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

impl FileBody {
    /// As fast as it is taken, or at a pace.
    pub(crate) fn new(bytes: Bytes, open: OpenBody, pace: Option<Pace>) -> Self {
        Self { rest: bytes, open, paced: pace.map(Paced::new) }
    }

    /// Bytes that are still to be sent.
    pub(crate) fn len(&self) -> u64 {
        self.rest.len() as u64
    }
}

impl MessageBody for FileBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.len())
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.rest.len().min(CHUNK);
        // A fence resets the connection, which ends a wait here.
        if let Some(paced) = &mut self.paced {
            ready!(paced.poll(len, cx));
        }
        if !self.open.may_send() {
            self.open.cut();
            tracing::debug!(unsent = self.rest.len(), "a block stopped an answer");
            // Short of its announced length, so the HTTP server closes the connection
            // (RFC 9112, section 8). It logs an error of a body as ERROR, and this is none.
            return Poll::Ready(None);
        }
        let chunk = self.rest.split_to(len);
        self.open.sent(len);
        if self.rest.is_empty() {
            self.open.finished();
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

/// What a HEAD answer says of its body: a length and nothing else.
#[derive(Debug)]
pub(crate) struct NoBody(pub(crate) u64);

impl MessageBody for NoBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;
    use crate::connection::{Carrier, Connection, Served, on_connect};
    use crate::grant::tests::grant;

    /// Keeps what is logged as ERROR.
    #[derive(Debug, Clone, Default)]
    struct Errors(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Errors {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::ERROR
        }

        fn event(&self, event: &Event<'_>) {
            struct Text<'a>(&'a mut String);
            impl Visit for Text<'_> {
                fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
                    *self.0 += &format!("{value:?} ");
                }
            }
            let mut text = String::new();
            event.record(&mut Text(&mut text));
            self.0.lock().unwrap().push(text);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[actix_rt::test]
    async fn a_stopped_answer_ends_its_connection_and_is_no_error() {
        let errors = Errors::default();
        // HTTP workers are threads of their own, so it must hold for all.
        tracing::subscriber::set_global_default(errors.clone()).unwrap();
        // It has no session, so nothing may be sent by it.
        let grant = grant(contract::ManualClock::new(contract::WallMs(0)).clock());
        let served = grant.clone();
        let server = HttpServer::new(move || {
            let grant = served.clone();
            App::new().default_service(web::to(move |request: HttpRequest| {
                let open = grant.open(request.conn_data::<Served>().unwrap().connection(), Carrier::Player);
                let body = FileBody::new(Bytes::from_static(&[7; 2 * CHUNK]), open.unwrap(), None);
                async move { HttpResponse::Ok().body(body) }
            }))
        });
        let server = server
            .on_connect(|io, extensions| drop(on_connect(io, extensions)))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let mut client = TcpStream::connect(server.addrs()[0]).unwrap();
        actix_rt::spawn(server.run());
        client.set_nonblocking(true).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut got = Vec::new();
        loop {
            match client.read_to_end(&mut got) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "the connection stays");
                    tokio::task::yield_now().await;
                }
                _ => break,
            }
        }
        assert!(!got.contains(&7), "media was sent");
        // The HTTP server logs before it drops the body, and the line of the grant with it.
        while grant.bodies() > 0 {
            assert!(Instant::now() < deadline, "the body stays");
            tokio::task::yield_now().await;
        }
        assert_eq!(*errors.0.lock().unwrap(), Vec::<String>::new());
    }

    #[actix_rt::test]
    async fn a_paced_body_waits_and_another_does_not() {
        let grant = grant(contract::ManualClock::new(contract::WallMs(0)).clock());
        let (server, _client) = crate::grant::tests::pair();
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        let poll = |pace| {
            let open = grant.open(&connection, Carrier::Proxy).unwrap();
            let mut body = FileBody::new(Bytes::from_static(&[7; 2 * CHUNK]), open, pace);
            Pin::new(&mut body).poll_next(&mut Context::from_waker(std::task::Waker::noop()))
        };
        // Nothing may be sent by this grant, so a body that comes to its turn ends.
        let now = Instant::now().into_std();
        let mut pace = Pace::new(CHUNK, Duration::from_secs(1), now);
        assert!(pace.take(64 * CHUNK, now).is_ok());
        assert!(poll(Some(pace)).is_pending());
        assert!(matches!(poll(None), Poll::Ready(None)));
        assert!(matches!(poll(Some(Pace::new(CHUNK, Duration::ZERO, now))), Poll::Ready(None)));
    }
}
