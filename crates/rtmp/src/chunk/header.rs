//! The headers of one chunk: basic, message, extended timestamp.

use super::EXTENDED;

/// Which parts of the message header a chunk carries (§5.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// All, with an absolute timestamp.
    Full,
    /// All but the message stream, with a timestamp delta.
    SameStream,
    /// A timestamp delta.
    DeltaOnly,
    /// Nothing.
    Nothing,
}

impl Format {
    fn of(first: u8) -> Self {
        match first >> 6 {
            0 => Self::Full,
            1 => Self::SameStream,
            2 => Self::DeltaOnly,
            _ => Self::Nothing,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Full => 11,
            Self::SameStream => 7,
            Self::DeltaOnly => 3,
            Self::Nothing => 0,
        }
    }
}

/// Basic and message header, without the extended timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) chunk_stream: u32,
    /// 24 bits; what it means depends on the format. Zero if absent.
    pub(super) time: u32,
    /// Message length. Zero if absent.
    pub(super) length: u32,
    /// Message type. Zero if absent.
    pub(super) kind: u8,
    /// Message stream. Zero if absent.
    pub(super) stream: u32,
    /// Bytes that basic and message header take.
    pub(super) len: usize,
}

impl Header {
    /// Reads the headers at the front of `bytes`; `None` while they are incomplete.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let format = Format::of(*bytes.first()?);
        let (chunk_stream, basic) = chunk_stream(bytes)?;
        let fields = bytes.get(basic..basic + format.len())?;
        let u24 = |at: usize| fields.get(at..at + 3).map_or(0, be24);
        Some(Self {
            format,
            chunk_stream,
            time: u24(0),
            length: u24(3),
            kind: fields.get(6).copied().unwrap_or(0),
            stream: fields.get(7..11).and_then(|le| le.try_into().ok()).map_or(0, u32::from_le_bytes),
            len: basic + format.len(),
        })
    }

    /// Whether this header itself announces an extended timestamp.
    pub(super) fn announces_extended(&self) -> bool {
        self.format != Format::Nothing && self.time == EXTENDED
    }
}

/// Chunk stream id and the length of the basic header.
fn chunk_stream(bytes: &[u8]) -> Option<(u32, usize)> {
    match bytes.first()? & 0x3f {
        0 => Some((64 + u32::from(*bytes.get(1)?), 2)),
        1 => Some((64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3)),
        id => Some((u32::from(id), 1)),
    }
}

fn be24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}
