//! What both ends of a connection share once hands are shaken: chunks, and the
//! messages that keep the connection itself going (Adobe RTMP 1.0 §5.4 and §7.1.7).

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::amf0::{self, Amf0Error, Value};
use crate::chunk::{ChunkError, Head, Message, Reader, Writer};
use crate::limits::MAX_ANSWERS;

/// Chunk size that we send, in bytes. Most frames fit into one chunk, and old
/// players stop at 65536.
pub(crate) const CHUNK_SIZE: usize = 60_000;

/// How many bytes we let a peer send between two acknowledgements, and ourselves
/// unless it says otherwise.
pub(crate) const WINDOW: u32 = 2_500_000;
/// Smallest window honoured: a peer must not make us answer every byte.
const MIN_WINDOW: u64 = 4096;

/// Message type ids.
pub(crate) mod kind {
    pub(crate) const SET_CHUNK_SIZE: u8 = 1;
    pub(crate) const ABORT: u8 = 2;
    pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
    pub(crate) const USER_CONTROL: u8 = 4;
    pub(crate) const WINDOW_SIZE: u8 = 5;
    pub(crate) const PEER_BANDWIDTH: u8 = 6;
    pub(crate) const AUDIO: u8 = 8;
    pub(crate) const VIDEO: u8 = 9;
    pub(crate) const DATA_AMF3: u8 = 15;
    pub(crate) const COMMAND_AMF3: u8 = 17;
    pub(crate) const DATA: u8 = 18;
    pub(crate) const COMMAND: u8 = 20;
    pub(crate) const AGGREGATE: u8 = 22;
}

/// User control events (§7.1.7).
pub(crate) mod user {
    pub(crate) const STREAM_BEGIN: u16 = 0;
    pub(crate) const STREAM_EOF: u16 = 1;
    pub(crate) const PING: u16 = 6;
    pub(crate) const PONG: u16 = 7;
}

/// Chunk streams that we send on.
pub(crate) mod lane {
    pub(crate) const CONTROL: u8 = 2;
    pub(crate) const COMMAND: u8 = 3;
    pub(crate) const AUDIO: u8 = 4;
    pub(crate) const STATUS: u8 = 5;
    pub(crate) const VIDEO: u8 = 6;
    pub(crate) const DATA: u8 = 8;
}

/// Why a connection cannot go on. The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The chunks make no sense, or too much.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A command is not AMF0 that we accept.
    #[error(transparent)]
    Amf0(#[from] Amf0Error),
    /// A control message is too short.
    #[error("control message of type {0} is cut off")]
    Control(u8),
    /// The peer asks for more answers than it takes.
    #[error("too many answers wait")]
    Answers,
}

/// A message that is not the link's own affair.
#[derive(Debug)]
pub(crate) enum Incoming {
    Command { stream: u32, values: Vec<Value> },
    Metadata(Vec<Value>),
    Audio(u32, Bytes),
    Video(u32, Bytes),
    Pong(u32),
}

/// Both directions of a connection.
pub(crate) struct Link {
    reader: Reader,
    writer: Writer,
    out: BytesMut,
    received: u64,
    acknowledged: u64,
    window: u64,
    /// Bytes of answers that wait in `out`.
    answers: usize,
    /// Tags of an aggregate message that are not handed out yet.
    aggregate: Option<Aggregate>,
}

struct Aggregate {
    rest: Bytes,
    /// Bytes of the whole message, which are held to the last tag.
    size: usize,
    /// What to add to a tag's own time.
    shift: Option<u32>,
    timestamp: u32,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            reader: Reader::new(),
            writer: Writer::default(),
            out: BytesMut::new(),
            received: 0,
            acknowledged: 0,
            window: u64::from(WINDOW),
            answers: 0,
            aggregate: None,
        }
    }

    /// Raises or lowers the bytes that unfinished messages may hold.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.reader.allow(bytes);
    }

    #[cfg(test)]
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of memory that a peer makes us hold here.
    pub(crate) fn held(&self) -> usize {
        self.reader.capacity() + self.aggregate.as_ref().map_or(0, |aggregate| aggregate.size)
    }

    /// Counts received bytes, and acknowledges when a window is full.
    pub(crate) fn count(&mut self, bytes: usize) {
        self.received += bytes as u64;
        if self.received - self.acknowledged >= self.window {
            self.acknowledged = self.received;
            // The count is 32 bits wide and wraps (§5.4.3).
            let sequence = self.received as u32;
            self.control(kind::ACKNOWLEDGEMENT, &sequence.to_be_bytes());
        }
    }

    /// Whether tags of an aggregate message wait to be read.
    pub(crate) fn has_tags(&self) -> bool {
        self.aggregate.is_some()
    }

    /// The next message of the peer; `None` when `bytes` is used up, or when no more of
    /// an aggregate message may be read now: each of its tags takes one from `tags`.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut &[u8],
        tags: &mut usize,
    ) -> Result<Option<Incoming>, LinkError> {
        loop {
            if let Some(tag) = self.next_tag(tags) {
                return Ok(Some(tag));
            }
            if self.has_tags() {
                return Ok(None);
            }
            if self.answers > MAX_ANSWERS {
                return Err(LinkError::Answers);
            }
            let Some(message) = self.reader.read(bytes)? else { return Ok(None) };
            if let Some(incoming) = self.sort(message)? {
                return Ok(Some(incoming));
            }
        }
    }

    fn sort(&mut self, message: Message) -> Result<Option<Incoming>, LinkError> {
        let Message { kind, stream, timestamp, payload } = message;
        Ok(match kind {
            kind::SET_CHUNK_SIZE => {
                self.reader.set_chunk_size(be32(kind, &payload)?)?;
                None
            }
            kind::ABORT => {
                self.reader.abort(be32(kind, &payload)?);
                None
            }
            kind::WINDOW_SIZE => {
                self.window = u64::from(be32(kind, &payload)?).max(MIN_WINDOW);
                None
            }
            kind::USER_CONTROL => self.user_control(&payload)?,
            kind::AUDIO => Some(Incoming::Audio(timestamp, payload)),
            kind::VIDEO => Some(Incoming::Video(timestamp, payload)),
            kind::COMMAND => Some(Incoming::Command { stream, values: amf0::decode(&payload)? }),
            kind::COMMAND_AMF3 => {
                Some(Incoming::Command { stream, values: amf0::decode(skip_marker(&payload))? })
            }
            // Metadata is a hint; what cannot be read is left out.
            kind::DATA => amf0::decode(&payload).ok().map(Incoming::Metadata),
            kind::DATA_AMF3 => amf0::decode(skip_marker(&payload)).ok().map(Incoming::Metadata),
            kind::AGGREGATE => {
                let size = payload.len();
                self.aggregate = Some(Aggregate { rest: payload, size, shift: None, timestamp });
                None
            }
            _ => None,
        })
    }

    fn user_control(&mut self, payload: &Bytes) -> Result<Option<Incoming>, LinkError> {
        let short = LinkError::Control(kind::USER_CONTROL);
        let (event, rest) = payload.split_first_chunk().ok_or(short)?;
        let value =
            |at: usize| rest.get(at..).and_then(<[u8]>::first_chunk).map(|be| u32::from_be_bytes(*be));
        Ok(match u16::from_be_bytes(*event) {
            user::PING => {
                self.user(user::PONG, value(0).ok_or(short)?);
                None
            }
            user::PONG => value(0).map(Incoming::Pong),
            // Buffer lengths (3) too: a live player is sent what there is.
            _ => None,
        })
    }

    /// The next FLV tag of an aggregate message (§7.1.6) that carries media. A broken one
    /// ends it; an aggregate inside is left out.
    fn next_tag(&mut self, tags: &mut usize) -> Option<Incoming> {
        while *tags > 0 {
            let aggregate = self.aggregate.as_mut()?;
            let Some((kind, timestamp, body)) = aggregate.next_tag() else {
                self.aggregate = None;
                return None;
            };
            *tags -= 1;
            match kind {
                _ if body.is_empty() => {}
                kind::AUDIO => return Some(Incoming::Audio(timestamp, body)),
                kind::VIDEO => return Some(Incoming::Video(timestamp, body)),
                _ => {}
            }
        }
        None
    }

    /// Appends a message that is not media.
    pub(crate) fn send(&mut self, head: &Head, body: &[u8]) {
        let before = self.out.len();
        self.writer.write(&mut self.out, head, &[], body);
        self.answers += self.out.len() - before;
    }

    /// Appends a control message.
    pub(crate) fn control(&mut self, kind: u8, body: &[u8]) {
        self.send(&Head { chunk_stream: lane::CONTROL, kind, stream: 0, timestamp: 0 }, body);
    }

    /// Appends a user control event with one number.
    pub(crate) fn user(&mut self, event: u16, value: u32) {
        self.control(kind::USER_CONTROL, &[&event.to_be_bytes()[..], &value.to_be_bytes()].concat());
    }

    /// Appends a command.
    pub(crate) fn command(&mut self, chunk_stream: u8, stream: u32, values: &[Value]) {
        let head = Head { chunk_stream, kind: kind::COMMAND, stream, timestamp: 0 };
        self.send(&head, &amf0::encode(values));
    }

    /// Announces [`CHUNK_SIZE`] and uses it from here on.
    pub(crate) fn enlarge_chunks(&mut self) {
        self.control(kind::SET_CHUNK_SIZE, &(CHUNK_SIZE as u32).to_be_bytes());
        self.writer = Writer::with_chunk_size(CHUNK_SIZE);
    }

    /// Where handshakes and media are appended.
    pub(crate) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// All that waits to be written.
    pub(crate) fn take_output(&mut self) -> Bytes {
        self.answers = 0;
        if self.out.is_empty() {
            return Bytes::new();
        }
        self.out.split().freeze()
    }
}

impl Aggregate {
    /// Type, timestamp and body of the next tag.
    fn next_tag(&mut self) -> Option<(u8, u32, Bytes)> {
        let header: [u8; 11] = *self.rest.first_chunk()?;
        let [kind, l2, l1, l0, t2, t1, t0, t3, ..] = header;
        let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
        let time = u32::from_be_bytes([t3, t2, t1, t0]);
        if self.rest.len() < header.len() + length {
            return None;
        }
        self.rest.advance(header.len());
        // Copied: a few bytes of media would pin the whole message. What nobody reads is not.
        let is_media = length > 0 && matches!(kind, kind::AUDIO | kind::VIDEO);
        let body = if is_media { Bytes::copy_from_slice(&self.rest[..length]) } else { Bytes::new() };
        // A back pointer of four bytes follows each tag.
        self.rest.advance((length + 4).min(self.rest.len()));
        let shift = *self.shift.get_or_insert(self.timestamp.wrapping_sub(time));
        Some((kind, time.wrapping_add(shift), body))
    }
}

/// An AMF3 message that holds AMF0 says so with a zero byte.
fn skip_marker(payload: &[u8]) -> &[u8] {
    payload.strip_prefix(&[0]).unwrap_or(payload)
}

fn be32(kind: u8, payload: &[u8]) -> Result<u32, LinkError> {
    payload.first_chunk().map(|be| u32::from_be_bytes(*be)).ok_or(LinkError::Control(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_an_aggregate_does_not_hold_the_whole_message() {
        let tag = |body: &[u8]| {
            [&[kind::AUDIO, 0, 0, body.len() as u8, 0, 0, 0, 0, 0, 0, 0][..], body, &[0; 4]].concat()
        };
        let message = Bytes::from([tag(b"\xaf\x01\x21"), tag(&[1; 200])].concat());
        let mut aggregate =
            Aggregate { rest: message.clone(), size: message.len(), shift: None, timestamp: 0 };
        let tags: Vec<_> = std::iter::from_fn(|| aggregate.next_tag()).collect();
        assert_eq!(tags.iter().map(|(_, _, body)| body.len()).collect::<Vec<_>>(), [3, 200]);
        drop(aggregate);
        assert!(message.is_unique(), "nothing but this test holds the message");
    }
}
