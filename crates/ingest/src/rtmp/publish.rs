//! A connection that publishes.

use std::ops::ControlFlow;
use std::time::Duration;

use contract::registry::Form;
use media::Tracks;
use rtmp::{Event, Status};
use session::{ChannelPlane, Entrant, Order, Orders, Pass, Publisher, Refused, Request};
use tokio_util::sync::CancellationToken;

use super::conn::{Context, Next, Role, blocked_text, displaced};
use super::dialect;
use super::wire::{Wire, WireError};

/// A publisher that sends nothing for so long is gone (C§10). A half-open
/// connection keeps a stream's place no longer than this.
const SILENT: Duration = Duration::from_secs(20);

/// Accepts the request, waits for the tracks, and publishes to the end.
pub(super) async fn run(wire: &mut Wire, context: &Context, role: Role<'_>) -> Result<Next, WireError> {
    let Role { id, request, pass, arrival } = role;
    let (plane, orders) = wire.channel();
    let entrant = match enter(pass, plane).await {
        Ok(entrant) => entrant,
        Err(why) => {
            let blocked = blocked_text(&request);
            let status = dialect::refused(request.action, why, request.stream.id.as_str(), &blocked);
            let _ = wire.engine.refuse(id, &status);
            return Ok(Next::Close);
        }
    };
    if wire.engine.accept_publish(id, &dialect::PUBLISH_START).is_err() {
        return Ok(Next::Idle);
    }
    let killed = orders.killed();
    let mut line = Line { wire, context, request, orders, killed };
    let first = tokio::select! {
        first = line.first_tracks() => first?,
        // A stranger still: it has sent no media.
        () = displaced(arrival.as_ref()) => return Err(WireError::Displaced),
    };
    let tracks = match first {
        ControlFlow::Continue(tracks) => tracks,
        ControlFlow::Break(next) => return Ok(next),
    };
    match entrant.go_live(tracks, Form::Frames).await {
        Ok(publisher) => {
            *arrival = None;
            Publishing { publisher, line }.run().await
        }
        Err(why) => Ok(line.refused(why)),
    }
}

/// A first look, so that who comes second hears it before he sends anything;
/// `go_live` decides. From here on orders reach him.
async fn enter(pass: Pass, plane: ChannelPlane) -> Result<Entrant, Refused> {
    pass.look_for_place().await?;
    pass.attach(plane).await
}

/// A publisher's connection, from the moment on which orders reach it.
struct Line<'a> {
    wire: &'a mut Wire,
    context: &'a Context,
    request: Request,
    orders: Orders,
    killed: CancellationToken,
}

impl Line<'_> {
    /// What the publisher says next, or what becomes of the connection if he is
    /// not to say anything more.
    async fn event(&mut self) -> Result<ControlFlow<Next, Event>, WireError> {
        tokio::select! {
            biased;
            // Whoever killed it has reset the connection.
            () = self.killed.cancelled() => Ok(ControlFlow::Break(Next::Close)),
            order = self.orders.next() => Ok(ControlFlow::Break(self.on_order(order))),
            () = self.context.stop.cancelled() => Ok(ControlFlow::Break(self.say(&dialect::STOPPED))),
            event = tokio::time::timeout(SILENT, self.wire.event()) => {
                Ok(ControlFlow::Continue(event.map_err(|_| WireError::Stalled)??))
            }
        }
    }

    /// What he is going to send, when that is known.
    async fn first_tracks(&mut self) -> Result<ControlFlow<Next, Tracks>, WireError> {
        loop {
            let event = match self.event().await? {
                ControlFlow::Continue(event) => event,
                ControlFlow::Break(next) => return Ok(ControlFlow::Break(next)),
            };
            match event {
                Event::Tracks(tracks) => return Ok(ControlFlow::Continue(tracks)),
                // He thought better of it.
                Event::Ended(_) => return Ok(ControlFlow::Break(Next::Idle)),
                Event::Unsupported { track, codec } => tracing::warn!(?track, %codec, "track is left out"),
                _ => {}
            }
        }
    }

    /// Every order to a publisher ends it. The registry has emptied the rings
    /// already, so nothing that is read from here on could reach anybody; the
    /// fence holds as soon as we stop.
    fn on_order(&mut self, order: Option<Order>) -> Next {
        let Some(Order { what, done }) = order else { return Next::Close };
        let blocked = blocked_text(&self.request);
        let next = match what.ends() {
            Some(why) => self.say(&dialect::ended(self.request.action, why, &blocked)),
            None => Next::Idle,
        };
        // Nobody waits any more if the fence took too long.
        let _ = done.send(());
        next
    }

    /// He did not go live. An order that came meanwhile knows best why.
    fn refused(&mut self, why: Refused) -> Next {
        tracing::debug!(%why, "refused");
        if let Some(order) = self.orders.try_next() {
            return self.on_order(Some(order));
        }
        let blocked = blocked_text(&self.request);
        let name = self.request.stream.id.clone();
        self.say(&dialect::refused(self.request.action, why, name.as_str(), &blocked))
    }

    fn say(&mut self, status: &Status<'_>) -> Next {
        self.wire.engine.status(status);
        Next::Close
    }
}

struct Publishing<'a> {
    // Given back before the orders are, so that none is waited for in vain.
    publisher: Publisher,
    line: Line<'a>,
}

impl Publishing<'_> {
    async fn run(mut self) -> Result<Next, WireError> {
        loop {
            match self.line.event().await? {
                ControlFlow::Continue(event) => {
                    if let Some(next) = self.on_event(event) {
                        return Ok(next);
                    }
                }
                ControlFlow::Break(next) => return Ok(next),
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Option<Next> {
        match event {
            Event::Frame(frame) => {
                let traffic = &self.publisher.link.traffic;
                traffic.received(frame.data.len());
                traffic.received_track(frame.track, frame.data.len());
                traffic.heard(self.line.context.clock.now().wall);
                self.publisher.frames.push(frame);
            }
            Event::Tracks(tracks) => self.publisher.frames.set_tracks(tracks),
            Event::Unsupported { track, codec } => tracing::warn!(?track, %codec, "track is left out"),
            Event::Ended(_) => return Some(Next::Idle),
            _ => {}
        }
        None
    }
}
