//! FLV messages to tracks and frames: what a publisher's media is, and when we
//! know enough of it to begin.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoTrack};

use crate::amf0::Value;
use crate::flv::avc::AvcConfig;
use crate::flv::tag::{AudioTag, CodecName, VideoTag};
use crate::flv::{self, FlvError, aac, opus};
use crate::limits::{MAX_HELD_FRAMES, PUBLISHER_HOLD, STRANGER_HOLD};
use crate::timeline::Timeline;

/// How long one track waits for the other, in media time.
const WAIT: Duration = Duration::from_secs(1);
/// The same, when the metadata promises both: nginx pushes sound at once, and
/// pictures from the next keyframe on.
const WAIT_PROMISED: Duration = Duration::from_secs(3);

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Media {
    /// The tracks, first or changed. All frames that follow belong to these.
    Tracks(Tracks),
    /// A frame.
    Frame(Frame),
    /// A track is coded in a way that we do not carry. Said once per track.
    Unsupported(TrackKind, CodecName),
}

/// Puts a publisher's media together.
///
/// Until the tracks are complete (both are there; or one is, and the metadata or
/// a second of media says that the other is absent) frames are held, from the
/// first keyframe on and within a bound.
#[derive(Debug)]
pub(crate) struct Assembler {
    phase: Phase,
    timeline: Timeline,
    avc: AvcConfig,
    tracks: Tracks,
    video: Presence,
    audio: Presence,
    needs_keyframe: bool,
    /// What the metadata says of the sound, for encoders that send no configuration.
    sound: Sound,
    started: Option<MediaTime>,
    wait: Duration,
    held: VecDeque<Frame>,
    held_bytes: usize,
    out: VecDeque<Media>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The publisher is not accepted.
    Asking,
    /// Accepted, tracks not complete.
    Gathering,
    Flowing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Expected,
    Absent,
    /// Coded in a way that we do not carry.
    Unsupported,
}

#[derive(Debug, Clone, Copy)]
struct Sound {
    rate: u32,
    channels: u8,
}

impl Assembler {
    /// Holds a little, and gives out neither tracks nor frames, until
    /// [`Assembler::accept`].
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Asking,
            timeline: Timeline::default(),
            avc: AvcConfig::empty(),
            tracks: Tracks::default(),
            video: Presence::Expected,
            audio: Presence::Expected,
            needs_keyframe: true,
            sound: Sound { rate: 44_100, channels: 2 },
            started: None,
            wait: WAIT,
            held: VecDeque::new(),
            held_bytes: 0,
            out: VecDeque::new(),
        }
    }

    /// The publisher may publish.
    pub(crate) fn accept(&mut self) {
        if self.phase == Phase::Asking {
            self.phase = Phase::Gathering;
            self.begin_if_complete();
        }
    }

    /// The next result.
    pub(crate) fn poll(&mut self) -> Option<Media> {
        self.out.pop_front()
    }

    /// Bytes of frames that wait for the tracks or for the poll.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes a video message. An error means that this message was left out.
    pub(crate) fn video(&mut self, timestamp: u32, body: &Bytes) -> Result<(), FlvError> {
        match VideoTag::parse(body)? {
            VideoTag::Config(record) => {
                self.avc = AvcConfig::parse(&record)?;
                // A record without sets announces that they come in band.
                if self.avc.track().is_ok() { self.set_video() } else { Ok(()) }
            }
            VideoTag::Units { offset, units } => {
                self.access_unit(timestamp, offset, &flv::keep(units, body.len()))
            }
            VideoTag::Other(codec) => {
                self.unsupported(TrackKind::Video, codec);
                Ok(())
            }
            VideoTag::Empty => Ok(()),
        }
    }

    fn access_unit(&mut self, timestamp: u32, offset: i32, units: &Bytes) -> Result<(), FlvError> {
        let unit = self.avc.access_unit(units)?;
        if unit.new_sets {
            self.set_video()?;
        }
        if unit.units.is_empty() || self.tracks.video.is_none() || self.needs_keyframe && !unit.keyframe {
            return Ok(());
        }
        self.needs_keyframe = false;
        let (dts, pts) = self.timeline.place(TrackKind::Video, timestamp, offset);
        let (keyframe, data) = (unit.keyframe, unit.units);
        self.push(Frame { track: TrackKind::Video, pts, dts, keyframe, data });
        Ok(())
    }

    /// Takes an audio message. An error means that this message was left out.
    pub(crate) fn audio(&mut self, timestamp: u32, body: &Bytes) -> Result<(), FlvError> {
        match AudioTag::parse(body)? {
            AudioTag::AacConfig(config) => self.set_audio(aac::track(&config)?),
            AudioTag::OpusConfig(config) => self.set_audio(opus::track(&config)?),
            AudioTag::Aac(block) => self.aac_block(timestamp, flv::keep(block, body.len()))?,
            AudioTag::Opus(packet) => {
                self.sound_block(AudioCodec::Opus, timestamp, flv::keep(packet, body.len()));
            }
            AudioTag::Other(codec) => self.unsupported(TrackKind::Audio, codec),
            AudioTag::Empty => {}
        }
        Ok(())
    }

    fn aac_block(&mut self, timestamp: u32, block: Bytes) -> Result<(), FlvError> {
        let block = match aac::split_adts(&block) {
            Some((track, raw)) => {
                self.set_audio(track);
                raw
            }
            None => block,
        };
        if self.tracks.audio.is_none() {
            self.set_audio(aac::assumed_track(self.sound.rate, self.sound.channels)?);
        }
        self.sound_block(AudioCodec::Aac, timestamp, block);
        Ok(())
    }

    fn sound_block(&mut self, codec: AudioCodec, timestamp: u32, data: Bytes) {
        if data.is_empty() || self.tracks.audio.as_ref().is_none_or(|track| track.codec != codec) {
            return;
        }
        let (dts, pts) = self.timeline.place(TrackKind::Audio, timestamp, 0);
        self.push(Frame { track: TrackKind::Audio, pts, dts, keyframe: true, data });
    }

    /// Takes the object of `onMetaData`. One codec named and the other not means
    /// that the other is absent; both, that it is worth a longer wait; neither
    /// named means nothing.
    pub(crate) fn metadata(&mut self, props: &Value) {
        let number = |name| props.get(name).and_then(Value::as_number);
        if let Some(rate) = number("audiosamplerate") {
            self.sound.rate = rate as u32;
        }
        if let Some(channels) = number("audiochannels").filter(|channels| (1.0..=6.0).contains(channels)) {
            self.sound.channels = channels as u8;
        }
        let named = |name| !matches!(props.get(name), None | Some(Value::Null | Value::Undefined));
        match (named("videocodecid"), named("audiocodecid")) {
            (true, false) if self.audio == Presence::Expected => self.audio = Presence::Absent,
            (false, true) if self.video == Presence::Expected => self.video = Presence::Absent,
            (true, true) => self.wait = WAIT_PROMISED,
            _ => {}
        }
        self.begin_if_complete();
    }

    fn set_video(&mut self) -> Result<(), FlvError> {
        let track: VideoTrack = self.avc.track()?;
        if self.tracks.video.as_ref() == Some(&track) {
            return Ok(());
        }
        self.tracks.video = Some(track);
        self.needs_keyframe = true;
        self.forget(TrackKind::Video);
        self.tracks_changed();
        Ok(())
    }

    fn set_audio(&mut self, track: AudioTrack) {
        if self.tracks.audio.as_ref() != Some(&track) {
            self.tracks.audio = Some(track);
            self.forget(TrackKind::Audio);
            self.tracks_changed();
        }
    }

    fn tracks_changed(&mut self) {
        if self.phase == Phase::Flowing {
            self.out.push_back(Media::Tracks(self.tracks.clone()));
        } else {
            self.begin_if_complete();
        }
    }

    fn unsupported(&mut self, track: TrackKind, codec: CodecName) {
        let presence = match track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        if *presence != Presence::Unsupported {
            *presence = Presence::Unsupported;
            self.out.push_back(Media::Unsupported(track, codec));
            self.begin_if_complete();
        }
    }

    fn push(&mut self, frame: Frame) {
        if self.phase == Phase::Flowing {
            self.out.push_back(Media::Frame(frame));
            return;
        }
        let waited = frame.dts.since(*self.started.get_or_insert(frame.dts)) >= self.wait;
        self.held_bytes += frame.data.len();
        self.held.push_back(frame);
        let limit = if self.phase == Phase::Asking { STRANGER_HOLD } else { PUBLISHER_HOLD };
        let full = self.held_bytes > limit || self.held.len() > MAX_HELD_FRAMES;
        if self.phase == Phase::Gathering && (waited || full) {
            self.begin();
        } else if full {
            self.forget_all();
        }
    }

    /// Frames of a former configuration are of no use to anyone.
    fn forget(&mut self, track: TrackKind) {
        self.held.retain(|frame| frame.track != track);
        self.held_bytes = self.held.iter().map(|frame| frame.data.len()).sum();
    }

    /// What an unaccepted publisher sends beyond the bound is lost up to his next keyframe.
    fn forget_all(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.needs_keyframe = true;
    }

    fn begin_if_complete(&mut self) {
        let video = self.tracks.video.is_some() || self.video != Presence::Expected;
        let audio = self.tracks.audio.is_some() || self.audio != Presence::Expected;
        if self.phase == Phase::Gathering && video && audio && self.tracks != Tracks::default() {
            self.begin();
        }
    }

    fn begin(&mut self) {
        self.phase = Phase::Flowing;
        self.held_bytes = 0;
        self.out.push_back(Media::Tracks(self.tracks.clone()));
        self.out.extend(self.held.drain(..).map(Media::Frame));
        self.held = VecDeque::new();
    }
}

#[cfg(test)]
mod tests;
