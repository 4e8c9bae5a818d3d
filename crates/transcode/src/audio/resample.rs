//! Any rate into 48 kHz. rubato is named here only.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use super::opus::RATE;

/// Samples per channel that go in at a time: an AAC frame.
const CHUNK: usize = 1024;

/// The rates that AAC has an index for (ISO/IEC 14496-3 §1.6.3.4). Another, such
/// as 44,101 Hz, is legal and would need a transform of as many points.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];

/// Resamples frame by frame. Its delay is taken off the front of the output, so
/// the first sample out belongs to the first sample in.
pub(super) struct Resampler {
    /// `None` when the rates are equal.
    fft: Option<Fft<f32>>,
    channels: usize,
    /// Samples per channel still to be taken off.
    to_skip: usize,
}

impl Resampler {
    /// From `rate`; `None` for a rate that AAC does not have.
    pub(super) fn new(rate: u32, channels: usize) -> Option<Self> {
        if !RATES.contains(&rate) {
            return None;
        }
        let build = || Fft::new(rate as usize, RATE as usize, CHUNK, channels, FixedSync::Input);
        let fft = if rate == RATE { None } else { Some(build().ok()?) };
        let mut made = Self { fft, channels, to_skip: 0 };
        made.to_skip = made.delay();
        Some(made)
    }

    /// Forgets the past.
    pub(super) fn reset(&mut self) {
        if let Some(fft) = &mut self.fft {
            fft.reset();
        }
        self.to_skip = self.delay();
    }

    /// Samples per channel, at 48 kHz, that went in and have not come out.
    pub(super) fn delayed(&self) -> i64 {
        (self.delay() - self.to_skip) as i64
    }

    /// Interleaved samples in, interleaved samples out.
    pub(super) fn resample(&mut self, samples: Vec<f32>) -> Vec<f32> {
        let Some(fft) = &mut self.fft else { return samples };
        let Ok(input) = InterleavedSlice::new(&samples, self.channels, samples.len() / self.channels) else {
            return Vec::new();
        };
        let Ok(output) = fft.process(&input, None) else { return Vec::new() };
        let mut output = output.take_data();
        let skip = self.to_skip.min(output.len() / self.channels);
        self.to_skip -= skip;
        output.drain(..skip * self.channels);
        output
    }

    fn delay(&self) -> usize {
        self.fft.as_ref().map_or(0, Fft::output_delay)
    }
}
