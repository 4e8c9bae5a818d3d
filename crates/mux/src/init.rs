//! The init segment: `ftyp` and `moov`.

use bytes::Bytes;
use media::{AudioCodec, AudioTrack, TrackKind, Tracks, VideoTrack};

use crate::aac::{AacConfig, AacError};
use crate::boxes::{Boxes, size32};
use crate::opus::{OpusHead, OpusHeadError};

/// Ticks per second of a video track.
pub(crate) const VIDEO_RATE: u32 = 90_000;
/// Opus is always on a 48 kHz clock.
pub(crate) const OPUS_RATE: u32 = 48_000;

/// Sample flags (ISO/IEC 14496-12 §8.8.3.1): depends on no other sample.
pub(crate) const SYNC: u32 = 0x0200_0000;
/// Sample flags: depends on others, and is no sync sample.
pub(crate) const NON_SYNC: u32 = 0x0101_0000;

/// Why tracks give no init segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// Neither pictures nor sound.
    #[error("no track")]
    NoTrack,
    /// No `AVCDecoderConfigurationRecord` with a NAL length size of 4.
    #[error("unusable AVCDecoderConfigurationRecord")]
    Avc,
    /// The AAC configuration cannot be read.
    #[error(transparent)]
    Aac(#[from] AacError),
    /// The Opus header cannot be read.
    #[error(transparent)]
    Opus(#[from] OpusHeadError),
}

/// The bytes that come before every media segment of the same tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitSegment {
    bytes: Bytes,
}

impl InitSegment {
    /// `ftyp` and `moov` for these tracks, with no samples in it.
    pub fn new(tracks: &Tracks) -> Result<Self, InitError> {
        let plans = plans(tracks)?;
        let mut b = Boxes::with_capacity(2048);
        b.boxed(b"ftyp", |b| {
            b.bytes(b"iso6");
            b.u32(0);
            b.bytes(b"iso6mp41cmfc");
        });
        b.boxed(b"moov", |b| {
            movie_header(b);
            plans.iter().for_each(|plan| plan.write(b));
            b.boxed(b"mvex", |b| plans.iter().for_each(|plan| plan.write_defaults(b)));
        });
        Ok(Self { bytes: b.into_vec().into() })
    }

    /// The bytes; a cheap clone.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

/// Track number in the file.
pub(crate) const fn track_id(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 1,
        TrackKind::Audio => 2,
    }
}

/// One track, checked and ready to be written.
struct Plan<'a> {
    kind: TrackKind,
    rate: u32,
    entry: Entry<'a>,
}

enum Entry<'a> {
    Avc(&'a VideoTrack),
    Aac(&'a AudioTrack, AacConfig),
    Opus(OpusHead),
}

fn plans(tracks: &Tracks) -> Result<Vec<Plan<'_>>, InitError> {
    let video = tracks.video.as_ref().map(plan_video).transpose()?;
    let audio = tracks.audio.as_ref().map(plan_audio).transpose()?;
    let plans: Vec<_> = video.into_iter().chain(audio).collect();
    if plans.is_empty() { Err(InitError::NoTrack) } else { Ok(plans) }
}

fn plan_video(track: &VideoTrack) -> Result<Plan<'_>, InitError> {
    let usable = track.config.len() >= 7 && track.config[0] == 1 && track.config[4] & 3 == 3;
    if !usable {
        return Err(InitError::Avc);
    }
    Ok(Plan { kind: TrackKind::Video, rate: VIDEO_RATE, entry: Entry::Avc(track) })
}

fn plan_audio(track: &AudioTrack) -> Result<Plan<'_>, InitError> {
    let (rate, entry) = match track.codec {
        AudioCodec::Aac => {
            let config = AacConfig::parse(&track.config)?;
            (config.core_rate, Entry::Aac(track, config))
        }
        AudioCodec::Opus => (OPUS_RATE, Entry::Opus(OpusHead::parse(&track.config)?)),
    };
    Ok(Plan { kind: TrackKind::Audio, rate, entry })
}

/// Unity transformation (ISO/IEC 14496-12 §8.2.2.2): 16.16 ones, and a 2.30 one
/// in the corner.
fn matrix(b: &mut Boxes) {
    for v in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        b.u32(v);
    }
}

fn movie_header(b: &mut Boxes) {
    b.full(b"mvhd", 0, 0, |b| {
        b.zeros(8); // creation, modification
        b.u32(1000); // timescale
        b.u32(0); // duration: unknown
        b.u32(0x0001_0000); // rate 1.0
        b.u16(0x0100); // volume 1.0
        b.zeros(10);
        matrix(b);
        b.zeros(24);
        b.u32(3); // next track
    });
}

impl Plan<'_> {
    fn write(&self, b: &mut Boxes) {
        b.boxed(b"trak", |b| {
            self.track_header(b);
            b.boxed(b"mdia", |b| {
                self.media_header(b);
                self.media(b);
            });
        });
    }

    fn track_header(&self, b: &mut Boxes) {
        // Flags: enabled, and in the movie.
        b.full(b"tkhd", 0, 3, |b| {
            b.zeros(8); // creation, modification
            b.u32(track_id(self.kind));
            b.zeros(4 + 4); // reserved, duration
            b.zeros(8 + 2); // reserved, layer
            let sound = self.kind == TrackKind::Audio;
            b.u16(u16::from(sound)); // alternate group
            b.u16(if sound { 0x0100 } else { 0 }); // volume
            b.zeros(2);
            matrix(b);
            let (width, height) = self.size();
            b.u32(u32::from(width) << 16);
            b.u32(u32::from(height) << 16);
        });
    }

    fn size(&self) -> (u16, u16) {
        let fit = |v: u32| u16::try_from(v).unwrap_or(u16::MAX);
        match self.entry {
            Entry::Avc(track) => (fit(track.width), fit(track.height)),
            Entry::Aac(..) | Entry::Opus(_) => (0, 0),
        }
    }

    fn media_header(&self, b: &mut Boxes) {
        b.full(b"mdhd", 0, 0, |b| {
            b.zeros(8); // creation, modification
            b.u32(self.rate);
            b.u32(0); // duration: unknown
            b.u16(0x55c4); // language: und
            b.u16(0);
        });
        b.full(b"hdlr", 0, 0, |b| {
            b.u32(0);
            b.bytes(if self.kind == TrackKind::Video { b"vide" } else { b"soun" });
            b.zeros(12);
            b.bytes(b"Sluice\0");
        });
    }

    fn media(&self, b: &mut Boxes) {
        b.boxed(b"minf", |b| {
            match self.kind {
                TrackKind::Video => b.full(b"vmhd", 0, 1, |b| b.zeros(8)),
                TrackKind::Audio => b.full(b"smhd", 0, 0, |b| b.zeros(4)),
            }
            b.boxed(b"dinf", |b| {
                b.full(b"dref", 0, 0, |b| {
                    b.u32(1);
                    b.full(b"url ", 0, 1, |_| {}); // the media is in this file
                });
            });
            b.boxed(b"stbl", |b| self.sample_tables(b));
        });
    }

    /// The description of the samples, and the mandatory tables, empty: fragments
    /// carry the samples.
    fn sample_tables(&self, b: &mut Boxes) {
        b.full(b"stsd", 0, 0, |b| {
            b.u32(1);
            match &self.entry {
                Entry::Avc(track) => avc1(b, track, self.size()),
                Entry::Aac(track, config) => mp4a(b, track, *config),
                Entry::Opus(head) => opus(b, head),
            }
        });
        b.full(b"stts", 0, 0, |b| b.u32(0));
        b.full(b"stsc", 0, 0, |b| b.u32(0));
        b.full(b"stsz", 0, 0, |b| b.zeros(8));
        b.full(b"stco", 0, 0, |b| b.u32(0));
    }

    fn write_defaults(&self, b: &mut Boxes) {
        b.full(b"trex", 0, 0, |b| {
            b.u32(track_id(self.kind));
            b.u32(1); // sample description
            b.u32(0); // duration
            b.u32(0); // size
            b.u32(if self.kind == TrackKind::Video { NON_SYNC } else { SYNC });
        });
    }
}

/// ISO/IEC 14496-15 §5.4.2.
fn avc1(b: &mut Boxes, track: &VideoTrack, (width, height): (u16, u16)) {
    b.boxed(b"avc1", |b| {
        b.zeros(6);
        b.u16(1); // data reference
        b.zeros(16);
        b.u16(width);
        b.u16(height);
        b.u32(0x0048_0000); // 72 dpi
        b.u32(0x0048_0000);
        b.zeros(4);
        b.u16(1); // frames per sample
        b.zeros(32); // compressor name
        b.u16(0x0018); // depth: colour
        b.u16(0xffff);
        b.boxed(b"avcC", |b| b.bytes(&track.config));
    });
}

/// ISO/IEC 14496-12 §12.2.3. The rate field has 16 integer bits; a faster clock
/// is left to the configuration.
fn audio_entry(b: &mut Boxes, kind: &[u8; 4], channels: u8, rate: u32, config: impl FnOnce(&mut Boxes)) {
    b.boxed(kind, |b| {
        b.zeros(6);
        b.u16(1); // data reference
        b.zeros(8);
        b.u16(u16::from(channels));
        b.u16(16); // bits per sample
        b.zeros(4);
        b.u32(u32::from(u16::try_from(rate).unwrap_or(0)) << 16);
        config(b);
    });
}

fn opus(b: &mut Boxes, head: &OpusHead) {
    audio_entry(b, b"Opus", head.channels, OPUS_RATE, |b| head.write_box(b));
}

fn mp4a(b: &mut Boxes, track: &AudioTrack, config: AacConfig) {
    audio_entry(b, b"mp4a", track.channels, config.core_rate, |b| {
        b.full(b"esds", 0, 0, |b| es_descriptor(b, &track.config));
    });
}

/// ISO/IEC 14496-1 §7.2.6.5: an elementary stream of MPEG-4 audio.
fn es_descriptor(b: &mut Boxes, config: &[u8]) {
    let config_len = config.len();
    let decoder_len = 13 + descriptor_len(config_len);
    descriptor(b, 3, 3 + descriptor_len(decoder_len) + descriptor_len(1));
    b.u16(0); // stream id, in a file
    b.u8(0);
    descriptor(b, 4, decoder_len);
    b.u8(0x40); // ISO/IEC 14496-3
    b.u8(0x15); // audio stream, upstream 0, reserved 1
    b.zeros(3 + 4 + 4); // buffer size, maximum and average bit rate: unknown
    descriptor(b, 5, config_len);
    b.bytes(config);
    descriptor(b, 6, 1);
    b.u8(2); // predefined for MP4 files
}

/// Tag and length; the length always in four bytes, 7 bits each.
fn descriptor(b: &mut Boxes, tag: u8, len: usize) {
    b.u8(tag);
    let len = size32(len);
    for shift in [21, 14, 7] {
        b.u8((len >> shift) as u8 & 0x7f | 0x80);
    }
    b.u8(len as u8 & 0x7f);
}

const fn descriptor_len(len: usize) -> usize {
    5 + len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_that_no_decoder_could_use_are_refused() {
        let video = |config: &'static [u8]| Tracks {
            video: Some(VideoTrack {
                codec: media::VideoCodec::H264,
                config: Bytes::from_static(config),
                width: 16,
                height: 16,
                reordered: false,
            }),
            audio: None,
        };
        assert_eq!(InitSegment::new(&Tracks::default()), Err(InitError::NoTrack));
        assert_eq!(InitSegment::new(&video(b"")), Err(InitError::Avc));
        assert_eq!(
            InitSegment::new(&video(&[1, 66, 0, 30, 0xfc, 0xe0, 0])),
            Err(InitError::Avc),
            "length size 1"
        );
        assert!(InitSegment::new(&video(&[1, 66, 0, 30, 0xff, 0xe0, 0])).is_ok());
        let audio = AudioTrack {
            codec: AudioCodec::Opus,
            config: Bytes::from_static(b"OggS"),
            sample_rate: 48_000,
            channels: 2,
        };
        let audio = Tracks { video: None, audio: Some(audio) };
        assert_eq!(InitSegment::new(&audio), Err(InitError::Opus(OpusHeadError)));
    }
}
