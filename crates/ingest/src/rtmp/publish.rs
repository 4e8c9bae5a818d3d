//! A connection that publishes.

use std::time::Duration;

use contract::registry::{Form, PublishRefused};
use media::Tracks;
use rtmp::{Event, Status};
use session::{Order, Orders, Publisher, Request};

use super::conn::{Context, Next, Role, blocked_text};
use super::dialect;
use super::wire::{Wire, WireError};

/// A publisher that sends nothing for so long is gone (C§10). A half-open
/// connection keeps a stream's place no longer than this.
const SILENT: Duration = Duration::from_secs(20);

/// Accepts the request, waits for the tracks, and publishes to the end.
pub(super) async fn run(wire: &mut Wire, context: &Context, role: Role) -> Result<Next, WireError> {
    let Role { id, request, pass } = role;
    let stream = request.stream.clone();
    // A first look, so that who comes second hears it before he sends anything;
    // `go_live` decides.
    if !pass.place_is_free().await.unwrap_or(true) {
        let taken = dialect::refused(
            request.action,
            PublishRefused::AlreadyPublishing.into(),
            stream.id.as_str(),
            "",
        );
        let _ = wire.engine.refuse(id, &taken);
        return Ok(Next::Close);
    }
    if wire.engine.accept_publish(id, &dialect::PUBLISH_START).is_err() {
        return Ok(Next::Idle);
    }
    let Some(tracks) = first_tracks(wire).await? else { return Ok(Next::Idle) };
    let (plane, orders) = session::channel();
    match pass.go_live(tracks, Form::Frames, plane).await {
        Ok(publisher) => Publishing { wire, context, request, publisher, orders }.run().await,
        Err(why) => {
            tracing::info!(%why, "refused");
            let blocked = blocked_text(&request);
            wire.engine.status(&dialect::refused(request.action, why, stream.id.as_str(), &blocked));
            Ok(Next::Close)
        }
    }
}

/// `None`: the publisher thought better of it.
async fn first_tracks(wire: &mut Wire) -> Result<Option<Tracks>, WireError> {
    loop {
        let event = tokio::time::timeout(SILENT, wire.event()).await.map_err(|_| WireError::Stalled)?;
        match event? {
            Event::Tracks(tracks) => return Ok(Some(tracks)),
            Event::Ended(_) => return Ok(None),
            Event::Unsupported { track, codec } => tracing::warn!(?track, %codec, "track is left out"),
            _ => {}
        }
    }
}

struct Publishing<'a> {
    wire: &'a mut Wire,
    context: &'a Context,
    request: Request,
    publisher: Publisher,
    orders: Orders,
}

impl Publishing<'_> {
    async fn run(mut self) -> Result<Next, WireError> {
        let killed = self.orders.killed();
        loop {
            tokio::select! {
                biased;
                () = killed.cancelled() => {
                    self.wire.reset();
                    return Ok(Next::Close);
                }
                order = self.orders.next() => return Ok(self.on_order(order)),
                () = self.context.stop.cancelled() => return Ok(self.say(&dialect::STOPPED)),
                event = tokio::time::timeout(SILENT, self.wire.event()) => {
                    let event = event.map_err(|_| WireError::Stalled)??;
                    if let Some(next) = self.on_event(event) {
                        return Ok(next);
                    }
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Option<Next> {
        match event {
            Event::Frame(frame) => {
                let traffic = &self.publisher.link.traffic;
                traffic.received(frame.data.len());
                traffic.heard(self.context.clock.now().wall);
                self.publisher.frames.push(frame);
            }
            Event::Tracks(tracks) => self.publisher.frames.set_tracks(tracks),
            Event::Unsupported { track, codec } => tracing::warn!(?track, %codec, "track is left out"),
            Event::Ended(_) => return Some(Next::Idle),
            _ => {}
        }
        None
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

    fn say(&mut self, status: &Status<'_>) -> Next {
        self.wire.engine.status(status);
        Next::Close
    }
}
