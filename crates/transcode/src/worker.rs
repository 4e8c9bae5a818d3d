//! What stands between one stream's frame bus and whoever packetises it.
//!
//! Started by the stream's packetiser with the first WebRTC player; ends when
//! the [`Worker`] is dropped or the bus ends. It has turns on threads that all
//! streams share (`crew`). Its input queue is the bus itself, which is bounded and
//! never waits: a worker that falls behind loses its own pictures
//! ([`Output::Dropped`]), the publisher nothing.

mod crew;
mod late;
mod restarts;
mod stream;
mod task;

use std::sync::Arc;

use media::ring::EndReason;
use media::{BusReader, Frame, Tracks};

use crate::audio::AudioUnsupported;
use crate::transcoding::Transcoding;
use crate::video::{VideoSettings, VideoUnsupported};
pub(crate) use crew::Crew;
use stream::Stream;
use task::Task;

/// What happens to a track on its way through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// The stream has no such track.
    Absent,
    /// Frames pass as they are.
    Passed,
    /// Frames are transcoded.
    Transcoded,
    /// Nothing but keyframes passes: there is no free [`Slot`](crate::Slot), or no
    /// process could be started. Tried again at each keyframe.
    NoRoom,
    /// Nothing but keyframes passes: this stream cannot be transcoded.
    KeyframesOnly(VideoUnsupported),
    /// The track is left out.
    Refused(AudioUnsupported),
}

/// What a worker says, in the order of the stream.
#[derive(Debug, Clone)]
pub enum Output {
    /// The frames that follow belong to these tracks. Comes first, and again at
    /// each change.
    Tracks {
        /// What comes out.
        tracks: Arc<Tracks>,
        /// How its pictures come about.
        video: Treatment,
        /// How its sound comes about.
        audio: Treatment,
    },
    /// A frame.
    Frame(Frame),
    /// So many of the publisher's frames were left out here to catch up.
    Dropped(u64),
    /// Nothing follows. After [`EndReason::Silenced`] what was given before must
    /// not be sent either.
    Ended(EndReason),
}

/// How to transcode.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// For pictures.
    pub video: VideoSettings,
    /// Shared by all workers of the server.
    pub transcoding: Transcoding,
}

/// What a worker has lost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames left out because the worker was late.
    pub dropped: u64,
    /// Frames that did not decode.
    pub corrupt: u64,
    /// Pictures that the encoder skipped to keep its bit rate.
    pub skipped: u64,
}

/// The handle. Dropping it stops the work after the frame it is at, without waiting
/// for it.
pub struct Worker {
    task: Arc<Task>,
}

impl Worker {
    /// Starts it. `output` is called on a thread that streams share and must not block
    /// for long; it is dropped when the work ends. An error: no thread can be had.
    pub fn start(
        reader: BusReader,
        settings: WorkerSettings,
        output: impl FnMut(Output) + Send + 'static,
    ) -> std::io::Result<Self> {
        let crew = settings.transcoding.crew.clone();
        let task = Task::start(crew, reader, Stream::new(settings), Box::new(output))?;
        Ok(Self { task })
    }

    /// The next transcoded picture becomes a keyframe, at most one in 500 ms of
    /// the stream's time. Pictures that pass as they are do not change.
    pub fn request_keyframe(&self) {
        self.task.request_keyframe();
    }

    /// What was lost so far.
    pub fn counts(&self) -> Counts {
        self.task.counts()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.stop();
    }
}

#[cfg(test)]
mod tests;
