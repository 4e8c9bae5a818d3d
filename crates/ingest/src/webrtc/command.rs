//! What a shard is told, and how: a bounded queue, and flags that need no room.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::StreamKey;
use contract::registry::Live;
use media::{BusWriter, PacketWriter};
use session::{DataPlane, Order, What};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::lobby::Entry;
use super::peer::{PeerEvent, PeerId, Shares};
use super::sdp::{Answer, Negotiated, SdpError};

/// Told to a peer's owner, with the peer's name: one owner may have several.
pub(crate) type Events = mpsc::Sender<(PeerId, PeerEvent)>;

/// Commands that may wait. A shard takes them within a burst, so thousands
/// waiting mean that it has stopped or that the machine has no room.
pub(crate) const QUEUE: usize = 4096;

/// What a peer holds of the control plane; dropped with the peer.
pub(crate) type Hold = Box<dyn Send>;

/// The shard has no room, or has stopped.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("the media thread has no room")]
pub(crate) struct Busy;

/// What a shard is told.
pub(crate) enum Command {
    /// A player arrives.
    Play { arriving: Box<Arriving>, source: Source, hold: Hold },
    /// A publisher arrives.
    Publish { arriving: Box<Arriving> },
    /// A player's answer.
    Answer { id: PeerId, answer: Answer, reply: oneshot::Sender<Result<(), SdpError>> },
    /// A publisher's stream is live.
    Live { id: PeerId, live: GoneLive },
    /// An order of the peer's session.
    Order { id: PeerId, order: Order },
    /// Finish what is polite, then end.
    Stop,
}

/// A peer on its way to the shard.
pub(crate) struct Arriving {
    /// Which.
    pub(crate) id: PeerId,
    /// Its side of the connection.
    pub(crate) made: Negotiated,
    /// What it shares with its owner.
    pub(crate) shares: Shares,
    /// Its flags.
    pub(crate) gate: Arc<Gate>,
    /// Its places.
    pub(crate) entry: Entry,
}

/// What a publisher writes to once it is live.
pub(crate) struct GoneLive {
    /// Which stream.
    pub(crate) stream: StreamKey,
    /// Its packets.
    pub(crate) packets: PacketWriter,
    /// Its frames.
    pub(crate) frames: BusWriter,
    /// What it may do and did, from its session.
    pub(crate) shares: Shares,
    /// Its place and permit.
    pub(crate) hold: Hold,
}

impl GoneLive {
    /// Of a publisher that said it brings packets; `None` of one that did not.
    pub(crate) fn new(publisher: session::Publisher, shares: Shares) -> Option<Self> {
        let session::Publisher { frames, packets, link } = publisher;
        let packets = packets?;
        Some(Self { stream: link.stream.clone(), packets, frames, shares, hold: Box::new(link) })
    }
}

/// What a player plays.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Which stream.
    pub(crate) stream: StreamKey,
    /// The stream as it is live now.
    pub(crate) live: watch::Receiver<Option<Arc<Live>>>,
}

/// Flags between a peer and its owner.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The owner let go.
    released: AtomicBool,
    /// The session was ordered to end, or its peer is to be torn down. A peer that
    /// finds this when it arrives does not stay: the order was carried out before.
    ended: AtomicBool,
    /// The peer is gone.
    gone: AtomicBool,
    /// Whether no media may leave any more. Locked while datagrams of the peer are
    /// handed to the kernel.
    killed: Mutex<bool>,
}

/// What of a peer may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Everything.
    All,
    /// What keeps a connection or ends it.
    NoMedia,
}

impl Gate {
    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// Whether a peer that arrives now is not wanted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_released() || self.ended.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Hands what the peer has to send to the kernel; `send` is told what that is.
    pub(crate) fn burst(&self, send: impl FnOnce(Leave)) {
        let killed = self.lock();
        send(if *killed { Leave::NoMedia } else { Leave::All });
    }

    /// No media leaves any more once this has returned.
    ///
    /// A flag alone could not promise that: the shard might have read it just before
    /// it was set, and send just after. So both sides take a lock. Either the burst
    /// has it: then it has been handed over whole when the lock is had here. Or it
    /// comes later, and finds itself killed. The wait is for one burst of one peer
    /// at most, some calls that do not block, and nobody waits for another's.
    fn kill(&self) {
        *self.lock() = true;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // A panic leaves the flag as it was.
        self.killed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, bell: &Bell) {
        self.released.store(true, Ordering::Release);
        bell.sweep.store(true, Ordering::Release);
        bell.ring();
    }

    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// Wakes a shard, at most once until it has looked.
#[derive(Debug)]
pub(crate) struct Bell {
    waker: mio::Waker,
    rung: AtomicBool,
    /// Some gate was released.
    pub(crate) sweep: AtomicBool,
}

impl Bell {
    pub(crate) fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Self> {
        let waker = mio::Waker::new(registry, token)?;
        Ok(Self { waker, rung: AtomicBool::new(false), sweep: AtomicBool::new(false) })
    }

    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the eventfd's counter is full: it is awake then.
            let _ = self.waker.wake();
        }
    }

    /// The shard looks now; whoever rings afterwards wakes it again.
    pub(crate) fn answered(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

/// A shard, from outside. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ShardHandle {
    pub(crate) queue: SyncSender<Command>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) addresses: Arc<super::addresses::Addresses>,
}

impl ShardHandle {
    /// Candidates for offers and answers of peers that will be on this shard.
    pub(crate) fn candidates(&self) -> Vec<str0m::Candidate> {
        self.addresses.candidates()
    }

    /// A name for the next peer, which is not on the shard yet.
    pub(crate) fn reserve(&self) -> Reserved {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = PeerId(NEXT.fetch_add(1, Ordering::Relaxed));
        Reserved { id, gate: Arc::default(), shard: self.clone() }
    }

    /// Ends the shard: its peers are told goodbye.
    pub(crate) fn stop(&self) {
        let _ = self.send(Command::Stop);
    }

    pub(crate) fn send(&self, command: Command) -> Result<(), Busy> {
        let sent = self.queue.try_send(command);
        self.bell.ring();
        sent.map_err(|e| match e {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })
    }
}

impl std::fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShardHandle")
    }
}

/// A peer that is not on its shard yet.
#[derive(Debug)]
pub(crate) struct Reserved {
    /// Which.
    pub(crate) id: PeerId,
    gate: Arc<Gate>,
    shard: ShardHandle,
}

impl Reserved {
    /// How the session's actor reaches the peer, now and later. `owner` is told
    /// what the actor orders.
    pub(crate) fn plane(&self, owner: Option<Events>) -> ShardPlane {
        ShardPlane { peer: self.id, gate: self.gate.clone(), shard: self.shard.clone(), owner }
    }

    /// Puts a player on the shard. It plays as soon as it has connected.
    pub(crate) fn play(
        self,
        made: Negotiated,
        shares: Shares,
        entry: Entry,
        source: Source,
        hold: Hold,
    ) -> Result<PeerHandle, Busy> {
        let arriving = self.arriving(made, shares, entry);
        self.shard.send(Command::Play { arriving, source, hold })?;
        Ok(PeerHandle { id: self.id, gate: self.gate, shard: self.shard })
    }

    /// Puts a publisher on the shard.
    pub(crate) fn publish(self, made: Negotiated, shares: Shares, entry: Entry) -> Result<PeerHandle, Busy> {
        let arriving = self.arriving(made, shares, entry);
        self.shard.send(Command::Publish { arriving })?;
        Ok(PeerHandle { id: self.id, gate: self.gate, shard: self.shard })
    }

    fn arriving(&self, made: Negotiated, shares: Shares, entry: Entry) -> Box<Arriving> {
        Box::new(Arriving { id: self.id, made, shares, gate: self.gate.clone(), entry })
    }
}

/// A peer, from outside. Dropping it closes the peer.
#[derive(Debug)]
pub(crate) struct PeerHandle {
    id: PeerId,
    gate: Arc<Gate>,
    shard: ShardHandle,
}

impl PeerHandle {
    /// Which.
    pub(crate) const fn id(&self) -> PeerId {
        self.id
    }

    /// Whether the connection is over.
    pub(crate) fn is_gone(&self) -> bool {
        self.gate.gone.load(Ordering::Acquire)
    }

    /// Gives a player's answer to its peer.
    pub(crate) async fn answer(&self, answer: Answer) -> Result<Result<(), SdpError>, Busy> {
        let (reply, answered) = oneshot::channel();
        self.shard.send(Command::Answer { id: self.id, answer, reply })?;
        answered.await.map_err(|_| Busy)
    }

    /// A publisher's stream is live from now on.
    pub(crate) fn go_live(&self, live: GoneLive) -> Result<(), Busy> {
        self.shard.send(Command::Live { id: self.id, live })
    }
}

impl Drop for PeerHandle {
    fn drop(&mut self) {
        self.gate.release(&self.shard.bell);
    }
}

/// A shard's peer as its session's actor sees it.
#[derive(Debug)]
pub(crate) struct ShardPlane {
    peer: PeerId,
    gate: Arc<Gate>,
    shard: ShardHandle,
    owner: Option<Events>,
}

impl ShardPlane {
    fn tell(&self, what: What) {
        if let Some(owner) = &self.owner {
            // An owner that does not keep up loses its peer (see `Peer::tell`),
            // and its socket with it.
            let _ = owner.try_send((self.peer, PeerEvent::Ordered(what)));
        }
    }
}

impl DataPlane for ShardPlane {
    fn order(&self, order: Order) {
        // Only the shard knows whether the player is past what is hushed, and says
        // so with `Ended`.
        if order.what != What::Hush {
            self.tell(order.what);
        }
        if order.what.ends().is_some() {
            self.gate.end();
        }
        // Dropped when there is no room: that counts as gone, and `kill` follows
        // before the session answers.
        let _ = self.shard.send(Command::Order { id: self.peer, order });
    }

    fn kill(&self) -> bool {
        self.gate.kill();
        self.gate.release(&self.shard.bell);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn who_is_killed_has_sent_his_burst_before_the_kill_returns_and_no_media_after() {
        let gate = Arc::new(Gate::default());
        let (begins, begun) = channel();
        let (killed, dead) = channel();
        std::thread::scope(|threads| {
            gate.burst(|leave| {
                assert_eq!(leave, Leave::All);
                let gate = gate.clone();
                threads.spawn(move || {
                    begins.send(()).unwrap();
                    gate.kill();
                    killed.send(()).unwrap();
                });
                begun.recv().unwrap();
                (0..1000).for_each(|_| std::thread::yield_now());
                assert!(dead.try_recv().is_err(), "the burst is not over");
            });
            dead.recv().unwrap();
            gate.burst(|leave| assert_eq!(leave, Leave::NoMedia));
        });
    }
}
