//! RTMP from outside, over real sockets, with a control plane that does as it is
//! told.

#![allow(clippy::expect_used, clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

#[path = "support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use actix::Addr;
use contract::session::{CloseReason, SetStanding};
use contract::{AppName, AppSettings, Clock, StreamId, StreamKey, SubscriberId};
use media::Memory;
use rtmp::{Client, ClientEvent, Purpose};
use session::Protocol;
use sluice_ingest::rtmp::{Config, Rtmp};
use support::{Lags, Plane, PublishFrames, SetAll};
use tokio_util::sync::CancellationToken;

/// A test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Of x264, 640 by 360, Baseline.
const RECORD: &[u8] = b"\x01\x42\xc0\x1e\xff\xe1\0\x19\x67\x42\xc0\x1e\xd9\x00\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2e\x48\x01\0\x05\x68\xcb\x83\xcb\x20";

struct Server {
    address: SocketAddr,
    plane: Addr<Plane>,
    stop: CancellationToken,
    /// Told when everything has ended.
    ended: Receiver<()>,
    system: actix_rt::System,
    calls: tokio::runtime::Runtime,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.system.stop();
    }
}

impl Server {
    fn start() -> Self {
        Self::start_on([127, 0, 0, 1].into(), 1024, Memory::default())
    }

    fn start_on(address: IpAddr, max_connections: usize, memory: Memory) -> Self {
        let (ready, started) = channel();
        let (end, ended) = channel();
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        std::thread::spawn(move || {
            let system = actix_rt::System::new();
            system.block_on(async {
                let (plane, admission) = Plane::start_here(AppSettings::default());
                let listen = (address, 0).into();
                let config = Config { listen, tls: None, max_connections, memory, threads: 1 };
                let rtmp = Arc::new(Rtmp::bind(config, admission, Clock::system()).unwrap());
                let address = rtmp.local_addr();
                actix_rt::spawn(async move {
                    rtmp.serve(stopping).await.unwrap();
                    end.send(()).unwrap();
                });
                ready.send((address, plane, actix_rt::System::current())).unwrap();
            });
            system.run().unwrap();
        });
        let (address, plane, system) = started.recv().unwrap();
        let calls = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { address, plane, stop, ended, system, calls }
    }

    /// Orders all sessions of `owner` on stream `s`; how many confirmed.
    fn order(&self, set: SetStanding) -> usize {
        let subscriber = SubscriberId::parse("owner").unwrap();
        self.calls.block_on(self.plane.send(SetAll { stream: stream(), subscriber, set })).unwrap()
    }

    /// Makes stream `s` live.
    fn live(&self) -> media::BusWriter {
        let config = bytes::Bytes::from_static(RECORD);
        let codec = media::VideoCodec::H264;
        let video = media::VideoTrack { codec, config, width: 640, height: 360, reordered: false };
        let tracks = media::Tracks { video: Some(video), audio: None };
        self.calls.block_on(self.plane.send(PublishFrames { stream: stream(), tracks })).unwrap()
    }

    /// How far behind its players are.
    fn lags(&self) -> Vec<Option<Duration>> {
        self.calls.block_on(self.plane.send(Lags { stream: stream() })).unwrap()
    }

    /// Somebody who may publish, and sends nothing yet.
    fn publisher(&self) -> Peer {
        let mut peer = Peer::connect(self.address, Purpose::Publish);
        assert_eq!(peer.hear().as_deref(), Some("NetConnection.Connect.Success Connection succeeded."));
        assert_eq!(peer.hear().as_deref(), Some("NetStream.Publish.Start Publishing."));
        peer
    }
}

fn stream() -> StreamKey {
    StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("s").unwrap() }
}

struct Peer {
    socket: TcpStream,
    client: Client,
}

impl Peer {
    fn connect(to: SocketAddr, purpose: Purpose) -> Self {
        Self::connect_as(to, purpose, "s?subscriberId=owner&subscriberCode=123456")
    }

    fn publish(to: SocketAddr, stream: &str) -> Self {
        Self::connect_as(to, Purpose::Publish, stream)
    }

    fn connect_as(to: SocketAddr, purpose: Purpose, name: &str) -> Self {
        let socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, client: Client::new(purpose, "live", name, &[7; rtmp::HANDSHAKE_LEN]) }
    }

    /// The next status, code and description; `None` when the server has closed.
    fn hear(&mut self) -> Option<String> {
        loop {
            if let ClientEvent::Status { code, description, .. } = self.event()? {
                return Some(format!("{code} {description}"));
            }
        }
    }

    /// The next frame that plays.
    fn frame(&mut self) -> media::Frame {
        loop {
            if let ClientEvent::Frame(frame) = self.event().expect("the server closed") {
                return frame;
            }
        }
    }

    /// What happens next; `None` when the server has closed.
    fn event(&mut self) -> Option<ClientEvent> {
        let mut bytes = [0; 4096];
        loop {
            if let Some(event) = self.client.poll_event() {
                return Some(event);
            }
            self.socket.write_all(&self.client.take_output()).unwrap();
            let count = self.socket.read(&mut bytes).unwrap();
            if count == 0 {
                return None;
            }
            self.client.receive(&bytes[..count]).unwrap();
        }
    }
}

#[test]
fn a_publisher_who_has_sent_nothing_yet_hears_why_he_is_ended() {
    for (why, said) in [
        (CloseReason::Blocked, "NetStream.Failed Subscriber owner is blocked to publish stream."),
        (CloseReason::TakenOver, "NetStream.Failed The same subscriber connected anew."),
        (CloseReason::Withdrawn, "NetStream.Publish.BadName You are not allowed to publish the stream."),
    ] {
        let server = Server::start();
        let mut publisher = server.publisher();
        assert_eq!(server.order(SetStanding::Revoke(why)), 1, "confirmed");
        assert_eq!(publisher.hear().as_deref(), Some(said));
        assert_eq!(publisher.hear(), None, "closed");
    }
}

#[test]
fn a_server_that_stops_does_not_wait_for_a_publisher_who_sends_nothing() {
    let server = Server::start();
    let mut publisher = server.publisher();
    server.stop.cancel();
    assert_eq!(publisher.hear().as_deref(), Some("NetStream.Failed The stream was stopped."));
    assert_eq!(publisher.hear(), None, "closed");
    server.ended.recv_timeout(PATIENCE).unwrap();
}

/// Somebody who connects and says nothing; whether he is let stay.
fn stranger(to: SocketAddr) -> (TcpStream, bool) {
    let mut socket = TcpStream::connect(to).unwrap();
    // S0 and S1 answer C0 and C1.
    socket.write_all(&[&[3][..], &[0; 1536]].concat()).unwrap();
    let stays = socket.read(&mut [0; 1]).is_ok_and(|count| count > 0);
    (socket, stays)
}

/// Of the machine, where it has one: loopback is exempt from bounds on a network.
fn own_address() -> Option<IpAddr> {
    let own = if_addrs::get_if_addrs().unwrap().into_iter().map(|interface| interface.ip());
    own.into_iter().find(|ip| ip.is_ipv4() && !ip.is_loopback())
}

#[test]
fn players_of_one_network_leave_places_for_players_of_others_and_for_encoders() {
    let Some(own) = own_address() else { return };
    let server = Server::start_on(own, 40, Memory::default());
    let _frames = server.live();
    let mut players = Vec::new();
    let refused = loop {
        let mut player = Peer::connect(server.address, Purpose::Play);
        assert_eq!(player.hear().as_deref(), Some("NetConnection.Connect.Success Connection succeeded."));
        match player.hear().unwrap() {
            said if said.starts_with("NetStream.Play.") => players.push(player),
            said => break said,
        }
    };
    assert_eq!(refused, "NetStream.Failed The server has no place for another player.");
    assert_eq!(players.len(), 15, "half of three quarters");
    let mut encoder = Peer::publish(server.address, "other");
    encoder.hear();
    assert_eq!(encoder.hear().as_deref(), Some("NetStream.Publish.Start Publishing."));
}

#[test]
fn those_who_have_played_are_strangers_again() {
    let Some(own) = own_address() else { return };
    let server = Server::start_on(own, 40, Memory::default());
    let _frames = server.live();
    let mut players = [(); 3].map(|()| {
        let mut player = Peer::connect(server.address, Purpose::Play);
        while player.hear().unwrap() != "NetStream.Play.Start Playing." {}
        player
    });
    for player in &mut players {
        player.client.delete_stream();
        player.socket.write_all(&player.client.take_output()).unwrap();
        player.socket.set_nonblocking(true).unwrap();
    }
    // Sooner than any of them is idle for too long.
    let (waits, limit) = (std::time::Instant::now(), PATIENCE / 2);
    let closed = |player: &mut Peer| loop {
        match player.socket.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    while !players.iter_mut().any(closed) {
        assert!(waits.elapsed() < limit, "all three stay");
    }
    assert!(!stranger(server.address).1, "two of them are all that one network may have");
}

/// Waits until memory has been short for so many connections.
fn until_ended(memory: &Memory, connections: u64) {
    let waits = std::time::Instant::now();
    while memory.losses().ended < connections {
        assert!(waits.elapsed() < PATIENCE, "{:?}", memory.losses());
        std::thread::yield_now();
    }
}

#[test]
fn a_player_that_takes_nothing_is_ended_when_memory_is_scarce_and_not_before() {
    let memory = Memory::new(100 << 20);
    let server = Server::start_on([127, 0, 0, 1].into(), 1024, memory.clone());
    let mut writer = server.live();
    let mut players = [(); 2].map(|()| Peer::connect(server.address, Purpose::Play));
    for player in &mut players {
        while player.hear().unwrap() != "NetStream.Play.Start Playing." {}
    }
    // More than two sockets hold; one player reads it, and one does not.
    let large = readable(0, 6 << 20);
    writer.push(large.clone());
    let [mut reading, _stuck] = players;
    assert_eq!(reading.frame().data.len(), large.data.len());
    let _scarce = memory.charge(90 << 20).unwrap();
    until_ended(&memory, 1);
    writer.push(readable(1, 1000));
    assert_eq!(reading.frame().data.len(), 1000, "the other plays on");
    assert_eq!(memory.losses().ended, 1);
}

#[test]
fn a_publisher_whose_message_cannot_be_held_is_ended() {
    let memory = Memory::new(1 << 20);
    let server = Server::start_on([127, 0, 0, 1].into(), 1024, memory.clone());
    let mut publisher = server.publisher();
    let others = memory.charge(memory.limit() - (50 << 10)).unwrap();
    publisher.client.send_frame(&picture(0, 100 << 10));
    // It may end before all of this is written.
    let _ = publisher.socket.write_all(&publisher.client.take_output());
    until_ended(&memory, 1);
    drop(others);
    let waits = std::time::Instant::now();
    while memory.used() > 0 {
        assert!(waits.elapsed() < PATIENCE, "{} bytes are still counted", memory.used());
    }
}

#[test]
fn strangers_of_one_address_have_so_many_places_and_players_take_none() {
    let Some(own) = own_address() else { return };
    let server = Server::start_on(own, 1024, Memory::default());
    let _frames = server.live();
    let mut strangers: Vec<_> = (0..63).map(|_| stranger(server.address)).collect();
    let players = [(); 5].map(|()| {
        let mut player = Peer::connect(server.address, Purpose::Play);
        while !player.hear().unwrap().starts_with("NetStream.Play.Start") {}
        player
    });
    strangers.push(stranger(server.address));
    assert!(strangers.iter().all(|(_, stays)| *stays));
    assert!(!stranger(server.address).1, "one too many");
    drop((players, strangers));
}

#[test]
fn strangers_give_way_to_an_encoder_of_another_network_where_all_places_are_taken() {
    let Some(own) = own_address() else { return };
    let server = Server::start_on([0; 4].into(), 8, Memory::default());
    let (near, far) = (([127, 0, 0, 1], server.address.port()).into(), (own, server.address.port()).into());
    let _frames = server.live();
    // Of loopback, which is exempt from the bounds on one network.
    let players = [(); 6].map(|()| {
        let mut player = Peer::connect(near, Purpose::Play);
        while player.hear().unwrap() != "NetStream.Play.Start Playing." {}
        player
    });
    let strangers = [(); 2].map(|()| stranger(near));
    assert!(strangers.iter().all(|(_, stays)| *stays));
    let mut encoder = Peer::publish(far, "other");
    encoder.hear();
    assert_eq!(encoder.hear().as_deref(), Some("NetStream.Publish.Start Publishing."));
    drop((players, strangers));
}

/// One that a player's end can take apart: one NAL unit.
fn readable(seconds: i64, size: u32) -> media::Frame {
    let mut data = (size - 4).to_be_bytes().to_vec();
    data.extend((0..size - 4).map(|n| if n == 0 { 0x65 } else { n as u8 }));
    media::Frame { data: data.into(), ..picture(seconds, 0) }
}

fn picture(seconds: i64, size: usize) -> media::Frame {
    let at = media::MediaTime::from_millis(seconds * 1000);
    let data = vec![7; size].into();
    media::Frame { track: media::TrackKind::Video, pts: at, dts: at, keyframe: true, data }
}

#[test]
fn a_picture_of_many_chunks_arrives_as_it_is() {
    let server = Server::start();
    let mut writer = server.live();
    let mut player = Peer::connect(server.address, Purpose::Play);
    while player.hear().unwrap() != "NetStream.Play.Start Playing." {}
    // About the bounds of chunks, which are of 60,000 bytes with five of a header.
    for (second, size) in [59_994, 59_995, 59_996, 119_995, 119_996, 500_000].into_iter().enumerate() {
        let picture = readable(second as i64, size);
        writer.push(picture.clone());
        assert_eq!(player.frame().data, picture.data, "{size}");
    }
}

#[test]
fn a_player_who_reads_does_not_lag_and_one_who_stops_lags_more_and_more() {
    let server = Server::start();
    let mut writer = server.live();
    let mut player = Peer::connect(server.address, Purpose::Play);
    while player.hear().unwrap() != "NetStream.Play.Start Playing." {}
    assert_eq!(server.lags(), [None], "he was given nothing");
    writer.push(picture(0, 1000));
    let waits = std::time::Instant::now();
    let lags = |wanted: fn(Duration) -> bool| {
        let lag = server.lags()[0];
        assert!(waits.elapsed() < PATIENCE, "{lag:?}");
        lag.is_some_and(wanted)
    };
    while !lags(|lag| lag.is_zero()) {}
    // He reads nothing: what two sockets hold goes, and then no more.
    let mut seconds = 0;
    while !lags(|lag| lag >= Duration::from_secs(5)) {
        seconds += 1;
        writer.push(picture(seconds, 1 << 20));
    }
}
