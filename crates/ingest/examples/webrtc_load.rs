//! Load for a WebRTC server: one publisher and many players on str0m, in one
//! thread. `webrtc_load HTTP_PORT PLAYERS SECONDS [SERVER_PID [sound]]` prints
//! what arrived of what was sent and, of the server, processor time per packet
//! and player and memory per player. With `sound`, Opus goes along.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a tool for developers")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// Payload of the video packets; 8 of them in 40 ms are 2 Mbit/s.
const PAYLOAD: usize = 1200;
const PER_PICTURE: usize = 8;
const PICTURE: Duration = Duration::from_millis(40);
/// 64 kbit/s of Opus.
const BLOCK: Duration = Duration::from_millis(20);
const BLOCK_PAYLOAD: usize = 160;

struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    timeout: Instant,
    video: Mid,
    audio: Option<Mid>,
    connected: bool,
    /// Media packets received.
    packets: u64,
}

/// What is published beside the pictures.
#[derive(Clone, Copy, PartialEq)]
enum Sound {
    Without,
    Opus,
}

/// Where the publisher is in its stream.
struct Pace {
    pictures: u64,
    blocks: u64,
    next_picture: Instant,
    next_block: Instant,
    sent: u64,
}

impl Peer {
    fn join(http: u16, path: &str, direction: Direction, sound: Sound) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let mut map = ExtensionMap::empty();
        map.set(4, Extension::RtpMid);
        let config = RtcConfig::new().set_rtp_mode(true).set_extension_map(map).clear_codecs();
        let mut config = config.enable_opus(sound == Sound::Opus, false);
        config.codec_config().add_h264(108.into(), Some(109.into()), true, 0x42_e01f);
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap());
        let mut api = rtc.sdp_api();
        let mut add = |kind| api.add_media(kind, direction, None, None, None);
        let audio = (sound == Sound::Opus).then(|| add(MediaKind::Audio));
        let video = add(MediaKind::Video);
        let (offer, pending) = api.apply().unwrap();
        let answer = post(http, path, &offer.to_sdp_string());
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
        let timeout = Instant::now();
        Self { rtc, socket, local, timeout, video, audio, connected: false, packets: 0 }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                Output::Transmit(out) => {
                    let _ = self.socket.send_to(&out.contents, out.destination);
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::RtpPacket(_)) => self.packets += 1,
                Output::Event(_) => {}
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        while let Ok((size, from)) = self.socket.recv_from(buffer) {
            if let Ok(receive) = Receive::new(Protocol::Udp, from, self.local, &buffer[..size]) {
                let _ = self.rtc.handle_input(Input::Receive(Instant::now(), receive));
                self.drain();
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        if now >= self.timeout {
            let _ = self.rtc.handle_input(Input::Timeout(now));
            self.drain();
        }
    }

    /// Sends what is due, as its publisher.
    fn publish(&mut self, pace: &mut Pace, now: Instant) {
        if !self.connected || now < pace.next_picture.min(pace.next_block) {
            return;
        }
        if now >= pace.next_picture {
            pace.next_picture = now + PICTURE;
            self.sets(pace.pictures, now);
            self.picture(pace.pictures, now);
            pace.pictures += 1;
            pace.sent += 1 + PER_PICTURE as u64;
        }
        if now >= pace.next_block {
            pace.next_block = now + BLOCK;
            if let Some(audio) = self.audio {
                self.block(audio, pace.blocks, now);
                pace.blocks += 1;
                pace.sent += 1;
            }
        }
        let _ = self.rtc.handle_input(Input::Timeout(now));
        self.drain();
    }

    fn block(&mut self, audio: Mid, n: u64, now: Instant) {
        let pt = self.rtc.media(audio).unwrap().remote_pts()[0];
        let mut payload = vec![0u8; BLOCK_PAYLOAD];
        // One frame of 20 ms, fullband, stereo (RFC 6716, 3.1).
        payload[0] = 0xfc;
        let rtp = RtpWrite::new(pt, (n + 1).into(), (n * 960) as u32, now, payload);
        self.rtc.direct_api().stream_tx_by_mid(audio, None).unwrap().write_rtp(rtp);
    }

    fn picture(&mut self, n: u64, now: Instant) {
        let key = n.is_multiple_of(50);
        let pt = self.rtc.media(self.video).unwrap().remote_pts()[0];
        for i in 0..PER_PICTURE {
            let mut payload = vec![0u8; PAYLOAD];
            payload[..2].copy_from_slice(&[0x7c, if key { 0x05 } else { 0x01 }]);
            if i == 0 {
                payload[1] |= 0x80;
            }
            if i == PER_PICTURE - 1 {
                payload[1] |= 0x40;
            }
            let seq = 1 + n * 9 + 1 + i as u64;
            self.send(pt, seq, n, payload, i == PER_PICTURE - 1, now);
        }
    }

    fn sets(&mut self, n: u64, now: Instant) {
        let sps = [0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
        let mut sets = vec![0x78, 0, sps.len() as u8];
        sets.extend(sps);
        sets.extend([0, 4, 0x68, 0xce, 0x3c, 0x80]);
        let pt = self.rtc.media(self.video).unwrap().remote_pts()[0];
        // Every picture takes nine numbers, so that the sequence has no holes.
        let payload = if n.is_multiple_of(50) { sets } else { vec![0x09, 0xf0] };
        self.send(pt, 1 + n * 9, n, payload, false, now);
    }

    fn send(&mut self, pt: str0m::media::Pt, seq: u64, n: u64, payload: Vec<u8>, marker: bool, now: Instant) {
        let video = self.video;
        let mut api = self.rtc.direct_api();
        let tx = api.stream_tx_by_mid(video, None).unwrap();
        let rtp = RtpWrite::new(pt, seq.into(), (n * 3600) as u32, now, payload);
        tx.write_rtp(rtp.marker(marker).nackable(true));
    }
}

fn post(http: u16, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", http)).unwrap();
    let head = "Host: x\r\nContent-Type: application/sdp\r\nConnection: close";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
    body.to_owned()
}

/// Processor time in seconds, user and system, and resident kilobytes.
fn usage(pid: Option<&str>) -> (f64, f64, f64) {
    let Some(pid) = pid else { return (0.0, 0.0, 0.0) };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let seconds = |i: usize| fields[i].parse::<f64>().unwrap() / 100.0;
    let pages: f64 = fields[21].parse().unwrap();
    (seconds(11), seconds(12), pages * 4.0)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (http, players, seconds): (u16, usize, u64) =
        (args[1].parse().unwrap(), args[2].parse().unwrap(), args[3].parse().unwrap());
    let pid = args.get(4).map(String::as_str);
    let sound = if args.get(5).is_some_and(|arg| arg == "sound") { Sound::Opus } else { Sound::Without };
    let stream = format!("load{}", std::process::id());
    let mut poll = Poll::new().unwrap();
    let mut peers: HashMap<usize, Peer> = HashMap::new();
    let add = |poll: &Poll, peers: &mut HashMap<usize, Peer>, peer: Peer| {
        let token = Token(peers.len());
        let fd = peer.socket.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).unwrap();
        peers.insert(token.0, peer);
    };
    let publisher = Peer::join(http, &format!("/live/whip/{stream}"), Direction::SendOnly, sound);
    add(&poll, &mut peers, publisher);
    let now = Instant::now();
    let mut pace = Pace { pictures: 0, blocks: 0, next_picture: now, next_block: now, sent: 0 };
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 2000];
    let mut run = |peers: &mut HashMap<usize, Peer>, poll: &mut Poll, pace: &mut Pace, until: Instant| {
        while Instant::now() < until {
            poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
            for event in &events {
                peers.get_mut(&event.token().0).unwrap().receive(&mut buffer);
            }
            let now = Instant::now();
            peers.values_mut().for_each(|peer| peer.tick(now));
            peers.get_mut(&0).unwrap().publish(pace, now);
        }
    };
    run(&mut peers, &mut poll, &mut pace, Instant::now() + Duration::from_secs(2));
    let before = usage(pid);
    for i in 0..players {
        let player = Peer::join(http, &format!("/live/whep/{stream}"), Direction::RecvOnly, sound);
        add(&poll, &mut peers, player);
        if i % 10 == 9 {
            run(&mut peers, &mut poll, &mut pace, Instant::now() + Duration::from_millis(60));
        }
    }
    run(&mut peers, &mut poll, &mut pace, Instant::now() + Duration::from_secs(5));
    let connected = peers.values().filter(|peer| peer.connected).count();
    let count = |peers: &HashMap<usize, Peer>| peers.values().map(|peer| peer.packets).sum::<u64>();
    let (start, first, from) = (usage(pid), count(&peers), Instant::now());
    let sent = pace.sent;
    run(&mut peers, &mut poll, &mut pace, Instant::now() + Duration::from_secs(seconds));
    let (end, last) = (usage(pid), count(&peers));
    let packets = (last - first) as f64;
    let due = (pace.sent - sent) as f64 * players as f64;
    let (user, system) = (end.0 - start.0, end.1 - start.1);
    println!(
        "players {players} connected {connected}; {:.0} packets/s, {:.2} % of what was due; server {:.1} % of a core \
         ({user:.2} s user, {system:.2} s system), {:.2} us per packet and player, {:.3} MB per player",
        packets / from.elapsed().as_secs_f64(),
        packets / due * 100.0,
        (user + system) / from.elapsed().as_secs_f64() * 100.0,
        (user + system) / packets * 1e6,
        (end.2 - before.2) / 1024.0 / players as f64,
    );
}
