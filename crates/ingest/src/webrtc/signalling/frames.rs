//! A limit on WebSocket frames, before anything keeps them.
//!
//! The WebSocket library looks at its limit only when it has a whole frame, so a
//! stranger who claims a long one and sends it fills the memory. This walks over
//! the frames' heads (RFC 6455 §5.2) on the way to it and keeps nothing but one.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::{FromRequest, web};
use bytes::Bytes;
use futures_util::Stream;

/// The longest head: 2 bytes, 8 of length, 4 of the mask.
const LONGEST_HEAD: usize = 14;

/// Passes a connection's bytes on, up to a frame that is longer than `max`.
pub(crate) async fn limit(
    request: &HttpRequest,
    body: web::Payload,
    max: u64,
) -> Result<web::Payload, actix_web::Error> {
    let limited = Limited { inner: body.into_inner(), walk: Walk::new(max) };
    web::Payload::from_request(request, &mut Payload::Stream { payload: Box::pin(limited) }).await
}

struct Limited {
    inner: Payload,
    walk: Walk,
}

impl Stream for Limited {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.inner).poll_next(cx);
        next.map_ok(|bytes| self.walk.over(&bytes).map(|()| bytes)).map(|item| {
            item.map(|read| read.and_then(|walked| walked.map_err(|TooLong| PayloadError::Overflow)))
        })
    }
}

/// A frame is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// Where in a connection's frames we are.
#[derive(Debug)]
struct Walk {
    max: u64,
    head: [u8; LONGEST_HEAD],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes of the payload that are not.
    left: u64,
}

impl Walk {
    const fn new(max: u64) -> Self {
        Self { max, head: [0; LONGEST_HEAD], have: 0, left: 0 }
    }

    fn over(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            self.head[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if let Some(length) = self.length() {
                (self.left, self.have) = (length, 0);
            }
            if self.left > self.max {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    /// The payload's length, when the head is complete.
    fn length(&self) -> Option<u64> {
        let second = *self.head[..self.have].get(1)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.have < 2 + extended + mask {
            return None;
        }
        let big_endian = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
        let short = u64::from(second & 0x7f);
        let long = self.head[2..2 + extended].iter().fold(0, big_endian);
        Some(if extended == 0 { short } else { long })
    }
}

/// For `scripts/fuzz`.
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing {
    /// Walks over pieces: whether no frame was too long.
    pub(crate) fn walk(bytes: &[u8], piece: usize, max: u64) -> bool {
        let mut walk = super::Walk::new(max);
        bytes.chunks(piece).all(|piece| walk.over(piece).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u64, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x81];
        match length {
            0..=125 => frame.push(mask | length as u8),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[7; 4][..if masked { 4 } else { 0 }]);
        frame
    }

    #[test]
    fn frames_up_to_the_limit_pass_however_they_are_cut() {
        let mut bytes = Vec::new();
        for (length, masked) in [(0, true), (125, false), (126, true), (70_000, true), (3, true)] {
            bytes.extend(frame(length, masked));
            bytes.extend(vec![0xff; usize::try_from(length).unwrap()]);
        }
        for piece in [1, 2, 3, 14, 1000, bytes.len()] {
            let mut walk = Walk::new(70_000);
            assert!(bytes.chunks(piece).all(|piece| walk.over(piece).is_ok()), "{piece}");
            assert_eq!((walk.left, walk.have), (0, 0));
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_head() {
        for length in [70_001, 1 << 62, u64::MAX] {
            assert_eq!(Walk::new(70_000).over(&frame(length, true)), Err(TooLong), "{length}");
        }
        let mut walk = Walk::new(100);
        assert_eq!(walk.over(&[frame(0, true), frame(101, false)].concat()), Err(TooLong));
    }
}
