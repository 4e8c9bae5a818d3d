//! A publisher's H.264 packets, picture by picture: where groups of pictures
//! start, what the parameter sets say, and whole frames.

use bytes::Bytes;
use media::{Frame, Packet, TrackKind, VideoCodec, VideoTrack};

use super::ingress::picture_frame;
use super::payload::h264::{self, Depacketiser, NAL_IDR, NAL_PPS, NAL_SPS};
use super::payload::{avc, sps};

/// Real parameter sets have a few dozen bytes.
const MAX_SET: usize = 4096;
/// Sets that are given again share one payload of this size.
const MTU: usize = 1200;

/// What a packet turned out to be.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The packet, behind those that had to be added; none while a key frame is
    /// waited for.
    pub(super) packets: Vec<Packet>,
    /// New parameters that hold from it on.
    pub(super) parameters: Option<VideoTrack>,
    /// Nothing can be decoded until a key frame comes.
    pub(super) broken: bool,
}

/// Follows a publisher's pictures.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    time: Option<u64>,
    sps: Option<Bytes>,
    pps: Option<Bytes>,
    track: Option<VideoTrack>,
    /// The picture under way carries its parameter sets.
    has_sets: bool,
    /// A packet of the picture under way was marked as the start of a group.
    started: bool,
    /// A key frame came, and nothing was lost since.
    whole: bool,
    frames: Depacketiser,
    frames_whole: bool,
}

impl Pictures {
    /// Whether a packet of this RTP time begins a picture.
    pub(super) fn is_next(&self, time: u64) -> bool {
        self.time != Some(time)
    }

    /// A packet was lost for good.
    pub(super) fn lost(&mut self) {
        self.whole = false;
        self.restart_frames();
    }

    /// Frames begin with the next key frame.
    pub(super) fn restart_frames(&mut self) {
        self.frames.reset();
        self.frames_whole = false;
    }

    /// Takes the next packet in order; `time` is its RTP time, `timestamp` that
    /// on the stream's clock.
    pub(super) fn inspect(&mut self, time: u64, timestamp: u64, marker: bool, payload: Bytes) -> Seen {
        if self.is_next(time) {
            self.time = Some(time);
            self.has_sets = false;
            self.started = false;
        }
        let mut seen = Seen::default();
        let begins = h264::begins(&payload);
        begins.iter().for_each(|nal| self.remember(nal.kind, nal.bytes));
        let idr = begins.iter().any(|nal| nal.kind == NAL_IDR);
        let starts = self.has_sets && begins.iter().any(|nal| nal.kind == NAL_SPS) && !self.started;
        if idr
            && !self.started
            && !starts
            && let Some(sets) = self.sets_again(timestamp)
        {
            seen.packets.push(sets);
            self.begin_group();
        }
        if starts {
            self.begin_group();
        }
        if self.started {
            seen.parameters = self.changed_track();
        }
        if self.whole {
            let track = TrackKind::Video;
            seen.packets.push(Packet { track, timestamp, marker, starts_gop: starts, payload });
        } else {
            seen.packets.clear();
            seen.broken = true;
        }
        seen
    }

    /// Adds a packet to the frame under way; the frame when it is whole.
    pub(super) fn frame(&mut self, packet: &Packet) -> Option<Frame> {
        if packet.starts_gop {
            self.frames.reset();
            self.frames_whole = true;
        }
        if !self.frames_whole {
            return None;
        }
        if self.frames.push(&packet.payload).is_err() {
            self.restart_frames();
            return None;
        }
        if !packet.marker {
            return None;
        }
        let nals: Vec<Bytes> = self.frames.take().into_iter().filter(|nal| is_picture(nal)).collect();
        let keyframe = nals.iter().any(|nal| kind(nal) == NAL_IDR);
        (!nals.is_empty()).then(|| picture_frame(packet.time(), &nals, keyframe))
    }

    fn begin_group(&mut self) {
        self.started = true;
        self.whole = true;
    }

    fn remember(&mut self, kind: u8, nal: &[u8]) {
        if nal.len() > MAX_SET {
            return;
        }
        let slot = match kind {
            NAL_SPS => {
                self.has_sets = true;
                &mut self.sps
            }
            NAL_PPS => &mut self.pps,
            _ => return,
        };
        if slot.as_deref() != Some(nal) {
            *slot = Some(Bytes::copy_from_slice(nal));
            self.track = None;
        }
    }

    /// A key frame came without its parameter sets: a player that joins here
    /// needs them.
    fn sets_again(&self, timestamp: u64) -> Option<Packet> {
        let sets = [self.sps.clone()?, self.pps.clone()?];
        let payload = h264::packetise(&sets, MTU).into_iter().next()?;
        Some(Packet { track: TrackKind::Video, timestamp, marker: false, starts_gop: true, payload })
    }

    /// The track when it is not the one that was reported last.
    fn changed_track(&mut self) -> Option<VideoTrack> {
        if self.track.is_some() {
            return None;
        }
        let (sps_nal, pps) = (self.sps.as_ref()?, self.pps.as_ref()?);
        let parsed = sps::parse(sps_nal)?;
        self.track = Some(VideoTrack {
            codec: VideoCodec::H264,
            config: avc::configuration(sps_nal, pps)?,
            width: parsed.width,
            height: parsed.height,
            reordered: false,
        });
        self.track.clone()
    }
}

fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |head| head & 0x1f)
}

/// Slices and what describes them; parameter sets travel with the track, and
/// delimiters and filler say nothing.
fn is_picture(nal: &[u8]) -> bool {
    matches!(kind(nal), 1..=6)
}
