//! One publisher's tracks, and the players that they are forwarded to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use webrtc::media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::rtp_transceiver::RtpSender;

use crate::peer::Peer;

/// Packets that a player may lag behind before it loses some.
const LAG: usize = 256;

static SSRC: AtomicU32 = AtomicU32::new(0x1000);

pub struct Stream {
    tracks: Vec<Track>,
}

/// What a player needs to know of a publisher's track: where its packets come, and,
/// once they do, whom to ask for a picture to start with.
struct Track {
    kind: RtpCodecKind,
    packets: broadcast::Sender<rtp::Packet>,
    remote: watch::Sender<Option<Arc<dyn TrackRemote>>>,
}

impl Stream {
    pub async fn publish(offer: String) -> Result<(Arc<Self>, String)> {
        let mut peer = Peer::new().await?;
        let kinds = kinds(&offer);
        let receive = || RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        for kind in &kinds {
            peer.connection.add_transceiver_from_kind(*kind, Some(receive())).await?;
        }
        let answer = peer.answer(offer).await?;
        let stream = Arc::new(Self { tracks: kinds.into_iter().map(Track::new).collect() });
        tokio::spawn({
            let stream = stream.clone();
            async move {
                while let Some(track) = peer.tracks.recv().await {
                    tokio::spawn(stream.clone().intake(track));
                }
                peer.ended().await;
            }
        });
        Ok((stream, answer))
    }

    async fn intake(self: Arc<Self>, remote: Arc<dyn TrackRemote>) {
        let kind = remote.kind().await;
        let Some(track) = self.tracks.iter().find(|track| track.kind == kind) else { return };
        track.remote.send_replace(Some(remote.clone()));
        while let Some(event) = remote.poll().await {
            if let TrackRemoteEvent::OnRtpPacket(mut packet) = event {
                // Extensions are numbered anew with every peer.
                packet.header.extension = false;
                packet.header.extensions.clear();
                let _ = track.packets.send(packet);
            }
        }
    }

    pub async fn play(self: Arc<Self>, offer: String) -> Result<String> {
        let mut peer = Peer::new().await?;
        let wanted = kinds(&offer);
        let mut outgoing = Vec::new();
        for (i, track) in self.tracks.iter().enumerate().filter(|(_, track)| wanted.contains(&track.kind)) {
            let (ssrc, local) = outgoing_track(track.kind);
            let sender = peer.connection.add_track(local.clone()).await?;
            outgoing.push((i, ssrc, local, sender));
        }
        let answer = peer.answer(offer).await?;
        tokio::spawn(async move {
            if peer.connected().await.is_ok() {
                for (i, ssrc, local, sender) in outgoing {
                    if let Ok(pt) = payload_type(&*sender).await {
                        self.tracks[i].ask_for_picture().await;
                        tokio::spawn(forward(self.tracks[i].packets.subscribe(), local, ssrc, pt));
                    }
                }
                drop(self);
            }
            peer.ended().await;
        });
        Ok(answer)
    }
}

impl Track {
    fn new(kind: RtpCodecKind) -> Self {
        Self { kind, packets: broadcast::Sender::new(LAG), remote: watch::Sender::new(None) }
    }

    async fn ask_for_picture(&self) {
        let remote = self.remote.borrow().clone();
        let (Some(remote), RtpCodecKind::Video) = (remote, self.kind) else { return };
        let Some(&media_ssrc) = remote.ssrcs().await.first() else { return };
        let _ = remote.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })]).await;
    }
}

async fn forward(
    mut packets: broadcast::Receiver<rtp::Packet>,
    local: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
) {
    loop {
        let mut packet = match packets.recv().await {
            Ok(packet) => packet,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        packet.header.ssrc = ssrc;
        packet.header.payload_type = payload_type;
        if local.write_rtp(packet).await.is_err() {
            return;
        }
    }
}

/// The media sections of an offer that are forwarded at all.
fn kinds(offer: &str) -> Vec<RtpCodecKind> {
    let sections = offer.lines().filter_map(|line| line.strip_prefix("m="));
    sections
        .filter_map(|section| match section.split(' ').next() {
            Some("audio") => Some(RtpCodecKind::Audio),
            Some("video") => Some(RtpCodecKind::Video),
            _ => None,
        })
        .collect()
}

fn outgoing_track(kind: RtpCodecKind) -> (u32, Arc<TrackLocalStaticRTP>) {
    let ssrc = SSRC.fetch_add(1, Ordering::Relaxed);
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec: crate::peer::rtp_codec(kind),
        ..Default::default()
    };
    let track = MediaStreamTrack::new(
        "forwarded".to_owned(),
        format!("{kind}-{ssrc}"),
        format!("{kind}-{ssrc}"),
        kind,
        vec![coding],
    );
    (ssrc, Arc::new(TrackLocalStaticRTP::new(track)))
}

/// The number that the player gave to the codec in its offer.
async fn payload_type(sender: &dyn RtpSender) -> Result<u8> {
    let parameters = sender.get_parameters().await?.rtp_parameters;
    Ok(parameters.codecs.first().context("no codec agreed")?.payload_type)
}
