//! What the server and a process that decodes say to each other: a length of four
//! bytes, a kind, fields. Both read it as if a stranger had written it, because the
//! one that decodes reads what strangers send.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use media::{Frame, MediaTime, TrackKind, VideoCodec, VideoTrack};

use super::words;
use crate::still::StillError;
use crate::video::{Effort, VideoSettings, VideoUnsupported};

/// Bytes of a message. A picture of 4096x2304 may have 22 MB by its macroblocks, and
/// has less than a tenth of that; 16 MiB is what an RTMP message has at most.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// Bytes of a decoder configuration record: twice those of all parameter sets.
pub(super) const MAX_CONFIG: usize = 128 << 10;

/// Bytes of a frame that fits into a message beside a record.
pub(super) const MAX_FRAME: usize = MAX_MESSAGE - MAX_CONFIG - 1024;

/// Pictures that come out at once: those of a decoded picture buffer, and the one
/// that went in.
const MAX_FRAMES: usize = 17;

/// Bytes of a thumbnail, a hundred times what it usually has.
const MAX_JPEG: usize = 1 << 20;

/// A message that is none, or past a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed message")]
pub(crate) struct Malformed;

/// What the server asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Begin with a stream.
    Open { track: VideoTrack, settings: VideoSettings },
    /// The next frame.
    Push { frame: Frame, effort: Effort, keyframe: bool, lost: bool },
    /// Give what is still held.
    Flush,
    /// Make a small picture of a key frame.
    Still { track: VideoTrack, keyframe: Frame, width: u32 },
}

/// What is answered, once to each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The stream can be transcoded into this.
    Opened(VideoTrack),
    /// It cannot.
    Unsupported(VideoUnsupported),
    /// What comes out.
    Pushed(Pushed),
    /// A JPEG.
    Still(Bytes),
    /// There is none.
    NoStill(StillError),
}

/// What comes out with a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pushed {
    pub(crate) frames: Vec<Frame>,
    /// When it is another than before.
    pub(crate) track: Option<VideoTrack>,
    pub(crate) corrupt: u64,
    pub(crate) skipped: u64,
    /// Why nothing more will come.
    pub(crate) gives_up: Option<VideoUnsupported>,
}

const OPEN: u8 = 1;
const PUSH: u8 = 2;
const FLUSH: u8 = 3;
const STILL: u8 = 4;
const OPENED: u8 = 5;
const UNSUPPORTED: u8 = 6;
const PUSHED: u8 = 7;
const JPEG: u8 = 8;
const NO_STILL: u8 = 9;

impl Request {
    /// The message, with its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        message(|out| match self {
            Self::Open { track, settings } => {
                out.put_u8(OPEN);
                put_track(out, track);
                out.put_u32(settings.bitrate.unwrap_or(0));
                out.put_u32(settings.max_samples);
                out.put_u32(u32::try_from(settings.keyframe_every.as_millis()).unwrap_or(u32::MAX));
            }
            Self::Push { frame, effort, keyframe, lost } => {
                out.put_u8(PUSH);
                out.put_u8((*effort == Effort::Full).into());
                out.put_u8((*keyframe).into());
                out.put_u8((*lost).into());
                put_frame(out, frame);
            }
            Self::Flush => out.put_u8(FLUSH),
            Self::Still { track, keyframe, width } => {
                out.put_u8(STILL);
                put_track(out, track);
                put_frame(out, keyframe);
                out.put_u32(*width);
            }
        })
    }

    /// Reads what follows the length.
    pub(crate) fn decode(body: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields(body);
        let request = match fields.u8()? {
            OPEN => Self::Open {
                track: fields.track()?,
                settings: VideoSettings {
                    bitrate: Some(fields.u32()?).filter(|&bitrate| bitrate > 0),
                    max_samples: fields.u32()?,
                    keyframe_every: Duration::from_millis(fields.u32()?.into()),
                },
            },
            PUSH => {
                let effort = if fields.flag()? { Effort::Full } else { Effort::DecodeOnly };
                let (keyframe, lost) = (fields.flag()?, fields.flag()?);
                Self::Push { frame: fields.frame()?, effort, keyframe, lost }
            }
            FLUSH => Self::Flush,
            STILL => Self::Still { track: fields.track()?, keyframe: fields.frame()?, width: fields.u32()? },
            _ => return Err(Malformed),
        };
        fields.end(request)
    }
}

impl Reply {
    /// The message, with its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        message(|out| match self {
            Self::Opened(track) => {
                out.put_u8(OPENED);
                put_track(out, track);
            }
            Self::Unsupported(cause) => {
                out.put_u8(UNSUPPORTED);
                words::put(out, *cause);
            }
            Self::Pushed(pushed) => {
                out.put_u8(PUSHED);
                pushed.put(out);
            }
            Self::Still(jpeg) => {
                out.put_u8(JPEG);
                put_bytes(out, jpeg);
            }
            Self::NoStill(error) => {
                out.put_u8(NO_STILL);
                match error {
                    StillError::Unsupported(cause) => words::put(out, *cause),
                    StillError::Encoder | StillError::Ended => words::put(out, VideoUnsupported::Encoder),
                }
            }
        })
    }

    /// Reads what follows the length.
    pub(crate) fn decode(body: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields(body);
        let reply = match fields.u8()? {
            OPENED => Self::Opened(fields.track()?),
            UNSUPPORTED => Self::Unsupported(words::take(&mut fields)?),
            PUSHED => Self::Pushed(Pushed::take(&mut fields)?),
            JPEG => Self::Still(fields.bytes(MAX_JPEG)?),
            NO_STILL => Self::NoStill(match words::take(&mut fields)? {
                VideoUnsupported::Encoder => StillError::Encoder,
                cause => cause.into(),
            }),
            _ => return Err(Malformed),
        };
        fields.end(reply)
    }
}

impl Pushed {
    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.corrupt);
        out.put_u64(self.skipped);
        out.put_u8(self.gives_up.is_some().into());
        if let Some(cause) = self.gives_up {
            words::put(out, cause);
        }
        out.put_u8(self.track.is_some().into());
        if let Some(track) = &self.track {
            put_track(out, track);
        }
        out.put_u8(u8::try_from(self.frames.len()).unwrap_or(u8::MAX));
        self.frames.iter().for_each(|frame| put_frame(out, frame));
    }

    fn take(fields: &mut Fields) -> Result<Self, Malformed> {
        let (corrupt, skipped) = (fields.u64()?, fields.u64()?);
        let gives_up = if fields.flag()? { Some(words::take(fields)?) } else { None };
        let track = if fields.flag()? { Some(fields.track()?) } else { None };
        let count = usize::from(fields.u8()?);
        if count > MAX_FRAMES {
            return Err(Malformed);
        }
        let frames = (0..count).map(|_| fields.frame()).collect::<Result<_, _>>()?;
        Ok(Self { frames, track, corrupt, skipped, gives_up })
    }
}

/// How long the message is that begins with this length.
pub(crate) fn length(head: [u8; 4]) -> Result<usize, Malformed> {
    let length = usize::try_from(u32::from_be_bytes(head)).map_err(|_| Malformed)?;
    if length > MAX_MESSAGE { Err(Malformed) } else { Ok(length) }
}

fn message(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    put(&mut out);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

fn put_track(out: &mut Vec<u8>, track: &VideoTrack) {
    out.put_u32(track.width);
    out.put_u32(track.height);
    out.put_u8(track.reordered.into());
    put_bytes(out, &track.config);
}

fn put_frame(out: &mut Vec<u8>, frame: &Frame) {
    out.put_i64(frame.pts.as_micros());
    out.put_i64(frame.dts.as_micros());
    out.put_u8(frame.keyframe.into());
    put_bytes(out, &frame.data);
}

/// Takes fields from the front of a message.
pub(super) struct Fields(Bytes);

impl Fields {
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| Malformed)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| Malformed)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| Malformed)
    }

    fn time(&mut self) -> Result<MediaTime, Malformed> {
        self.0.try_get_i64().map(MediaTime::from_micros).map_err(|_| Malformed)
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn bytes(&mut self, most: usize) -> Result<Bytes, Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        if length > most.min(self.0.len()) {
            return Err(Malformed);
        }
        Ok(self.0.split_to(length))
    }

    fn track(&mut self) -> Result<VideoTrack, Malformed> {
        let (width, height) = (self.u32()?, self.u32()?);
        let reordered = self.flag()?;
        let config = self.bytes(MAX_CONFIG)?;
        Ok(VideoTrack { codec: VideoCodec::H264, config, width, height, reordered })
    }

    fn frame(&mut self) -> Result<Frame, Malformed> {
        let (pts, dts) = (self.time()?, self.time()?);
        let keyframe = self.flag()?;
        let data = self.bytes(MAX_MESSAGE)?;
        Ok(Frame { track: TrackKind::Video, pts, dts, keyframe, data })
    }

    /// Nothing may follow.
    fn end<T>(self, read: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(read) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests;
