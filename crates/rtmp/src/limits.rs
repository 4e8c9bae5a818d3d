//! Every size that a peer controls, and its cap.

/// Longest RTMP message, in bytes (C§16.20). A 4K keyframe at 40 Mbit/s is about 2 MB.
pub const MAX_MESSAGE: usize = 8 << 20;

/// Chunk streams one peer may use. Encoders use four to six.
pub const MAX_CHUNK_STREAMS: usize = 64;

/// Bytes of unfinished messages held for a peer that has not been allowed to
/// publish. A command fits; a crowd of strangers stays cheap.
pub const STRANGER_PARTIALS: usize = 64 << 10;

/// Bytes of unfinished messages held for an accepted publisher: one message of
/// the greatest length with others interleaved.
pub const PUBLISHER_PARTIALS: usize = MAX_MESSAGE + (1 << 20);

/// Longest AMF0 message (a command or metadata), in bytes.
pub const MAX_AMF0: usize = 60 << 10;

/// Deepest nesting of AMF0 values (C§16.20).
pub const MAX_AMF0_DEPTH: usize = 16;

/// Values in one AMF0 message. A value of one byte costs about fifty in memory.
pub const MAX_AMF0_VALUES: usize = 4096;

/// Message streams one connection may have open. Encoders and players use one.
pub const MAX_MESSAGE_STREAMS: usize = 8;

/// Bytes of answers that may wait to be taken. A peer that makes us answer
/// more than this in one go is not a player or an encoder.
pub const MAX_ANSWERS: usize = 64 << 10;

/// Tags of an aggregate message that are read at a time, before others have a turn. An
/// aggregate of the greatest length may have some 500,000.
pub const MAX_TAGS_AT_A_TIME: usize = 256;

/// Events that wait to be taken before no more input is read. A usual read has some
/// dozens of messages.
pub const MAX_EVENTS: usize = 256;

/// Publish and play requests that a connection may make without waiting for the
/// answers.
pub const MAX_OPEN_REQUESTS: u32 = 16;

/// Bytes of media held until the tracks are known, for a publisher who waits for
/// an answer and for one who has it.
pub const STRANGER_HOLD: usize = 64 << 10;
/// See [`STRANGER_HOLD`]. A second of 60 Mbit/s.
pub const PUBLISHER_HOLD: usize = 8 << 20;

/// Frames held until the tracks are known: some seconds of any usual rate.
pub const MAX_HELD_FRAMES: usize = 1024;

/// Longest decoder configuration (AVC or AAC or Opus), in bytes.
pub const MAX_CONFIG: usize = 16 << 10;
