//! One peer connection: DTLS passive, full ICE, one loopback socket, H.264 and Opus.

use std::sync::Arc;

use anyhow::{Context, Result};
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use tokio::sync::{Notify, mpsc, watch};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    register_default_interceptors,
};
use webrtc::runtime::default_runtime;

pub struct Peer {
    pub connection: Arc<dyn PeerConnection>,
    pub state: watch::Receiver<RTCPeerConnectionState>,
    pub tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
    gathered: Arc<Notify>,
}

struct Events {
    state: watch::Sender<RTCPeerConnectionState>,
    tracks: mpsc::Sender<Arc<dyn TrackRemote>>,
    gathered: Arc<Notify>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let _ = self.tracks.try_send(track);
    }
}

impl Peer {
    pub async fn new() -> Result<Self> {
        let (state, state_rx) = watch::channel(RTCPeerConnectionState::New);
        let (tracks, tracks_rx) = mpsc::channel(2);
        let gathered = Arc::new(Notify::new());
        let mut media = media()?;
        let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
        let settings = SettingEngineBuilder::new().with_answering_dtls_role(RTCDtlsRole::Server).build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(Events { state, tracks, gathered: gathered.clone() }))
            .with_runtime(default_runtime().context("no runtime")?)
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await?;
        Ok(Self { connection: Arc::new(connection), state: state_rx, tracks: tracks_rx, gathered })
    }

    pub async fn answer(&self, offer: String) -> Result<String> {
        let connection = &self.connection;
        connection.set_remote_description(RTCSessionDescription::offer(offer)?).await?;
        let answer = connection.create_answer(None).await?;
        connection.set_local_description(answer).await?;
        self.gathered.notified().await;
        Ok(connection.local_description().await.context("no answer")?.sdp)
    }

    /// Waits for the connection to come up; an error when it ends instead.
    pub async fn connected(&mut self) -> Result<()> {
        use RTCPeerConnectionState::{Closed, Connected, Failed};
        let state = *self.state.wait_for(|state| matches!(state, Connected | Failed | Closed)).await?;
        anyhow::ensure!(state == Connected, "{state}");
        Ok(())
    }

    /// Waits for the connection to end, and closes it.
    pub async fn ended(&mut self) {
        use RTCPeerConnectionState::{Closed, Failed};
        let _ = self.state.wait_for(|state| matches!(state, Failed | Closed)).await;
        let _ = self.connection.close().await;
    }
}

/// Only what is forwarded: each codec more makes every `write_rtp` of the crate dearer.
fn media() -> Result<MediaEngine> {
    let mut media = MediaEngine::default();
    let rtx =
        RTCRtpCodec { mime_type: MIME_TYPE_RTX.to_owned(), sdp_fmtp_line: "apt=108".to_owned(), ..video() };
    for (kind, rtp_codec, payload_type) in [
        (RtpCodecKind::Audio, rtp_codec(RtpCodecKind::Audio), 111),
        (RtpCodecKind::Video, rtp_codec(RtpCodecKind::Video), 108),
        (RtpCodecKind::Video, rtx, 109),
    ] {
        media.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, kind)?;
    }
    Ok(media)
}

/// Opus for sound, H.264 for pictures.
pub fn rtp_codec(kind: RtpCodecKind) -> RTCRtpCodec {
    if kind == RtpCodecKind::Audio {
        return RTCRtpCodec {
            mime_type: MIME_TYPE_OPUS.to_owned(),
            clock_rate: 48_000,
            channels: 2,
            sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
            rtcp_feedback: vec![],
        };
    }
    let feedback =
        |(typ, parameter): (&str, &str)| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".to_owned(),
        rtcp_feedback: [("ccm", "fir"), ("nack", ""), ("nack", "pli")].map(feedback).to_vec(),
        ..video()
    }
}

fn video() -> RTCRtpCodec {
    RTCRtpCodec { clock_rate: 90_000, ..Default::default() }
}
