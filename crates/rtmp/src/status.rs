//! The status object of RTMP's answers.

use crate::amf0::{Value, object};

/// How a status reads to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It worked, or it happened.
    Status,
    /// It did not work.
    Error,
}

/// A status: what NetConnection and NetStream events carry (Adobe RTMP 1.0 §7.2).
/// The words are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status<'a> {
    /// Good or bad.
    pub level: Level,
    /// Machine-readable, `NetStream.Publish.Start` for example.
    pub code: &'a str,
    /// For people.
    pub description: &'a str,
}

impl<'a> Status<'a> {
    /// A status of level `status`.
    pub const fn good(code: &'a str, description: &'a str) -> Self {
        Self { level: Level::Status, code, description }
    }

    /// A status of level `error`.
    pub const fn error(code: &'a str, description: &'a str) -> Self {
        Self { level: Level::Error, code, description }
    }

    pub(crate) fn to_value(self) -> Value {
        let level = match self.level {
            Level::Status => "status",
            Level::Error => "error",
        };
        object([
            ("level", level.into()),
            ("code", self.code.into()),
            ("description", self.description.into()),
        ])
    }
}
