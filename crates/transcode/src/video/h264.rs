//! One stream's pictures, decoded, put in order and encoded anew.

mod avcc;
mod bits;
mod decode;
mod encode;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod level;
mod limits;
mod marking;
mod pps;
mod reorder;
mod shot;
mod slice;
mod sps;

use media::{Frame, MediaTime, TrackKind, VideoCodec, VideoTrack};

use avcc::{ParameterSets, Slices};
use decode::{Picture, Pictures, Undecodable};
use encode::{Coder, Target};
use reorder::Reorder;
use sps::Sps;

use super::{Refusal, VideoSettings, VideoUnsupported};

pub(crate) use shot::shot;

/// How much to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Decode, and encode what can be shown.
    Full,
    /// Decode, so that later pictures find their references, and leave out what
    /// can be shown: half the work, to catch up.
    DecodeOnly,
}

/// Turns H.264 with B-frames into Constrained Baseline without.
///
/// Pictures come out in display order with the times they had; decode time is
/// presentation time. The delay is that of the stream's own reordering, 2
/// pictures for x264. A picture of 1280x720 takes 6 to 10 ms of one core, by content.
pub struct VideoTranscoder {
    settings: VideoSettings,
    sps: Sps,
    pictures: Pictures,
    reorder: Reorder<Picture>,
    coder: Option<Coder>,
    track: VideoTrack,
    pace: Pace,
    want_keyframe: bool,
    wait_idr: bool,
    last_pts: Option<MediaTime>,
    last_key: Option<MediaTime>,
    corrupt: u64,
    corrupt_in_a_row: u32,
    refused: Option<Refusal>,
    skipped: u64,
}

/// Frames in a row that fail before the stream counts as unreadable: two seconds
/// of 30 fps, so that a few bad frames behind a keyframe do not.
const UNREADABLE: u32 = 60;

impl VideoTranscoder {
    /// A transcoder for 8-bit 4:2:0 H.264 of a size within the settings.
    pub fn new(track: &VideoTrack, settings: VideoSettings) -> Result<Self, VideoUnsupported> {
        let sets = ParameterSets::parse(&track.config).ok_or(VideoUnsupported::Config)?;
        let sps = judge(&sets, &settings)?;
        let pictures = Pictures::new(&sets).map_err(|cause| cause.or(VideoUnsupported::Config))?;
        let track = first_track(&sps, &settings)?;
        Ok(Self {
            settings,
            sps,
            reorder: Reorder::new(pictures.reorder()),
            pictures,
            coder: None,
            track,
            pace: Pace::default(),
            want_keyframe: true,
            wait_idr: true,
            last_pts: None,
            last_key: None,
            corrupt: 0,
            corrupt_in_a_row: 0,
            refused: None,
            skipped: 0,
        })
    }

    /// What comes out. It may change with a keyframe that [`Self::push`] gives;
    /// that keyframe and what follows belong to the new track.
    pub fn track(&self) -> &VideoTrack {
        &self.track
    }

    /// Number of frames that did not decode, and of those that were left out
    /// after one until the next IDR picture.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Number of pictures that the encoder skipped to keep its bit rate: 1 or 2
    /// in 100 of what is hard to code, none of what is not.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether so many frames in a row failed that the stream has a coding tool
    /// the decoder lacks.
    pub fn unreadable(&self) -> bool {
        self.corrupt_in_a_row >= UNREADABLE
    }

    /// Why nothing more will come of it.
    pub fn gives_up(&self) -> Option<VideoUnsupported> {
        let unreadable = self.unreadable().then_some(VideoUnsupported::Tools);
        self.refused.map(VideoUnsupported::from).or(unreadable)
    }

    /// The next picture is a keyframe (if the encoder skips it, the one after).
    pub fn force_keyframe(&mut self) {
        self.want_keyframe = true;
    }

    /// Frames were lost: what is held comes out with the next one, and decoding
    /// goes on at the next IDR picture.
    pub fn lost(&mut self) {
        self.wait_idr = true;
    }

    /// Takes one frame; gives what can be shown with it.
    pub fn push(&mut self, frame: &Frame, effort: Effort) -> Vec<Frame> {
        if self.refused.is_some() {
            self.corrupt += 1;
            return Vec::new();
        }
        let Some(slices) = avcc::slices(&frame.data) else {
            self.failed();
            return Vec::new();
        };
        if self.wait_idr && !slices.idr {
            self.corrupt += 1;
            return Vec::new();
        }
        self.pace.saw(frame.dts);
        let shown = self.decode(&slices, frame);
        self.encode_all(shown, effort)
    }

    /// Gives what is still held, at the end of the stream.
    pub fn flush(&mut self) -> Vec<Frame> {
        let shown = self.reorder.flush();
        self.encode_all(shown, Effort::Full)
    }

    fn decode(&mut self, slices: &Slices, frame: &Frame) -> Vec<(MediaTime, Picture)> {
        match self.pictures.decode(slices, Some(frame.dts)) {
            Ok(Some(picture)) => {
                self.corrupt_in_a_row = 0;
                self.wait_idr = false;
                if slices.idr {
                    self.reorder.start_anew();
                }
                self.reorder.push(picture.order, frame.pts, frame.dts, picture)
            }
            Err(Undecodable::Refused(refusal)) if !refusal.is_damage() => {
                self.refused = Some(refusal);
                self.failed();
                Vec::new()
            }
            Ok(None) | Err(_) => {
                self.failed();
                Vec::new()
            }
        }
    }

    fn failed(&mut self) {
        self.corrupt += 1;
        self.corrupt_in_a_row = self.corrupt_in_a_row.saturating_add(1);
        self.wait_idr = true;
    }

    fn encode_all(&mut self, shown: Vec<(MediaTime, Picture)>, effort: Effort) -> Vec<Frame> {
        if effort == Effort::DecodeOnly {
            return Vec::new();
        }
        shown.into_iter().filter_map(|(pts, picture)| self.encode(pts, &picture)).collect()
    }

    fn encode(&mut self, pts: MediaTime, picture: &Picture) -> Option<Frame> {
        let pts = self.after_the_last(pts);
        let due = self.last_key.is_none_or(|key| pts.since(key) >= self.settings.keyframe_every);
        let wanted = self.want_keyframe || due;
        let coder = self.coder()?;
        if wanted {
            coder.force_keyframe();
        }
        let Ok(coded) = coder.encode(picture) else {
            self.skipped += 1;
            return None;
        };
        self.last_pts = Some(pts);
        if coded.keyframe {
            self.want_keyframe = false;
            self.last_key = Some(pts);
            self.update_track(picture);
        }
        Some(Frame { track: TrackKind::Video, pts, dts: pts, keyframe: coded.keyframe, data: coded.data })
    }

    /// A stream whose order counts contradict its times must not make time run
    /// backwards.
    fn after_the_last(&self, pts: MediaTime) -> MediaTime {
        let next = |last: MediaTime| last + std::time::Duration::from_micros(1);
        self.last_pts.map_or(pts, |last| pts.max(next(last)))
    }

    /// Made with the first picture, when the pace is known.
    fn coder(&mut self) -> Option<&mut Coder> {
        if self.coder.is_none() {
            let target = target(&self.sps, &self.settings, self.pace.per_second());
            self.coder = Coder::new(&target).ok();
        }
        self.coder.as_mut()
    }

    fn update_track(&mut self, picture: &Picture) {
        let record = self.coder.as_ref().and_then(|coder| coder.sets.record());
        let Some(config) = record.filter(|config| *config != self.track.config) else { return };
        self.track.config = config;
        self.track.width = picture.width as u32;
        self.track.height = picture.height as u32;
    }
}

/// All parameter sets that a slice may choose must be within bounds; the first
/// tells the rest.
fn judge(sets: &ParameterSets, settings: &VideoSettings) -> Result<Sps, VideoUnsupported> {
    let parsed: Option<Vec<Sps>> = sets.sps.iter().map(|nal| Sps::parse(nal)).collect();
    let parsed = parsed.ok_or(VideoUnsupported::Config)?;
    for sps in &parsed {
        let Sps { width, height, .. } = *sps;
        if !sps.plain {
            return Err(VideoUnsupported::Format);
        }
        if sps.coded_samples > u64::from(settings.max_samples) || width.min(height) < 16 {
            return Err(VideoUnsupported::Size { width, height });
        }
    }
    parsed.first().copied().ok_or(VideoUnsupported::Config)
}

/// Learns the parameter sets from a grey picture, so that players can be told
/// before the first picture is decoded.
fn first_track(sps: &Sps, settings: &VideoSettings) -> Result<VideoTrack, VideoUnsupported> {
    let (width, height) = (sps.width as usize, sps.height as usize);
    let chroma = vec![128; width / 2 * (height / 2)];
    let grey =
        Picture { width, height, y: vec![128; width * height], u: chroma.clone(), v: chroma, order: 0 };
    let mut coder =
        Coder::new(&target(sps, settings, DEFAULT_RATE)).map_err(|_| VideoUnsupported::Encoder)?;
    coder.encode(&grey).map_err(|_| VideoUnsupported::Encoder)?;
    let config = coder.sets.record().ok_or(VideoUnsupported::Encoder)?;
    let (width, height) = (sps.width, sps.height);
    Ok(VideoTrack { codec: VideoCodec::H264, config, width, height, reordered: false })
}

fn target(sps: &Sps, settings: &VideoSettings, rate: f32) -> Target {
    let samples = sps.width * sps.height;
    // 2.5 Mbit/s for 1280x720 at 30 fps.
    let by_size = (samples as f32 * rate * 0.0904) as u32;
    let bitrate = settings.bitrate.unwrap_or(by_size.clamp(300_000, 8_000_000));
    Target { bitrate, rate, colour: sps.colour, samples }
}

/// Pictures per second when the stream has not shown two yet.
const DEFAULT_RATE: f32 = 30.0;

/// The stream's frame rate, from decode times, which do not reorder.
#[derive(Default)]
struct Pace {
    first: Option<MediaTime>,
    last: MediaTime,
    frames: u32,
}

impl Pace {
    fn saw(&mut self, dts: MediaTime) {
        self.first.get_or_insert(dts);
        self.last = dts;
        self.frames = self.frames.saturating_add(1);
    }

    fn per_second(&self) -> f32 {
        let seconds = self.first.map_or(0.0, |first| self.last.since(first).as_secs_f32());
        let rate = self.frames.saturating_sub(1) as f32 / seconds;
        if rate.is_finite() && rate > 0.0 { rate.clamp(5.0, 60.0) } else { DEFAULT_RATE }
    }
}

#[cfg(test)]
mod pace;
#[cfg(test)]
mod tests;
