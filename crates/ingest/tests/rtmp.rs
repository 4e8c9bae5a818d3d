//! RTMP against a scripted auth, a real registry and the crate's own client: the
//! fence of each role, and what players live through.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use actix::prelude::*;
use bytes::Bytes;
use contract::auth::{Authorize, Denied, Permit, PermitId, Release};
use contract::session::{Fenced, SessionRef, SetStanding};
use contract::{Action, AppName, AppSettings, Clock, SettingsView, Standing, StandingCell};
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks};
use registry::Registry;
use rtmp::{Client, ClientEvent, Purpose};
use session::{Admission, Links, Protocol};
use sluice_ingest::rtmp::{Config, Rtmp};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Grants everything, and remembers to whom.
struct Gatekeeper {
    granted: Granted,
    next: u64,
}

type Granted = Arc<Mutex<Vec<(Action, SessionRef, Arc<StandingCell>)>>>;

impl Actor for Gatekeeper {
    type Context = Context<Self>;
}

impl Handler<Authorize> for Gatekeeper {
    type Result = Result<Permit, Denied>;
    fn handle(&mut self, msg: Authorize, ctx: &mut Self::Context) -> Self::Result {
        let cell = Arc::new(StandingCell::new(Standing::Granted));
        self.granted.lock().unwrap().push((msg.action, msg.session, cell.clone()));
        self.next += 1;
        Ok(Permit::new(PermitId(self.next), cell, None, ctx.address().recipient()))
    }
}

impl Handler<Release> for Gatekeeper {
    type Result = ();
    fn handle(&mut self, _: Release, _: &mut Self::Context) {}
}

/// A server in this process.
struct World {
    address: std::net::SocketAddr,
    granted: Granted,
    stop: CancellationToken,
}

impl World {
    fn start() -> Self {
        let granted = Granted::default();
        let gate = Gatekeeper { granted: granted.clone(), next: 0 }.start();
        let app = AppName::parse("live").unwrap();
        let settings = SettingsView::fixed(app, AppSettings::default());
        let registry = Registry::load(Store::memory(), settings.clone(), Clock::system()).unwrap().start();
        let links = Links {
            authorize: gate.recipient(),
            get_stream: registry.clone().recipient(),
            publish: registry.clone().recipient(),
            play: registry.clone().recipient(),
            silence: registry.recipient(),
        };
        let admission = Admission::new(links, settings, Arbiter::current());
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), max_connections: 16, threads: 1 };
        let rtmp = Arc::new(Rtmp::bind(config, admission, Clock::system()).unwrap());
        let address = rtmp.local_addr().unwrap();
        let stop = CancellationToken::new();
        actix_rt::spawn(rtmp.serve(stop.clone()));
        Self { address, granted, stop }
    }

    async fn client(&self, purpose: Purpose) -> Peer {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let client = Client::new(purpose, "live", "cam?subscriberId=alice", &[7; rtmp::HANDSHAKE_LEN]);
        Peer { socket, client, frames: 0 }
    }

    /// A publisher that has sent its first frame.
    async fn publisher(&self) -> Peer {
        let mut publisher = self.client(Purpose::Publish).await;
        publisher.until_status("NetStream.Publish.Start").await;
        publisher.client.send_tracks(&tracks());
        publisher.send(0).await;
        publisher
    }

    /// A player that has got a frame.
    async fn player(&self, publisher: &mut Peer, at: i64) -> Peer {
        let mut player = self.client(Purpose::Play).await;
        player.until_status("NetStream.Play.Start").await;
        // Sound starts with the next frame; one may precede the reader.
        let mut n = at;
        while player.frames == 0 {
            publisher.send(n).await;
            player.pump().await;
            n += 1;
        }
        player
    }

    /// What auth does at a block, up to the disk.
    async fn set(&self, action: Action, standing: Standing) -> Fenced {
        let (_, session, cell) =
            self.granted.lock().unwrap().iter().rev().find(|(a, ..)| *a == action).unwrap().clone();
        cell.set(standing);
        session.standing.send(SetStanding { standing, until: None }).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A client and its socket.
struct Peer {
    socket: TcpStream,
    client: Client,
    frames: usize,
}

impl Peer {
    async fn flush(&mut self) {
        let output = self.client.take_output();
        self.socket.write_all(&output).await.unwrap();
    }

    async fn send(&mut self, n: i64) {
        self.client.send_frame(&sound(n));
        self.flush().await;
    }

    /// Moves bytes until something happened; false at the end of the connection.
    async fn pump(&mut self) -> bool {
        self.flush().await;
        let mut buffer = [0; 4096];
        let Ok(n @ 1..) = self.socket.read(&mut buffer).await else { return false };
        self.client.receive(&buffer[..n]).unwrap();
        true
    }

    async fn until_status(&mut self, wanted: &str) -> String {
        loop {
            while let Some(event) = self.client.poll_event() {
                match event {
                    ClientEvent::Status { code, description, .. } if code == wanted => return description,
                    ClientEvent::Frame(_) => self.frames += 1,
                    _ => {}
                }
            }
            assert!(self.pump().await, "closed before {wanted}");
        }
    }

    async fn until_frame(&mut self) {
        let before = self.frames;
        while self.frames == before {
            while let Some(event) = self.client.poll_event() {
                self.frames += usize::from(matches!(event, ClientEvent::Frame(_)));
            }
            if self.frames == before {
                assert!(self.pump().await, "closed before a frame");
            }
        }
    }

    async fn until_closed(&mut self) {
        while self.pump().await {}
    }
}

fn tracks() -> Tracks {
    let config = Bytes::from_static(&[0x11, 0x90]);
    Tracks {
        video: None,
        audio: Some(AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 }),
    }
}

/// Each frame says its own number, so that the test knows which got through.
fn sound(n: i64) -> Frame {
    let at = MediaTime::from_millis(n * 500);
    let data = Bytes::from(n.to_be_bytes().to_vec());
    Frame { track: TrackKind::Audio, pts: at, dts: at, keyframe: true, data }
}

#[actix_rt::test]
async fn a_suspended_player_gets_nothing_and_resumes_on_its_own_connection() {
    let world = World::start();
    let mut publisher = world.publisher().await;
    let mut player = world.player(&mut publisher, 1).await;
    let mut other = world.client(Purpose::Play).await;
    other.until_status("NetStream.Play.Start").await;
    world.granted.lock().unwrap().rotate_right(1);

    assert_eq!(world.set(Action::Play, Standing::Suspended).await, Fenced::Confirmed);
    let text = player.until_status("NetStream.Failed").await;
    assert_eq!(text, "Subscriber alice is blocked to play stream.");
    let before = player.frames;
    for n in 100..110 {
        publisher.send(n).await;
        other.until_frame().await;
    }
    assert_eq!(world.set(Action::Play, Standing::Granted).await, Fenced::Confirmed);
    player.until_status("NetStream.Play.Start").await;
    assert_eq!(player.frames, before, "a frame came through while suspended");
    publisher.send(110).await;
    player.until_frame().await;
}

#[actix_rt::test]
async fn a_revoked_publisher_is_closed_and_his_players_wait_for_the_next() {
    let world = World::start();
    let mut publisher = world.publisher().await;
    let mut player = world.player(&mut publisher, 1).await;

    assert_eq!(world.set(Action::Publish, Standing::Revoked).await, Fenced::Confirmed);
    let text = publisher.until_status("NetStream.Failed").await;
    assert_eq!(text, "Subscriber alice is blocked to publish stream.");
    publisher.until_closed().await;
    player.until_status("NetStream.Play.UnpublishNotify").await;

    let mut next = world.publisher().await;
    player.until_status("NetStream.Play.PublishNotify").await;
    next.send(1).await;
    player.until_frame().await;
}

#[actix_rt::test]
async fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let world = World::start();
    let mut first = world.publisher().await;
    let mut player = world.player(&mut first, 1).await;
    let mut second = world.client(Purpose::Publish).await;
    second.until_status("NetStream.Publish.Start").await;
    second.client.send_tracks(&tracks());
    for n in 0..4 {
        second.send(n).await;
    }
    assert_eq!(second.until_status("NetStream.Publish.BadName").await, "cam");
    first.send(100).await;
    player.until_frame().await;
}
