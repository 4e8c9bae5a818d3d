//! Fragmented MP4 (ISO/IEC 14496-12, CMAF style): tracks and frames in, bytes out.
//!
//! An [`InitSegment`] tells a player what a stream consists of. A [`Fragmenter`]
//! takes the frames of one uninterrupted run of media, gives each a duration and
//! a place on one continuous timeline, and hands out a media segment whenever
//! its owner wants a cut. Where to cut is the owner's business.
//!
//! The boxes are our own: the muxer of `shiguredo_mp4` derives decode times by
//! summing durations from zero and keeps an index entry per segment for ever,
//! which neither survives a gap nor a month of streaming. Its demuxer is the
//! independent reader of our tests.
//!
//! Pure: no runtime, socket, file or clock.

mod aac;
mod boxes;
mod clock;
mod codecs;
mod fragment;
mod init;
mod opus;
mod segment;

pub use aac::{AacConfig, AacError};
pub use codecs::codec_string;
pub use fragment::{Fragmenter, Placed, Segment};
pub use init::{InitError, InitSegment};
pub use opus::{OpusHead, OpusHeadError, packet_samples};
