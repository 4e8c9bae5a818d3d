//! symphonia's AAC-LC decoder, the only file that names it.

use symphonia_codec_aac::AacDecoder;
use symphonia_core::audio::Channels;
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia_core::packet::PacketRef;
use symphonia_core::units::{Duration, Timestamp};

use super::AudioUnsupported;
use crate::guard::guard;

/// Samples per channel in an AAC-LC frame; the decoder knows no other length.
const FRAME: usize = 1024;

/// Longest access unit of two channels (ISO/IEC 14496-3 §4.5.3.1: 6144 bits per
/// channel), with as much again for fill and data elements.
const MAX_AU: usize = 4096;

/// A decoder that survives its own panics and what damaged frames leave behind.
pub(super) struct Aac {
    decoder: AacDecoder,
    config: Box<[u8]>,
    rate: u32,
    channels: usize,
}

impl Aac {
    /// For an `AudioSpecificConfig`.
    pub(super) fn new(config: &[u8]) -> Result<Self, AudioUnsupported> {
        let config: Box<[u8]> = config.into();
        let decoder = open(&config).ok_or(AudioUnsupported::Profile)?;
        let params = decoder.codec_params();
        let rate = params.sample_rate.ok_or(AudioUnsupported::Profile)?;
        let channels = params.channels.as_ref().map_or(0, Channels::count);
        if !(1..=2).contains(&channels) {
            return Err(AudioUnsupported::Profile);
        }
        Ok(Self { decoder, config, rate, channels })
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Interleaved samples of one access unit; `Err` is silence of its length,
    /// when it does not decode.
    pub(super) fn decode(&mut self, au: &[u8]) -> Result<Vec<f32>, Vec<f32>> {
        self.try_decode(au).ok_or_else(|| vec![0.0; FRAME * self.channels])
    }

    fn try_decode(&mut self, au: &[u8]) -> Option<Vec<f32>> {
        if au.len() > MAX_AU {
            return None;
        }
        let packet = PacketRef::new(0, Timestamp::new(0), Duration::new(FRAME as u64), au);
        let decoder = &mut self.decoder;
        let decoded = guard(|| {
            let buffer = decoder.decode_ref(&packet).ok()?;
            let mut samples = Vec::<f32>::new();
            buffer.copy_to_vec_interleaved(&mut samples);
            Some(samples)
        });
        let whole = |s: &Vec<f32>| s.len() == FRAME * self.channels && s.iter().all(|x| x.is_finite());
        let samples = decoded.ok().flatten().filter(whole);
        if samples.is_none() {
            self.restart();
        }
        samples
    }

    /// The decoder keeps the layout of elements that it met first, even if that
    /// was in a damaged frame, and refuses all others. The configuration opened
    /// once, so it opens again.
    fn restart(&mut self) {
        if let Some(decoder) = open(&self.config) {
            self.decoder = decoder;
        }
    }
}

fn open(config: &[u8]) -> Option<AacDecoder> {
    let mut params = AudioCodecParameters::new();
    params.for_codec(CODEC_ID_AAC).with_extra_data(config.into());
    guard(|| AacDecoder::try_new(&params, &AudioDecoderOptions::default()).ok()).ok().flatten()
}
