//! Opus: the identification header (RFC 7845 §5.1).

use bytes::Bytes;
use media::{AudioCodec, AudioTrack};

use super::FlvError;
use crate::limits::MAX_CONFIG;

const MAGIC: &[u8] = b"OpusHead";

/// Reads the configuration of an Opus track. Encoders that leave the magic out
/// get it back.
pub(crate) fn track(config: &[u8]) -> Result<AudioTrack, FlvError> {
    if config.len() > MAX_CONFIG {
        return Err(FlvError::Config);
    }
    let body = config.strip_prefix(MAGIC).unwrap_or(config);
    match body {
        // Version 0.x, channels, pre-skip (2), input rate (4), gain (2), mapping family.
        &[version, channels, _, _, _, _, _, _, _, _, _, ..] if version >> 4 == 0 && channels > 0 => {
            Ok(AudioTrack {
                codec: AudioCodec::Opus,
                config: Bytes::from([MAGIC, body].concat()),
                sample_rate: 48_000,
                channels,
            })
        }
        _ => Err(FlvError::Config),
    }
}
