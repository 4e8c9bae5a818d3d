//! Chunks to messages, from bytes split anywhere.

use bytes::Bytes;

use super::header::{Format, Header};
use super::{ChunkError, DEFAULT_CHUNK, MAX_HEADER, Message};
use crate::limits::{MAX_CHUNK_STREAMS, MAX_MESSAGE, STRANGER_PARTIALS};

/// Reads chunks. It holds at most one chunk header and the unfinished messages,
/// whose bytes together stay under an allowance.
pub(crate) struct Reader {
    header: Vec<u8>,
    lanes: Vec<Lane>,
    stage: Stage,
    chunk_size: usize,
    pub(super) held: usize,
    allowance: usize,
    /// Whether the peer repeats extended timestamps, as far as we know.
    repeats: bool,
    /// Payload bytes of the chunk at hand that were taken for a timestamp first.
    borrowed: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    Header,
    /// So many more bytes of this chunk go to this lane.
    Payload {
        lane: usize,
        rest: usize,
    },
}

/// One chunk stream: the last header, which later chunks refer to, and the
/// message in the making.
#[derive(Default)]
struct Lane {
    id: u32,
    timestamp: u32,
    delta: u32,
    length: u32,
    kind: u8,
    stream: u32,
    /// The last extended timestamp, if the last header had one.
    extended: Option<u32>,
    open: bool,
    partial: Vec<u8>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            header: Vec::with_capacity(MAX_HEADER),
            lanes: Vec::new(),
            stage: Stage::Header,
            chunk_size: DEFAULT_CHUNK,
            held: 0,
            allowance: STRANGER_PARTIALS,
            repeats: true,
            borrowed: 0,
        }
    }

    /// Bytes that unfinished messages may hold from now on.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.allowance = bytes;
    }

    /// Bytes of memory that unfinished messages take.
    pub(crate) fn capacity(&self) -> usize {
        self.lanes.iter().map(|lane| lane.partial.capacity()).sum()
    }

    /// The peer's chunk size from the next chunk on. Values above the longest
    /// message are the same as "never split", so they need no cap of their own.
    pub(crate) fn set_chunk_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 || size > i32::MAX as u32 {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = (size as usize).min(MAX_MESSAGE);
        Ok(())
    }

    /// Forgets the unfinished message of a chunk stream (Abort Message, §5.4.2).
    pub(crate) fn abort(&mut self, chunk_stream: u32) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == chunk_stream) {
            self.held -= lane.partial.len();
            lane.partial = Vec::new();
            lane.open = false;
        }
    }

    /// Reads from the front of `bytes` up to the end of the next message. `None`
    /// when `bytes` is used up first.
    ///
    /// The caller acts on each message before it reads on, because a message may
    /// change the chunk size of the bytes that follow.
    pub(crate) fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let complete = match self.stage {
                Stage::Header => match self.read_header(bytes)? {
                    Some(lane) => self.start_payload(lane),
                    None => return Ok(None),
                },
                Stage::Payload { lane, rest } => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    self.read_payload(bytes, lane, rest)?
                }
            };
            if let Some(lane) = complete {
                return Ok(Some(self.finish(lane)));
            }
        }
    }

    /// Collects one header; the index of its lane once it is whole.
    fn read_header(&mut self, bytes: &mut &[u8]) -> Result<Option<usize>, ChunkError> {
        loop {
            if let Some(header) = Header::parse(&self.header)
                && let Some(lane) = self.apply(&header)?
            {
                return Ok(Some(lane));
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.header.push(byte);
            *bytes = rest;
        }
    }

    /// Takes a header into its lane; `None` while its extended timestamp is incomplete.
    fn apply(&mut self, header: &Header) -> Result<Option<usize>, ChunkError> {
        if header.length as usize > MAX_MESSAGE {
            return Err(ChunkError::MessageTooLong(header.length));
        }
        let index = self.lane(header)?;
        let lane = &mut self.lanes[index];
        if lane.open && header.format != Format::Nothing {
            return Err(ChunkError::Overlap(lane.id));
        }
        let repeated = header.format == Format::Nothing && lane.extended.is_some() && self.repeats;
        let extended = match self.header.get(header.len..).and_then(<[u8]>::first_chunk) {
            Some(field) if repeated || header.announces_extended() => Some(u32::from_be_bytes(*field)),
            None if repeated || header.announces_extended() => return Ok(None),
            _ => None,
        };
        self.header.clear();
        if !lane.open {
            lane.begin(header, extended);
        } else if let Some(field) = extended.filter(|_| extended != lane.extended) {
            self.take_back(index, field)?;
        }
        Ok(Some(index))
    }

    /// §5.3.1.3 asks for the extended timestamp on every chunk of a message, and
    /// some peers send it on the first one only. What differs from the first is
    /// therefore payload, and whatever of it this chunk has no room for is the
    /// front of the next header.
    fn take_back(&mut self, index: usize, field: u32) -> Result<(), ChunkError> {
        self.repeats = false;
        let field = field.to_be_bytes();
        let lane = &mut self.lanes[index];
        let room = self.chunk_size.min(lane.missing()).min(field.len());
        self.borrowed = room;
        self.append(index, &field[..room])?;
        self.header.extend_from_slice(&field[room..]);
        Ok(())
    }

    /// Opens the payload of a chunk; the lane, when that ends its message.
    fn start_payload(&mut self, index: usize) -> Option<usize> {
        let borrowed = std::mem::take(&mut self.borrowed);
        let lane = &self.lanes[index];
        let rest = (self.chunk_size - borrowed).min(lane.missing());
        self.stage = if rest > 0 { Stage::Payload { lane: index, rest } } else { Stage::Header };
        (lane.missing() == 0).then_some(index)
    }

    /// Moves payload from `bytes` to its lane; the lane, when that ends its message.
    fn read_payload(
        &mut self,
        bytes: &mut &[u8],
        index: usize,
        rest: usize,
    ) -> Result<Option<usize>, ChunkError> {
        let (head, tail) = bytes.split_at(rest.min(bytes.len()));
        self.append(index, head)?;
        *bytes = tail;
        let rest = rest - head.len();
        self.stage = if rest > 0 { Stage::Payload { lane: index, rest } } else { Stage::Header };
        Ok((self.lanes[index].missing() == 0).then_some(index))
    }

    fn append(&mut self, index: usize, bytes: &[u8]) -> Result<(), ChunkError> {
        self.held += bytes.len();
        if self.held > self.allowance {
            return Err(ChunkError::PartialsTooLarge);
        }
        self.lanes[index].append(bytes);
        Ok(())
    }

    fn finish(&mut self, index: usize) -> Message {
        let lane = &mut self.lanes[index];
        lane.open = false;
        self.held -= lane.partial.len();
        Message {
            kind: lane.kind,
            stream: lane.stream,
            timestamp: lane.timestamp,
            payload: Bytes::from(std::mem::take(&mut lane.partial)),
        }
    }

    fn lane(&mut self, header: &Header) -> Result<usize, ChunkError> {
        let id = header.chunk_stream;
        if let Some(index) = self.lanes.iter().position(|lane| lane.id == id) {
            return Ok(index);
        }
        // librtmp opens a chunk stream with a header that lacks the message stream;
        // one that lacks the length as well says nothing.
        if matches!(header.format, Format::DeltaOnly | Format::Nothing) {
            return Err(ChunkError::NoHeader(id));
        }
        if self.lanes.len() == MAX_CHUNK_STREAMS {
            return Err(ChunkError::TooManyStreams);
        }
        self.lanes.push(Lane { id, ..Lane::default() });
        Ok(self.lanes.len() - 1)
    }
}

impl Lane {
    fn missing(&self) -> usize {
        self.length as usize - self.partial.len()
    }

    /// Begins a message: the header's fields replace ours as far as it has them.
    fn begin(&mut self, header: &Header, extended: Option<u32>) {
        self.open = true;
        let time = extended.unwrap_or(header.time);
        match header.format {
            Format::Full => self.timestamp = time,
            Format::Nothing => {
                self.timestamp = self.timestamp.wrapping_add(extended.unwrap_or(self.delta));
                return;
            }
            Format::SameStream | Format::DeltaOnly => self.timestamp = self.timestamp.wrapping_add(time),
        }
        // After a full header the next delta is its timestamp (§5.3.1.2.4).
        self.delta = time;
        self.extended = extended;
        if header.format != Format::DeltaOnly {
            self.length = header.length;
            self.kind = header.kind;
        }
        if header.format == Format::Full {
            self.stream = header.stream;
        }
    }

    /// Grows with what has arrived, never with what was announced, and ends up
    /// with exactly the message's length.
    fn append(&mut self, bytes: &[u8]) {
        let needed = self.partial.len() + bytes.len();
        if needed > self.partial.capacity() {
            let target = needed.max((2 * self.partial.capacity()).min(self.length as usize));
            self.partial.reserve_exact(target - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}
