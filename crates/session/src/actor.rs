//! The session's actor.
//!
//! Started by [`Admission`](crate::Admission) before auth is asked, so that auth
//! can reach it from the first moment; stopped when the protocol drops what it
//! holds. It owns no media: frames never come near it. What it adds to passing
//! orders on is *the wait*: it answers auth only when the data plane has
//! confirmed, and tears the connection down if that takes too long.

use std::time::Duration;

use actix::prelude::*;
use contract::registry::Silence;
use contract::session::{Close, CloseReason, Fenced, Hush, SetStanding};
use contract::{Action, SessionId, StreamKey};
use tokio::sync::oneshot;

use crate::plane::{DataPlane, Order, What};

/// A data plane answers within a burst, some milliseconds; a TCP player whose
/// kernel holds unsent bytes takes up to `tcp::PATIENCE`, 210 ms. What is left is
/// for its task to get its turn; later, it has stopped.
const FENCE_DEADLINE: Duration = Duration::from_millis(250);

pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) role: Action,
    pub(crate) stream: StreamKey,
    pub(crate) silence: Recipient<Silence>,
    pub(crate) plane: Option<Box<dyn DataPlane>>,
    /// Why it ends; what was said first.
    pub(crate) closed: Option<CloseReason>,
}

impl Actor for Session {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        tracing::debug!(session = %self.id, "session ended");
    }
}

impl Session {
    /// Orders the plane and waits until it holds. Without a plane there is
    /// nothing to wait for: whoever attaches one reads the standing afterwards.
    fn fence(&self, what: What) -> impl Future<Output = Fenced> + 'static {
        let waiting = self.plane.as_ref().map(|plane| {
            let (done, holds) = oneshot::channel();
            plane.order(Order { what, done });
            holds
        });
        async move {
            let Some(holds) = waiting else { return Fenced::Confirmed };
            match tokio::time::timeout(FENCE_DEADLINE, holds).await {
                Ok(Ok(())) => Fenced::Confirmed,
                Ok(Err(_)) | Err(_) => Fenced::Closed,
            }
        }
    }

    /// Like `fence`, and kills the plane when it was not confirmed.
    fn fence_or_kill(&self, ctx: &Context<Self>, what: What) -> impl Future<Output = Fenced> + 'static {
        let holds = self.fence(what);
        let this = ctx.address();
        async move {
            let fenced = holds.await;
            if fenced == Fenced::Closed {
                // An error means that the session is gone already.
                return this.send(Kill).await.unwrap_or(fenced);
            }
            fenced
        }
    }
}

impl Session {
    /// Whether what the session published must not be heard any more either. Who
    /// takes over his own publish goes on with it.
    fn silences_stream(&self, set: SetStanding) -> bool {
        let revoked = matches!(set, SetStanding::Revoke(why) if why != CloseReason::TakenOver);
        revoked && self.role == Action::Publish
    }
}

impl Handler<SetStanding> for Session {
    type Result = ResponseFuture<Fenced>;

    fn handle(&mut self, msg: SetStanding, ctx: &mut Self::Context) -> Self::Result {
        let order = What::Standing(msg);
        if let SetStanding::Revoke(reason) = msg {
            self.closed.get_or_insert(reason);
        }
        if !self.silences_stream(msg) {
            return Box::pin(self.fence_or_kill(ctx, order));
        }
        // The registry is asked first: the order makes the publisher give its
        // place back, and a place that is given back can no longer be silenced.
        let silenced = self.silence.send(Silence { stream: self.stream.clone(), session: self.id });
        let holds = self.fence_or_kill(ctx, order);
        Box::pin(async move {
            let (silenced, own) = futures_util::future::join(silenced, holds).await;
            // The registry is gone only when the process ends.
            silenced.map_or(Fenced::Closed, |silenced| silenced.max(own))
        })
    }
}

impl Handler<Hush> for Session {
    type Result = ResponseFuture<Fenced>;

    fn handle(&mut self, _: Hush, ctx: &mut Self::Context) -> Self::Result {
        Box::pin(self.fence_or_kill(ctx, What::Hush))
    }
}

impl Handler<Close> for Session {
    type Result = ();

    fn handle(&mut self, msg: Close, ctx: &mut Self::Context) {
        self.closed.get_or_insert(msg.reason);
        let closes = self.fence_or_kill(ctx, What::Close(msg.reason));
        ctx.spawn(
            async move {
                let _ = closes.await;
            }
            .into_actor(self),
        );
    }
}

/// The data plane did not confirm in time.
#[derive(Message)]
#[rtype(result = "Fenced")]
struct Kill;

impl Handler<Kill> for Session {
    type Result = Fenced;

    fn handle(&mut self, _: Kill, _: &mut Self::Context) -> Fenced {
        let Some(plane) = &self.plane else { return Fenced::Closed };
        if plane.kill() {
            tracing::warn!(session = %self.id, "data plane did not confirm; connection torn down");
            return Fenced::Closed;
        }
        tracing::error!(session = %self.id, "data plane did not confirm, and the system resets no connection");
        Fenced::Uncertain
    }
}

/// The protocol brings its data plane. Refused when the session was closed
/// meanwhile.
#[derive(Message)]
#[rtype(result = "Result<(), CloseReason>")]
pub(crate) struct Attach(pub(crate) Box<dyn DataPlane>);

impl Handler<Attach> for Session {
    type Result = Result<(), CloseReason>;

    fn handle(&mut self, msg: Attach, _: &mut Self::Context) -> Self::Result {
        match self.closed {
            Some(reason) => Err(reason),
            None => {
                self.plane = Some(msg.0);
                Ok(())
            }
        }
    }
}

/// Asks why the session ends; `None` if it goes on, as far as it knows.
#[derive(Message)]
#[rtype(result = "Option<CloseReason>")]
pub(crate) struct WhyEnded;

impl Handler<WhyEnded> for Session {
    type Result = Option<CloseReason>;

    fn handle(&mut self, _: WhyEnded, _: &mut Self::Context) -> Self::Result {
        self.closed
    }
}

/// The protocol has dropped what it held.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Session {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// Stops the actor when dropped.
#[derive(Debug)]
pub(crate) struct Guard(pub(crate) Addr<Session>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.do_send(Stop);
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} {} {})", self.id, self.role, self.stream)
    }
}

#[cfg(test)]
mod tests {
    use contract::{AppName, StreamId};

    use super::*;

    struct Registry;

    impl Actor for Registry {
        type Context = Context<Self>;
    }

    impl Handler<Silence> for Registry {
        type Result = Fenced;

        fn handle(&mut self, _: Silence, _: &mut Self::Context) -> Fenced {
            Fenced::Confirmed
        }
    }

    /// Confirms nothing, and can be torn down or not.
    struct Deaf(bool);

    impl DataPlane for Deaf {
        fn order(&self, _: Order) {}

        fn kill(&self) -> bool {
            self.0
        }
    }

    #[actix_rt::test]
    async fn a_fence_says_whether_a_connection_that_did_not_confirm_was_torn_down() {
        for (is_torn_down, fenced) in [(true, Fenced::Closed), (false, Fenced::Uncertain)] {
            let session = Session {
                id: SessionId::new(),
                role: Action::Play,
                stream: StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("s").unwrap() },
                silence: Registry.start().recipient(),
                plane: Some(Box::new(Deaf(is_torn_down))),
                closed: None,
            };
            let revoke = SetStanding::Revoke(CloseReason::Withdrawn);
            assert_eq!(session.start().send(revoke).await.unwrap(), fenced);
        }
    }
}
