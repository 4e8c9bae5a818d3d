//! A publisher's RTP, from the wire into the stream's rings.
//!
//! Packets go into the packet ring as they come; frames are put together only
//! while somebody reads the bus. Pure: packets and `now` in, ring writes and
//! wishes out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{AudioCodec, AudioTrack, BusWriter, Frame, MediaTime, Packet, PacketWriter, TrackKind, Tracks};

use super::lipsync::Lipsync;
use super::payload::{avc, opus};
use super::picture::Pictures;
use super::reorder::{Ordered, Reorder};

/// Room for two retransmission rounds over 100 ms.
const VIDEO_PATIENCE: Duration = Duration::from_millis(250);
/// Sound is not retransmitted; this only mends reordering.
const AUDIO_PATIENCE: Duration = Duration::from_millis(40);
/// A publisher is asked for key frames at most this often.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// HLS cuts segments at key frames, and browsers send them only when asked.
const FRAME_GOP: Duration = Duration::from_secs(2);
/// How long the stream waits for its other track before it goes live without.
const WAIT_AUDIO: Duration = Duration::from_millis(500);
const WAIT_VIDEO: Duration = Duration::from_secs(3);
/// What is kept from the first key frame until the stream is live.
const MAX_PENDING: usize = 2048;

/// One RTP packet of a publisher.
#[derive(Debug)]
pub(crate) struct Rtp {
    /// Whose.
    pub(crate) track: TrackKind,
    /// Extended sequence number.
    pub(crate) seq: u64,
    /// RTP time, unwrapped.
    pub(crate) time: u64,
    /// Marker bit.
    pub(crate) marker: bool,
    /// Payload.
    pub(crate) payload: Bytes,
}

/// Which tracks a publisher said it sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced {
    /// Pictures.
    pub(crate) video: bool,
    /// Sound.
    pub(crate) audio: bool,
}

#[derive(Debug)]
enum Output {
    /// Not live yet; what came since the newest key frame.
    Pending(Vec<Packet>),
    Live {
        packets: PacketWriter,
        frames: BusWriter,
        assembling: bool,
    },
}

/// A publisher's way in.
#[derive(Debug)]
pub(crate) struct Ingress {
    announced: Announced,
    video: Reorder<Rtp>,
    audio: Reorder<Rtp>,
    sync: Lipsync,
    pictures: Pictures,
    output: Output,
    tracks: Tracks,
    told: bool,
    first: Option<Instant>,
    last_gop: Option<Instant>,
    want_gop: bool,
    asked: Option<Instant>,
}

impl Ingress {
    /// A publisher that announced these tracks.
    pub(crate) fn new(announced: Announced) -> Self {
        Self {
            announced,
            video: Reorder::new(VIDEO_PATIENCE),
            audio: Reorder::new(AUDIO_PATIENCE),
            sync: Lipsync::default(),
            pictures: Pictures::default(),
            output: Output::Pending(Vec::new()),
            tracks: Tracks::default(),
            told: false,
            first: None,
            last_gop: None,
            want_gop: announced.video,
            asked: None,
        }
    }

    /// Takes a packet.
    pub(crate) fn receive(&mut self, rtp: Rtp, now: Instant) {
        self.first.get_or_insert(now);
        match rtp.track {
            TrackKind::Video => self.video.push(rtp.seq, rtp),
            TrackKind::Audio => self.audio.push(rtp.seq, rtp),
        }
        self.advance(now);
    }

    /// Takes a sender report (see [`Lipsync::report`]).
    pub(crate) fn report(&mut self, track: TrackKind, wall: Duration, time: u64) {
        self.sync.report(track, wall, time);
    }

    /// Time passes: gives up what is lost.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(next) = self.audio.pop(now) {
            if let Ordered::Packet(rtp) = next {
                self.sound(&rtp, now);
            }
        }
        while let Some(next) = self.video.pop(now) {
            match next {
                Ordered::Packet(rtp) => self.picture(rtp, now),
                Ordered::Lost(_) => {
                    self.pictures.lost();
                    self.want_gop = true;
                }
            }
        }
    }

    /// When [`advance`](Self::advance) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.audio.deadline(), self.video.deadline()].into_iter().flatten().min()
    }

    /// Somebody needs a key frame.
    pub(crate) fn want_keyframe(&mut self) {
        self.want_gop = self.announced.video;
    }

    /// Whether to ask the publisher for a key frame now. Wishes within
    /// [`ASK_INTERVAL`] are one, and a wish lasts until a key frame comes.
    pub(crate) fn ask_keyframe(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none_or(|at| now >= at + ASK_INTERVAL);
        let ask = self.want_gop && due && self.first.is_some();
        if ask {
            self.asked = Some(now);
        }
        ask
    }

    /// When [`ask_keyframe`](Self::ask_keyframe) may be true, if a wish is open.
    pub(crate) fn ask_deadline(&self) -> Option<Instant> {
        (self.want_gop && self.first.is_some()).then(|| self.asked.map(|at| at + ASK_INTERVAL)).flatten()
    }

    /// What the stream consists of, once: as soon as it is known.
    pub(crate) fn take_tracks(&mut self, now: Instant) -> Option<Tracks> {
        if self.told || !self.ready(now) {
            return None;
        }
        self.told = true;
        Some(self.tracks.clone())
    }

    /// The stream is live: everything since the newest key frame goes out.
    pub(crate) fn go_live(&mut self, packets: PacketWriter, frames: BusWriter, now: Instant) {
        let live = Output::Live { packets, frames, assembling: false };
        if let Output::Pending(pending) = std::mem::replace(&mut self.output, live) {
            pending.into_iter().for_each(|packet| self.emit(packet, now));
        }
    }

    fn ready(&self, now: Instant) -> bool {
        let Some(first) = self.first else { return false };
        let video = self.tracks.video.is_some();
        let audio = self.tracks.audio.is_some();
        let waited = |limit| now >= first + limit;
        (video && (audio || !self.announced.audio || waited(WAIT_AUDIO)))
            || (audio && (!self.announced.video || waited(WAIT_VIDEO)))
    }

    fn sound(&mut self, rtp: &Rtp, now: Instant) {
        let Some(payload) = opus::depacketise(&rtp.payload) else { return };
        if self.tracks.audio.is_none() {
            self.tracks.audio = Some(AudioTrack {
                codec: AudioCodec::Opus,
                config: opus::head(2),
                sample_rate: opus::CLOCK,
                channels: 2,
            });
            self.tracks_changed();
        }
        let timestamp = self.sync.map(TrackKind::Audio, rtp.time, now);
        let track = TrackKind::Audio;
        self.emit(Packet { track, timestamp, marker: rtp.marker, starts_gop: false, payload }, now);
    }

    fn picture(&mut self, rtp: Rtp, now: Instant) {
        if rtp.payload.is_empty() {
            return;
        }
        if self.pictures.is_next(rtp.time) {
            self.sync.step();
        }
        let timestamp = self.sync.map(TrackKind::Video, rtp.time, now);
        let seen = self.pictures.inspect(rtp.time, timestamp, rtp.marker, rtp.payload);
        if let Some(video) = seen.parameters {
            self.tracks.video = Some(video);
            self.tracks_changed();
        }
        self.want_gop |= seen.broken;
        for packet in seen.packets {
            if packet.starts_gop {
                self.last_gop = Some(now);
                self.want_gop = false;
            }
            self.emit(packet, now);
        }
    }

    fn tracks_changed(&mut self) {
        if let Output::Live { packets, frames, .. } = &mut self.output {
            packets.set_tracks(self.tracks.clone());
            frames.set_tracks(self.tracks.clone());
        }
    }

    fn emit(&mut self, packet: Packet, now: Instant) {
        match &mut self.output {
            Output::Pending(pending) => {
                if packet.starts_gop {
                    pending.clear();
                }
                if pending.len() < MAX_PENDING {
                    pending.push(packet);
                } else {
                    pending.clear();
                    self.pictures.lost();
                    self.want_gop = true;
                }
            }
            Output::Live { packets, .. } => {
                packets.push(packet.clone());
                self.assemble(&packet, now);
            }
        }
    }

    /// Makes frames of packets, while somebody reads them.
    fn assemble(&mut self, packet: &Packet, now: Instant) {
        let Output::Live { frames, assembling, .. } = &mut self.output else { return };
        let wanted = frames.ring().readers() > 0;
        if wanted != *assembling {
            *assembling = wanted;
            self.pictures.restart_frames();
            self.want_gop |= wanted && self.announced.video;
        }
        if !wanted {
            return;
        }
        let stale = self.last_gop.is_none_or(|at| now >= at + FRAME_GOP);
        self.want_gop |= stale && self.announced.video;
        match packet.track {
            TrackKind::Audio => frames.push(sound_frame(packet)),
            TrackKind::Video => {
                if let Some(frame) = self.pictures.frame(packet) {
                    frames.push(frame);
                }
            }
        }
    }
}

fn sound_frame(packet: &Packet) -> Frame {
    let at = packet.time();
    Frame { track: TrackKind::Audio, pts: at, dts: at, keyframe: true, data: packet.payload.clone() }
}

/// A picture frame.
pub(super) fn picture_frame(at: MediaTime, nals: &[Bytes], keyframe: bool) -> Frame {
    Frame { track: TrackKind::Video, pts: at, dts: at, keyframe, data: avc::join(nals) }
}

#[cfg(test)]
mod tests;
