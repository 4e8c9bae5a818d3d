//! AAC-LC into Opus.

mod aac;
mod opus;
mod resample;

use std::time::Duration;

use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind};

use aac::Aac;
use opus::{Opus, PACKET, RATE};
use resample::Resampler;

/// Beyond this the input's own clock is followed: a shorter difference is the
/// publisher's rounding or jitter, which a jump would turn into a click.
const TOLERANCE: Duration = Duration::from_millis(100);

/// Why a track cannot be transcoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AudioUnsupported {
    /// The track is not AAC.
    #[error("the track is not AAC")]
    NotAac,
    /// AAC, but not AAC-LC in mono or stereo with 1024 samples a frame: HE-AAC
    /// and 5.1 are refused.
    #[error("AAC other than AAC-LC in mono or stereo")]
    Profile,
    /// No Opus encoder or resampler for this rate.
    #[error("sample rate {0} Hz")]
    Rate(u32),
}

/// Turns AAC-LC frames into 20 ms Opus packets on a 48 kHz clock.
///
/// A packet's time is that of its first sample in the input. (The 6.5 ms by
/// which an Opus decoder lags are below what anyone sees on lips.) A frame that
/// does not decode becomes silence of its length and is counted, so what follows
/// stays in time; a gap in the input is a gap in the output.
pub struct AudioTranscoder {
    aac: Aac,
    resampler: Resampler,
    opus: Opus,
    track: AudioTrack,
    /// Interleaved samples at 48 kHz that do not fill a packet yet.
    pending: Vec<f32>,
    /// Time of the first pending sample in 48 kHz ticks; `None` before the first
    /// frame and after a gap.
    head: Option<i64>,
    corrupt: u64,
}

impl AudioTranscoder {
    /// A transcoder for a track that is AAC-LC, mono or stereo.
    pub fn new(track: &AudioTrack) -> Result<Self, AudioUnsupported> {
        if track.codec != AudioCodec::Aac {
            return Err(AudioUnsupported::NotAac);
        }
        let aac = Aac::new(&track.config)?;
        let (rate, channels) = (aac.rate(), aac.channels());
        let resampler = Resampler::new(rate, channels).ok_or(AudioUnsupported::Rate(rate))?;
        let opus = Opus::new(channels).ok_or(AudioUnsupported::Rate(RATE))?;
        let track = opus.track();
        Ok(Self { aac, resampler, opus, track, pending: Vec::new(), head: None, corrupt: 0 })
    }

    /// What comes out.
    pub fn track(&self) -> &AudioTrack {
        &self.track
    }

    /// Number of frames that did not decode.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Takes one frame; gives the packets that are full with it, at most a few.
    pub fn push(&mut self, frame: &Frame) -> Vec<Frame> {
        self.follow(frame.pts);
        let samples = match self.aac.decode(&frame.data) {
            Ok(samples) => samples,
            Err(silence) => {
                self.corrupt += 1;
                silence
            }
        };
        self.pending.extend(self.resampler.resample(samples));
        self.take_packets()
    }

    /// Goes to the input's clock when the output's has left it.
    fn follow(&mut self, pts: MediaTime) {
        let at = pts.in_ticks(RATE);
        let allowed = (TOLERANCE.as_millis() as i64) * i64::from(RATE) / 1000;
        let expected = self.head.map(|head| head.saturating_add(self.held()));
        if expected.is_none_or(|expected| expected.abs_diff(at) > allowed.unsigned_abs()) {
            self.pending.clear();
            self.resampler.reset();
            self.head = Some(at);
        }
    }

    /// Samples per channel between the head and the next frame's first.
    fn held(&self) -> i64 {
        (self.pending.len() / self.opus.channels()) as i64 + self.resampler.delayed()
    }

    fn take_packets(&mut self) -> Vec<Frame> {
        let (mut packets, mut used) = (Vec::new(), 0);
        for samples in self.pending.chunks_exact(PACKET * self.opus.channels()) {
            let head = self.head.unwrap_or_default();
            let pts = MediaTime::from_ticks(head, RATE);
            self.head = Some(head.saturating_add(PACKET as i64));
            used += samples.len();
            if let Some(data) = self.opus.encode(samples) {
                packets.push(Frame { track: TrackKind::Audio, pts, dts: pts, keyframe: true, data });
            }
        }
        self.pending.drain(..used);
        packets
    }
}

#[cfg(test)]
mod tests;
