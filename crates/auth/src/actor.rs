//! Auth's shell.
//!
//! Started by [`start`] on the caller's arbiter (the server's system arbiter);
//! lives as long as the process. Nothing bypasses it but [`StandingCell`]s, which
//! it writes and data planes read. A handler changes the state at once and hands
//! its batch to the disk, which fixes the order; fences and the disk are then
//! awaited in a response future that leaves the mailbox free.
//!
//! [`StandingCell`]: contract::StandingCell

mod messages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use contract::auth::NotStored;
use contract::registry::SilenceEnded;
use contract::session::Fenced;
use contract::{AppName, AppSettings, Clock, Now, SettingsView};
use futures_util::future::{LocalBoxFuture, join_all};
use store::{Batch, Store};

use crate::counters::Counters;
use crate::disk::Disk;
use crate::gates::{self, Gate};
use crate::previews::Previews;
use crate::record::LoadError;
use crate::state::{Fence, Notice, State, Tables};

/// A full mailbox makes askers wait, so it should hold a burst: everybody who
/// returns at once when a large stream begins.
const MAILBOX: usize = 1024;

/// A jump of the wall clock against the monotonic one that is worth a line in
/// the log: codes depend on the wall clock.
const STEP: Duration = Duration::from_secs(2);

/// What auth is made of.
pub struct Config {
    /// Where subscribers, blocks and events are kept.
    pub store: Store,
    /// Everybody's settings.
    pub settings: SettingsView,
    /// Who holds what is left of publishes that have ended.
    pub silence_ended: Recipient<SilenceEnded>,
    /// Where the time comes from.
    pub clock: Clock,
    /// What it counts.
    pub counters: Arc<Counters>,
}

/// Loads the tables, then starts auth on this thread's arbiter. Blocks on the
/// disk while it loads; who holds the address gets answers from loaded state only.
pub fn start(config: Config) -> Result<Addr<Auth>, LoadError> {
    let Config { store, settings, silence_ended, clock, counters } = config;
    Ok(Auth::load(gates::ALL, Rc::new(store), settings, silence_ended, clock, counters)?.start())
}

/// Owner of subscribers, blocks, permits and connection events.
pub struct Auth {
    state: State,
    /// The state panicked and could not be rebuilt yet.
    broken: bool,
    disk: Rc<dyn Disk>,
    settings: SettingsView,
    silence_ended: Recipient<SilenceEnded>,
    clock: Clock,
    previews: Rc<Previews>,
    counters: Arc<Counters>,
    /// For what the expiry timer is set.
    armed: Option<(Instant, SpawnHandle)>,
    last: Now,
}

impl Auth {
    pub(crate) fn load(
        gates: &'static [&'static dyn Gate],
        disk: Rc<dyn Disk>,
        settings: SettingsView,
        silence_ended: Recipient<SilenceEnded>,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Result<Self, LoadError> {
        let now = clock.now();
        let state = State::load(gates, Tables::read(|table| disk.scan(table))?, now)?;
        counters.set_blocks(state.block_count());
        Ok(Self {
            state,
            broken: false,
            disk,
            settings,
            silence_ended,
            clock,
            previews: Rc::new(Previews::new()?),
            counters,
            armed: None,
            last: now,
        })
    }

    /// Runs `act` on a state in which every block that has ended is lifted.
    /// `None`: it panicked, and the state was rebuilt or will be.
    fn with<T>(&mut self, ctx: &mut Context<Self>, act: impl FnOnce(&mut State, Now) -> T) -> Option<T> {
        let now = self.now();
        if self.broken {
            self.rebuild(ctx, now);
        }
        if self.broken {
            return None;
        }
        let state = &mut self.state;
        if let Ok(expired) = catch_unwind(AssertUnwindSafe(|| state.expire(now))) {
            self.write_unwaited(ctx, expired.write);
            self.fence_unwaited(ctx, expired.fences);
        } else {
            self.panicked(ctx, now);
        }
        let state = &mut self.state;
        let done = catch_unwind(AssertUnwindSafe(|| act(state, now)));
        if done.is_err() {
            self.panicked(ctx, now);
        }
        self.tell();
        self.arm(ctx, now);
        done.ok()
    }

    fn now(&mut self) -> Now {
        let now = self.clock.now();
        let mono = now.mono.saturating_duration_since(self.last.mono);
        let (ahead, behind) =
            (now.wall.since(self.last.wall.after(mono)), self.last.wall.after(mono).since(now.wall));
        if ahead.max(behind) > STEP {
            tracing::warn!(?ahead, ?behind, "the wall clock was stepped; codes follow it, blocks do not");
        }
        self.last = now;
        now
    }

    fn panicked(&mut self, ctx: &mut Context<Self>, now: Now) {
        self.counters.count_panic();
        tracing::error!("auth panicked; rebuilding from the store");
        self.broken = true;
        self.rebuild(ctx, now);
    }

    fn rebuild(&mut self, ctx: &mut Context<Self>, now: Now) {
        let disk = &self.disk;
        let rebuilt =
            Tables::read(|table| disk.scan(table)).and_then(|tables| self.state.rebuild(tables, now));
        match rebuilt {
            Ok(fences) => {
                self.broken = false;
                self.fence_unwaited(ctx, fences);
            }
            Err(error) => tracing::error!(%error, "auth cannot be rebuilt; it lets nobody in"),
        }
    }

    fn tell(&mut self) {
        self.counters.set_permits(self.state.permit_count());
        self.counters.set_blocks(self.state.block_count());
        for notice in self.state.take_notices() {
            self.counters.count_notice(&notice);
            match notice {
                Notice::Guessing(stream, Some(subscriber)) => {
                    tracing::warn!(%stream, %subscriber, "somebody guesses this subscriber's codes");
                }
                Notice::Guessing(stream, None) => {
                    tracing::warn!(%stream, "somebody guesses codes of unregistered subscribers");
                }
                Notice::ClockInDoubt(blocks) => tracing::warn!(
                    blocks,
                    "the wall clock is earlier than the newest record, or over a year later; blocks are kept \
                     in force, none for longer than was asked for, until it is set"
                ),
                Notice::ClockCanBe(blocks) => {
                    tracing::warn!(blocks, "the wall clock was set; blocks end when their records say");
                }
                Notice::PutBack(stream, subscriber) => {
                    tracing::warn!(%stream, %subscriber, "the wall clock was set back; a block holds again");
                }
                Notice::TakenOver(stream, subscriber) => {
                    tracing::info!(target: "audit", %stream, %subscriber, "session taken over by a new login");
                }
            }
        }
    }

    /// Sets the timer for the next block to end, if it is not set for it already.
    fn arm(&mut self, ctx: &mut Context<Self>, now: Now) {
        let next = self.state.next_deadline();
        if self.armed.map(|(at, _)| at) == next {
            return;
        }
        if let Some((_, timer)) = self.armed.take() {
            ctx.cancel_future(timer);
        }
        self.armed = next.map(|at| {
            // A timer may be early by its own grain; one millisecond keeps it from spinning.
            let left = at.saturating_duration_since(now.mono) + Duration::from_millis(1);
            (at, ctx.run_later(left, Self::on_timer))
        });
    }

    fn on_timer(&mut self, ctx: &mut Context<Self>) {
        self.armed = None;
        let _ = self.with(ctx, |_, _| ());
    }

    /// An application's settings; those of one that does not exist protect nothing
    /// and are asked for only where nothing is let in.
    fn app(&self, app: &AppName) -> Arc<AppSettings> {
        self.settings.app(app).unwrap_or_default()
    }

    /// Writes what is acknowledged to nobody.
    fn write_unwaited(&self, ctx: &mut Context<Self>, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let written = self.disk.commit(batch);
        let logged = async move {
            if let Err(error) = written.await {
                tracing::warn!(%error, "auth could not write an event or the end of a block");
            }
        };
        ctx.spawn(logged.into_actor(self));
    }

    fn fence_unwaited(&self, ctx: &mut Context<Self>, fences: Vec<Fence>) {
        if !fences.is_empty() {
            ctx.spawn(raise(fences).into_actor(self).map(|_, _, _| ()));
        }
    }

    /// Writes what will be acknowledged. The order is fixed by this call.
    fn write(&self, batch: Batch) -> LocalBoxFuture<'static, Result<(), NotStored>> {
        let written = self.disk.commit(batch);
        Box::pin(async move {
            written.await.map_err(|error| {
                tracing::error!(%error, "auth could not make a change durable");
                NotStored
            })
        })
    }
}

/// Tells all sessions at once, in this call, and waits until each is fenced. A
/// session that is gone has nothing left to send.
fn raise(fences: Vec<Fence>) -> impl Future<Output = Fenced> + 'static {
    let told: Vec<_> = fences.into_iter().map(|Fence { session, set }| session.standing.send(set)).collect();
    async move { join_all(told).await.into_iter().flatten().max().unwrap_or(Fenced::Confirmed) }
}

impl Actor for Auth {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let now = self.now();
        self.tell();
        self.arm(ctx, now);
    }
}

#[cfg(test)]
mod tests;
