use super::*;
use crate::arrivals::Arrivals;
use crate::webrtc::ARRIVALS;
use crate::webrtc::command::{PeerHandle, Reserved, ShardHandle};
use crate::webrtc::peer::Shares;
use crate::webrtc::sdp;
use contract::session::{CloseReason, Traffic};
use contract::{AppName, Clock, Standing, StandingCell};
use session::DataPlane;
use std::sync::mpsc::{Receiver, sync_channel};
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
        let room = Room::new(addresses, bell, Transcoding::new(0, Decoding::Here), 1);
        Self { room, udp, shard, queue, now: Clock::system().now(), _poll: poll }
    }

    fn obey(&mut self) {
        while let Ok(command) = self.queue.try_recv() {
            self.room.command(command, &self.udp, self.now);
        }
    }

    /// Sends a player to the shard, which does not look yet.
    fn send(&self, reserved: Reserved, standing: Standing) -> PeerHandle {
        let candidates = self.shard.candidates();
        let tracks = media::Tracks { video: None, audio: Some(sound()) };
        let made = sdp::offer(&tracks, "s", candidates, self.now.mono).unwrap();
        let arrival = Arrivals::new(ARRIVALS).enter([127, 0, 0, 1].into()).unwrap();
        let app = AppName::parse("live").unwrap();
        let stream = StreamKey { app, id: contract::StreamId::parse("s").unwrap() };
        let source = Source { stream, live: watch::channel(None).1 };
        reserved.play(made, shares(standing), arrival, source, Box::new(())).unwrap()
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
