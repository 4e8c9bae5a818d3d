//! The thread that moves WebRTC media.
//!
//! Started and stopped by [`Webrtc`](super::Webrtc). It owns one UDP socket, its
//! peers and its view of each stream they play; nobody else touches those. It is
//! reached by a bounded queue of commands and by gates, and woken by a bell. A
//! peer that makes our code panic is closed, and costs nobody else anything.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use contract::Clock;
use mio::{Events, Poll, Token};
use transcode::Transcoding;

use super::addresses::Addresses;
use super::command::{Bell, Command, QUEUE, ShardHandle};
use super::room::Room;
use super::udp::{Inbox, Udp};

const BELL: Token = Token(0);
const SOCKET: Token = Token(1);
/// Batches of datagrams taken before commands and players have their turn.
const BATCHES: usize = 8;
/// Commands taken before datagrams have their turn.
const COMMANDS: usize = 256;
/// Nobody waits longer than this for a look at the clock.
const IDLE: Duration = Duration::from_millis(500);

/// How a shard is reached.
#[derive(Debug, Clone)]
pub(crate) struct ShardConfig {
    /// UDP address to listen on; port 0 lets the kernel choose.
    pub(crate) listen: SocketAddr,
    /// Addresses to announce; empty: those of this machine.
    pub(crate) announced: Vec<IpAddr>,
    /// Room for transcoded streams.
    pub(crate) transcoding: Transcoding,
    /// Time.
    pub(crate) clock: Clock,
}

struct Shard {
    poll: Poll,
    udp: Udp,
    inbox: Inbox,
    bell: Arc<Bell>,
    queue: Receiver<Command>,
    room: Room,
    clock: Clock,
    stopping: bool,
}

/// Binds the socket and starts the thread. The address is where it listens.
pub(crate) fn spawn(config: ShardConfig) -> io::Result<(ShardHandle, SocketAddr, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let mut udp = Udp::bind(config.listen)?;
    udp.register(poll.registry(), SOCKET)?;
    let bell = Arc::new(Bell::new(poll.registry(), BELL)?);
    let interfaces = if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect();
    let local = udp.local();
    let addresses = Arc::new(Addresses::new(local, &config.announced, interfaces));
    let (commands, queue) = sync_channel(QUEUE);
    let handle = ShardHandle { queue: commands, bell: bell.clone(), addresses: addresses.clone() };
    let room = Room::new(addresses, bell.clone(), config.transcoding, udp.max_segments());
    let clock = config.clock;
    let mut shard = Shard { poll, udp, inbox: Inbox::new(), bell, queue, room, clock, stopping: false };
    let thread = std::thread::Builder::new().name("webrtc-shard".to_owned()).spawn(move || shard.run())?;
    Ok((handle, local, thread))
}

impl Shard {
    fn run(&mut self) {
        let mut events = Events::with_capacity(8);
        let mut more = false;
        while !self.stopping {
            let wait = if more { Duration::ZERO } else { self.wait() };
            if let Err(e) = self.poll.poll(&mut events, Some(wait))
                && e.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(error = %e, "webrtc shard cannot wait for events and stops");
                break;
            }
            more = self.turn();
        }
        self.room.goodbye(&self.udp, self.clock.now());
    }

    /// One look at everything; whether there is more to do at once.
    fn turn(&mut self) -> bool {
        self.bell.answered();
        let commands = self.commands();
        if self.bell.sweep.swap(false, Ordering::AcqRel) {
            self.room.sweep(&self.udp, self.clock.now());
        }
        let datagrams = self.datagrams();
        let now = self.clock.now();
        self.room.due(&self.udp, now);
        let media = self.room.serve(&self.udp, now);
        commands || datagrams || media
    }

    fn commands(&mut self) -> bool {
        for _ in 0..COMMANDS {
            match self.queue.try_recv() {
                Ok(Command::Stop) => self.stopping = true,
                Ok(command) => self.room.command(command, &self.udp, self.clock.now()),
                Err(_) => return false,
            }
        }
        true
    }

    fn datagrams(&mut self) -> bool {
        let Self { udp, inbox, room, clock, .. } = self;
        for _ in 0..BATCHES {
            let now = clock.now();
            if !udp.receive(inbox, |datagram| room.datagram(&datagram, udp, now)) {
                return false;
            }
        }
        true
    }

    fn wait(&self) -> Duration {
        let now = self.clock.now().mono;
        self.room.next_deadline().map_or(IDLE, |at: Instant| at.saturating_duration_since(now).min(IDLE))
    }
}
