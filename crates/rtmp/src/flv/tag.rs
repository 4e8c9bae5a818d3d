//! Tag bodies: what an audio or video message says about its payload.

use bytes::Bytes;

use super::FlvError;

/// Video body, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VideoTag {
    /// `AVCDecoderConfigurationRecord`.
    Config(Bytes),
    /// NAL units, and how many milliseconds after decoding to show them.
    Units { offset: i32, units: Bytes },
    /// Another coding than H.264, by its name.
    Other(CodecName),
    /// Nothing for a decoder.
    Empty,
}

/// Audio body, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AudioTag {
    /// AAC configuration.
    AacConfig(Bytes),
    /// AAC access unit.
    Aac(Bytes),
    /// `OpusHead`.
    OpusConfig(Bytes),
    /// Opus packet.
    Opus(Bytes),
    /// Another coding, by its name.
    Other(CodecName),
    /// Nothing for a decoder.
    Empty,
}

/// The name of a coding that we do not carry: a FourCC, or the number that FLV
/// gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecName {
    /// Enhanced RTMP.
    FourCc([u8; 4]),
    /// FLV annex E: CodecID or SoundFormat.
    Number(u8),
}

impl std::fmt::Display for CodecName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FourCc(name) => write!(f, "{}", name.escape_ascii()),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

pub(crate) const AVC1: [u8; 4] = *b"avc1";
pub(crate) const MP4A: [u8; 4] = *b"mp4a";
pub(crate) const OPUS: [u8; 4] = *b"Opus";

/// Legacy CodecID of H.264.
pub(crate) const AVC: u8 = 7;
/// Legacy SoundFormat of AAC.
pub(crate) const AAC: u8 = 10;
/// SoundFormat that announces an Enhanced RTMP header.
pub(crate) const ENHANCED_SOUND: u8 = 9;

/// PacketType values that audio and video share (Enhanced RTMP v2).
pub(crate) const SEQUENCE_START: u8 = 0;
pub(crate) const CODED_FRAMES: u8 = 1;
/// Video only: as coded frames, with an implied composition time of zero.
const CODED_FRAMES_X: u8 = 3;
const MULTITRACK_AUDIO: u8 = 5;
const MULTITRACK_VIDEO: u8 = 6;
const MOD_EX: u8 = 7;

/// Frame type of a tag that carries a command and no picture.
const COMMAND: u8 = 5;

impl VideoTag {
    /// Reads a video message's payload.
    pub(crate) fn parse(body: &Bytes) -> Result<Self, FlvError> {
        let Some(&first) = body.first() else { return Ok(Self::Empty) };
        if first >> 4 & 7 == COMMAND {
            return Ok(Self::Empty);
        }
        if first & 0x80 != 0 {
            return Self::parse_enhanced(body, first & 0x0f);
        }
        match (first & 0x0f, body.get(1)) {
            (AVC, Some(0)) => Ok(Self::Config(after(body, 5)?)),
            (AVC, Some(1)) => Self::units(body, 2),
            (AVC, Some(_)) => Ok(Self::Empty),
            (AVC, None) => Err(FlvError::Truncated),
            (codec, _) => Ok(Self::Other(CodecName::Number(codec))),
        }
    }

    fn parse_enhanced(body: &Bytes, kind: u8) -> Result<Self, FlvError> {
        let (kind, name, at) = enhanced(body, kind)?;
        match (kind, name) {
            (MULTITRACK_VIDEO, _) => Ok(Self::Empty),
            (_, AVC1) => match kind {
                SEQUENCE_START => Ok(Self::Config(after(body, at)?)),
                CODED_FRAMES => Self::units(body, at),
                CODED_FRAMES_X => Ok(Self::Units { offset: 0, units: after(body, at)? }),
                _ => Ok(Self::Empty),
            },
            (_, name) => Ok(Self::Other(CodecName::FourCc(name))),
        }
    }

    /// A signed 24-bit composition time, then NAL units.
    fn units(body: &Bytes, at: usize) -> Result<Self, FlvError> {
        let field: &[u8; 3] = body.get(at..).and_then(<[u8]>::first_chunk).ok_or(FlvError::Truncated)?;
        let offset = i32::from_be_bytes([field[0], field[1], field[2], 0]) >> 8;
        Ok(Self::Units { offset, units: after(body, at + 3)? })
    }
}

impl AudioTag {
    /// Reads an audio message's payload.
    pub(crate) fn parse(body: &Bytes) -> Result<Self, FlvError> {
        let Some(&first) = body.first() else { return Ok(Self::Empty) };
        match (first >> 4, body.get(1)) {
            (ENHANCED_SOUND, _) => Self::parse_enhanced(body, first & 0x0f),
            (AAC, Some(0)) => Ok(Self::AacConfig(after(body, 2)?)),
            (AAC, Some(1)) => Ok(Self::Aac(after(body, 2)?)),
            (AAC, Some(_)) => Ok(Self::Empty),
            (AAC, None) => Err(FlvError::Truncated),
            (format, _) => Ok(Self::Other(CodecName::Number(format))),
        }
    }

    fn parse_enhanced(body: &Bytes, kind: u8) -> Result<Self, FlvError> {
        let (kind, name, at) = enhanced(body, kind)?;
        match (kind, name) {
            (MULTITRACK_AUDIO, _) => Ok(Self::Empty),
            (SEQUENCE_START, MP4A) => Ok(Self::AacConfig(after(body, at)?)),
            (CODED_FRAMES, MP4A) => Ok(Self::Aac(after(body, at)?)),
            (SEQUENCE_START, OPUS) => Ok(Self::OpusConfig(after(body, at)?)),
            (CODED_FRAMES, OPUS) => Ok(Self::Opus(after(body, at)?)),
            (_, MP4A | OPUS) => Ok(Self::Empty),
            (_, name) => Ok(Self::Other(CodecName::FourCc(name))),
        }
    }
}

/// Packet type, FourCC and where the payload begins, with the modifiers of
/// Enhanced RTMP v2 (finer timestamps, above all) read over.
fn enhanced(body: &[u8], mut kind: u8) -> Result<(u8, [u8; 4], usize), FlvError> {
    let mut at = 1;
    let byte = |at: usize| body.get(at).copied().ok_or(FlvError::Truncated);
    while kind == MOD_EX {
        let mut size = usize::from(byte(at)?) + 1;
        at += 1;
        if size == 256 {
            size = (usize::from(byte(at)?) << 8 | usize::from(byte(at + 1)?)) + 1;
            at += 2;
        }
        at += size;
        kind = byte(at)? & 0x0f;
        at += 1;
    }
    let name = body.get(at..).and_then(<[u8]>::first_chunk).ok_or(FlvError::Truncated)?;
    Ok((kind, *name, at + 4))
}

fn after(body: &Bytes, at: usize) -> Result<Bytes, FlvError> {
    if at > body.len() { Err(FlvError::Truncated) } else { Ok(body.slice(at..)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn video(body: &'static [u8]) -> VideoTag {
        VideoTag::parse(&Bytes::from_static(body)).unwrap()
    }

    fn audio(body: &'static [u8]) -> AudioTag {
        AudioTag::parse(&Bytes::from_static(body)).unwrap()
    }

    #[test]
    fn legacy_and_enhanced_tags_say_the_same() {
        let units = |offset| VideoTag::Units { offset, units: Bytes::from_static(b"nal") };
        assert_eq!(video(b"\x17\x00\0\0\0cfg"), VideoTag::Config(Bytes::from_static(b"cfg")));
        assert_eq!(video(b"\x90avc1cfg"), VideoTag::Config(Bytes::from_static(b"cfg")));
        assert_eq!(video(b"\x27\x01\0\0\x28nal"), units(40));
        assert_eq!(video(b"\x27\x01\xff\xff\xd8nal"), units(-40));
        assert_eq!(video(b"\x91avc1\0\0\x28nal"), units(40));
        assert_eq!(video(b"\x93avc1nal"), units(0));
        assert_eq!(audio(b"\xaf\x01aac"), AudioTag::Aac(Bytes::from_static(b"aac")));
        assert_eq!(audio(b"\x91mp4aaac"), AudioTag::Aac(Bytes::from_static(b"aac")));
        assert_eq!(audio(b"\x90Opushead"), AudioTag::OpusConfig(Bytes::from_static(b"head")));
        assert_eq!(audio(b"\x91Opuspkt"), AudioTag::Opus(Bytes::from_static(b"pkt")));
    }

    #[test]
    fn modifiers_are_read_over() {
        // ModEx with 3 bytes of nanoseconds, then coded frames.
        assert_eq!(audio(b"\x97\x02abc\x01Opuspkt"), AudioTag::Opus(Bytes::from_static(b"pkt")));
        assert_eq!(AudioTag::parse(&Bytes::from_static(b"\x97\xff\xff\xff")), Err(FlvError::Truncated));
    }

    #[test]
    fn other_codings_are_named() {
        assert_eq!(video(b"\x12x"), VideoTag::Other(CodecName::Number(2)));
        assert_eq!(video(b"\x90hvc1cfg"), VideoTag::Other(CodecName::FourCc(*b"hvc1")));
        assert_eq!(audio(b"\x2fmp3"), AudioTag::Other(CodecName::Number(2)));
        assert_eq!(CodecName::FourCc(*b"hv\n1").to_string(), "hv\\n1");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..40)) {
            let body = Bytes::from(body);
            let _ = (VideoTag::parse(&body), AudioTag::parse(&body));
        }
    }
}
