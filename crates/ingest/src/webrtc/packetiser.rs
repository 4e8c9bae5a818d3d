//! Makes packets of a frame publisher's frames, while somebody plays them over
//! WebRTC.
//!
//! Started by the shard with the first player of the stream, stopped with the
//! last. The work is done once per stream, on threads that streams share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contract::StreamKey;
use contract::registry::{KeyframesOnly, KeyframesOnlyClaim, Live};
use media::{
    Bus, EndReason, Event, Frame, MediaTime, Packet, PacketRing, PacketWriter, TrackKind, Tracks, packet_ring,
};
use transcode::{Output, Transcoding, Treatment, VideoSettings, Worker, WorkerSettings};

use super::fanout::Keyframes;
use super::payload::{avc, h264, opus};

/// Leaves room for header, extensions, tag and IPv6 in what every network takes.
const MTU: usize = 1200;
/// Media time may precede its origin, packet time may not.
pub(crate) const LEAD: Duration = Duration::from_secs(3600);
/// An Opus packet is full some frames after the sound in it.
const SLACK: Duration = Duration::from_millis(60);

/// How pictures come out, as far as players are concerned.
#[derive(Default)]
struct Pictures {
    on_demand: AtomicBool,
    keyframes_only: AtomicBool,
}

/// One stream's packetiser.
pub(crate) struct Packetiser {
    ring: PacketRing,
    worker: Worker,
    video: Arc<Pictures>,
    /// Where the bus stood at the start. What comes before is history.
    edge: MediaTime,
}

impl Packetiser {
    /// Starts it.
    pub(crate) fn start(live: &Live, key: &StreamKey, transcoding: &Transcoding) -> std::io::Result<Self> {
        let frames = &live.frames;
        let writer = packet_ring(Tracks::clone(&frames.tracks()));
        let ring = writer.ring();
        let video = Arc::new(Pictures::default());
        let mut cutter = Cutter {
            writer,
            parameters: Vec::new(),
            video: video.clone(),
            keyframes_only: live.keyframes_only.clone(),
            claim: None,
            told: Told::default(),
            key: key.clone(),
        };
        let settings = WorkerSettings { video: VideoSettings::default(), transcoding: transcoding.clone() };
        let worker = Worker::start(frames.reader(), settings, move |output| cutter.take(output))?;
        Ok(Self { ring, worker, video, edge: newest(frames) })
    }

    /// Whether packets of this time are live, and not the history that it works
    /// through at first.
    pub(crate) fn is_live(&self, track: TrackKind, timestamp: u64) -> bool {
        let at = MediaTime::from_ticks(timestamp as i64, track.rtp_rate()) - LEAD;
        at + SLACK >= self.edge
    }

    /// Its packets.
    pub(crate) const fn ring(&self) -> &PacketRing {
        &self.ring
    }

    /// Whether it encodes, and can so make key frames.
    pub(crate) fn keyframes(&self) -> Keyframes {
        let on_demand = self.video.on_demand.load(Ordering::Relaxed);
        if on_demand { Keyframes::OnDemand } else { Keyframes::Scheduled }
    }

    /// Whether only key frames come out, for want of room to encode or because the
    /// stream cannot be decoded.
    pub(crate) fn has_keyframes_only(&self) -> bool {
        self.video.keyframes_only.load(Ordering::Relaxed)
    }

    /// Somebody needs a key frame.
    pub(crate) fn ask_keyframe(&self) {
        self.worker.request_keyframe();
    }
}

fn newest(frames: &Bus) -> MediaTime {
    let mut reader = frames.reader();
    let pts = std::iter::from_fn(|| reader.try_next().filter(|event| !matches!(event, Event::Ended(_))))
        .filter_map(|event| match event {
            Event::Item(frame) => Some(frame.pts),
            Event::Tracks(_) | Event::Gap(_) | Event::Ended(_) => None,
        });
    pts.max().unwrap_or_default()
}

/// Cuts frames into packets.
struct Cutter {
    writer: PacketWriter,
    /// What a decoder needs before a key frame.
    parameters: Vec<Bytes>,
    video: Arc<Pictures>,
    /// Where the statistics look.
    keyframes_only: KeyframesOnly,
    /// Goes with the last player, since the work does.
    claim: Option<KeyframesOnlyClaim>,
    told: Told,
    key: StreamKey,
}

/// What the log has been told of a stream. Each is told once, since a stream may
/// change its mind with each key frame.
#[derive(Default)]
struct Told {
    no_room: bool,
    refused: bool,
}

impl Cutter {
    fn take(&mut self, output: Output) {
        match output {
            Output::Tracks { tracks, video, audio } => self.tracks(&tracks, video, audio),
            Output::Frame(frame) => {
                let packets = cut(&frame, &self.parameters);
                self.writer.push_all(packets);
            }
            Output::Dropped(frames) => {
                tracing::debug!(stream = %self.key, frames, "transcoder left frames out to catch up");
            }
            Output::Ended(EndReason::Silenced) => self.writer.ring().silence(),
            Output::Ended(EndReason::Finished) => {}
        }
    }

    fn tracks(&mut self, tracks: &Tracks, video: Treatment, audio: Treatment) {
        self.parameters = tracks.video.as_ref().map(|v| avc::parameter_sets(&v.config)).unwrap_or_default();
        self.video.on_demand.store(video == Treatment::Transcoded, Ordering::Relaxed);
        let keyframes_only = matches!(video, Treatment::NoRoom | Treatment::KeyframesOnly(_));
        self.video.keyframes_only.store(keyframes_only, Ordering::Relaxed);
        self.claim = keyframes_only.then(|| self.keyframes_only.claim());
        self.writer.set_tracks(tracks.clone());
        match video {
            Treatment::NoRoom if !std::mem::replace(&mut self.told.no_room, true) => {
                tracing::warn!(stream = %self.key, "no room to transcode B-frames: WebRTC players see key frames only");
            }
            Treatment::KeyframesOnly(reason) if !std::mem::replace(&mut self.told.refused, true) => {
                tracing::warn!(stream = %self.key, %reason, "cannot transcode: WebRTC players see key frames only");
            }
            _ => tracing::debug!(stream = %self.key, ?video, "pictures"),
        }
        if let Treatment::Refused(reason) = audio {
            tracing::warn!(stream = %self.key, %reason, "WebRTC players hear nothing of this stream");
        }
    }
}

fn cut(frame: &Frame, parameters: &[Bytes]) -> Vec<Packet> {
    let track = frame.track;
    let timestamp = (frame.pts + LEAD).in_ticks(track.rtp_rate()).max(0) as u64;
    let starts = track == TrackKind::Video && frame.keyframe;
    let payloads = match track {
        TrackKind::Audio => opus::packetise(&frame.data).into_iter().collect(),
        TrackKind::Video => {
            let sets = if starts { parameters } else { &[] };
            let nals: Vec<Bytes> = sets.iter().cloned().chain(avc::split(&frame.data)).collect();
            h264::packetise(&nals, MTU)
        }
    };
    let last = payloads.len().saturating_sub(1);
    let packet = |(i, payload)| Packet {
        track,
        timestamp,
        marker: track == TrackKind::Video && i == last,
        starts_gop: starts && i == 0,
        payload,
    };
    payloads.into_iter().enumerate().map(packet).collect()
}

#[cfg(test)]
mod tests {
    use contract::{AppName, StreamId};

    use super::*;

    fn frame(track: TrackKind, data: Bytes, keyframe: bool) -> Frame {
        let at = MediaTime::from_millis(-20);
        Frame { track, pts: at, dts: at, keyframe, data }
    }

    #[test]
    fn a_key_frame_brings_its_parameter_sets_and_says_where_it_begins_and_ends() {
        let data = avc::join(&[Bytes::from(vec![0x65; 3000])]);
        let sets = [Bytes::from_static(&[0x67, 1]), Bytes::from_static(&[0x68, 2])];
        let packets = cut(&frame(TrackKind::Video, data, true), &sets);
        assert_eq!(packets.iter().map(|p| p.starts_gop).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(packets.iter().map(|p| p.marker).collect::<Vec<_>>(), [false, false, false, true]);
        let kinds: Vec<u8> = h264::begins(&packets[0].payload).iter().map(|nal| nal.kind).collect();
        assert_eq!(kinds, [h264::NAL_SPS, h264::NAL_PPS]);
    }

    #[test]
    fn both_tracks_keep_one_clock_even_before_its_origin() {
        let video = cut(&frame(TrackKind::Video, avc::join(&[Bytes::from_static(&[0x41, 1])]), false), &[]);
        let audio = cut(&frame(TrackKind::Audio, Bytes::from_static(&[0xfc, 1]), true), &[]);
        assert_eq!(video[0].timestamp, (3600 * 1000 - 20) * 90);
        assert_eq!(audio[0].timestamp, (3600 * 1000 - 20) * 48);
    }

    fn tracks(video: Treatment) -> Output {
        Output::Tracks { tracks: Arc::default(), video, audio: Treatment::Absent }
    }

    #[test]
    fn the_want_of_room_is_said_until_there_is_room_or_nobody_plays() {
        let said = KeyframesOnly::default();
        let mut cutter = Cutter {
            writer: packet_ring(Tracks::default()),
            parameters: Vec::new(),
            video: Arc::default(),
            keyframes_only: said.clone(),
            claim: None,
            told: Told::default(),
            key: StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() },
        };
        for (treatment, expected) in [
            (Treatment::Passed, false),
            (Treatment::NoRoom, true),
            (Treatment::NoRoom, true),
            (Treatment::Transcoded, false),
            (Treatment::NoRoom, true),
        ] {
            cutter.take(tracks(treatment));
            assert_eq!(said.is_claimed(), expected, "{treatment:?}");
        }
        drop(cutter);
        assert!(!said.is_claimed());
    }
}
