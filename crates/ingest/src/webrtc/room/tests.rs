use super::*;
use crate::crowd::{Bounds, Crowd};
use crate::webrtc::command::{PeerHandle, Reserved, ShardHandle};
use crate::webrtc::lobby::Lobby;
use crate::webrtc::peer::Shares;
use crate::webrtc::sdp;
use crate::webrtc::udp::Datagram;
use contract::session::{CloseReason, Traffic};
use contract::{Action, AppName, Clock, Standing, StandingCell};
use session::DataPlane;
use std::sync::mpsc::{Receiver, sync_channel};
use str0m::ice::{StunMessage, TransId};
use tokio::sync::{mpsc, oneshot, watch};
use transcode::Decoding;

/// A shard without its thread.
struct Bench {
    room: Room,
    udp: Udp,
    shard: ShardHandle,
    queue: Receiver<Command>,
    now: Now,
    _poll: mio::Poll,
}

impl Bench {
    fn new() -> Self {
        let poll = mio::Poll::new().unwrap();
        let udp = Udp::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let bell = Arc::new(Bell::new(poll.registry(), mio::Token(0)).unwrap());
        let addresses = Arc::new(Addresses::new(udp.local(), &[], Vec::new()));
        let (commands, queue) = sync_channel(8);
        let shard = ShardHandle { queue: commands, bell: bell.clone(), addresses: addresses.clone() };
        let (transcoding, drops) = (Transcoding::new(0, Decoding::Here), Arc::new(Drops::default()));
        let room = Room::new(Fittings { addresses, bell, transcoding, max_segments: 1, drops });
        Self { room, udp, shard, queue, now: Clock::system().now(), _poll: poll }
    }

    fn obey(&mut self) {
        while let Ok(command) = self.queue.try_recv() {
            self.room.command(command, &self.udp, self.now);
        }
    }

    /// Sends a player to the shard, which does not look yet.
    fn send(&self, reserved: Reserved, standing: Standing) -> PeerHandle {
        self.send_named(reserved, standing).0
    }

    /// And what STUN requests name it by.
    fn send_named(&self, reserved: Reserved, standing: Standing) -> (PeerHandle, Name) {
        let candidates = self.shard.candidates();
        let tracks = media::Tracks { video: None, audio: Some(sound()) };
        let made = sdp::offer(&tracks, "s", candidates, self.now.mono).unwrap();
        let app = AppName::parse("live").unwrap();
        let lobby = Lobby::new(64);
        let entry = lobby.enter([127, 0, 0, 1].into(), &app, Action::Play).unwrap();
        let line = |kind| made.sdp.lines().find_map(|line| line.strip_prefix(kind)).unwrap().to_owned();
        let name = Name { ufrag: line("a=ice-ufrag:"), password: line("a=ice-pwd:") };
        let stream = StreamKey { app, id: contract::StreamId::parse("s").unwrap() };
        let source = Source { stream, live: watch::channel(None).1 };
        (reserved.play(made, shares(standing), entry, source, Box::new(())).unwrap(), name)
    }

    /// A peer that has a seat.
    fn seated(&mut self) -> (PeerHandle, Name) {
        let seated = self.send_named(self.shard.reserve(), Standing::Granted);
        self.obey();
        seated
    }

    /// A datagram comes from this port.
    fn come(&mut self, port: u16, bytes: &[u8]) {
        let datagram = Datagram { from: from(port), to: self.udp.local(), bytes };
        self.room.datagram(&datagram, &self.udp, self.now);
    }

    fn routes(&self, peer: &PeerHandle) -> usize {
        self.room.seats[&peer.id()].door.routes().len()
    }

    fn dropped(&self, why: &str) -> u64 {
        self.room.drops.totals().find(|(reason, _)| *reason == why).unwrap().1
    }
}

fn from(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// ICE credentials.
struct Name {
    ufrag: String,
    password: String,
}

impl Name {
    /// A check, as the other side sends it.
    fn check(&self) -> Vec<u8> {
        let name = format!("{}:theirs", self.ufrag);
        let check = StunMessage::binding_request(&name, TransId::new(), true, 1, 1, false);
        let crypto = str0m::crypto::from_feature_flags();
        let hmac = |key: &[u8], payloads: &[&[u8]]| crypto.sha1_hmac_provider.sha1_hmac(key, payloads);
        let mut bytes = vec![0; 1000];
        let length = check.to_bytes(Some(self.password.as_bytes()), &mut bytes, hmac).unwrap();
        bytes.truncate(length);
        bytes
    }
}

fn sound() -> media::AudioTrack {
    let config = bytes::Bytes::new();
    media::AudioTrack { codec: media::AudioCodec::Opus, config, sample_rate: 48_000, channels: 2 }
}

fn shares(standing: Standing) -> Shares {
    let standing = Arc::new(StandingCell::new(standing));
    Shares { standing, traffic: Arc::new(Traffic::default()), owner: None }
}

#[test]
fn a_peer_that_was_told_to_go_on_its_way_is_not_seated() {
    let revoke = SetStanding::Revoke(CloseReason::Blocked);
    let ends = [What::Close(CloseReason::Stopped), What::Standing(revoke)];
    for what in ends {
        let mut bench = Bench::new();
        let reserved = bench.shard.reserve();
        let plane = reserved.plane(None);
        let (done, mut holds) = oneshot::channel();
        plane.order(Order { what, done });
        bench.obey();
        assert_eq!(holds.try_recv(), Ok(()), "there is nothing to wait for");
        let peer = bench.send(reserved, Standing::Granted);
        bench.obey();
        assert!(peer.is_gone() && bench.room.seats.is_empty() && bench.room.by_ufrag.is_empty(), "{what:?}");
    }
}

#[test]
fn a_peer_that_was_killed_or_is_revoked_when_it_comes_is_not_seated() {
    let mut bench = Bench::new();
    let reserved = bench.shard.reserve();
    let plane = reserved.plane(None);
    let killed = bench.send(reserved, Standing::Granted);
    plane.kill();
    let revoked = bench.send(bench.shard.reserve(), Standing::Revoked);
    let suspended = bench.send(bench.shard.reserve(), Standing::Suspended);
    bench.obey();
    assert!(killed.is_gone() && revoked.is_gone() && !suspended.is_gone());
    assert_eq!(bench.room.seats.keys().collect::<Vec<_>>(), [&suspended.id()]);
}

#[test]
fn a_peer_that_panics_when_it_comes_costs_nobody_else() {
    let mut bench = Bench::new();
    let (owner, mut events) = mpsc::channel(1);
    let peer = bench.send(bench.shard.reserve(), Standing::Granted);
    let Ok(Command::Play { mut arriving, source, hold }) = bench.queue.try_recv() else {
        panic!("no player")
    };
    arriving.shares.owner = Some(owner);
    let plays = Some((source, hold));
    bench.room.arrive(*arriving, |_, _| panic!("as str0m might"), plays, &bench.udp, bench.now);
    assert!(peer.is_gone() && bench.room.seats.is_empty());
    assert_eq!(events.try_recv(), Ok((peer.id(), PeerEvent::Closed(Gone::Broken))));
}

#[test]
fn a_peer_that_has_not_connected_is_met_at_so_many_addresses_and_no_more() {
    let mut bench = Bench::new();
    let (peer, name) = bench.seated();
    for port in 1000..1100 {
        bench.come(port, &name.check());
    }
    assert_eq!((bench.routes(&peer), bench.dropped("addresses")), (16, 84));
    assert_eq!(bench.room.by_address.len(), 16);
}

#[test]
fn an_address_is_the_peers_only_when_a_check_with_its_password_came_from_there() {
    let mut bench = Bench::new();
    let (peer, name) = bench.seated();
    let wrong = Name { ufrag: name.ufrag.clone(), password: "wrong".to_owned() };
    bench.come(1000, &wrong.check());
    bench.come(1000, &[22, 254, 253]);
    assert_eq!((bench.routes(&peer), bench.dropped("password"), bench.dropped("no_peer")), (0, 1, 1));
    bench.come(1000, &name.check());
    bench.come(1000, &[22, 254, 253]);
    assert_eq!((bench.routes(&peer), bench.dropped("no_peer")), (1, 1));
    bench.come(1001, &[0; 20]);
    assert_eq!(bench.dropped("malformed"), 1);
}

#[test]
fn an_address_is_unmapped_only_by_the_peer_that_it_leads_to() {
    let mut bench = Bench::new();
    let (first, first_name) = bench.seated();
    let (second, second_name) = bench.seated();
    bench.come(1000, &first_name.check());
    // A browser's next connection, from the port of its last.
    bench.come(1000, &second_name.check());
    assert_eq!(bench.room.by_address[&from(1000)], second.id());
    // The first moves on, and forgets that address for others; then it leaves.
    bench.room.seats.get_mut(&first.id()).unwrap().peer.set_connected();
    (1001..1017).for_each(|port| {
        bench.now.mono += Duration::from_secs(10);
        bench.come(port, &first_name.check());
    });
    assert_eq!((bench.routes(&first), bench.dropped("addresses")), (16, 0));
    assert_eq!(bench.room.by_address.get(&from(1000)), Some(&second.id()));
    drop(first);
    bench.room.sweep(&bench.udp, bench.now);
    assert_eq!(bench.room.by_address.get(&from(1000)), Some(&second.id()));
    drop(second);
    bench.room.sweep(&bench.udp, bench.now);
    assert!(bench.room.by_address.is_empty());
}

#[test]
fn the_address_of_a_peer_that_talks_cannot_be_claimed_by_another() {
    let mut bench = Bench::new();
    let (first, first_name) = bench.seated();
    let (second, second_name) = bench.seated();
    bench.come(1000, &first_name.check());
    bench.room.seats.get_mut(&first.id()).unwrap().peer.set_connected();
    bench.come(1000, &second_name.check());
    assert_eq!((bench.room.by_address[&from(1000)], bench.dropped("taken")), (first.id(), 1));
    // It has fallen silent: a browser opened its next connection from there.
    bench.now.mono += Duration::from_secs(3);
    bench.come(1000, &second_name.check());
    assert_eq!((bench.room.by_address[&from(1000)], bench.dropped("taken")), (second.id(), 1));
}

#[test]
fn a_peer_whose_place_was_given_to_another_is_put_out() {
    let mut bench = Bench::new();
    let crowd = Crowd::new(Bounds { all: 2, of_app: 2, of_network: 2 });
    let app = AppName::parse("live").unwrap();
    let enter = |ip: [u8; 4]| crowd.enter(ip.into(), &app).unwrap();
    let peer = bench.send(bench.shard.reserve(), Standing::Granted);
    let Ok(Command::Play { mut arriving, source, hold }) = bench.queue.try_recv() else {
        panic!("no player")
    };
    arriving.entry.arrival = enter([192, 0, 2, 1]);
    let _other = enter([192, 0, 2, 1]);
    bench.room.arrive(*arriving, Peer::player, Some((source, hold)), &bench.udp, bench.now);
    let _newcomer = enter([192, 0, 2, 2]);
    let later = Now { mono: bench.now.mono + Duration::from_secs(2), ..bench.now };
    bench.room.due(&bench.udp, later);
    assert!(peer.is_gone() && bench.room.seats.is_empty());
}
