//! An independent look at captured RTMP: which bytes of a connection are media.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, Result};

/// C0 and C1 and C2, or S0 and S1 and S2.
const HANDSHAKE: usize = 1 + 1536 + 1536;

/// Message types 8 audio, 9 video, 22 aggregate (RTMP 1.0, section 7.1).
const MEDIA: [u8; 3] = [8, 9, 22];

/// A piece of a message's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The message's type.
    pub kind: u8,
    /// Where its bytes are in the stream.
    pub bytes: Range<usize>,
}

impl Piece {
    /// Whether it is sound or picture.
    pub fn is_media(&self) -> bool {
        MEDIA.contains(&self.kind)
    }
}

#[derive(Clone, Copy, Default)]
struct Chunks {
    kind: u8,
    length: usize,
    extended: bool,
    missing: usize,
}

/// All payload pieces of one direction of a connection, handshake skipped. A piece that the
/// capture's end cuts is given as far as it goes.
pub fn pieces(bytes: &[u8]) -> Result<Vec<Piece>> {
    let mut streams: HashMap<u32, Chunks> = HashMap::new();
    let (mut chunk_size, mut at, mut all) = (128, HANDSHAKE, Vec::new());
    while at < bytes.len() {
        let Some((id, chunks, start)) = header(bytes, at, &streams) else { break };
        let length = chunks.missing.min(chunk_size);
        let end = (start + length).min(bytes.len());
        all.push(Piece { kind: chunks.kind, bytes: start..end });
        if chunks.kind == 1 && length >= 4 && end - start >= 4 {
            let size = bytes[start..start + 4].try_into().context("four bytes")?;
            chunk_size = u32::from_be_bytes(size) as usize;
        }
        streams.insert(id, Chunks { missing: chunks.missing - length, ..chunks });
        at = start + length;
    }
    Ok(all)
}

/// Parses a chunk header (RTMP 1.0, section 5.3.1); gives where the payload starts.
fn header(bytes: &[u8], mut at: usize, streams: &HashMap<u32, Chunks>) -> Option<(u32, Chunks, usize)> {
    let (format, mut id) = (bytes[at] >> 6, u32::from(bytes[at] & 63));
    at += 1;
    if id == 0 {
        id = 64 + u32::from(*bytes.get(at)?);
        at += 1;
    } else if id == 1 {
        id = 64 + u32::from(*bytes.get(at)?) + 256 * u32::from(*bytes.get(at + 1)?);
        at += 2;
    }
    let mut chunks = streams.get(&id).copied().unwrap_or_default();
    let size = [11, 7, 3, 0][usize::from(format)];
    let head = bytes.get(at..at + size)?;
    at += size;
    if format < 3 {
        chunks.extended = head[..3] == [0xff; 3];
    }
    if format < 2 {
        chunks.length = usize::from(head[3]) << 16 | usize::from(head[4]) << 8 | usize::from(head[5]);
        chunks.kind = head[6];
    }
    if chunks.missing == 0 {
        chunks.missing = chunks.length;
    }
    Some((id, chunks, at + if chunks.extended { 4 } else { 0 }))
}

/// Media bytes at or behind `offset`.
pub fn media_from(bytes: &[u8], offset: usize) -> Result<usize> {
    let media = pieces(bytes)?.into_iter().filter(Piece::is_media);
    Ok(media.map(|p| p.bytes.end.saturating_sub(p.bytes.start.max(offset))).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(chunks: &[&[u8]]) -> Vec<u8> {
        [&[0; HANDSHAKE][..], &chunks.concat()].concat()
    }

    #[test]
    fn tells_media_from_control_across_chunks() {
        let video = [0x06, 0, 0, 0, 0, 0, 130, 9, 1, 0, 0, 0];
        let bytes = stream(&[
            &video,
            &[7; 128],
            // A ping between the two chunks of the picture.
            &[0x02, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 1, 2, 3, 4],
            &[0xc6, 7, 7],
        ]);
        let media: usize =
            pieces(&bytes).unwrap().iter().filter(|p| p.is_media()).map(|p| p.bytes.len()).sum();
        assert_eq!(media, 130);
        assert_eq!(media_from(&bytes, bytes.len() - 1).unwrap(), 1);
        assert_eq!(media_from(&bytes, bytes.len()).unwrap(), 0);
    }

    #[test]
    fn follows_a_new_chunk_size() {
        let bytes = stream(&[
            &[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0x10, 0],
            &[0x04, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0],
            &[9; 256],
        ]);
        assert_eq!(pieces(&bytes).unwrap().iter().map(|p| p.bytes.len()).collect::<Vec<_>>(), [4, 256]);
    }
}
