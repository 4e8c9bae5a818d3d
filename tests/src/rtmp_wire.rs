//! An independent look at captured RTMP: which bytes of a connection are media, and what its
//! statuses say.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context, Result};

/// C0 and C1 and C2, or S0 and S1 and S2.
const HANDSHAKE: usize = 1 + 1536 + 1536;

/// Message types 8 audio, 9 video, 22 aggregate (RTMP 1.0, section 7.1).
const MEDIA: [u8; 3] = [8, 9, 22];

/// A command in AMF0 (RTMP 1.0, section 7.1.1).
const COMMAND: u8 = 20;

/// A status of NetStream, as its receiver reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `status` or `error`.
    pub level: String,
    /// For machines.
    pub code: String,
    /// For people.
    pub description: String,
}

/// A piece of a message's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The message's type.
    pub kind: u8,
    /// The message's time, in milliseconds.
    pub at: u32,
    /// Where its bytes are in the stream.
    pub bytes: Range<usize>,
    /// The chunk stream that carries it; its messages do not interleave.
    pub chunk_stream: u32,
    /// Whether the message ends here.
    pub ends: bool,
}

impl Piece {
    /// Whether it is sound or picture.
    pub fn is_media(&self) -> bool {
        MEDIA.contains(&self.kind)
    }
}

/// A message of which every byte is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: u8,
    /// Its time, in milliseconds.
    pub at: u32,
    /// Its payload.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Chunks {
    kind: u8,
    at: u32,
    /// What a header adds that says no time of its own.
    step: u32,
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
        let ends = chunks.missing == length && start + length == end;
        all.push(Piece { kind: chunks.kind, at: chunks.at, bytes: start..end, chunk_stream: id, ends });
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
        chunks.step = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    }
    if chunks.extended {
        chunks.step = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4;
    }
    if format < 2 {
        chunks.length = usize::from(head[3]) << 16 | usize::from(head[4]) << 8 | usize::from(head[5]);
        chunks.kind = head[6];
    }
    if chunks.missing == 0 {
        chunks.missing = chunks.length;
        chunks.at = if format == 0 { chunks.step } else { chunks.at.wrapping_add(chunks.step) };
    }
    Some((id, chunks, at))
}

/// Media bytes at or behind `offset`.
pub fn media_from(bytes: &[u8], offset: usize) -> Result<usize> {
    let media = pieces(bytes)?.into_iter().filter(Piece::is_media);
    Ok(media.map(|p| p.bytes.end.saturating_sub(p.bytes.start.max(offset))).sum())
}

/// All whole messages of one direction of a connection, in the order of their ends.
pub fn messages(bytes: &[u8]) -> Result<Vec<Message>> {
    let (mut open, mut all): (HashMap<u32, Vec<u8>>, _) = (HashMap::new(), Vec::new());
    for piece in pieces(bytes)? {
        let body = open.entry(piece.chunk_stream).or_default();
        body.extend_from_slice(&bytes[piece.bytes]);
        if piece.ends {
            all.push(Message { kind: piece.kind, at: piece.at, body: std::mem::take(body) });
        }
    }
    Ok(all)
}

/// What `onStatus` told the peer (RTMP 1.0, section 7.2.2), in order.
pub fn statuses(bytes: &[u8]) -> Result<Vec<Status>> {
    let commands = messages(bytes)?.into_iter().filter(|message| message.kind == COMMAND);
    Ok(commands.filter_map(|message| status(&message.body)).collect())
}

fn status(message: &[u8]) -> Option<Status> {
    message.windows(8).any(|w| w == b"onStatus").then_some(())?;
    let field = |name| text_field(message, name);
    Some(Status { level: field("level")?, code: field("code")?, description: field("description")? })
}

/// The text of an AMF0 object's property: its name, the marker of a string, its length, itself.
fn text_field(message: &[u8], name: &str) -> Option<String> {
    let name = [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), &[2]].concat();
    let at = message.windows(name.len()).position(|w| w == name)? + name.len();
    let length = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some(String::from_utf8_lossy(message.get(at + 2..at + 2 + usize::from(length))?).into_owned())
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

    #[test]
    fn a_time_is_said_whole_or_as_a_step() {
        let bytes = stream(&[
            &[0x06, 0, 0, 10, 0, 0, 1, 9, 1, 0, 0, 0, 7],
            &[0x46, 0, 0, 5, 0, 0, 2, 9, 7, 7],
            &[0x86, 0, 0, 6, 7, 7],
            &[0xc6, 7, 7],
            &[0x06, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 1, 0, 0, 0, 7],
        ]);
        let times: Vec<_> = messages(&bytes).unwrap().iter().map(|message| message.at).collect();
        assert_eq!(times, [10, 15, 21, 27, 1 << 24]);
    }

    #[test]
    fn reads_a_status_that_media_interrupts() {
        let text = |s: &str| [&(s.len() as u16).to_be_bytes()[..], s.as_bytes()].concat();
        let field = |name, value| [text(name), vec![2], text(value)].concat();
        let long = "why ".repeat(30);
        let body = [
            vec![2],
            text("onStatus"),
            vec![0; 9],
            vec![5, 3],
            field("level", "error"),
            field("code", "NetStream.Failed"),
            field("description", &long),
            vec![0, 0, 9],
        ]
        .concat();
        let first = [&[5, 0, 0, 0, 0, 0, body.len() as u8, 20, 1, 0, 0, 0][..], &body[..128]].concat();
        let picture = [0x06, 0, 0, 0, 0, 0, 2, 9, 1, 0, 0, 0, 7, 7];
        let bytes = stream(&[&first, &picture, &[0xc5], &body[128..]]);
        let found = statuses(&bytes).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level.as_str(), found[0].code.as_str()), ("error", "NetStream.Failed"));
        assert_eq!(found[0].description, long);
        assert!(statuses(&bytes[..bytes.len() - 1]).unwrap().is_empty());
    }
}
