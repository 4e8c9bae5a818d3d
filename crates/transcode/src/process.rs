//! Decoding in a process of its own, so that an abort costs a stream and not the
//! server.
//!
//! The process is this same program, started with a hidden command and without
//! descriptors but its pipes and without an environment. It limits its own memory
//! ([`run`]), takes one request at a time and answers each. It ends when its input
//! does, which is when whoever started it drops it or is gone.

mod child;
mod pipe;
mod remote;
mod wire;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use media::{Frame, VideoTrack};

use crate::still::StillError;
use crate::video::VideoUnsupported;
pub use child::run;
use pipe::Child;
pub(crate) use remote::Remote;
use wire::{Reply, Request};

/// Memory of a process that decodes, in bytes. A transcoder of 1920x1088 with 16
/// reference frames takes some 140 MiB (72 with 3, 36 for 1280x720), a thumbnail of
/// 3840x2176 half of that.
pub const MEMORY: u64 = 384 << 20;

/// How long an answer may take. A picture takes 10 ms of a core; a machine on which
/// that takes a thousand times as long shows nothing live.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where pictures are decoded.
#[derive(Debug, Clone)]
pub enum Decoding {
    /// In this process: for tests, and for streams of one's own.
    Here,
    /// Each stream in a process of its own.
    Apart(Program),
}

impl Decoding {
    /// Times that a process ended by itself, did not answer, answered nonsense or
    /// could not be started.
    pub fn failures(&self) -> u64 {
        match self {
            Self::Here => 0,
            Self::Apart(program) => program.failures.load(Ordering::Relaxed),
        }
    }
}

/// How to start a process that decodes. Clones share one count of failures.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    patience: Duration,
    failures: Arc<AtomicU64>,
    /// The last one did not start.
    lacking: Arc<AtomicBool>,
}

/// A process did not do what it was asked; which was counted, and logged unless it is
/// one more that did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process that decodes did not answer")]
pub struct Failed;

impl Program {
    /// A program that calls [`run`] when it is given these arguments.
    pub fn new(path: impl Into<PathBuf>, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            path: path.into(),
            arguments: arguments.into_iter().collect(),
            patience: PATIENCE,
            failures: Arc::default(),
            lacking: Arc::default(),
        }
    }

    /// With another time for an answer than ten seconds.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Starts a process and has it answer once.
    pub fn probe(&self) -> Result<(), Failed> {
        let mut child = self.start()?;
        match self.ask(&mut child, &Request::Flush)? {
            Reply::Pushed(_) => Ok(()),
            _ => Err(self.failed("an answer to something else")),
        }
    }

    /// A small picture, made by a process that ends with it.
    pub(crate) fn still(
        &self,
        track: &VideoTrack,
        keyframe: &Frame,
        width: u32,
    ) -> Result<Vec<u8>, StillError> {
        if track.config.len() > wire::MAX_CONFIG || keyframe.data.len() > wire::MAX_FRAME {
            return Err(VideoUnsupported::Config.into());
        }
        let mut child = self.start().map_err(|Failed| StillError::Ended)?;
        let (track, keyframe) = (track.clone(), keyframe.clone());
        let reply = self.ask(&mut child, &Request::Still { track, keyframe, width });
        match reply.map_err(|Failed| StillError::Ended)? {
            Reply::Still(jpeg) if remote::is_jpeg(&jpeg) => Ok(jpeg.into()),
            Reply::NoStill(error) => Err(error),
            _ => {
                self.failed("an answer to something else");
                Err(StillError::Ended)
            }
        }
    }

    fn start(&self) -> Result<Child, Failed> {
        let started = Child::start(&self.path, &self.arguments);
        let news = self.is_news(started.is_ok());
        started.map_err(|error| if news { self.failed(error) } else { self.count() })
    }

    /// Whether the log is to hear how a start went: streams try at each key frame, and
    /// one lack is one line.
    fn is_news(&self, started: bool) -> bool {
        self.lacking.swap(!started, Ordering::Relaxed) == started
    }

    fn ask(&self, child: &mut Child, request: &Request) -> Result<Reply, Failed> {
        child.ask(request, self.patience).map_err(|error| self.failed(error))
    }

    /// Counts a failure and tells the log, which names no stream: whoever has one
    /// says what becomes of it.
    fn failed(&self, error: impl std::fmt::Display) -> Failed {
        tracing::warn!(%error, "a process that decodes pictures failed");
        self.count()
    }

    fn count(&self) -> Failed {
        self.failures.fetch_add(1, Ordering::Relaxed);
        Failed
    }
}

#[cfg(test)]
mod tests;
