//! Response bodies that a fence can stop.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use crate::grant::OpenBody;

/// Bytes handed to the HTTP server at a time. It buffers twice this much before
/// it waits for the socket.
const CHUNK: usize = 16 << 10;

/// A file of a stream, sent in chunks; before each, the standing is read.
#[derive(Debug)]
pub(crate) struct FileBody {
    rest: Bytes,
    open: OpenBody,
}

impl FileBody {
    pub(crate) fn new(bytes: Bytes, open: OpenBody) -> Self {
        Self { rest: bytes, open }
    }
}

/// The player may not have the rest; the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("stopped by a block")]
pub(crate) struct Stopped;

impl MessageBody for FileBody {
    type Error = Stopped;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Stopped>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if !self.open.may_send() {
            self.open.cut();
            return Poll::Ready(Some(Err(Stopped)));
        }
        let len = self.rest.len().min(CHUNK);
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
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}
