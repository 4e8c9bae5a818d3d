//! The seam between a stream and where its pictures are decoded.

use media::{Frame, VideoTrack};

use super::{Effort, VideoSettings, VideoTranscoder, VideoUnsupported};
use crate::process::{Decoding, Remote};

/// A transcoder, wherever it works.
pub(crate) enum Coder {
    Here(Box<VideoTranscoder>),
    Apart(Box<Remote>),
}

/// Why there is no transcoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// No process could be started for it: the machine, or the server's share of it,
    /// has none or no descriptors or memory left. The stream has no part in that.
    NotStarted,
    /// This track cannot be transcoded.
    Unsupported(VideoUnsupported),
}

impl From<VideoUnsupported> for Unopened {
    fn from(cause: VideoUnsupported) -> Self {
        Self::Unsupported(cause)
    }
}

impl Coder {
    pub(crate) fn open(
        decoding: &Decoding,
        track: &VideoTrack,
        settings: VideoSettings,
    ) -> Result<Self, Unopened> {
        match decoding {
            Decoding::Apart(program) if cfg!(feature = "video") => {
                Ok(Self::Apart(Box::new(Remote::open(program, track, settings)?)))
            }
            _ => Ok(Self::Here(Box::new(VideoTranscoder::new(track, settings)?))),
        }
    }

    pub(crate) fn track(&self) -> &VideoTrack {
        match self {
            Self::Here(coder) => coder.track(),
            Self::Apart(coder) => coder.track(),
        }
    }

    pub(crate) fn corrupt(&self) -> u64 {
        match self {
            Self::Here(coder) => coder.corrupt(),
            Self::Apart(coder) => coder.corrupt(),
        }
    }

    pub(crate) fn skipped(&self) -> u64 {
        match self {
            Self::Here(coder) => coder.skipped(),
            Self::Apart(coder) => coder.skipped(),
        }
    }

    /// Why nothing more will come.
    pub(crate) fn gives_up(&self) -> Option<VideoUnsupported> {
        match self {
            Self::Here(coder) => coder.gives_up(),
            Self::Apart(coder) => coder.gives_up(),
        }
    }

    pub(crate) fn force_keyframe(&mut self) {
        match self {
            Self::Here(coder) => coder.force_keyframe(),
            Self::Apart(coder) => coder.force_keyframe(),
        }
    }

    pub(crate) fn lost(&mut self) {
        match self {
            Self::Here(coder) => coder.lost(),
            Self::Apart(coder) => coder.lost(),
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame, effort: Effort) -> Vec<Frame> {
        match self {
            Self::Here(coder) => coder.push(frame, effort),
            Self::Apart(coder) => coder.push(frame, effort),
        }
    }

    pub(crate) fn flush(&mut self) -> Vec<Frame> {
        match self {
            Self::Here(coder) => coder.flush(),
            Self::Apart(coder) => coder.flush(),
        }
    }
}
