//! Offers and answers: what browsers need, and what we refuse.

mod outline;

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use media::Tracks;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::{DtlsCert, DtlsVersion};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};
use thiserror::Error;

use outline::{outline, sections};

/// Payload type, its retransmissions, packetisation mode 1, and profile.
type H264Label = (u8, u8, bool, u32);
/// First choice first. Constrained Baseline is the label of choice: parameter sets say
/// what a picture really needs, and browsers decode Main and High under it but
/// refuse sections that offer High only.
const H264: [H264Label; 6] = [
    (108, 109, true, 0x42_e01f),
    (127, 121, true, 0x42_001f),
    (123, 119, true, 0x4d_001f),
    (114, 115, true, 0x64_001f),
    (124, 120, false, 0x42_e01f),
    (125, 107, false, 0x42_001f),
];

/// Browsers bring sound and picture together after two sender reports of each.
const REPORTS: Duration = Duration::from_secs(1);

/// Why an offer or answer was refused. The peer's fault.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub(crate) enum SdpError {
    /// Larger than any browser's.
    #[error("the description is too large")]
    TooLarge,
    /// More lines of one kind than any browser's.
    #[error("the description has too many lines of one kind: {0}")]
    TooMany(&'static str),
    /// Not SDP, or not what RFC 8829 makes of it.
    #[error("the description is malformed")]
    Malformed,
    /// No codec in common. Ours are H.264 and Opus.
    #[error("no common codec: H.264 video and Opus audio are supported")]
    NoCodec,
    /// The first section is refused, which leaves browsers without a transport.
    #[error("the first section cannot be refused")]
    FirstRefused,
}

/// Which half of a stream a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publisher,
    Player,
}

/// A peer that is ready for a shard, and the description to send it.
pub(crate) struct Negotiated {
    /// Its side of the connection.
    pub(crate) rtc: Rtc,
    /// Media sections.
    pub(crate) mids: Vec<Mid>,
    /// What the remote answer belongs to, when we made the offer.
    pub(crate) pending: Option<SdpPendingOffer>,
    /// Offer or answer to send.
    pub(crate) sdp: String,
}

/// Without the description and what it was made of: the password that ICE knows a
/// peer by is in there.
impl fmt::Debug for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiated").field("mids", &self.mids).finish_non_exhaustive()
    }
}

/// One `m=` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Section {
    kind: Option<MediaKind>,
    refused: bool,
    /// Whether it names a codec of ours.
    has_codec: bool,
}

/// An offer to a player (C§8.4): audio first, a data channel named `label`.
pub(crate) fn offer(
    tracks: &Tracks,
    label: &str,
    candidates: Vec<Candidate>,
    now: Instant,
) -> Option<Negotiated> {
    let mut rtc = build(Role::Player, &H264[..1], candidates, now);
    let mut api = rtc.sdp_api();
    let mut mids = Vec::new();
    let stream = Some(label.to_owned());
    if tracks.audio.is_some() {
        mids.push(api.add_media(MediaKind::Audio, Direction::SendOnly, stream.clone(), None, None));
    }
    if tracks.video.is_some() {
        mids.push(api.add_media(MediaKind::Video, Direction::SendOnly, stream, None, None));
    }
    api.add_channel(label.to_owned());
    let (offer, pending) = api.apply()?;
    Some(Negotiated { rtc, mids, pending: Some(pending), sdp: offer.to_sdp_string() })
}

/// A player's answer, read.
#[derive(Debug)]
pub(crate) struct Answer(SdpAnswer);

/// Reads a player's answer to our offer.
pub(crate) fn read_answer(sdp: &str) -> Result<Answer, SdpError> {
    let answered = outline(sdp)?;
    if answered.sections.first().is_some_and(|first| first.refused) {
        return Err(SdpError::FirstRefused);
    }
    SdpAnswer::from_sdp_string(&answered.text).map(Answer).map_err(|_| SdpError::Malformed)
}

/// Takes a player's answer to our offer.
pub(crate) fn accept_answer(rtc: &mut Rtc, pending: SdpPendingOffer, answer: Answer) -> Result<(), SdpError> {
    rtc.sdp_api().accept_answer(pending, answer.0).map_err(|_| SdpError::Malformed)
}

/// Whether an offer is worth to be parsed. Costs a walk over its lines.
pub(crate) fn look(sdp: &str) -> Result<(), SdpError> {
    let offered = outline(sdp)?.sections;
    let taken: Vec<Section> = offered.iter().copied().filter(|section| section.has_codec).collect();
    accepts(&offered, &taken)
}

/// Answers a publisher's offer.
pub(crate) fn answer_publisher(
    sdp: &str,
    candidates: Vec<Candidate>,
    now: Instant,
) -> Result<Negotiated, SdpError> {
    answer(Role::Publisher, sdp, candidates, now)
}

/// Answers a player's offer (WHEP).
pub(crate) fn answer_player(
    sdp: &str,
    candidates: Vec<Candidate>,
    now: Instant,
) -> Result<Negotiated, SdpError> {
    answer(Role::Player, sdp, candidates, now)
}

fn answer(role: Role, sdp: &str, candidates: Vec<Candidate>, now: Instant) -> Result<Negotiated, SdpError> {
    let offered = outline(sdp)?;
    let offer = SdpOffer::from_sdp_string(&one_way(role, &offered.text)).map_err(|_| SdpError::Malformed)?;
    // A player that takes only mode 0 could not put our fragments together.
    let codecs = match role {
        Role::Publisher => &H264[..],
        Role::Player => &H264[..4],
    };
    let mut rtc = build(role, codecs, candidates, now);
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|_| SdpError::Malformed)?;
    let sdp = answer.to_sdp_string();
    let answered = sections(&sdp);
    accepts(&offered.sections, &answered)?;
    let mids = mids(&sdp).into_iter().filter(|&mid| rtc.media(mid).is_some_and(|m| !m.disabled())).collect();
    Ok(Negotiated { rtc, mids, pending: None, sdp })
}

/// The SDK offers both directions where it means one (real-clients §5); answered
/// as offered, it would wait for our half.
fn one_way(role: Role, sdp: &str) -> String {
    let one = match role {
        Role::Publisher => "a=sendonly",
        Role::Player => "a=recvonly",
    };
    sdp.replace("\na=sendrecv", &format!("\n{one}"))
}

/// A kind that is offered must not be refused, or the stream would lack it
/// without anybody being told.
fn accepts(offered: &[Section], answered: &[Section]) -> Result<(), SdpError> {
    let media = |s: &&Section| s.kind.is_some() && !s.refused;
    if answered.iter().filter(media).count() == 0 {
        return Err(SdpError::NoCodec);
    }
    let lost = [MediaKind::Audio, MediaKind::Video].into_iter().any(|kind| {
        let has = |list: &[Section]| list.iter().filter(media).any(|s| s.kind == Some(kind));
        has(offered) && !has(answered)
    });
    if lost {
        return Err(SdpError::NoCodec);
    }
    if answered.first().is_some_and(|first| first.refused) {
        return Err(SdpError::FirstRefused);
    }
    Ok(())
}

/// A candidate line of a peer. ICE-lite needs none, so this only says whether it
/// is one; names of `.local` hosts are.
pub(crate) fn is_candidate(text: &str) -> bool {
    text.len() <= 1024 && (text.is_empty() || text.trim_start_matches("a=").starts_with("candidate:"))
}

fn build(role: Role, h264: &[H264Label], candidates: Vec<Candidate>, now: Instant) -> Rtc {
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_dtls_version(DtlsVersion::Dtls12)
        .set_extension_map(extensions(role))
        .set_rtcp_report_interval_audio(REPORTS)
        .set_rtcp_report_interval_video(REPORTS)
        .set_send_buffer_audio(50)
        .set_send_buffer_video(512)
        .clear_codecs()
        .enable_opus(true, false);
    if let Some(credentials) = ice_credentials() {
        config = config.set_local_ice_credentials(credentials);
    }
    if let Some(cert) = certificate() {
        config = config.set_dtls_cert(cert);
    }
    let codecs = config.codec_config();
    for &(pt, rtx, mode_1, profile) in h264 {
        codecs.add_h264(pt.into(), Some(rtx.into()), mode_1, profile);
    }
    let mut rtc = config.build(now);
    for candidate in candidates {
        rtc.add_local_candidate(candidate);
    }
    rtc
}

/// Publishers need transport-wide congestion control to send more than a few
/// hundred kbit/s; players would only report what nobody uses.
fn extensions(role: Role) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    map.set(4, Extension::RtpMid);
    if role == Role::Publisher {
        map.set(2, Extension::AbsoluteSendTime);
        map.set(3, Extension::TransportSequenceNumber);
    }
    map
}

/// 64 and 128 random bits (RFC 8445 §5.3); str0m's own generator is a weak one.
fn ice_credentials() -> Option<IceCreds> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).ok()?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(IceCreds { ufrag: hex(&bytes[..8]), pass: hex(&bytes[8..]) })
}

/// One P-256 certificate per process; a new one at each start.
fn certificate() -> Option<DtlsCert> {
    static CERTIFICATE: OnceLock<Option<DtlsCert>> = OnceLock::new();
    let make = || str0m::crypto::from_feature_flags().dtls_provider.generate_certificate();
    CERTIFICATE.get_or_init(make).clone()
}

fn mids(sdp: &str) -> Vec<Mid> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(|mid| mid.trim().into()).collect()
}

/// Whether the publisher's sections carry sound and pictures towards us.
pub(crate) fn receives(rtc: &Rtc, mids: &[Mid], kind: MediaKind) -> bool {
    let media = mids.iter().filter_map(|&mid| rtc.media(mid));
    media.filter(|m| m.kind() == kind).any(|m| m.direction().is_receiving())
}

#[cfg(any(fuzzing, test))]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;
