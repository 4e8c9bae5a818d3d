//! Messages to chunks.
//!
//! Every message starts with a full header. That costs a few bytes, and makes each
//! message independent: one that was queued for a player may be dropped, or
//! written to many players, and the chunk stream stays in step.

use bytes::{BufMut, BytesMut};

use super::{DEFAULT_CHUNK, EXTENDED};

/// What goes before a message's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Chunk stream, 2 to 63.
    pub(crate) chunk_stream: u8,
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    /// Milliseconds.
    pub(crate) timestamp: u32,
}

/// Writes chunks of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writer {
    chunk_size: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self { chunk_size: DEFAULT_CHUNK }
    }
}

impl Writer {
    /// A writer for chunks of `size` bytes, which the peer must have been told.
    pub(crate) const fn with_chunk_size(size: usize) -> Self {
        Self { chunk_size: size }
    }

    /// Appends a message whose payload is `prefix` and `body` together.
    pub(crate) fn write(self, out: &mut BytesMut, head: &Head, prefix: &[u8], body: &[u8]) {
        let len = prefix.len() + body.len();
        out.reserve(MAX_HEAD + len + 5 * (len / self.chunk_size));
        put_head(out, head, len);
        let mut room = self.chunk_size;
        for mut part in [prefix, body] {
            while !part.is_empty() {
                if room == 0 {
                    put_joint(out, head);
                    room = self.chunk_size;
                }
                let (now, later) = part.split_at(room.min(part.len()));
                out.put_slice(now);
                room -= now.len();
                part = later;
            }
        }
    }
}

/// Most that goes before a payload that fits into one chunk.
pub(crate) const MAX_HEAD: usize = 16;

/// Appends what goes before a payload of `len` bytes.
pub(crate) fn put_head(out: &mut BytesMut, head: &Head, len: usize) {
    out.put_u8(head.chunk_stream);
    out.put_uint(u64::from(head.timestamp.min(EXTENDED)), 3);
    out.put_uint(len as u64, 3);
    out.put_u8(head.kind);
    out.put_u32_le(head.stream);
    put_extended(out, head);
}

/// Appends what goes before each further chunk of a message.
pub(crate) fn put_joint(out: &mut impl BufMut, head: &Head) {
    out.put_u8(0xc0 | head.chunk_stream);
    put_extended(out, head);
}

fn put_extended(out: &mut impl BufMut, head: &Head) {
    if head.timestamp >= EXTENDED {
        out.put_u32(head.timestamp);
    }
}
