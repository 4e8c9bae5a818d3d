//! One handler per message of `contract::auth`.

use actix::prelude::*;
use contract::auth::{
    Authorize, Block, Blocked, Change, Denied, EventPage, ForgiveGuesses, GetSubscriber, Guessed, IssueCode,
    IssueCodeError, IssuePreview, ListEvents, ListGuessed, ListSubscribers, NotStored, Permit, PermitChanged,
    PutSubscriber, PutSubscriberError, RemoveSubscriber, SubscriberPage, SubscriberView, Unblock,
};
use contract::registry::SilenceEnded;
use contract::session::Fenced;
use contract::{Action, AppName, TotpCode};
use futures_util::future::{join, join3, ready};

use super::{Auth, raise};
use crate::state::Granted;

impl Auth {
    /// Counts, and says outside what is said outside.
    fn admit(&mut self, ctx: &mut Context<Self>, ask: &Authorize) -> Result<Granted, Denied> {
        let (settings, previews) = (self.settings.app(&ask.stream.app), self.previews.clone());
        let answer = self.with(ctx, |state, now| state.authorize(ask, settings.as_deref(), &previews, now));
        match answer.ok_or(Denied::Unavailable)? {
            Ok(granted) => {
                self.counters.count_granted();
                Ok(granted)
            }
            Err(refusal) => {
                self.counters.count_denied(refusal);
                tracing::debug!(stream = %ask.stream, peer = %ask.peer, protocol = ask.protocol.as_str(),
                    action = %ask.action, reason = refusal.as_str(), "not let in");
                Err(refusal.outside())
            }
        }
    }
}

impl Auth {
    /// A publisher who left a moment before his block has no permit to revoke, but
    /// HLS still plays what he sent.
    fn silence_ended(&self, block: &Block) -> impl Future<Output = Fenced> + use<> {
        let (stream, subscriber) = (block.stream.clone(), block.subscriber.clone());
        let asks = block.actions.contains(Action::Publish);
        let silenced = asks.then(|| self.silence_ended.send(SilenceEnded { stream, subscriber }));
        async move {
            let Some(silenced) = silenced else { return Fenced::Confirmed };
            // The registry is gone only when the process ends.
            silenced.await.unwrap_or(Fenced::Closed)
        }
    }
}

impl Handler<Authorize> for Auth {
    type Result = ResponseActFuture<Self, Result<Permit, Denied>>;

    fn handle(&mut self, ask: Authorize, ctx: &mut Self::Context) -> Self::Result {
        let granted = match self.admit(ctx, &ask) {
            Ok(granted) => granted,
            Err(denied) => return Box::pin(ready(Err(denied)).into_actor(self)),
        };
        // Made now: whatever becomes of the asker, its drop gives the place back.
        let this = ctx.address().recipient();
        let permit = Permit::new(granted.permit, granted.standing, granted.replaces, this);
        let fenced = raise(granted.fences);
        Box::pin(
            async move {
                fenced.await;
                Ok(permit)
            }
            .into_actor(self),
        )
    }
}

impl Handler<PermitChanged> for Auth {
    type Result = ();

    fn handle(&mut self, msg: PermitChanged, ctx: &mut Self::Context) {
        let settings = self.settings.clone();
        let recorded = |app: &AppName| settings.app(app).is_some_and(|app| app.streams.write_events);
        let write = self.with(ctx, |state, now| match msg.change {
            Change::Connected => state.connected(msg.permit, recorded, now.wall),
            Change::Disconnected => state.release(msg.permit, now.wall),
        });
        self.write_unwaited(ctx, write.unwrap_or_default());
    }
}

impl Handler<Block> for Auth {
    type Result = ResponseActFuture<Self, Result<Blocked, NotStored>>;

    fn handle(&mut self, ask: Block, ctx: &mut Self::Context) -> Self::Result {
        let Some(tightened) = self.with(ctx, |state, now| state.block(&ask, now)) else {
            return Box::pin(ready(Err(NotStored)).into_actor(self));
        };
        let written = self.write(tightened.write);
        let fenced = raise(tightened.fences);
        let ended = self.silence_ended(&ask);
        let (until, stopped) = (tightened.until, tightened.stopped);
        tracing::info!(target: "audit", stream = %ask.stream, subscriber = %ask.subscriber,
            actions = ?ask.actions, seconds = ask.duration.as_secs(), stopped, "subscriber blocked");
        Box::pin(
            async move {
                let (written, fenced, ended) = join3(written, fenced, ended).await;
                written.map(|()| Blocked { until, stopped, fenced: fenced.max(ended) })
            }
            .into_actor(self),
        )
    }
}

impl Handler<Unblock> for Auth {
    type Result = ResponseActFuture<Self, Result<(), NotStored>>;

    fn handle(&mut self, ask: Unblock, ctx: &mut Self::Context) -> Self::Result {
        let Some(mut unblocking) = self.with(ctx, |state, _| state.unblock(&ask)) else {
            return Box::pin(ready(Err(NotStored)).into_actor(self));
        };
        let written = self.write(std::mem::take(&mut unblocking.write));
        Box::pin(written.into_actor(self).then(move |written, this, ctx| {
            let lifted = this.with(ctx, |state, _| match written {
                Ok(()) => Ok(state.unblocked(&unblocking)),
                Err(not_stored) => {
                    state.unblock_failed(&unblocking);
                    Err(not_stored)
                }
            });
            tracing::info!(target: "audit", stream = %ask.stream, subscriber = %ask.subscriber,
                actions = ?ask.actions, stored = written.is_ok(), "subscriber unblocked");
            let resumed = lifted.unwrap_or(Err(NotStored)).map(raise);
            async move {
                resumed?.await;
                Ok(())
            }
            .into_actor(this)
        }))
    }
}

impl Handler<PutSubscriber> for Auth {
    type Result = ResponseActFuture<Self, Result<(), PutSubscriberError>>;

    fn handle(&mut self, ask: PutSubscriber, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.app(&ask.stream.app);
        let putting = self.with(ctx, |state, _| state.put(&ask, &settings));
        let mut putting = match putting.unwrap_or(Err(NotStored.into())) {
            Ok(putting) => putting,
            Err(error) => return Box::pin(ready(Err(error)).into_actor(self)),
        };
        let fenced = raise(std::mem::take(&mut putting.fences));
        let written = self.write(std::mem::take(&mut putting.write));
        Box::pin(join(written, fenced).into_actor(self).map(move |(written, _), this, ctx| {
            let installed = this.with(ctx, |state, _| match written {
                Ok(()) => state.put_done(&putting),
                Err(NotStored) => state.put_failed(&putting),
            });
            installed.ok_or(NotStored)?;
            Ok(written?)
        }))
    }
}

impl Handler<RemoveSubscriber> for Auth {
    type Result = ResponseActFuture<Self, Result<usize, NotStored>>;

    fn handle(&mut self, ask: RemoveSubscriber, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.app(&ask.stream.app);
        let Some(mut removing) = self.with(ctx, |state, _| state.remove(&ask, &settings)) else {
            return Box::pin(ready(Err(NotStored)).into_actor(self));
        };
        let fenced = raise(std::mem::take(&mut removing.fences));
        let written = self.write(std::mem::take(&mut removing.write));
        Box::pin(join(written, fenced).into_actor(self).then(move |(written, _), this, ctx| {
            let lifted = this.with(ctx, |state, _| match written {
                Ok(()) => Ok(state.removed(&removing)),
                Err(not_stored) => {
                    state.remove_failed(&removing);
                    Err(not_stored)
                }
            });
            let (resumed, count) = (lifted.unwrap_or(Err(NotStored)).map(raise), removing.count);
            async move {
                resumed?.await;
                Ok(count)
            }
            .into_actor(this)
        }))
    }
}

impl Handler<IssueCode> for Auth {
    type Result = Result<TotpCode, IssueCodeError>;

    fn handle(&mut self, ask: IssueCode, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.app(&ask.stream.app);
        let code = self.with(ctx, |state, now| state.issue(&ask, &settings, now.wall));
        code.unwrap_or(Err(IssueCodeError::Unavailable))
    }
}

impl Handler<IssuePreview> for Auth {
    type Result = MessageResult<IssuePreview>;

    fn handle(&mut self, ask: IssuePreview, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.previews.issue(&ask.stream, self.clock.now().wall))
    }
}

impl Handler<GetSubscriber> for Auth {
    type Result = Option<SubscriberView>;

    fn handle(&mut self, ask: GetSubscriber, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.app(&ask.stream.app);
        self.with(ctx, |state, now| state.get(&ask, &settings.hls, now.wall)).flatten()
    }
}

impl Handler<ListGuessed> for Auth {
    type Result = Guessed;

    fn handle(&mut self, ask: ListGuessed, ctx: &mut Self::Context) -> Self::Result {
        self.with(ctx, |state, now| state.guessed(&ask, now.mono)).unwrap_or_default()
    }
}

impl Handler<ForgiveGuesses> for Auth {
    type Result = bool;

    fn handle(&mut self, ask: ForgiveGuesses, ctx: &mut Self::Context) -> Self::Result {
        self.with(ctx, |state, _| state.forgive(&ask)).is_some()
    }
}

impl Handler<ListSubscribers> for Auth {
    type Result = SubscriberPage;

    fn handle(&mut self, ask: ListSubscribers, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.app(&ask.stream.app);
        self.with(ctx, |state, now| state.list(&ask, &settings.hls, now.wall)).unwrap_or_default()
    }
}

impl Handler<ListEvents> for Auth {
    type Result = EventPage;

    fn handle(&mut self, ask: ListEvents, ctx: &mut Self::Context) -> Self::Result {
        self.with(ctx, |state, _| state.list_events(&ask)).unwrap_or_default()
    }
}
