//! What becomes of each event; no thread, no clock.

use std::sync::Arc;
use std::time::Duration;

use media::ring::{EndReason, Event};
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoTrack};

use super::late::{Late, Lateness};
use super::restarts::Restarts;
use super::{Counts, Output, Treatment, WorkerSettings};
use crate::audio::AudioTranscoder;
use crate::slots::Slot;
use crate::video::{Coder, Effort, Unopened, VideoUnsupported};

/// Shortest stream time between keyframes that players ask for. A keyframe is
/// ten times a picture, and one player's loss is paid by all.
const KEYFRAME_GAP: Duration = Duration::from_millis(500);

enum Video {
    Absent,
    Passed,
    Transcoded(Coder, #[expect(dead_code, reason = "held for its drop")] Slot),
    Keyframes(Treatment),
}

enum Audio {
    Absent,
    Passed,
    Transcoded(Box<AudioTranscoder>),
    Refused(Treatment),
}

/// Its process ended, and it may have another.
const ENDED: Treatment = Treatment::KeyframesOnly(VideoUnsupported::Ended);

/// One stream on its way through.
pub(super) struct Stream {
    settings: WorkerSettings,
    source: Arc<Tracks>,
    tracks: Arc<Tracks>,
    video: Video,
    audio: Audio,
    late: Late,
    restarts: Restarts,
    /// Nothing was given since the start; what is left out until then is only
    /// the past.
    joining: bool,
    skip_to_keyframe: bool,
    keyframe_wanted: bool,
    last_keyframe: Option<MediaTime>,
    unreported: u64,
    /// Those of transcoders that are gone included, of those at work not.
    counts: Counts,
}

impl Stream {
    pub(super) fn new(settings: WorkerSettings) -> Self {
        Self {
            settings,
            source: Arc::default(),
            tracks: Arc::default(),
            video: Video::Absent,
            audio: Audio::Absent,
            late: Late::at_start(),
            restarts: Restarts::default(),
            joining: true,
            skip_to_keyframe: false,
            keyframe_wanted: false,
            last_keyframe: None,
            unreported: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let Counts { dropped, corrupt, skipped } = self.counts;
        let corrupt = corrupt + self.video.corrupt() + self.audio.corrupt();
        Counts { dropped, corrupt, skipped: skipped + self.video.skipped() }
    }

    pub(super) fn request_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    /// Whether this event may keep a thread for long: pictures are transcoded, or may
    /// be from it on.
    pub(super) fn needs_own_thread(&self, event: &Event<Frame>) -> bool {
        let has_room = || self.settings.transcoding.slots.has_room();
        match (&self.video, event) {
            (Video::Transcoded(..), _) => true,
            (_, Event::Tracks(tracks)) => tracks.video.as_ref().is_some_and(|v| v.reordered) && has_room(),
            (Video::Keyframes(Treatment::NoRoom | ENDED), Event::Item(frame)) => {
                frame.keyframe && frame.track == TrackKind::Video && has_room()
            }
            _ => false,
        }
    }

    /// One event of the bus, behind which `lag` frames wait.
    pub(super) fn on(&mut self, event: Event<Frame>, lag: u64, out: &mut Vec<Output>) {
        match event {
            Event::Tracks(tracks) => self.on_tracks(tracks, out),
            Event::Item(frame) => self.on_frame(&frame, lag, out),
            Event::Gap(lost) => self.on_gap(lost, out),
            Event::Ended(reason) => self.on_end(reason, out),
        }
    }

    fn on_tracks(&mut self, tracks: Arc<Tracks>, out: &mut Vec<Output>) {
        self.counts = self.counts();
        // The old transcoder's place must be free before the new one asks.
        self.video = Video::Absent;
        self.video = self.open_video(tracks.video.as_ref());
        self.audio = open_audio(tracks.audio.as_ref());
        self.source = tracks;
        self.announce(out);
    }

    fn open_video(&mut self, track: Option<&VideoTrack>) -> Video {
        match track {
            None => Video::Absent,
            Some(track) if !track.reordered => Video::Passed,
            Some(track) => self.open_transcoder(track),
        }
    }

    fn open_transcoder(&mut self, track: &VideoTrack) -> Video {
        let Some(slot) = self.settings.transcoding.slots.try_acquire() else {
            return Video::Keyframes(Treatment::NoRoom);
        };
        if !self.restarts.may_open() {
            return Video::Keyframes(ENDED);
        }
        match Coder::open(&self.settings.transcoding.decoding, track, self.settings.video) {
            Ok(coder) => Video::Transcoded(coder, slot),
            // The machine's lack is not the stream's failure.
            Err(Unopened::NotStarted) => Video::Keyframes(Treatment::NoRoom),
            Err(Unopened::Unsupported(cause)) => {
                if cause == VideoUnsupported::Ended {
                    self.restarts.failed();
                }
                Video::Keyframes(Treatment::KeyframesOnly(cause))
            }
        }
    }

    fn announce(&mut self, out: &mut Vec<Output>) {
        let video = match &self.video {
            Video::Transcoded(transcoder, _) => Some(transcoder.track().clone()),
            _ => self.source.video.clone(),
        };
        let audio = match &self.audio {
            Audio::Transcoded(transcoder) => Some(transcoder.track().clone()),
            Audio::Refused(_) => None,
            _ => self.source.audio.clone(),
        };
        self.tracks = Arc::new(Tracks { video, audio });
        let (video, audio) = (self.video.treatment(), self.audio.treatment());
        tracing::debug!(?video, ?audio, "transcoding");
        out.push(Output::Tracks { tracks: self.tracks.clone(), video, audio });
    }

    fn on_frame(&mut self, frame: &Frame, lag: u64, out: &mut Vec<Output>) {
        let lateness = self.late.judge(lag);
        match frame.track {
            TrackKind::Audio => self.on_audio(frame, lateness, out),
            TrackKind::Video => self.on_video(frame, lateness, lag, out),
        }
        if lateness == Lateness::InTime {
            self.joining = false;
            self.report_dropped(out);
        }
    }

    /// Sound that is late is left out: players would keep the delay.
    fn on_audio(&mut self, frame: &Frame, lateness: Lateness, out: &mut Vec<Output>) {
        if lateness != Lateness::InTime && !matches!(self.video, Video::Absent) {
            return self.drop_one();
        }
        match &mut self.audio {
            Audio::Passed => out.push(Output::Frame(frame.clone())),
            Audio::Transcoded(transcoder) => {
                out.extend(transcoder.push(frame).into_iter().map(Output::Frame));
            }
            Audio::Absent | Audio::Refused(_) => {}
        }
    }

    fn on_video(&mut self, frame: &Frame, lateness: Lateness, lag: u64, out: &mut Vec<Output>) {
        match &self.video {
            Video::Absent => {}
            Video::Passed => out.push(Output::Frame(frame.clone())),
            Video::Keyframes(_) if frame.keyframe => self.on_lone_keyframe(frame, lateness, lag, out),
            Video::Keyframes(_) => {}
            Video::Transcoded(..) => self.transcode(frame, lateness, lag, out),
        }
    }

    fn on_lone_keyframe(&mut self, frame: &Frame, lateness: Lateness, lag: u64, out: &mut Vec<Output>) {
        let Video::Keyframes(before) = self.video else { return };
        let again = before == Treatment::NoRoom || before == ENDED && self.restarts.may_start();
        if again && let Some(track) = &self.source.video {
            let opened = self.open_transcoder(&track.clone());
            if opened.treatment() != before {
                self.video = opened;
                self.announce(out);
                return self.on_video(frame, lateness, lag, out);
            }
        }
        out.push(Output::Frame(frame.clone()));
    }

    fn transcode(&mut self, frame: &Frame, lateness: Lateness, lag: u64, out: &mut Vec<Output>) {
        self.skip_to_keyframe |= lateness == Lateness::TooLate;
        if self.skip_to_keyframe && frame.keyframe {
            self.skip_to_keyframe = false;
            self.late.try_again(lag);
        }
        let keyframe = self.keyframe_may_come(frame.dts);
        let Video::Transcoded(transcoder, _) = &mut self.video else { return };
        if self.skip_to_keyframe {
            transcoder.lost();
            return self.drop_one();
        }
        if keyframe {
            transcoder.force_keyframe();
        }
        let effort = if lateness == Lateness::InTime { Effort::Full } else { Effort::DecodeOnly };
        let frames = transcoder.push(frame, effort);
        let gives_up = transcoder.gives_up();
        if effort == Effort::DecodeOnly {
            self.drop_one();
        }
        self.give(frames, out);
        match gives_up {
            Some(cause) => self.give_up(cause, out),
            None => self.restarts.decoded(),
        }
    }

    /// Whether a keyframe was asked for and enough time has passed since the
    /// last; a request that comes too early is kept.
    fn keyframe_may_come(&mut self, now: MediaTime) -> bool {
        let rested = self.last_keyframe.is_none_or(|last| now.since(last) >= KEYFRAME_GAP);
        rested && std::mem::take(&mut self.keyframe_wanted)
    }

    fn give(&mut self, frames: Vec<Frame>, out: &mut Vec<Output>) {
        let Video::Transcoded(transcoder, _) = &self.video else { return };
        if !frames.is_empty() && self.tracks.video.as_ref() != Some(transcoder.track()) {
            self.announce(out);
        }
        let keyframe = frames.iter().rev().find(|frame| frame.keyframe);
        self.last_keyframe = keyframe.map(|frame| frame.dts).or(self.last_keyframe);
        out.extend(frames.into_iter().map(Output::Frame));
    }

    fn give_up(&mut self, cause: VideoUnsupported, out: &mut Vec<Output>) {
        if cause == VideoUnsupported::Ended {
            self.restarts.failed();
        }
        self.counts.corrupt += self.video.corrupt();
        self.counts.skipped += self.video.skipped();
        self.video = Video::Keyframes(Treatment::KeyframesOnly(cause));
        self.announce(out);
    }

    fn on_gap(&mut self, lost: u64, out: &mut Vec<Output>) {
        if let Video::Transcoded(transcoder, _) = &mut self.video {
            transcoder.lost();
        }
        self.skip_to_keyframe = false;
        self.late = Late::at_start();
        self.counts.dropped += lost;
        self.unreported += lost;
        self.report_dropped(out);
    }

    fn on_end(&mut self, reason: EndReason, out: &mut Vec<Output>) {
        if let (Video::Transcoded(transcoder, _), EndReason::Finished) = (&mut self.video, reason) {
            let frames = transcoder.flush();
            self.give(frames, out);
        }
        self.report_dropped(out);
        out.push(Output::Ended(reason));
    }

    fn drop_one(&mut self) {
        if !self.joining {
            self.counts.dropped += 1;
            self.unreported += 1;
        }
    }

    fn report_dropped(&mut self, out: &mut Vec<Output>) {
        if self.unreported > 0 {
            out.push(Output::Dropped(std::mem::take(&mut self.unreported)));
        }
    }
}

impl Video {
    fn treatment(&self) -> Treatment {
        match self {
            Self::Absent => Treatment::Absent,
            Self::Passed => Treatment::Passed,
            Self::Transcoded(..) => Treatment::Transcoded,
            Self::Keyframes(cause) => *cause,
        }
    }

    fn corrupt(&self) -> u64 {
        if let Self::Transcoded(transcoder, _) = self { transcoder.corrupt() } else { 0 }
    }

    fn skipped(&self) -> u64 {
        if let Self::Transcoded(transcoder, _) = self { transcoder.skipped() } else { 0 }
    }
}

impl Audio {
    fn treatment(&self) -> Treatment {
        match self {
            Self::Absent => Treatment::Absent,
            Self::Passed => Treatment::Passed,
            Self::Transcoded(_) => Treatment::Transcoded,
            Self::Refused(cause) => *cause,
        }
    }

    fn corrupt(&self) -> u64 {
        if let Self::Transcoded(transcoder) = self { transcoder.corrupt() } else { 0 }
    }
}

fn open_audio(track: Option<&AudioTrack>) -> Audio {
    match track {
        None => Audio::Absent,
        Some(track) if track.codec == AudioCodec::Opus => Audio::Passed,
        Some(track) => match AudioTranscoder::new(track) {
            Ok(transcoder) => Audio::Transcoded(Box::new(transcoder)),
            Err(cause) => Audio::Refused(Treatment::Refused(cause)),
        },
    }
}

#[cfg(test)]
mod tests;
