//! A transcoder in another process, which is believed nothing.

use media::{Frame, MediaTime, VideoCodec, VideoTrack};

use super::pipe::Child;
use super::wire::{self, Pushed, Reply, Request};
use super::{Failed, Program};
use crate::video::{Effort, Unopened, VideoSettings, VideoUnsupported};

/// Bytes of the parameter sets of our own encoder, ten times what they have.
const MAX_CONFIG: usize = 1024;

/// The transcoder of one stream. When its process fails it gives nothing more, and
/// says so by [`Self::gives_up`].
pub(crate) struct Remote {
    program: Program,
    child: Child,
    settings: VideoSettings,
    track: VideoTrack,
    keyframe: bool,
    lost: bool,
    last: Option<MediaTime>,
    corrupt: u64,
    /// Frames that did not get there, beside those that are corrupt.
    unsent: u64,
    skipped: u64,
    gives_up: Option<VideoUnsupported>,
}

impl Remote {
    /// Starts a process for a track.
    pub(crate) fn open(
        program: &Program,
        track: &VideoTrack,
        settings: VideoSettings,
    ) -> Result<Self, Unopened> {
        if track.config.len() > wire::MAX_CONFIG {
            return Err(VideoUnsupported::Config.into());
        }
        let ended = |Failed| VideoUnsupported::Ended;
        let mut child = program.start().map_err(|Failed| Unopened::NotStarted)?;
        let request = Request::Open { track: track.clone(), settings };
        let track = match program.ask(&mut child, &request).map_err(ended)? {
            Reply::Opened(track) if is_ours(&track, &settings) => track,
            Reply::Unsupported(cause) => return Err(cause.into()),
            _ => return Err(ended(program.failed("an answer to something else")).into()),
        };
        Ok(Self {
            program: program.clone(),
            child,
            settings,
            track,
            keyframe: false,
            lost: false,
            last: None,
            corrupt: 0,
            unsent: 0,
            skipped: 0,
            gives_up: None,
        })
    }

    pub(crate) const fn track(&self) -> &VideoTrack {
        &self.track
    }

    pub(crate) const fn corrupt(&self) -> u64 {
        self.corrupt + self.unsent
    }

    pub(crate) const fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(crate) const fn gives_up(&self) -> Option<VideoUnsupported> {
        self.gives_up
    }

    pub(crate) const fn force_keyframe(&mut self) {
        self.keyframe = true;
    }

    pub(crate) const fn lost(&mut self) {
        self.lost = true;
    }

    pub(crate) fn push(&mut self, frame: &Frame, effort: Effort) -> Vec<Frame> {
        if frame.data.len() > wire::MAX_FRAME {
            self.unsent += 1;
            self.lost = true;
            return Vec::new();
        }
        let keyframe = std::mem::take(&mut self.keyframe);
        let lost = std::mem::take(&mut self.lost);
        self.ask(&Request::Push { frame: frame.clone(), effort, keyframe, lost })
    }

    pub(crate) fn flush(&mut self) -> Vec<Frame> {
        self.ask(&Request::Flush)
    }

    fn ask(&mut self, request: &Request) -> Vec<Frame> {
        if self.gives_up.is_some() {
            return Vec::new();
        }
        let taken = self.program.ask(&mut self.child, request).and_then(|reply| self.take(reply));
        taken.unwrap_or_else(|Failed| {
            self.unsent += 1;
            self.gives_up = Some(VideoUnsupported::Ended);
            Vec::new()
        })
    }

    fn take(&mut self, reply: Reply) -> Result<Vec<Frame>, Failed> {
        let Reply::Pushed(pushed) = reply else {
            return Err(self.program.failed("an answer to something else"));
        };
        if !self.is_plausible(&pushed) {
            return Err(self.program.failed("an implausible answer"));
        }
        let Pushed { frames, track, corrupt, skipped, gives_up } = pushed;
        self.track = track.unwrap_or_else(|| self.track.clone());
        self.last = frames.last().map(|frame| frame.pts).or(self.last);
        (self.corrupt, self.skipped, self.gives_up) = (corrupt, skipped, gives_up);
        Ok(frames)
    }

    /// Whether it can be what a transcoder gives: pictures in order of NAL units, and
    /// counts that grow.
    fn is_plausible(&self, pushed: &Pushed) -> bool {
        let mut last = self.last;
        let in_order = pushed.frames.iter().all(|frame| {
            let later = last < Some(frame.pts) && frame.dts == frame.pts;
            last = Some(frame.pts);
            later && are_slices(&frame.data, frame.keyframe)
        });
        in_order
            && pushed.track.as_ref().is_none_or(|track| is_ours(track, &self.settings))
            && pushed.corrupt >= self.corrupt
            && pushed.skipped >= self.skipped
    }
}

/// Whether our own encoder may have made it.
fn is_ours(track: &VideoTrack, settings: &VideoSettings) -> bool {
    let samples = u64::from(track.width) * u64::from(track.height);
    track.codec == VideoCodec::H264
        && !track.reordered
        && (1..=u64::from(settings.max_samples)).contains(&samples)
        && (7..=MAX_CONFIG).contains(&track.config.len())
        && track.config[0] == 1
}

/// NAL units of slices behind lengths of 4 bytes, of an IDR picture or of none.
fn are_slices(mut data: &[u8], idr: bool) -> bool {
    const SLICE: u8 = 1;
    const IDR: u8 = 5;
    let kind = if idr { IDR } else { SLICE };
    if data.is_empty() {
        return false;
    }
    while let Some((length, rest)) = data.split_first_chunk() {
        let Ok(length) = usize::try_from(u32::from_be_bytes(*length)) else { return false };
        match rest.split_at_checked(length) {
            Some((nal, rest)) if nal.first().is_some_and(|head| head & 0x1F == kind) => data = rest,
            _ => return false,
        }
    }
    data.is_empty()
}

/// Begins and ends as a JPEG does, so that nothing else goes out under that name.
pub(super) fn is_jpeg(data: &[u8]) -> bool {
    data.starts_with(&[0xFF, 0xD8, 0xFF]) && data.ends_with(&[0xFF, 0xD9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slices_of_the_kind_that_was_said_are_pictures() {
        let slice = |kind: u8| [0, 0, 0, 2, 0x60 | kind, 9];
        for (data, idr, expected) in [
            (slice(1).to_vec(), false, true),
            (slice(5).to_vec(), true, true),
            ([slice(1), slice(1)].concat(), false, true),
            (slice(5).to_vec(), false, false),
            (slice(1).to_vec(), true, false),
            ([slice(1), slice(7)].concat(), false, false),
            (Vec::new(), false, false),
            (slice(1)[..5].to_vec(), false, false),
            ([&slice(1)[..], &[0]].concat(), false, false),
            (vec![0, 0, 0, 0], false, false),
            (vec![0xFF, 0xFF, 0xFF, 0xFF, 1], false, false),
        ] {
            assert_eq!(are_slices(&data, idr), expected, "{data:?} {idr}");
        }
    }

    #[test]
    fn a_track_is_of_a_size_that_was_asked_for() {
        let settings = VideoSettings { max_samples: 64 * 64, ..VideoSettings::default() };
        let config = vec![1; 40].into();
        let ours = VideoTrack { codec: VideoCodec::H264, config, width: 64, height: 64, reordered: false };
        assert!(is_ours(&ours, &settings));
        for other in [
            VideoTrack { width: 65, ..ours.clone() },
            VideoTrack { height: 0, ..ours.clone() },
            VideoTrack { reordered: true, ..ours.clone() },
            VideoTrack { config: vec![2; 40].into(), ..ours.clone() },
            VideoTrack { config: vec![1; MAX_CONFIG + 1].into(), ..ours.clone() },
            VideoTrack { config: Default::default(), ..ours.clone() },
        ] {
            assert!(!is_ours(&other, &settings), "{other:?}");
        }
    }

    #[test]
    fn a_page_is_no_thumbnail() {
        assert!(is_jpeg(&[0xFF, 0xD8, 0xFF, 0xE0, 7, 0xFF, 0xD9]));
        assert!(!is_jpeg(b"<html>"));
        assert!(!is_jpeg(&[0xFF, 0xD8, 0xFF, 0xE0]));
        assert!(!is_jpeg(&[]));
    }
}
