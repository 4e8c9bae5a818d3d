//! What WebRTC players cannot take, made into what they can: AAC into Opus, and
//! H.264 with B-frames into H.264 without. Once per stream, and only while
//! somebody plays it over WebRTC.
//!
//! [`AudioTranscoder`] and [`VideoTranscoder`] are pure: frames in, frames out.
//! [`Worker`] gives one stream's transcoders a thread between its frame bus and
//! whoever wants the result. Decoders here read what strangers send; a panic of
//! theirs is caught, counted and costs the stream a gap.
//!
//! [`still`] makes a small picture of one key frame, for people who look after the
//! server.
//!
//! H.264 is patented in some countries and none of these crates brings a
//! licence. Without the cargo feature `video` no H.264 coder is built, and a
//! stream with B-frames shows its keyframes only.

mod audio;
mod guard;
mod process;
mod slots;
mod still;
#[cfg(test)]
mod testing;
mod transcoding;
mod video;
mod worker;

pub use audio::{AudioTranscoder, AudioUnsupported};
pub use process::{Decoding, Failed, MEMORY, Program, run};
pub use slots::{Slot, Slots};
pub use still::{StillError, still};
pub use transcoding::Transcoding;
#[cfg(all(feature = "video", any(fuzzing, test)))]
#[doc(hidden)]
pub use video::fuzzing;
pub use video::{Bound, Effort, Refusal, VideoSettings, VideoTranscoder, VideoUnsupported};
pub use worker::{Counts, Output, Treatment, Worker, WorkerSettings};
