//! The seam where a player's packets leave.
//!
//! For now str0m seals and sends them: [`Egress`] only gives each packet its
//! place in the player's own sequence and time. An engine of ours will sit
//! behind the same three calls: attach, pump, detach.

use std::time::{Duration, Instant};

use contract::session::Moment;
use media::TrackKind;
use str0m::Rtc;
use str0m::format::Codec;
use str0m::media::{Mid, Pt};
use str0m::rtp::{RtpWrite, Ssrc};

use super::fanout::{Place, Shared, View};

/// A packet run that the kernel takes in one call, and no more than a slow
/// network can be given at once.
const MAX_BURST: usize = 64;
/// How long a player may ask for packets again, and how many are kept for that.
const RTX_AGE: Duration = Duration::from_secs(2);
const RTX_PACKETS: usize = 512;
/// Above this share of retransmissions a network is not helped by more.
const RTX_RATIO: f32 = 0.15;
/// Between two pictures whose times would not rise.
const MIN_TICKS: i64 = 90;

/// One track of one player.
#[derive(Debug)]
struct Lane {
    pt: Pt,
    ssrc: Ssrc,
    /// Extended sequence number of the next packet. Starts below 2^15, so that
    /// the rollover counter is 0 on both ends (RFC 3711 §3.3.1).
    seq: u64,
    /// Random part of the timestamp (RFC 3550 §5.1).
    base: u32,
    last_in: Option<u64>,
    last_out: i64,
}

/// What [`Egress::pump`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pumped {
    /// Packets written.
    pub(crate) packets: usize,
    /// Media bytes written.
    pub(crate) bytes: usize,
    /// The moment of the last one.
    pub(crate) reached: Option<Moment>,
    /// There is more to send at once.
    pub(crate) more: bool,
}

/// A player's way out.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    video: Option<Lane>,
    audio: Option<Lane>,
    place: Option<Place>,
    /// Microseconds from the stream's clock to the player's, so that a new
    /// publisher continues where the last one ended.
    shift: i64,
    /// The next packet sets `shift`.
    aligning: bool,
    last: Option<(i64, Instant)>,
}

impl Egress {
    /// The tracks that offer and answer agreed on.
    pub(crate) fn negotiate(&mut self, rtc: &mut Rtc, mids: &[Mid]) {
        for &mid in mids {
            let Some((kind, lane)) = lane(rtc, mid) else { continue };
            let slot = match kind {
                TrackKind::Video => &mut self.video,
                TrackKind::Audio => &mut self.audio,
            };
            if slot.is_none() {
                *slot = Some(lane);
            }
        }
    }

    /// Whether any track was agreed on.
    pub(crate) const fn is_negotiated(&self) -> bool {
        self.video.is_some() || self.audio.is_some()
    }

    /// Sends from this place on.
    pub(crate) fn attach(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Another publisher's packets follow, with a clock of their own.
    pub(crate) fn source_changed(&mut self) {
        self.aligning = self.last.is_some();
        self.place = None;
    }

    /// Sends nothing, and forgets what was sent: no retransmission follows.
    pub(crate) fn detach(&mut self, rtc: &mut Rtc) {
        self.place = None;
        let mut api = rtc.direct_api();
        for lane in [&self.video, &self.audio].into_iter().flatten() {
            if let Some(tx) = api.stream_tx(&lane.ssrc) {
                tx.set_rtx_cache(RTX_PACKETS, RTX_AGE, Some(RTX_RATIO));
            }
        }
    }

    /// Where it is.
    pub(crate) const fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Writes what is new in `view`, at most one burst.
    pub(crate) fn pump(&mut self, rtc: &mut Rtc, view: &View, now: Instant) -> Pumped {
        let mut done = Pumped::default();
        let Some(mut place) = self.place.take() else { return done };
        while done.packets < MAX_BURST {
            let Some((packet, time)) = view.next(&mut place) else { break };
            done.packets += 1;
            done.bytes += packet.payload.len();
            done.reached = Some(view.moment(packet));
            self.write(rtc, view, packet, time, now);
        }
        done.more = done.packets == MAX_BURST && place.lag(view) > 0;
        self.place = Some(place);
        done
    }

    fn write(&mut self, rtc: &mut Rtc, view: &View, packet: &Shared, time: u64, now: Instant) {
        let rate = packet.track.rtp_rate();
        let wall = view.wallclock(packet.track, time, now);
        let micros = scale(time as i64, 1_000_000, rate);
        if std::mem::take(&mut self.aligning) {
            let last = self.last.unwrap_or((micros, wall));
            self.shift = last.0 + wall.saturating_duration_since(last.1).as_micros() as i64 - micros;
        }
        let shift = scale(self.shift, rate, 1_000_000);
        let lane = match packet.track {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let Some(lane) = lane else { return };
        self.last = Some((micros + self.shift, wall));
        lane.write(rtc, packet, time as i64 + shift, wall);
    }
}

impl Lane {
    fn write(&mut self, rtc: &mut Rtc, packet: &Shared, ticks: i64, wall: Instant) {
        if self.last_in != Some(packet.timestamp) {
            let first = self.last_in.is_none();
            let floor = self.last_out + MIN_TICKS;
            self.last_out = if first { ticks } else { ticks.max(floor) };
            self.last_in = Some(packet.timestamp);
        }
        let time = self.base.wrapping_add(self.last_out as u32);
        let nackable = packet.track == TrackKind::Video;
        let rtp = RtpWrite::new(self.pt, self.seq.into(), time, wall, packet.payload.clone());
        self.seq += 1;
        if let Some(tx) = rtc.direct_api().stream_tx(&self.ssrc) {
            tx.write_rtp(rtp.marker(packet.marker).nackable(nackable));
        }
    }
}

fn lane(rtc: &mut Rtc, mid: Mid) -> Option<(TrackKind, Lane)> {
    let media = rtc.media(mid).filter(|media| !media.disabled() && media.direction().is_sending())?;
    let (kind, codec) = if media.kind().is_audio() {
        (TrackKind::Audio, Codec::Opus)
    } else {
        (TrackKind::Video, Codec::H264)
    };
    let agreed = media.remote_pts();
    let mut params = rtc.codec_config().params().iter();
    let pt = params.find(|p| p.spec().codec == codec && agreed.contains(&p.pt()))?.pt();
    let mut api = rtc.direct_api();
    // Nobody has to guess these: SRTP does not rest on them (RFC 3711 §3.3.1).
    let (seq, base) = (*api.new_ssrc() & 0x7fff, *api.new_ssrc());
    let tx = api.stream_tx_by_mid(mid, None)?;
    tx.set_rtx_cache(RTX_PACKETS, RTX_AGE, Some(RTX_RATIO));
    let ssrc = tx.ssrc();
    Some((kind, Lane { pt, ssrc, seq: seq.into(), base, last_in: None, last_out: 0 }))
}

fn scale(value: i64, to: u32, from: u32) -> i64 {
    (i128::from(value) * i128::from(to)).div_euclid(i128::from(from.max(1))) as i64
}
