//! One view of a stream's packets per shard, and where each player is in it.
//!
//! The shard reads a ring once, whatever its number of players. The window
//! holds what a player may still need: since the newest start of a group of
//! pictures, within bounds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use contract::session::Moment;
use media::{EndReason, Event, MediaTime, PacketReader, TrackKind};

/// A publisher that gives key frames on demand needs no long history: a player
/// that joins later asks.
const ON_DEMAND: Limits = Limits { packets: 2048, bytes: 2 << 20 };
/// As much as the ring itself holds.
const HISTORY: Limits = Limits { packets: 16_384, bytes: 16 << 20 };
/// A burst is read in slices, so that one stream cannot hold the shard.
const MAX_BURST: usize = 4096;
/// A player joins up to this far behind the newest packet where a key frame can
/// be asked for.
const FRESH: Duration = Duration::from_millis(1500);
/// The pictures between the key frame and the newest are shown this much
/// faster: nobody watches them, but all that follow build on them.
const SQUEEZE: u64 = 32;

#[derive(Debug, Clone, Copy)]
struct Limits {
    packets: usize,
    bytes: usize,
}

/// Whether a stream's source makes key frames when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyframes {
    /// A browser or an encoder of ours.
    OnDemand,
    /// They come when they come.
    Scheduled,
}

/// A packet as players share it.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Whose.
    pub(crate) track: TrackKind,
    /// On the stream's clock (see [`media::Packet::timestamp`]).
    pub(crate) timestamp: u64,
    /// Marker bit.
    pub(crate) marker: bool,
    /// A decoder can start here.
    pub(crate) starts_gop: bool,
    /// RTP payload, in the form that str0m shares.
    pub(crate) payload: Arc<[u8]>,
}

/// What [`View::read`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// All there is; the waker is called when there is more.
    Waiting,
    /// A full burst; there may be more.
    More,
    /// The stream's end.
    Ended(EndReason),
}

/// A shard's view of one stream.
#[derive(Debug)]
pub(crate) struct View {
    reader: PacketReader,
    window: VecDeque<Shared>,
    /// Number of `window[0]`.
    first: u64,
    /// Where a decoder can start, newest.
    gop: Option<u64>,
    bytes: usize,
    keyframes: Keyframes,
    clock: Option<Clock>,
    /// The stream has pictures.
    video: bool,
    source: Source,
}

/// Whose packets they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Source {
    /// The publish.
    pub(crate) generation: u64,
    /// How far packet time is ahead of media time.
    pub(crate) lead: Duration,
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: Instant,
    micros: u64,
}

impl View {
    /// A view that begins where `reader` stands.
    pub(crate) fn new(reader: PacketReader, keyframes: Keyframes) -> Self {
        Self {
            reader,
            window: VecDeque::new(),
            first: 0,
            gop: None,
            bytes: 0,
            keyframes,
            clock: None,
            video: false,
            source: Source::default(),
        }
    }

    /// The same, of a source that can be named.
    #[must_use]
    pub(crate) fn of(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// The moment of a packet.
    pub(crate) fn moment(&self, packet: &Shared) -> Moment {
        let at = MediaTime::from_ticks(packet.timestamp as i64, packet.track.rtp_rate());
        Moment { generation: self.source.generation, at: at - self.source.lead }
    }

    /// Reads what is new. Forgets first what only players would need that were
    /// not served since the last call.
    pub(crate) fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Read {
        self.trim();
        for _ in 0..MAX_BURST {
            match self.reader.poll_next(cx) {
                Poll::Pending => return Read::Waiting,
                Poll::Ready(Event::Ended(reason)) => {
                    if reason == EndReason::Silenced {
                        self.forget();
                    }
                    return Read::Ended(reason);
                }
                Poll::Ready(Event::Tracks(tracks)) => self.video = tracks.video.is_some(),
                Poll::Ready(Event::Gap(_)) => self.forget(),
                Poll::Ready(Event::Item(packet)) => self.push(&packet, now),
            }
        }
        Read::More
    }

    /// Number of the packet that comes next.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.window.len() as u64
    }

    /// Drops what is held: a fence.
    pub(crate) fn forget(&mut self) {
        self.first = self.end();
        self.window.clear();
        self.bytes = 0;
        self.gop = None;
    }

    /// Whether its source makes key frames when asked.
    pub(crate) const fn keyframes(&self) -> Keyframes {
        self.keyframes
    }

    /// What is known of that by now.
    pub(crate) fn set_keyframes(&mut self, keyframes: Keyframes) {
        self.keyframes = keyframes;
    }

    /// The wall-clock moment of a packet's time, for sender reports. Never after
    /// `now`.
    pub(crate) fn wallclock(&self, track: TrackKind, timestamp: u64, now: Instant) -> Instant {
        let Some(clock) = self.clock else { return now };
        let micros = to_micros(track, timestamp);
        let at = if micros >= clock.micros {
            clock.wall + Duration::from_micros(micros - clock.micros)
        } else {
            clock.wall.checked_sub(Duration::from_micros(clock.micros - micros)).unwrap_or(clock.wall)
        };
        at.min(now)
    }

    /// The newest packet.
    pub(crate) fn newest(&self) -> Option<&Shared> {
        self.window.back()
    }

    /// A place for a player that joins now.
    pub(crate) fn join(&self) -> Place {
        let newest = self.window.iter().rev().find(|p| p.track == TrackKind::Video).map(|p| p.timestamp);
        let fresh = self.gop_age(newest) <= FRESH;
        let held = self.gop.filter(|_| fresh || self.keyframes == Keyframes::Scheduled);
        let edge = self.end();
        Place {
            next: held.unwrap_or(edge),
            edge,
            edge_time: newest,
            wait_gop: held.is_none() && self.video,
            gaps: 0,
        }
    }

    /// The packet at a player's place, with the timestamp to send it under, and
    /// moves the place on.
    pub(crate) fn next(&self, place: &mut Place) -> Option<(&Shared, u64)> {
        if place.next < self.first {
            place.gaps += 1;
            place.next = self.gop.unwrap_or(self.end());
            place.wait_gop = self.gop.is_none() && self.video;
            place.edge = self.end();
        }
        loop {
            let packet = self.window.get((place.next - self.first) as usize)?;
            let number = place.next;
            place.next += 1;
            let behind = number < place.edge;
            match packet.track {
                // Old sound would only fill the player's buffer.
                TrackKind::Audio if behind => {}
                TrackKind::Audio => return Some((packet, packet.timestamp)),
                TrackKind::Video if place.wait_gop && !packet.starts_gop => {}
                TrackKind::Video => {
                    place.wait_gop = false;
                    let edge = place.edge_time.filter(|_| behind).unwrap_or(packet.timestamp);
                    return Some((packet, squeeze(packet.timestamp, edge)));
                }
            }
        }
    }

    /// Stream time from the start of the held group of pictures to `newest`.
    fn gop_age(&self, newest: Option<u64>) -> Duration {
        let start = self.gop.and_then(|gop| self.window.get((gop - self.first) as usize));
        let span = newest.zip(start).map(|(newest, start)| newest.saturating_sub(start.timestamp));
        Duration::from_micros(to_micros(TrackKind::Video, span.unwrap_or_default()))
    }

    fn push(&mut self, packet: &media::Packet, now: Instant) {
        self.tick(packet, now);
        if packet.starts_gop {
            self.gop = Some(self.end());
        }
        self.bytes += packet.payload.len();
        self.window.push_back(Shared {
            track: packet.track,
            timestamp: packet.timestamp,
            marker: packet.marker,
            starts_gop: packet.starts_gop,
            payload: packet.payload.as_ref().into(),
        });
        let limits = match self.keyframes {
            Keyframes::OnDemand => ON_DEMAND,
            Keyframes::Scheduled => HISTORY,
        };
        while self.window.len() > limits.packets || self.bytes > limits.bytes {
            self.drop_first();
        }
    }

    /// Keeps the two clocks together. A packet cannot come before its time, and
    /// one that comes a second late tells of a clock that went astray.
    fn tick(&mut self, packet: &media::Packet, now: Instant) {
        let micros = to_micros(packet.track, packet.timestamp);
        let expected = self.clock.map(|clock| {
            let ahead = i128::from(micros) - i128::from(clock.micros);
            ahead - now.saturating_duration_since(clock.wall).as_micros() as i128
        });
        if expected.is_none_or(|early| !(-1_000_000..=0).contains(&early)) {
            self.clock = Some(Clock { wall: now, micros });
        }
    }

    fn trim(&mut self) {
        let keep = self.gop.unwrap_or(self.first);
        while self.first < keep {
            self.drop_first();
        }
        // Without pictures every packet is a start.
        if !self.video {
            self.forget();
        }
    }

    fn drop_first(&mut self) {
        if let Some(old) = self.window.pop_front() {
            self.bytes -= old.payload.len();
            self.first += 1;
            self.gop = self.gop.filter(|&gop| gop >= self.first);
        }
    }
}

/// Where a player is in a [`View`].
#[derive(Debug, Clone)]
pub(crate) struct Place {
    next: u64,
    /// What lies before is only sent so that a decoder can follow.
    edge: u64,
    edge_time: Option<u64>,
    wait_gop: bool,
    gaps: u64,
}

impl Place {
    /// It waits for a key frame.
    pub(crate) const fn waits(&self) -> bool {
        self.wait_gop
    }

    /// How often it was too slow.
    pub(crate) const fn gaps(&self) -> u64 {
        self.gaps
    }

    /// How many packets it has not sent yet.
    pub(crate) fn lag(&self, view: &View) -> u64 {
        view.end().saturating_sub(self.next)
    }
}

fn to_micros(track: TrackKind, timestamp: u64) -> u64 {
    (u128::from(timestamp) * 1_000_000 / u128::from(track.rtp_rate())) as u64
}

/// Brings a time before `edge` close to it, in order.
fn squeeze(time: u64, edge: u64) -> u64 {
    if time < edge { edge - (edge - time) / SQUEEZE } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{Packet, Tracks, VideoCodec, VideoTrack, packet_ring};
    use std::task::Waker;

    fn tracks() -> Tracks {
        let video = VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::new(),
            width: 1,
            height: 1,
            reordered: false,
        };
        Tracks { video: Some(video), audio: None }
    }

    fn video(n: u64, starts_gop: bool) -> Packet {
        let payload = Bytes::from(vec![1; 10]);
        Packet { track: TrackKind::Video, timestamp: n * 3000, marker: true, starts_gop, payload }
    }

    fn sound(n: u64) -> Packet {
        let payload = Bytes::from_static(&[0xfc]);
        Packet { track: TrackKind::Audio, timestamp: n * 960, marker: false, starts_gop: false, payload }
    }

    fn read(view: &mut View, now: Instant) -> Read {
        view.read(&mut Context::from_waker(Waker::noop()), now)
    }

    fn rest(view: &View, place: &mut Place) -> Vec<(TrackKind, u64)> {
        std::iter::from_fn(|| view.next(place).map(|(p, time)| (p.track, time))).collect()
    }

    #[test]
    fn a_player_joins_at_the_group_of_pictures_close_to_now_and_without_old_sound() {
        let mut writer = packet_ring(tracks());
        writer.push_all([video(0, true), sound(0), video(1, false), video(2, false)]);
        let mut view = View::new(writer.ring().reader(), Keyframes::Scheduled);
        assert_eq!(read(&mut view, Instant::now()), Read::Waiting);
        let mut place = view.join();
        let edge = 6000;
        let got = rest(&view, &mut place);
        assert_eq!(got, [0, 3000, 6000].map(|t| (TrackKind::Video, edge - (edge - t) / SQUEEZE)));
        writer.push_all([sound(3), video(3, false)]);
        read(&mut view, Instant::now());
        let got = rest(&view, &mut place);
        assert_eq!(got, [(TrackKind::Audio, 2880), (TrackKind::Video, 9000)]);
    }

    #[test]
    fn where_key_frames_can_be_asked_for_a_late_player_waits_for_a_new_one() {
        let mut writer = packet_ring(tracks());
        writer.push_all((0..60).map(|n| video(n, n == 0)));
        let mut view = View::new(writer.ring().reader(), Keyframes::OnDemand);
        let now = Instant::now();
        read(&mut view, now);
        let mut place = view.join();
        assert!(place.waits());
        writer.push_all([sound(1), video(60, false), video(61, true)]);
        read(&mut view, now);
        assert_eq!(rest(&view, &mut place), [(TrackKind::Audio, 960), (TrackKind::Video, 183_000)]);
    }

    #[test]
    fn a_slow_player_continues_at_the_next_start_and_the_window_stays_bounded() {
        let mut writer = packet_ring(tracks());
        writer.push(video(0, true));
        let mut view = View::new(writer.ring().reader(), Keyframes::OnDemand);
        let now = Instant::now();
        read(&mut view, now);
        let mut place = view.join();
        for n in 1..5000 {
            writer.push(video(n, n == 4900));
            read(&mut view, now);
        }
        assert!(view.window.len() <= ON_DEMAND.packets);
        let got = rest(&view, &mut place);
        assert_eq!(got.len(), 100);
        assert_eq!(place.gaps(), 1);
    }

    #[test]
    fn wall_clock_follows_the_stream_and_never_runs_ahead() {
        let mut writer = packet_ring(tracks());
        let mut view = View::new(writer.ring().reader(), Keyframes::Scheduled);
        let now = Instant::now();
        writer.push_all([video(0, true), video(30, false)]);
        read(&mut view, now);
        assert_eq!(view.wallclock(TrackKind::Video, 90_000, now), now);
        assert_eq!(view.wallclock(TrackKind::Audio, 24_000, now), now - Duration::from_millis(500));
        assert_eq!(view.wallclock(TrackKind::Video, 180_000, now), now);
    }

    #[test]
    fn a_silenced_stream_leaves_nothing_behind() {
        let mut writer = packet_ring(tracks());
        writer.push_all([video(0, true), video(1, false)]);
        let mut view = View::new(writer.ring().reader(), Keyframes::Scheduled);
        read(&mut view, Instant::now());
        let mut place = view.join();
        writer.ring().silence();
        view.forget();
        assert_eq!(read(&mut view, Instant::now()), Read::Ended(EndReason::Silenced));
        assert_eq!(rest(&view, &mut place), []);
    }
}
