//! A connection that plays.
//!
//! The ring is the queue: the task pulls frames only while the kernel takes
//! them, so a slow player falls behind in the ring and skips to a keyframe
//! there. What the task itself holds is bounded by [`QUEUE`] and one frame.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use contract::registry::Live;
use contract::session::SetStanding;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use media::{BusReader, EndReason, Event as Media};
use rtmp::{Event, Status};
use session::tcp::Drained;
use session::{Link, Order, Orders, Request, What};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::WaitForCancellationFuture;

use super::conn::{Context, Next, Role, blocked_text};
use super::dialect;
use super::wire::{Begun, Pumped, Wire, WireError};

/// Bytes that may wait for the kernel before the task stops pulling frames.
const QUEUE: usize = 64 << 10;

/// Frames behind before a player skips to a newer keyframe: some 3 s of 30 fps
/// video with AAC. It only ever skips forward, so a player that has just joined
/// at an old keyframe plays on from there.
const BEHIND: u64 = 256;

/// How often a player is asked whether it is there (C§1: 1000 ms). Auth lets a
/// player that was silent for 3 s be replaced, so this must be well below.
const PING: Duration = Duration::from_secs(1);

/// A player that has answered no ping for so long is gone (C§1,
/// `rtmp.max_inactivity`).
const SILENT: Duration = Duration::from_secs(60);

/// After a publisher has left, players are told that he has, at which most hang up.
/// An encoder that lost its connection is back before this.
const REJOIN: Duration = Duration::from_secs(5);

/// Joins the audience and plays to the end.
pub(super) async fn run(wire: &mut Wire, context: &Context, role: Role<'_>) -> Result<Next, WireError> {
    let Role { id, request, pass, arrival } = role;
    let (plane, orders) = wire.channel();
    let joined = match pass.attach(plane).await {
        Ok(entrant) => entrant.play().await,
        Err(why) => Err(why),
    };
    let player = match joined {
        Ok(player) => player,
        Err(why) => {
            tracing::debug!(%why, stream = %request.stream, "refused");
            let blocked = blocked_text(&request);
            let status = dialect::refused(request.action, why, request.stream.id.as_str(), &blocked);
            let _ = wire.engine.refuse(id, &status);
            return Ok(Next::Close);
        }
    };
    if wire.engine.accept_play(id, &dialect::PLAY_START).is_err() {
        return Ok(Next::Idle);
    }
    *arrival = None;
    let heard = Instant::now();
    let feed = Feed { wire, reader: None, generation: 0, link: player.link };
    let audience = player.live;
    let mut playing =
        Playing { feed, context, request, audience, orders, live: None, farewell: None, heard, pings: 0 };
    let ended = playing.run().await;
    playing.leave(ended).await
}

struct Playing<'a> {
    feed: Feed<'a>,
    context: &'a Context,
    request: Request,
    /// Which publish of the stream is live.
    audience: watch::Receiver<Option<Arc<Live>>>,
    orders: Orders,
    /// What is read. Held, because the registry silences an ended publish for as
    /// long as somebody holds it.
    live: Option<Arc<Live>>,
    /// When to tell that the publisher has left.
    farewell: Option<Instant>,
    /// When auth was last told that the peer is there.
    heard: Instant,
    pings: u32,
}

/// What the task wakes up for, beside media.
enum Wake {
    Killed,
    Order(Option<Order>),
    Live,
    Served(Result<Served, WireError>),
    Ping,
    Farewell,
    Stop,
}

/// What is waited for from beginning to end.
struct Ends<'a, 'token> {
    killed: Pin<&'a mut WaitForCancellationFuture<'token>>,
    stop: Pin<&'a mut WaitForCancellationFuture<'token>>,
    ping: Interval,
}

impl Playing<'_> {
    async fn run(&mut self) -> Result<Next, WireError> {
        self.audience.mark_changed();
        let ping = interval_at(Instant::now() + PING, PING);
        // Made once: each registers in a list under a lock that all players share.
        let (killed, stop) = (self.orders.killed(), self.context.stop.clone());
        let (killed, stop) = (pin!(killed.cancelled()), pin!(stop.cancelled()));
        let mut ends = Ends { killed, stop, ping };
        loop {
            let wake = self.wait(&mut ends).await;
            let over = match wake {
                // Whoever killed it has reset the connection.
                Wake::Killed => Some(Next::Close),
                Wake::Order(order) => self.on_order(order).await,
                Wake::Live => self.on_live(),
                Wake::Served(served) => self.on_served(served?),
                Wake::Ping => self.on_ping(),
                Wake::Farewell => {
                    self.farewell = None;
                    if self.feed.wire.queued() == 0 {
                        self.live = None;
                    }
                    self.feed.wire.engine.status(&dialect::UNPUBLISHED);
                    None
                }
                Wake::Stop => Some(self.say(&dialect::STOPPED)),
            };
            if let Some(next) = over {
                return Ok(next);
            }
        }
    }

    /// Plays, until there is something else to do.
    async fn wait(&mut self, ends: &mut Ends<'_, '_>) -> Wake {
        let Self { feed, orders, audience, farewell, .. } = self;
        let seldom = async {
            tokio::select! {
                biased;
                () = &mut ends.killed => Wake::Killed,
                order = orders.next() => Wake::Order(order),
                () = &mut ends.stop => Wake::Stop,
                Ok(()) = audience.changed() => Wake::Live,
                _ = ends.ping.tick() => Wake::Ping,
                () = at(*farewell) => Wake::Farewell,
            }
        };
        // Looked at when one of them wakes it, not for each picture.
        let mut seldom: FuturesUnordered<_> = std::iter::once(seldom).collect();
        tokio::select! {
            biased;
            Some(wake) = seldom.next() => wake,
            served = feed.serve() => Wake::Served(served),
        }
    }

    /// Another publish of the stream began, or this one ended.
    fn on_live(&mut self) -> Option<Next> {
        let live: Option<Arc<Live>> = self.audience.borrow_and_update().clone();
        if let Some(live) = live {
            self.feed.reader = Some(live.frames.reader().patient());
            self.feed.generation = live.generation;
            self.live = Some(live);
            self.farewell = None;
            self.feed.wire.engine.status(&dialect::PUBLISHED);
        }
        None
    }

    fn on_served(&mut self, served: Served) -> Option<Next> {
        match served {
            Served::Heard => self.on_events(),
            Served::Ended(reason) => {
                self.feed.reader = None;
                // After `Silenced` comes `Hush`, and tells the peer.
                self.farewell = (reason == EndReason::Finished).then(|| Instant::now() + REJOIN);
                None
            }
        }
    }

    /// The peer said something, perhaps; most of it the engine has answered itself.
    fn on_events(&mut self) -> Option<Next> {
        if self.feed.wire.heard() > self.heard {
            self.heard = self.feed.wire.heard();
            self.feed.link.traffic.heard(self.context.clock.now().wall);
        }
        while let Some(event) = self.feed.wire.heard_event() {
            if matches!(event, Event::Ended(_)) {
                return Some(Next::Idle);
            }
        }
        None
    }

    fn on_ping(&mut self) -> Option<Next> {
        // It keeps a picture that the ring may have dropped.
        if self.feed.wire.is_stuck() && self.context.memory.is_scarce() {
            self.context.memory.count_ended();
            tracing::warn!(stream = %self.request.stream, peer = %self.context.peer, "player ended: too slow while media memory is scarce");
            return Some(Next::Close);
        }
        if self.feed.wire.is_held() {
            return None;
        }
        if self.feed.wire.heard().elapsed() > SILENT {
            return Some(Next::Close);
        }
        self.pings = self.pings.wrapping_add(1);
        self.feed.wire.engine.ping(self.pings);
        None
    }

    async fn on_order(&mut self, order: Option<Order>) -> Option<Next> {
        let Some(Order { what, done }) = order else { return Some(Next::Close) };
        let text = blocked_text(&self.request);
        let fence = match what {
            What::Standing(SetStanding::Grant) => self.resume(),
            What::Standing(SetStanding::Suspend { .. }) => {
                self.silence(&Status::good(dialect::PAUSED, &text), Begun::Hold).await
            }
            What::Standing(SetStanding::Revoke(why)) => {
                let why = dialect::ended(self.request.action, why, &text);
                self.silence(&why, Begun::Break).await
            }
            What::Hush => {
                (self.feed.reader, self.live, self.farewell) = (None, None, None);
                // The next publisher may have come before this order did.
                self.audience.mark_changed();
                self.silence(&dialect::SILENCED, Begun::Break).await
            }
            What::Close(why) => {
                self.say(&dialect::ended(self.request.action, why, &text));
                Drained::Sent
            }
        };
        confirm(fence, done);
        (what.ends().is_some() || fence != Drained::Sent).then_some(Next::Close)
    }

    /// Holds all media back, then tells the peer why, if it still can be told.
    async fn silence(&mut self, why: &Status<'_>, begun: Begun) -> Drained {
        let fence = self.feed.wire.silence(begun).await;
        if fence == Drained::Sent {
            self.feed.wire.engine.status(why);
        }
        fence
    }

    fn resume(&mut self) -> Drained {
        self.feed.wire.release();
        if let Some(reader) = &mut self.feed.reader {
            reader.restart();
        }
        self.feed.wire.engine.status(&dialect::RESUMED);
        // Nothing had to stop.
        Drained::Sent
    }

    fn say(&mut self, status: &Status<'_>) -> Next {
        self.feed.wire.engine.status(status);
        self.feed.wire.engine.stream_eof();
        Next::Close
    }

    /// Nothing of what was granted may leave after the permit is given back: then
    /// no block would find it.
    async fn leave(self, ended: Result<Next, WireError>) -> Result<Next, WireError> {
        match ended {
            Ok(next) if self.feed.wire.silence(Begun::Break).await == Drained::Sent => Ok(next),
            Ok(_) => Ok(Next::Close),
            Err(error) => {
                self.feed.wire.reset();
                Err(error)
            }
        }
    }
}

/// Confirms an order, if its fence holds. One that is dropped makes the session's actor
/// kill the connection, and say so if that is not certain either.
fn confirm(fence: Drained, done: oneshot::Sender<()>) {
    match fence {
        // Nobody waits any more if the fence took too long.
        Drained::Sent | Drained::Reset => drop(done.send(())),
        Drained::Stuck => {
            tracing::error!("the system does not reset a player's connection: a block is not certain");
        }
    }
}

/// Media's way from the ring to the socket.
struct Feed<'a> {
    wire: &'a mut Wire,
    /// `None` while nobody publishes.
    reader: Option<BusReader>,
    /// Of the publish that is read.
    generation: u64,
    link: Link,
}

/// Why a feed stopped.
enum Served {
    /// The peer said something.
    Heard,
    /// The publish is over.
    Ended(EndReason),
}

impl Feed<'_> {
    /// Plays until the peer says something or the publish ends. A picture wakes the
    /// task for nothing but this loop. Cancel-safe.
    async fn serve(&mut self) -> Result<Served, WireError> {
        loop {
            let pulling = self.has_room();
            let sent = tokio::select! {
                biased;
                event = next_media(&mut self.reader), if pulling => {
                    if let Media::Ended(reason) = event {
                        return Ok(Served::Ended(reason));
                    }
                    self.on_media(event);
                    self.pull();
                    self.wire.write()?
                }
                pumped = self.wire.pump() => match pumped? {
                    Pumped::Read => return Ok(Served::Heard),
                    Pumped::Written(media) => media,
                },
            };
            self.link.traffic.sent(sent);
            if let Some(moment) = self.wire.take_reached() {
                self.link.traffic.reached(moment);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.wire.queued() < QUEUE && self.link.standing.is_granted()
    }

    /// Takes what the ring holds, as far as the queue has room.
    fn pull(&mut self) {
        while self.has_room() {
            match self.reader.as_mut().and_then(BusReader::try_next) {
                // It repeats, for `serve`.
                None | Some(Media::Ended(_)) => break,
                Some(event) => self.on_media(event),
            }
        }
        let Some(reader) = self.reader.as_mut().filter(|reader| reader.lag() > BEHIND) else { return };
        if reader.skip_ahead().is_some() {
            self.link.traffic.gap();
        }
    }

    fn on_media(&mut self, event: Media<media::Frame>) {
        match event {
            Media::Tracks(tracks) => self.wire.queue_tracks(&tracks),
            Media::Item(frame) => self.wire.queue_frame(&frame, self.generation),
            Media::Gap(_) => self.link.traffic.gap(),
            Media::Ended(_) => {}
        }
    }
}

/// Resolves then, or never.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

async fn next_media(reader: &mut Option<BusReader>) -> Media<media::Frame> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_confirmed_only_if_the_kernel_sends_nothing_more() {
        for (fence, confirmed) in [(Drained::Sent, true), (Drained::Reset, true), (Drained::Stuck, false)] {
            let (done, mut answer) = oneshot::channel();
            confirm(fence, done);
            assert_eq!(answer.try_recv().is_ok(), confirmed, "{fence:?}");
        }
    }
}
