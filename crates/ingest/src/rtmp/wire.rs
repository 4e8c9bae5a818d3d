//! Bytes between one socket and one engine.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use contract::session::Moment;
use media::{Charge, Frame, Memory, Tracks};
use rtmp::{Engine, EngineError, Event, Outgoing};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use session::tcp::{self, Drained};
use session::{ChannelPlane, Orders};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::outbox::{Carries, Outbox, SLICES};
use super::tls::Tls;

/// Unsent bytes that the kernel may hold for one player. Small, so that a block
/// has little to wait for; large enough for a picture of 1 Mbit/s.
const NOTSENT: usize = 16 << 10;

/// Read at a time.
const READ: usize = 32 << 10;

/// Events that one read may give in a row; then other connections of the thread have a
/// turn. A millisecond's work at the most.
const TURN: u32 = 256;

/// What may wait to be written before nothing more is read: whatever the peer
/// says then could only make more answers. It is more than a player's own queue
/// with an ordinary picture in it, so players are heard while they are served.
const UNREAD: usize = 1 << 20;

/// A peer that takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(10);

/// How much of a fence's time goes to finishing a message that has begun; the rest
/// is for the kernel to send what it holds.
const FINISH: Duration = Duration::from_millis(60);

/// A peer that is not written to for the time of a block is still there if its
/// kernel answers.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What becomes of a message that a fence finds begun and cannot finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// It waits, and everything behind it, until [`Wire::release`].
    Hold,
    /// It must never be finished, so the connection goes with it.
    Break,
}

/// What [`Wire::pump`] did.
#[derive(Debug)]
pub(super) enum Pumped {
    /// The engine was given what the peer said.
    Read,
    /// So many media bytes went.
    Written(usize),
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer broke the protocol.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The peer broke TLS, or spoke none.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The peer closed.
    #[error("peer closed")]
    Closed,
    /// The peer takes nothing.
    #[error("peer takes nothing")]
    Stalled,
    /// It neither publishes nor plays, and its place is another's now.
    #[error("lost its place to a peer of a network with fewer")]
    Displaced,
    /// What the peer sends cannot be held.
    #[error("media memory is used up")]
    Memory,
}

/// One socket, its engine, and what waits to be written.
pub(super) struct Wire {
    socket: Arc<TcpStream>,
    pub(super) engine: Engine,
    outbox: Outbox,
    /// Between the queue and the kernel, on a connection with TLS.
    tls: Option<Tls>,
    /// Bytes written since the kernel said that it holds few.
    unasked: usize,
    /// Nothing is written: a message that has begun must not go on now.
    held: bool,
    buffer: Box<[u8]>,
    /// What the engine holds of the peer's, as counted.
    charge: Charge,
    /// How many messages had gone when something was queued at the last look.
    waits: Option<u64>,
    /// Events that it may give before others have a turn.
    turn: u32,
    /// When the peer last said something.
    heard: Instant,
    /// The last time that the kernel took something, or there was nothing to take.
    progress: Instant,
}

impl Wire {
    pub(super) fn new(
        socket: TcpStream,
        tls: Option<Tls>,
        random: &[u8; rtmp::HANDSHAKE_LEN],
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let options = SockRef::from(&socket);
        options.set_tcp_notsent_lowat(NOTSENT as u32)?;
        options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 6))?;
        Ok(Self {
            socket: Arc::new(socket),
            engine: Engine::new(random),
            outbox: Outbox::default(),
            tls,
            unasked: 0,
            held: false,
            buffer: vec![0; READ].into(),
            charge: Memory::default().nothing(),
            waits: None,
            turn: TURN,
            heard: Instant::now(),
            progress: Instant::now(),
        })
    }

    /// Counts what is held of the peer's against this budget.
    pub(super) fn counting(mut self, memory: &Memory) -> Self {
        self.charge = memory.nothing();
        self
    }

    /// How a session on this connection gets its orders, and is killed.
    pub(super) fn channel(&self) -> (ChannelPlane, Orders) {
        session::channel(self.socket.clone())
    }

    /// Moves bytes until the engine has an event. Cancel-safe. A peer whose input makes
    /// many has its turns like others.
    pub(super) async fn event(&mut self) -> Result<Event, WireError> {
        loop {
            if self.turn == 0 {
                self.turn = TURN;
                tokio::task::yield_now().await;
            }
            if let Some(event) = self.engine.poll_event() {
                self.turn -= 1;
                return Ok(event);
            }
            if let Some(failure) = self.engine.failure() {
                return Err(failure.into());
            }
            if self.engine.is_reading() {
                self.turn = 0;
                continue;
            }
            self.pump().await?;
            self.turn = TURN;
        }
    }

    /// The next event of what was read already. For a peer that may send no media, so
    /// that there is little of it.
    pub(super) fn heard_event(&mut self) -> Option<Event> {
        loop {
            let event = self.engine.poll_event();
            if event.is_some() || !self.engine.is_reading() {
                return event;
            }
        }
    }

    /// Reads once or writes once, whichever is possible first. Cancel-safe.
    pub(super) async fn pump(&mut self) -> Result<Pumped, WireError> {
        self.take_control();
        let (reading, writing) = (self.outbox.len() < UNREAD, self.wants_write());
        let stalled = self.progress + STALLED;
        // One task uses the socket, so the slot for one waker is enough; `readable`
        // would make an entry in a list each time.
        let socket = &self.socket;
        let readable = poll_fn(|cx| socket.poll_read_ready(cx));
        let writable = poll_fn(|cx| socket.poll_write_ready(cx));
        tokio::select! {
            ready = readable, if reading => {
                ready?;
                self.read()?;
                Ok(Pumped::Read)
            }
            ready = writable, if writing => {
                ready?;
                self.write().map(Pumped::Written)
            }
            () = tokio::time::sleep_until(stalled), if writing => Err(WireError::Stalled),
            // Held, and the peer has asked for more answers than can wait.
            else => Err(WireError::Stalled),
        }
    }

    fn read(&mut self) -> Result<(), WireError> {
        let Self { socket, engine, tls, buffer, .. } = self;
        match socket.try_read(buffer) {
            Ok(0) => Err(WireError::Closed),
            Ok(n) => {
                self.heard = Instant::now();
                match tls {
                    Some(tls) => tls.open(&buffer[..n], |plain| engine.receive(plain))?,
                    None => engine.receive(&buffer[..n])?,
                }
                self.charge.resize(engine.held()).map_err(|_| WireError::Memory)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes what the kernel takes now; says how many media bytes went.
    pub(super) fn write(&mut self) -> Result<usize, WireError> {
        self.take_control();
        let mut media = 0;
        while self.wants_write() {
            // What fits whole is not cut in two: a call costs more than the question.
            if self.unasked + self.queued() > NOTSENT && !self.has_room()? {
                break;
            }
            match if self.tls.is_some() { self.write_sealed() } else { self.write_plain() } {
                Ok((0, _)) => return Err(WireError::Closed),
                Ok((written, of_media)) => {
                    self.unasked += written;
                    media += of_media;
                    self.progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(media)
    }

    /// Gives the kernel what it may have; says how much it took, and how much of that
    /// was media.
    fn write_plain(&mut self) -> io::Result<(usize, usize)> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.outbox.slices(NOTSENT.saturating_sub(self.unasked), &mut slices);
        let written = match &slices[..count] {
            [one] => self.socket.try_write(one),
            many => self.socket.try_write_vectored(many),
        }?;
        Ok((written, self.outbox.advance(written)))
    }

    /// The same through TLS. Nothing is sealed before all that was has gone.
    fn write_sealed(&mut self) -> io::Result<(usize, usize)> {
        let Some(tls) = &mut self.tls else { return Ok((0, 0)) };
        let mut media = 0;
        if tls.len() == 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.outbox.slices(NOTSENT.saturating_sub(self.unasked), &mut slices);
            let taken = tls.seal(&slices[..count])?;
            media = self.outbox.advance(taken);
        }
        let written = self.socket.try_write(tls.rest()?)?;
        tls.advance(written);
        Ok((written, media))
    }

    /// Whether the kernel holds little unsent. It keeps to its limit only where it
    /// begins a segment, and one takes 64 KB; so it is asked before more is written.
    fn has_room(&mut self) -> Result<bool, WireError> {
        let socket = &self.socket;
        // Through tokio, so that `writable` waits when there is none.
        let asked = socket.try_io(Interest::WRITABLE, || {
            let mut look = [PollFd::new(socket, PollFlags::OUT)];
            poll(&mut look, Some(&Timespec::default()))?;
            if look[0].revents().is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match asked {
            Ok(()) => {
                self.unasked = 0;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn wants_write(&self) -> bool {
        !self.held && (!self.outbox.is_empty() || self.tls.as_ref().is_some_and(Tls::wants_write))
    }

    /// What the engine wrote beside media goes into the queue. The stall clock
    /// starts when the queue stops being empty.
    fn take_control(&mut self) {
        let run = self.engine.take_output();
        self.push(Carries::Control, Outgoing::whole(run));
    }

    fn push(&mut self, carries: Carries, messages: Outgoing) {
        if self.queued() == 0 {
            self.progress = Instant::now();
        }
        self.outbox.push(carries, messages);
    }

    /// Queues what a decoder needs first.
    pub(super) fn queue_tracks(&mut self, tracks: &Tracks) {
        self.take_control();
        self.engine.send_tracks(tracks);
        let run = self.engine.take_output();
        self.push(Carries::Media, Outgoing::whole(run));
    }

    /// Queues a frame of a publish.
    pub(super) fn queue_frame(&mut self, frame: &Frame, generation: u64) {
        self.take_control();
        if let Some(message) = self.engine.outgoing(frame) {
            self.push(Carries::Frame(Moment { generation, at: frame.dts }), message);
        }
    }

    /// The frame that the kernel had last, if there was one since the last call.
    pub(super) fn take_reached(&mut self) -> Option<Moment> {
        self.outbox.take_reached()
    }

    /// Bytes that the kernel has not taken.
    pub(super) fn queued(&self) -> usize {
        self.outbox.len() + self.tls.as_ref().map_or(0, Tls::len)
    }

    /// Whether something was queued at the last call, and no message has gone since.
    pub(super) fn is_stuck(&mut self) -> bool {
        let waits = (!self.outbox.is_empty()).then(|| self.outbox.gone());
        let before = std::mem::replace(&mut self.waits, waits);
        waits.is_some() && waits == before
    }

    /// Writes until nothing is queued, at most so long. Nothing comes after it.
    pub(super) async fn flush(&mut self, limit: Duration) {
        let flushed = async {
            self.write_all().await?;
            if let Some(tls) = &mut self.tls {
                tls.say_goodbye();
            }
            self.write_all().await
        };
        // A peer that does not take a goodbye does without.
        let _ = tokio::time::timeout(limit, flushed).await;
    }

    async fn write_all(&mut self) -> Result<(), WireError> {
        self.write()?;
        while self.wants_write() {
            self.socket.writable().await?;
            self.write()?;
        }
        Ok(())
    }

    /// When the peer last said something.
    pub(super) fn heard(&self) -> Instant {
        self.heard
    }

    /// The fence: what is queued of media is dropped, and no media byte leaves
    /// after this returns. A message that has begun is finished if that goes fast.
    /// A peer that does not take in time what the kernel holds loses its connection.
    /// Where it answers `Stuck`, the kernel may still send, and the connection must end.
    pub(super) async fn silence(&mut self, begun: Begun) -> Drained {
        self.take_control();
        self.outbox.drop_media();
        let start = Instant::now();
        // Err: too slow, or gone; which of them, the next call tells.
        let _ = tokio::time::timeout_at(start + FINISH, self.finish_message()).await;
        self.held = self.has_begun();
        if self.held && begun == Begun::Break {
            return if self.reset() { Drained::Reset } else { Drained::Stuck };
        }
        tcp::drain(self.fd(), start + tcp::PATIENCE).await
    }

    /// Media may flow again. Who was asked nothing meanwhile is not to blame for his
    /// silence.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            (self.progress, self.heard) = (Instant::now(), Instant::now());
        }
    }

    /// Whether the peer can be told nothing now.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    async fn finish_message(&mut self) -> Result<(), WireError> {
        while self.has_begun() && !self.held {
            self.socket.writable().await?;
            self.write()?;
        }
        Ok(())
    }

    /// Whether something must be finished before anything else can be said: the rest
    /// of a message with media, or of records that may hold some.
    fn has_begun(&self) -> bool {
        self.outbox.has_begun_media() || self.tls.as_ref().is_some_and(Tls::wants_write)
    }

    /// Tears the connection down; nothing that is queued anywhere is sent. False: the
    /// system refused.
    pub(super) fn reset(&self) -> bool {
        tcp::reset(self.fd())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
