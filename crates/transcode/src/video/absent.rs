//! Stands for the H.264 coders in a build without them.

use std::convert::Infallible;

use media::{Frame, VideoTrack};

use super::{VideoSettings, VideoUnsupported};

/// How much to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Decode and encode.
    Full,
    /// Decode only.
    DecodeOnly,
}

/// Cannot be made: this build has no H.264 coders.
pub struct VideoTranscoder(Infallible);

impl VideoTranscoder {
    /// Always [`VideoUnsupported::NotBuilt`].
    pub fn new(_: &VideoTrack, _: VideoSettings) -> Result<Self, VideoUnsupported> {
        Err(VideoUnsupported::NotBuilt)
    }

    /// Never called.
    pub fn track(&self) -> &VideoTrack {
        match self.0 {}
    }

    /// Never called.
    pub fn corrupt(&self) -> u64 {
        match self.0 {}
    }

    /// Never called.
    pub fn skipped(&self) -> u64 {
        match self.0 {}
    }

    /// Never called.
    pub fn unreadable(&self) -> bool {
        match self.0 {}
    }

    /// Never called.
    pub fn gives_up(&self) -> Option<VideoUnsupported> {
        match self.0 {}
    }

    /// Never called.
    pub fn force_keyframe(&mut self) {
        match self.0 {}
    }

    /// Never called.
    pub fn lost(&mut self) {
        match self.0 {}
    }

    /// Never called.
    pub fn push(&mut self, _: &Frame, _: Effort) -> Vec<Frame> {
        match self.0 {}
    }

    /// Never called.
    pub fn flush(&mut self) -> Vec<Frame> {
        match self.0 {}
    }
}

/// Cannot be made either.
pub(crate) struct Shot(Infallible);

/// Always [`VideoUnsupported::NotBuilt`].
pub(crate) fn shot(_: &VideoTrack, _: &Frame, _: u32) -> Result<Shot, VideoUnsupported> {
    Err(VideoUnsupported::NotBuilt)
}

impl Shot {
    /// Never called.
    pub(crate) fn jpeg(&self, _: usize) -> Option<Vec<u8>> {
        match self.0 {}
    }
}
