//! A grant: one player's leave to fetch one stream's files, and its session.
//!
//! HLS has no connection to hold, so the grant stands for one. It lives from the
//! first authenticated request until its player has been silent for long, holds
//! the session's place and permit, and knows every HTTP connection that carried
//! media for it: those are what a fence must reach.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use contract::registry::Live;
use contract::session::Moment;
use contract::{Clock, Now, SessionId, Standing, StreamKey, SubscriberId};
use session::Player;
use tokio::sync::watch;

use crate::connection::{Carrier, Connection, Progress};
use crate::lingering::Lingering;
use crate::token::GrantId;

/// A connection whose last body ended so long ago, and whose kernel queue is
/// empty, holds nothing of it: the HTTP server writes what it buffers as soon as
/// the kernel has room. Younger ones are reset without asking.
const SETTLED: Duration = Duration::from_secs(10);

/// Connections that carry one grant's media at a time. All players of an open stream at
/// one address share a grant, so it is many; each request looks at all of them. Further
/// requests are refused. Named proxies and loopback stand for any number.
const MOST_LINES: usize = 1024;

/// What one grant counts as one player for (C§16.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) stream: StreamKey,
    pub(crate) subscriber: Option<SubscriberId>,
    /// Where it was earned.
    pub(crate) peer: IpAddr,
    /// Whether a code earned it. One that none earned must not become one.
    pub(crate) coded: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) id: GrantId,
    pub(crate) key: Key,
    clock: Clock,
    seat: Mutex<Option<Player>>,
    heard: Mutex<Instant>,
    /// At most one for each connection that there is.
    lines: Mutex<Vec<Line>>,
    lingering: Arc<Lingering>,
    /// How many fences there were; a body from before one sends nothing more.
    fences: AtomicU64,
}

/// One connection that carries or carried media for the grant.
///
/// It does not keep the connection: the HTTP server does until it has closed it, and
/// then [`Lingering`], as long as the kernel has something to send. One that is gone
/// has nothing for a fence to reach.
#[derive(Debug)]
struct Line {
    connection: Weak<Connection>,
    /// Bodies that are not finished.
    open: usize,
    /// When the last one finished.
    ended: Instant,
    /// Bytes that bodies have handed out.
    handed: u64,
    progress: Progress,
}

impl Line {
    /// `None`: the connection has as many as it may.
    fn new(connection: &Arc<Connection>, carrier: Carrier, now: Instant) -> Option<Self> {
        connection.join(carrier).then(|| Self {
            connection: Arc::downgrade(connection),
            open: 0,
            ended: now,
            handed: 0,
            progress: Progress::new(0, now),
        })
    }

    fn is(&self, connection: &Arc<Connection>) -> bool {
        self.connection.as_ptr() == Arc::as_ptr(connection)
    }

    fn begin(&mut self, now: Instant) {
        self.open += 1;
        self.progress = Progress::new(self.left(), now);
    }

    /// How much the player took. The kernel can hold megabytes, and asks for more
    /// in large steps, so what counts is what has left it.
    fn left(&self) -> u64 {
        let unsent = self.connection.upgrade().map_or(0, |connection| connection.unsent());
        self.handed.saturating_sub(unsent)
    }

    /// Whether a body is under way that its player does not take.
    fn is_stalled(&mut self, now: Instant, patience: Duration) -> bool {
        self.open > 0 && {
            let left = self.left();
            self.progress.is_stalled(left, now, patience)
        }
    }

    fn is_settled(&self, now: Instant) -> bool {
        let Some(connection) = self.connection.upgrade() else { return true };
        self.open == 0 && now.saturating_duration_since(self.ended) > SETTLED && connection.is_drained()
    }

    /// Disconnects, if it is still there. False: the system refuses that.
    fn reset(&self) -> bool {
        self.connection.upgrade().is_none_or(|connection| connection.reset())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.upgrade() {
            connection.part();
        }
    }
}

/// The connection carries media for as many grants as it may, or the grant has as many
/// connections as it may.
#[derive(Debug)]
pub(crate) struct Crowded;

impl Grant {
    pub(crate) fn new(id: GrantId, key: Key, clock: Clock, lingering: Arc<Lingering>) -> Self {
        let heard = Mutex::new(clock.now().mono);
        Self {
            id,
            key,
            clock,
            seat: Mutex::default(),
            heard,
            lines: Mutex::default(),
            lingering,
            fences: AtomicU64::new(0),
        }
    }

    /// Gives it a session; the one it had, if any, is given back.
    pub(crate) fn sit(&self, player: Player) {
        let before = lock(&self.seat).replace(player);
        drop(before);
    }

    /// Ends the session, if it is this one. Answers whether it was.
    pub(crate) fn leave(&self, session: SessionId) -> bool {
        let left = lock(&self.seat).take_if(|player| player.link.id == session);
        left.is_some()
    }

    /// Ends the session, whichever it is.
    pub(crate) fn rise(&self) {
        let left = lock(&self.seat).take();
        drop(left);
    }

    /// What holds now; `None` when it has no session.
    pub(crate) fn standing(&self) -> Option<Standing> {
        lock(&self.seat).as_ref().map(|player| player.link.standing.get())
    }

    /// The stream as its session sees it.
    pub(crate) fn live(&self) -> Option<watch::Receiver<Option<Arc<Live>>>> {
        lock(&self.seat).as_ref().map(|player| player.live.clone())
    }

    /// Its player asked for something.
    pub(crate) fn hear(&self, now: Now) {
        *lock(&self.heard) = now.mono;
        if let Some(player) = &*lock(&self.seat) {
            player.link.traffic.heard(now.wall);
        }
    }

    /// How long its player has been silent.
    pub(crate) fn silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*lock(&self.heard))
    }

    /// Announces a body on a connection. Announce first, then read the standing
    /// and the media: what a fence does not see here, it forbids there.
    pub(crate) fn open(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        carrier: Carrier,
    ) -> Result<OpenBody, Crowded> {
        let now = self.clock.now().mono;
        let mut lines = lock(&self.lines);
        lines.retain(|line| !line.is_settled(now));
        let is_full = carrier == Carrier::Player && lines.len() >= MOST_LINES;
        match lines.iter_mut().find(|line| line.is(connection)) {
            Some(line) => line.begin(now),
            None if is_full => return Err(Crowded),
            None => {
                let mut line = Line::new(connection, carrier, now).ok_or(Crowded)?;
                connection.tell(&self.lingering);
                line.begin(now);
                lines.push(line);
            }
        }
        let fence = self.fences.load(Ordering::Acquire);
        Ok(OpenBody { grant: self.clone(), connection: connection.clone(), fence, until: None })
    }

    /// Forgets connections that hold nothing of this grant any more, and resets
    /// those whose players have read too little for so long: their bodies hold files.
    /// Gives how many those were.
    pub(crate) fn settle(&self, now: Instant, patience: Duration) -> usize {
        let mut reset = 0;
        lock(&self.lines).retain_mut(|line| {
            let is_reset = line.is_stalled(now, patience) && line.reset();
            reset += usize::from(is_reset);
            !is_reset && !line.is_settled(now)
        });
        reset
    }

    /// The fence: after this, no byte of a body that was announced before leaves. False:
    /// some may, because the system refuses to reset a connection.
    pub(crate) fn fence(&self) -> bool {
        self.fences.fetch_add(1, Ordering::AcqRel);
        let now = self.clock.now().mono;
        let mut lines = lock(&self.lines);
        let unsettled = lines.drain(..).filter(|line| !line.is_settled(now));
        // Every one, whatever became of the others.
        unsettled.filter(|line| !line.reset()).count() == 0
    }

    /// Bodies that are under way.
    #[cfg(test)]
    pub(crate) fn bodies(&self) -> usize {
        lock(&self.lines).iter().map(|line| line.open).sum()
    }

    fn sent(&self, connection: &Arc<Connection>, bytes: usize) {
        *lock(&self.heard) = self.clock.now().mono;
        let mut lines = lock(&self.lines);
        if let Some(line) = lines.iter_mut().find(|line| line.is(connection)) {
            line.handed = line.handed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        drop(lines);
        if let Some(player) = &*lock(&self.seat) {
            player.link.traffic.sent(bytes);
        }
    }
}

/// A body under way. Dropping it says that it has ended.
#[derive(Debug)]
pub(crate) struct OpenBody {
    grant: Arc<Grant>,
    connection: Arc<Connection>,
    fence: u64,
    /// Where the media in it ends, if it is media.
    until: Option<Moment>,
}

impl OpenBody {
    /// Whether it may send on: no fence since it was announced, and a standing
    /// that lets media flow.
    pub(crate) fn may_send(&self) -> bool {
        self.grant.fences.load(Ordering::Acquire) == self.fence
            && self.grant.standing() == Some(Standing::Granted)
    }

    /// Disconnects, so that nothing which was handed out before is sent either.
    /// The HTTP server would close in peace and let the kernel finish.
    pub(crate) fn cut(&self) {
        self.connection.reset();
    }

    /// Counts bytes that go out.
    pub(crate) fn sent(&self, bytes: usize) {
        self.grant.sent(&self.connection, bytes);
    }

    /// The HTTP server has taken all of it.
    pub(crate) fn finished(&self) {
        if let (Some(moment), Some(player)) = (self.until, &*lock(&self.grant.seat)) {
            player.link.traffic.reached(moment);
        }
    }

    /// The media in it ends at this moment.
    #[must_use]
    pub(crate) fn until(mut self, moment: Option<Moment>) -> Self {
        self.until = moment;
        self
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        let now = self.grant.clock.now().mono;
        let mut lines = lock(&self.grant.lines);
        if let Some(line) = lines.iter_mut().find(|line| line.is(&self.connection)) {
            line.open = line.open.saturating_sub(1);
            line.ended = now;
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of ours panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use contract::{AppName, StreamId};

    use super::*;
    use crate::connection::{PACE, STALLED, STALLED_IN_NEED};

    /// One without a session.
    pub(crate) fn grant(clock: Clock) -> Arc<Grant> {
        grant_with(clock.clone(), Lingering::new(2, clock))
    }

    pub(crate) fn grant_with(clock: Clock, lingering: Arc<Lingering>) -> Arc<Grant> {
        let stream = StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() };
        let key = Key { stream, subscriber: None, peer: [192, 0, 2, 1].into(), coded: false };
        Arc::new(Grant::new(GrantId(1), key, clock, lingering))
    }

    /// A server's end, and a client's that takes as little as it can.
    pub(crate) fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (server, client)
    }

    fn fill(server: &mut TcpStream, body: &OpenBody) {
        while let Ok(n) = server.write(&[7; 1 << 14]) {
            body.sent(n);
        }
    }

    #[test]
    fn a_player_who_stops_to_read_loses_the_connection_and_one_who_reads_does_not() {
        let clock = contract::ManualClock::new(contract::WallMs(0));
        let grant = grant(clock.clock());
        let ((mut a, mut stalled), (mut b, mut reading)) = (pair(), pair());
        let lines = [&a, &b].map(|socket| Arc::new(Connection::duplicate(socket).unwrap()));
        let [body, other] = lines.each_ref().map(|line| grant.open(line, Carrier::Player).unwrap());
        fill(&mut a, &body);
        fill(&mut b, &other);
        assert!(lines.iter().all(|line| line.unsent() > 4 * PACE));
        grant.settle(clock.clock().now().mono, STALLED);
        for _ in 0..3 {
            let before = lines[1].unsent();
            while lines[1].unsent() + PACE > before {
                assert!(reading.read(&mut [0; 1 << 16]).unwrap() > 0);
            }
            clock.advance(STALLED);
            grant.settle(clock.clock().now().mono, STALLED);
        }
        let ended =
            std::iter::repeat_with(|| stalled.read(&mut [0; 1 << 16])).find(|r| !matches!(r, Ok(1..)));
        assert!(ended.unwrap().is_err(), "reset");
        assert!(reading.read(&mut [0; 1 << 16]).is_ok());
        drop((body, other));
    }

    #[test]
    fn a_player_that_holds_media_which_is_missing_elsewhere_loses_it_sooner() {
        let clock = contract::ManualClock::new(contract::WallMs(0));
        let grant = grant(clock.clock());
        let (mut server, _client) = pair();
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        let body = grant.open(&connection, Carrier::Player).unwrap();
        fill(&mut server, &body);
        let settle = |patience| grant.settle(clock.clock().now().mono, patience);
        assert_eq!(settle(STALLED), 0);
        clock.advance(STALLED_IN_NEED);
        assert_eq!(settle(STALLED), 0);
        assert_eq!(settle(STALLED_IN_NEED), 1);
        drop(body);
    }

    #[test]
    fn a_connection_without_a_body_is_not_stalled() {
        let clock = contract::ManualClock::new(contract::WallMs(0));
        let grant = grant(clock.clock());
        let (mut server, mut client) = pair();
        let connection = Arc::new(Connection::duplicate(&server).unwrap());
        drop(grant.open(&connection, Carrier::Player));
        clock.advance(STALLED * 2);
        grant.settle(clock.clock().now().mono, STALLED);
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
}
