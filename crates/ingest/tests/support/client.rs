//! A WebRTC client on str0m, as a browser would be: full ICE, its own socket, one
//! thread.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// What a client met.
#[derive(Debug)]
pub enum Met {
    /// ICE and DTLS are through.
    Connected,
    /// A packet of its own order: kind, payload, marker.
    Packet { video: bool, payload: Vec<u8>, marker: bool },
    /// Somebody wants a key frame.
    KeyframeAsked,
    /// A data channel with this name.
    Channel(String),
    /// It is over.
    Closed,
}

/// What a client is told to do.
pub enum Do {
    /// Send a packet: kind, payload, RTP time, marker.
    Send { video: bool, payload: Vec<u8>, time: u32, marker: bool },
    /// Ask for a key frame.
    AskKeyframe,
}

/// A client's counters, from the wire.
#[derive(Debug, Default)]
pub struct Wire {
    /// Datagrams of RTP or RTCP that came.
    pub media: AtomicU64,
    /// All others.
    pub other: AtomicU64,
    /// Of so many RTP datagrams, one is thrown away; 0: none.
    pub drop_one_in: AtomicU64,
}

/// A client that has not connected yet.
pub struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    pending: Option<SdpPendingOffer>,
    mids: [Option<Mid>; 2],
    remote: Option<SocketAddr>,
}

/// A client that runs.
pub struct Running {
    /// What it met.
    pub met: Receiver<Met>,
    /// What it is to do.
    pub todo: Sender<Do>,
    /// Its counters.
    pub wire: Arc<Wire>,
    /// Where the server's media port is.
    pub remote: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut map = ExtensionMap::empty();
        map.set(4, Extension::RtpMid);
        let mut config = RtcConfig::new().set_rtp_mode(true).set_extension_map(map).clear_codecs();
        config = config.enable_opus(true, false);
        config.codec_config().add_h264(108.into(), Some(109.into()), true, 0x42_e01f);
        let mut rtc = config.build(Instant::now());
        let local = socket.local_addr().expect("an address");
        rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
        Self { rtc, socket, pending: None, mids: [None; 2], remote: None }
    }

    /// Its offer; both tracks in one direction.
    pub fn offer(&mut self, direction: Direction) -> String {
        let mut api = self.rtc.sdp_api();
        let audio = api.add_media(MediaKind::Audio, direction, None, None, None);
        let video = api.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = api.apply().expect("changes");
        self.pending = Some(pending);
        self.mids = [Some(video), Some(audio)];
        offer.to_sdp_string()
    }

    /// Takes the answer to its offer.
    pub fn accept(&mut self, answer: &str) {
        self.remote = candidate(answer);
        let answer = SdpAnswer::from_sdp_string(answer).expect("SDP");
        self.rtc.sdp_api().accept_answer(self.pending.take().expect("an offer"), answer).expect("an answer");
    }

    /// Answers an offer.
    pub fn answer(&mut self, offer: &str) -> String {
        self.remote = candidate(offer);
        let offer = SdpOffer::from_sdp_string(offer).expect("SDP");
        self.rtc.sdp_api().accept_offer(offer).expect("an offer").to_sdp_string()
    }

    /// Connects and runs.
    pub fn run(mut self) -> Running {
        let remote = self.remote.expect("a description with a candidate");
        let ((tell, met), (todo, orders)) = (channel(), channel());
        let (wire, stop) = (Arc::new(Wire::default()), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (wire, stop) = (wire.clone(), stop.clone());
            move || self.live(&tell, &orders, &wire, &stop)
        });
        Running { met, todo, wire, remote, stop, thread: Some(thread) }
    }

    fn live(&mut self, tell: &Sender<Met>, orders: &Receiver<Do>, wire: &Wire, stop: &AtomicBool) {
        let mut buffer = vec![0; 2000];
        let mut sent = [0u64; 2];
        while !stop.load(Ordering::Relaxed) && self.rtc.is_alive() {
            let timeout = self.drain(tell);
            for order in orders.try_iter() {
                self.obey(order, &mut sent);
                self.rtc.handle_input(Input::Timeout(Instant::now())).expect("time");
                self.drain(tell);
            }
            let wait = timeout.saturating_duration_since(Instant::now());
            let wait = wait.clamp(Duration::from_micros(200), Duration::from_millis(2));
            self.socket.set_read_timeout(Some(wait)).expect("a timeout");
            match self.socket.recv_from(&mut buffer) {
                Ok((size, from)) => self.receive(&buffer[..size], from, wire),
                Err(_) => self.rtc.handle_input(Input::Timeout(Instant::now())).expect("time"),
            }
        }
        let _ = tell.send(Met::Closed);
    }

    fn receive(&mut self, bytes: &[u8], from: SocketAddr, wire: &Wire) {
        let is_media = (128..192).contains(&bytes[0]);
        let counter = if is_media { &wire.media } else { &wire.other };
        let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
        let one_in = wire.drop_one_in.load(Ordering::Relaxed);
        let is_rtcp = is_media && (64..96).contains(&(bytes[1] & 0x7f));
        if is_media && !is_rtcp && one_in > 0 && count % one_in == 0 {
            return;
        }
        let to = self.socket.local_addr().expect("an address");
        if let Ok(receive) = Receive::new(Protocol::Udp, from, to, bytes) {
            let _ = self.rtc.handle_input(Input::Receive(Instant::now(), receive));
        }
    }

    fn drain(&mut self, tell: &Sender<Met>) -> Instant {
        loop {
            match self.rtc.poll_output().expect("output") {
                Output::Timeout(at) => return at,
                Output::Transmit(out) => {
                    let _ = self.socket.send_to(&out.contents, out.destination);
                }
                Output::Event(event) => {
                    if let Some(met) = self.met(event) {
                        let _ = tell.send(met);
                    }
                }
            }
        }
    }

    fn met(&mut self, event: Event) -> Option<Met> {
        match event {
            Event::Connected => Some(Met::Connected),
            Event::KeyframeRequest(_) => Some(Met::KeyframeAsked),
            Event::ChannelOpen(_, label) => Some(Met::Channel(label)),
            Event::MediaAdded(added) => {
                self.mids[usize::from(added.kind.is_audio())] = Some(added.mid);
                None
            }
            Event::RtpPacket(packet) => Some(Met::Packet {
                video: self.codec(packet.header.payload_type) == Some(Codec::H264),
                payload: packet.payload.to_vec(),
                marker: packet.header.marker,
            }),
            _ => None,
        }
    }

    fn codec(&self, pt: Pt) -> Option<Codec> {
        self.rtc.codec_config().params().iter().find(|p| p.pt() == pt).map(|p| p.spec().codec)
    }

    fn obey(&mut self, order: Do, sent: &mut [u64; 2]) {
        match order {
            Do::Send { video, payload, time, marker } => {
                let which = usize::from(!video);
                let Some((pt, ssrc)) = self.sender(which) else { return };
                let seq = 100 + sent[which];
                sent[which] += 1;
                let rtp = RtpWrite::new(pt, seq.into(), time, Instant::now(), payload);
                if let Some(tx) = self.rtc.direct_api().stream_tx(&ssrc) {
                    tx.write_rtp(rtp.marker(marker).nackable(video));
                }
            }
            Do::AskKeyframe => {
                let Some(mid) = self.mids[0] else { return };
                if let Some(rx) = self.rtc.direct_api().stream_rx_by_mid(mid, None) {
                    rx.request_keyframe(KeyframeRequestKind::Pli);
                }
            }
        }
    }

    fn sender(&mut self, which: usize) -> Option<(Pt, Ssrc)> {
        let mid = self.mids[which]?;
        let pts = self.rtc.media(mid)?.remote_pts().to_vec();
        let codec = [Codec::H264, Codec::Opus][which];
        let pt = pts.into_iter().find(|&pt| self.codec(pt) == Some(codec))?;
        let ssrc = self.rtc.direct_api().stream_tx_by_mid(mid, None)?.ssrc();
        Some((pt, ssrc))
    }
}

fn candidate(sdp: &str) -> Option<SocketAddr> {
    let line = sdp.lines().find(|line| line.starts_with("a=candidate:"))?;
    let words: Vec<&str> = line.split(' ').collect();
    Some(SocketAddr::new(words[4].parse().ok()?, words[5].parse().ok()?))
}

impl Running {
    /// Waits until it meets something that `wanted` makes a value of.
    pub fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(Met) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let met = self.met.recv_timeout(left).unwrap_or_else(|_| panic!("never met: {what}"));
            if let Some(found) = wanted(met) {
                return found;
            }
        }
    }

    /// Waits until it is connected.
    pub fn connected(&self) {
        self.wait_for("connection", |met| matches!(met, Met::Connected).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
