//! Tracks and frames to RTMP messages.

use bytes::{Bytes, BytesMut};
use media::{AudioCodec, Frame, MediaTime, TrackKind, Tracks};

use crate::amf0::{self, Value};
use crate::chunk::{Head, MAX_HEAD, Writer, put_head, put_joint};
use crate::flv::tag::{AAC, AVC, CODED_FRAMES, ENHANCED_SOUND, OPUS, SEQUENCE_START};
use crate::link::{CHUNK_SIZE, kind, lane};

/// AAC, 44.1 kHz, 16 bits, stereo: FLV wants these bits for every AAC (E.4.2.1).
const AAC_SOUND: u8 = AAC << 4 | 0x0f;
/// Inter picture of H.264.
const INTER: u8 = 2 << 4 | AVC;
/// Keyframe of H.264.
const KEY: u8 = 1 << 4 | AVC;

/// How far a frame may lie from its predecessor before new tracks begin a new
/// clock. Microseconds.
const SAME_CLOCK: std::ops::RangeInclusive<i64> = -1_000_000..=10_000_000;
/// Where a new clock goes on. Milliseconds.
const SPLICE: i64 = 40;

/// Room for the heads of some hundred messages. Bytes.
const HEADS: usize = 2048;

/// A message for a player, to be written piece after piece with nothing between.
///
/// The frame's own bytes are shared by all players. Where they are more than one chunk
/// takes, what goes between two chunks is a piece of its own, so a player holds some dozens
/// of bytes of a picture, however large that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    head: Bytes,
    body: Bytes,
    joint: Joint,
}

/// What goes between two chunks of a message: a header without a field but, late in a
/// stream, the timestamp (§5.3.1.2.4 and §5.3.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Joint {
    bytes: [u8; JOINT],
    len: u8,
    /// Bytes of the body before the first joint.
    first: usize,
}

/// Longest joint: one byte of basic header and four of timestamp.
const JOINT: usize = 5;

impl Joint {
    /// For a message that begins with `prefix` bytes before its body.
    fn new(head: &Head, prefix: usize) -> Self {
        let mut bytes = [0; JOINT];
        let mut room = &mut bytes[..];
        put_joint(&mut room, head);
        let len = (JOINT - room.len()) as u8;
        Self { bytes, len, first: CHUNK_SIZE - prefix }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many joints a body of so many bytes has.
    fn count(&self, body: usize) -> usize {
        body.saturating_sub(self.first).div_ceil(CHUNK_SIZE)
    }
}

impl Outgoing {
    /// Bytes that are in no frame: whole messages, cut into chunks already.
    pub const fn whole(messages: Bytes) -> Self {
        let joint = Joint { bytes: [0; JOINT], len: 0, first: CHUNK_SIZE };
        Self { head: messages, body: Bytes::new(), joint }
    }

    /// Bytes of all pieces.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.joint.count(self.body.len()) * usize::from(self.joint.len)
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// What is to be written from byte `at` on, as far as it lies together; empty at the
    /// end.
    pub fn piece(&self, at: usize) -> &[u8] {
        let Some(at) = at.checked_sub(self.head.len()) else { return &self.head[at..] };
        if at < self.joint.first {
            let until = self.joint.first.min(self.body.len());
            return self.body.get(at..until).unwrap_or_default();
        }
        let joint = self.joint.bytes();
        let (at, each) = (at - self.joint.first, CHUNK_SIZE + joint.len());
        let (chunk, within) = (at / each, at % each);
        let begins = self.joint.first + chunk * CHUNK_SIZE;
        let until = (begins + CHUNK_SIZE).min(self.body.len());
        match within.checked_sub(joint.len()) {
            _ if begins >= self.body.len() => &[],
            None => &joint[within..],
            Some(within) => self.body.get(begins + within..until).unwrap_or_default(),
        }
    }
}

/// Writes media for one message stream, in chunks of [`CHUNK_SIZE`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct MediaWriter {
    stream: u32,
    writer: Writer,
}

impl MediaWriter {
    pub(crate) const fn new(stream: u32) -> Self {
        Self { stream, writer: Writer::with_chunk_size(CHUNK_SIZE) }
    }

    /// Metadata and decoder configurations.
    pub(crate) fn tracks(self, out: &mut BytesMut, tracks: &Tracks, timestamp: u32) {
        self.write(out, (lane::DATA, kind::DATA), timestamp, &[], &metadata(tracks));
        if let Some(video) = &tracks.video {
            let prefix = [KEY, SEQUENCE_START, 0, 0, 0];
            self.write(out, (lane::VIDEO, kind::VIDEO), timestamp, &prefix, &video.config);
        }
        if let Some(audio) = &tracks.audio {
            let (prefix, len) = audio_prefix(audio.codec, SEQUENCE_START);
            self.write(out, (lane::AUDIO, kind::AUDIO), timestamp, &prefix[..len], &audio.config);
        }
    }

    /// One frame; `audio` is the coding of the audio track.
    pub(crate) fn frame(self, out: &mut BytesMut, frame: &Frame, audio: AudioCodec, timestamp: u32) {
        let (track, prefix, len) = describe(frame, audio);
        self.write(out, track, timestamp, &prefix[..len], &frame.data);
    }

    /// The same without a copy of the frame's data. `heads` is where the small rest is
    /// written.
    pub(crate) fn outgoing(
        self,
        heads: &mut BytesMut,
        frame: &Frame,
        audio: AudioCodec,
        timestamp: u32,
    ) -> Outgoing {
        let ((chunk_stream, kind), prefix, len) = describe(frame, audio);
        if heads.capacity() < MAX_HEAD + len {
            heads.reserve(HEADS);
        }
        let head = Head { chunk_stream, kind, stream: self.stream, timestamp };
        put_head(heads, &head, len + frame.data.len());
        heads.extend_from_slice(&prefix[..len]);
        let joint = Joint::new(&head, len);
        Outgoing { head: heads.split().freeze(), body: frame.data.clone(), joint }
    }

    fn write(
        self,
        out: &mut BytesMut,
        (chunk_stream, kind): (u8, u8),
        timestamp: u32,
        prefix: &[u8],
        body: &[u8],
    ) {
        let head = Head { chunk_stream, kind, stream: self.stream, timestamp };
        self.writer.write(out, &head, prefix, body);
    }
}

/// Where a frame's message goes, and what precedes its data, as far as it counts.
fn describe(frame: &Frame, audio: AudioCodec) -> ((u8, u8), [u8; 5], usize) {
    match frame.track {
        TrackKind::Video => {
            let offset = frame.pts.as_millis().saturating_sub(frame.dts.as_millis()).clamp(0, 0x7f_ffff);
            let [_, high, mid, low] = (offset as u32).to_be_bytes();
            let prefix = [if frame.keyframe { KEY } else { INTER }, CODED_FRAMES, high, mid, low];
            ((lane::VIDEO, kind::VIDEO), prefix, 5)
        }
        TrackKind::Audio => {
            let (prefix, len) = audio_prefix(audio, CODED_FRAMES);
            ((lane::AUDIO, kind::AUDIO), prefix, len)
        }
    }
}

/// Legacy header for AAC, Enhanced RTMP for Opus, and how much of it counts.
fn audio_prefix(codec: AudioCodec, packet: u8) -> ([u8; 5], usize) {
    match codec {
        AudioCodec::Aac => ([AAC_SOUND, packet, 0, 0, 0], 2),
        AudioCodec::Opus => ([ENHANCED_SOUND << 4 | packet, OPUS[0], OPUS[1], OPUS[2], OPUS[3]], 5),
    }
}

/// `onMetaData` (E.5) of these tracks.
fn metadata(tracks: &Tracks) -> Vec<u8> {
    let mut props: Vec<(String, Value)> = Vec::new();
    let mut set = |name: &str, value: Value| props.push((name.to_owned(), value));
    if let Some(video) = &tracks.video {
        set("width", f64::from(video.width).into());
        set("height", f64::from(video.height).into());
        set("videocodecid", f64::from(AVC).into());
    }
    if let Some(audio) = &tracks.audio {
        let codec = match audio.codec {
            AudioCodec::Aac => f64::from(AAC),
            AudioCodec::Opus => f64::from(u32::from_be_bytes(OPUS)),
        };
        set("audiocodecid", codec.into());
        set("audiosamplerate", f64::from(audio.sample_rate).into());
        set("audiochannels", f64::from(audio.channels).into());
        set("stereo", (audio.channels > 1).into());
    }
    amf0::encode(&["onMetaData".into(), Value::EcmaArray(props)])
}

/// The clock of one player: it starts at 0 and never runs backwards by more than
/// the stream does, whatever the publisher's clock does.
#[derive(Debug, Default)]
pub(crate) struct PlayerClock {
    /// Stream time that is 0 to the player.
    origin: Option<MediaTime>,
    last: Option<MediaTime>,
    /// The player's time of `last`, milliseconds.
    last_sent: i64,
    new_tracks: bool,
}

impl PlayerClock {
    /// The next frame may belong to another publisher.
    pub(crate) fn new_tracks(&mut self) {
        self.new_tracks = self.last.is_some();
    }

    /// The player's time now, for messages that are not frames.
    pub(crate) fn now(&self) -> u32 {
        self.last_sent as u32
    }

    /// The player's time of a frame, milliseconds modulo 2³².
    pub(crate) fn place(&mut self, dts: MediaTime) -> u32 {
        let jumped = self.last.is_some_and(|last| !SAME_CLOCK.contains(&(dts - last).as_micros()));
        if std::mem::take(&mut self.new_tracks) && jumped {
            self.origin = Some(dts - MediaTime::from_millis(self.last_sent + SPLICE));
        }
        let origin = *self.origin.get_or_insert(dts);
        let time = (dts - origin).as_millis().max(0);
        self.last = Some(dts);
        self.last_sent = time;
        time as u32
    }
}
