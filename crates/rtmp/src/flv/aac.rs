//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1) and ADTS headers.

use bytes::Bytes;
use media::{AudioCodec, AudioTrack};

use super::FlvError;
use super::bits::Bits;
use crate::limits::MAX_CONFIG;

const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Index that says "24 bits of rate follow".
const EXPLICIT_RATE: u32 = 15;
const AAC_LC: u32 = 2;
/// Spectral band replication: the decoded rate is another than the coded.
const SBR: u32 = 5;
/// Parametric stereo: SBR, and two channels decoded from one.
const PS: u32 = 29;

/// Reads the configuration of an AAC track.
pub(crate) fn track(config: &[u8]) -> Result<AudioTrack, FlvError> {
    if config.len() > MAX_CONFIG {
        return Err(FlvError::Config);
    }
    let bits = &mut Bits::new(config);
    let kind = object_type(bits)?;
    let core_rate = rate(bits)?;
    let channels = channels(bits.bits(4)?)?;
    let (sample_rate, stereo) = match kind {
        SBR | PS => (rate(bits)?, kind == PS),
        _ => implied_extension(bits, kind).unwrap_or((core_rate, false)),
    };
    if sample_rate == 0 || sample_rate > 192_000 {
        return Err(FlvError::Config);
    }
    Ok(AudioTrack {
        codec: AudioCodec::Aac,
        config: Bytes::copy_from_slice(config),
        sample_rate,
        channels: if stereo && channels == 1 { 2 } else { channels },
    })
}

/// The track of a publisher that sent no configuration.
pub(crate) fn assumed_track(sample_rate: u32, channels: u8) -> Result<AudioTrack, FlvError> {
    let index = RATES.iter().position(|&rate| rate == sample_rate).ok_or(FlvError::Config)?;
    track(&lc_config(index as u8, channels))
}

/// Splits ADTS (§1.A.2.2) from the front of a block, when it is there. Some
/// encoders leave it in, where FLV wants raw access units.
pub(crate) fn split_adts(block: &Bytes) -> Option<(AudioTrack, Bytes)> {
    let header = block.get(..7)?;
    if header[0] != 0xff || header[1] & 0xf6 != 0xf0 {
        return None;
    }
    let len = usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5);
    let skip = if header[1] & 1 == 1 { 7 } else { 9 };
    if len != block.len() || len < skip {
        return None;
    }
    let channels = (header[2] & 1) << 2 | header[3] >> 6;
    let track = track(&lc_config(header[2] >> 2 & 0x0f, channels)).ok()?;
    Some((track, block.slice(skip..)))
}

/// The two bytes that say AAC-LC.
fn lc_config(rate_index: u8, channels: u8) -> [u8; 2] {
    let bits = (AAC_LC as u16) << 11 | u16::from(rate_index) << 7 | u16::from(channels & 0x0f) << 3;
    bits.to_be_bytes()
}

fn object_type(bits: &mut Bits<'_>) -> Result<u32, FlvError> {
    Ok(match bits.bits(5)? {
        31 => 32 + bits.bits(6)?,
        kind => kind,
    })
}

fn rate(bits: &mut Bits<'_>) -> Result<u32, FlvError> {
    match bits.bits(4)? {
        EXPLICIT_RATE => bits.bits(24),
        index => RATES.get(index as usize).copied().ok_or(FlvError::Config),
    }
}

/// channelConfiguration (table 1.19). 0 leaves it to an element inside the stream;
/// stereo is the likely answer and decoders find out themselves.
fn channels(config: u32) -> Result<u8, FlvError> {
    match config {
        0 => Ok(2),
        1..=6 => Ok(config as u8),
        7 | 12 | 14 => Ok(8),
        11 => Ok(7),
        _ => Err(FlvError::Config),
    }
}

/// SBR and PS signalled behind the end of an AAC-LC configuration, so that old
/// decoders do not see it: decoded rate, and whether parametric stereo is on.
fn implied_extension(bits: &mut Bits<'_>, kind: u32) -> Option<(u32, bool)> {
    if kind != AAC_LC {
        return None;
    }
    bits.bit().ok()?; // frameLengthFlag
    if bits.bit().ok()? {
        bits.skip(14).ok()?; // coreCoderDelay
    }
    bits.bit().ok()?; // extensionFlag
    if bits.bits(11).ok()? != 0x2b7 || bits.bits(5).ok()? != SBR || !bits.bit().ok()? {
        return None;
    }
    let rate = rate(bits).ok()?;
    let stereo = bits.left() >= 12 && bits.bits(11).ok()? == 0x548 && bits.bit().ok()?;
    Some((rate, stereo))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_and_channels(config: &[u8]) -> (u32, u8) {
        let track = track(config).unwrap();
        (track.sample_rate, track.channels)
    }

    #[test]
    fn plain_and_extended_configurations_are_read() {
        assert_eq!(rate_and_channels(&[0x12, 0x10]), (44_100, 2));
        assert_eq!(rate_and_channels(&[0x11, 0x90, 0x56, 0xe5, 0x00]), (48_000, 2), "x264 and fdk, SBR off");
        // AAC-LC 24 kHz stereo with SBR to 48 kHz behind the end.
        assert_eq!(rate_and_channels(&[0x13, 0x10, 0x56, 0xe5, 0x98]), (48_000, 2));
        // Explicit: object type 5, 22.05 kHz, mono, extension 44.1 kHz.
        assert_eq!(rate_and_channels(&[0x2b, 0x8a, 0x08]), (44_100, 1));
        // Object type 29: mono coded, stereo decoded.
        assert_eq!(rate_and_channels(&[0xeb, 0x8a, 0x08]), (44_100, 2));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(track(&[]).is_err());
        assert!(track(&[0x17]).is_err());
        assert!(track(&[0x16, 0x90]).is_err(), "rate index 13");
        assert!(assumed_track(44_101, 2).is_err());
    }

    #[test]
    fn adts_is_split_off_and_described() {
        let block = Bytes::from_static(&[0xff, 0xf1, 0x50, 0x80, 0x01, 0x3f, 0xfc, 0xaa, 0xbb]);
        let (track, raw) = split_adts(&block).unwrap();
        assert_eq!((track.sample_rate, track.channels, &raw[..]), (44_100, 2, &[0xaa, 0xbb][..]));
        assert!(split_adts(&Bytes::from_static(&[0xff, 0xf1, 0x50, 0x80, 0x02, 0x3f, 0xfc, 0xaa])).is_none());
    }
}
