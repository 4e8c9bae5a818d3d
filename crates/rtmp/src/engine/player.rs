//! The sending half of a connection that plays.

use bytes::BytesMut;
use media::{AudioCodec, Frame, TrackKind, Tracks};

use crate::egress::{MediaWriter, Outgoing, PlayerClock};

/// What an accepted player gets.
pub(super) struct Player {
    writer: MediaWriter,
    heads: BytesMut,
    clock: PlayerClock,
    audio: AudioCodec,
    paused: bool,
    pub(super) audio_on: bool,
    video_on: bool,
    /// Video was left out: it goes on with a keyframe.
    needs_keyframe: bool,
}

impl Player {
    pub(super) fn new(stream: u32) -> Self {
        Self {
            writer: MediaWriter::new(stream),
            heads: BytesMut::new(),
            clock: PlayerClock::default(),
            audio: AudioCodec::Aac,
            paused: false,
            audio_on: true,
            video_on: true,
            needs_keyframe: true,
        }
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.needs_keyframe = true;
    }

    pub(super) fn set_video(&mut self, on: bool) {
        self.video_on = on;
        self.needs_keyframe = true;
    }

    pub(super) fn send_tracks(&mut self, out: &mut BytesMut, tracks: &Tracks) {
        if let Some(audio) = &tracks.audio {
            self.audio = audio.codec;
        }
        self.needs_keyframe = true;
        self.clock.new_tracks();
        self.writer.tracks(out, tracks, self.clock.now());
    }

    pub(super) fn outgoing(&mut self, frame: &Frame) -> Option<Outgoing> {
        if !self.wants(frame) {
            return None;
        }
        let timestamp = self.clock.place(frame.dts);
        Some(self.writer.outgoing(&mut self.heads, frame, self.audio, timestamp))
    }

    fn wants(&mut self, frame: &Frame) -> bool {
        match frame.track {
            _ if self.paused => false,
            TrackKind::Audio => self.audio_on,
            TrackKind::Video => {
                self.needs_keyframe &= !(self.video_on && frame.keyframe);
                self.video_on && !self.needs_keyframe
            }
        }
    }
}
