//! Chunks: how messages share one byte stream (Adobe RTMP 1.0 §5.3).

mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use bytes::Bytes;
use thiserror::Error;

pub(crate) use reader::Reader;
pub(crate) use writer::{Head, MAX_HEAD, Writer, put_head, put_joint};

/// Chunk size of both directions until someone says otherwise, in bytes.
pub(crate) const DEFAULT_CHUNK: usize = 128;

/// Longest header of one chunk: 3 basic, 11 message, 4 extended timestamp.
const MAX_HEADER: usize = 18;

/// Timestamp field that says "look in the extended timestamp".
const EXTENDED: u32 = 0x00ff_ffff;

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Message type id.
    pub(crate) kind: u8,
    /// Message stream id.
    pub(crate) stream: u32,
    /// Milliseconds, modulo 2³².
    pub(crate) timestamp: u32,
    /// What it carries.
    pub(crate) payload: Bytes,
}

/// Why chunks could not be read. The peer is at fault; the byte stream is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A message would be longer than [`MAX_MESSAGE`](crate::limits::MAX_MESSAGE).
    #[error("message of {0} bytes is too long")]
    MessageTooLong(u32),
    /// More chunk streams than [`MAX_CHUNK_STREAMS`](crate::limits::MAX_CHUNK_STREAMS).
    #[error("too many chunk streams")]
    TooManyStreams,
    /// Unfinished messages hold more bytes than this peer may.
    #[error("unfinished messages are too large")]
    PartialsTooLarge,
    /// A chunk refers to a header that was never sent.
    #[error("chunk stream {0} starts without a full header")]
    NoHeader(u32),
    /// A new message begins on a chunk stream inside an unfinished one.
    #[error("chunk stream {0} begins a message inside another")]
    Overlap(u32),
    /// A chunk size of 0, or one with the highest bit set.
    #[error("chunk size {0} is not valid")]
    ChunkSize(u32),
}
