//! The registry's shell.
//!
//! Started by `server` on the system arbiter; lives as long as the process.
//! Media bypasses it: publishers and players meet in the rings that it hands
//! out. It never awaits the network in a handler; disk and fences are awaited in
//! response futures that leave the mailbox free.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;
use contract::auth::NotStored;
use contract::registry::{
    CreateStream, CreateStreamError, End, GetLive, GetStream, ListSessions, ListStreams, Live, Place, Play,
    PlayLease, PlayRefused, Publish, PublishLease, PublishRefused, RemoveStream, Removed, SessionPage,
    Silence, SilenceEnded, StopSession, StopStream, StreamPage, StreamRecord, StreamView, Survey,
    UpdateStream,
};
use contract::session::{Close, CloseReason, Fenced, Hush, SessionRef};
use contract::{AppName, AppSettings, Clock, SettingsView, StreamKey};
use futures_util::future::join_all;
use store::{Batch, Store};

use crate::record::{self, STREAMS};
use crate::state::State;

/// Why the registry could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store cannot be read.
    #[error("cannot read the stream records: {0}")]
    Scan(#[from] store::ScanError),
    /// A record is not what this version wrote.
    #[error("a stream record is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
}

/// Owner of the stream records and the live table.
pub struct Registry {
    state: State,
    /// By record, what is under way to the disk.
    writes: HashMap<StreamKey, Writes>,
    store: Store,
    settings: SettingsView,
    clock: Clock,
}

/// Writes of one record whose outcome is not known yet.
#[derive(Default)]
struct Writes {
    waiting: usize,
    /// One of them failed, so memory may show what is not on disk.
    failed: bool,
}

impl Registry {
    /// Reads the records; nobody is live yet.
    pub fn load(store: Store, settings: SettingsView, clock: Clock) -> Result<Self, LoadError> {
        let rows = store.scan(STREAMS)?;
        let records: Vec<StreamRecord> =
            rows.iter().map(|(_, value)| serde_json::from_slice(value)).collect::<Result<_, _>>()?;
        Ok(Self { state: State::load(records), writes: HashMap::new(), store, settings, clock })
    }

    /// What the rings of all streams count against; without it they have their own bounds
    /// only.
    #[must_use]
    pub fn with_memory(mut self, memory: media::Memory) -> Self {
        self.state.memory = memory;
        self
    }

    /// An application's settings; who asks about one that does not exist finds no
    /// streams in it.
    fn app(&self, app: &AppName) -> Arc<AppSettings> {
        self.settings.app(app).unwrap_or_default()
    }

    /// Writes a record as it is in memory; if that fails, and the disk can be read, memory
    /// shows what is on disk again.
    fn commit<T: 'static>(
        &mut self,
        key: StreamKey,
        batch: Result<Batch, serde_json::Error>,
        reply: T,
    ) -> ResponseActFuture<Self, Result<T, NotStored>> {
        let written = batch.map(|batch| self.store.commit(batch));
        self.writes.entry(key.clone()).or_default().waiting += 1;
        let written = async move {
            let done: Result<(), Box<dyn std::error::Error>> = match written {
                Ok(commit) => commit.await.map_err(Into::into),
                Err(error) => Err(error.into()),
            };
            done.inspect_err(|error| tracing::error!(%error, "stream record not written"))
        };
        Box::pin(written.into_actor(self).map(move |written, this, _| {
            this.written(&key, written.is_err());
            written.map(|()| reply).map_err(|_| NotStored)
        }))
    }

    /// A write may be refused while one that was asked for before it still waits. So the disk
    /// is looked at when none waits any more; until then memory shows what was refused.
    fn written(&mut self, key: &StreamKey, failed: bool) {
        let Some(writes) = self.writes.get_mut(key) else { return };
        writes.waiting -= 1;
        writes.failed |= failed;
        if writes.waiting > 0 {
            return;
        }
        let failed = self.writes.remove(key).is_some_and(|writes| writes.failed);
        if let Some(stored) = failed.then(|| record::stored(&self.store, key)).flatten() {
            self.state.restore(key, stored);
        }
    }
}

/// A full mailbox makes askers wait, so it should hold a burst: every player of
/// a large stream that joins or leaves at once.
const MAILBOX: usize = 1024;

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Publish> for Registry {
    type Result = Result<PublishLease, PublishRefused>;

    fn handle(&mut self, msg: Publish, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.settings.app(&msg.stream.app).ok_or(PublishRefused::Unavailable)?;
        let granted = self.state.publish(&msg, &settings, self.clock.now().wall)?;
        if let Some(record) = &granted.write {
            let written = self.commit(msg.stream.clone(), record::put(record), ());
            ctx.spawn(written.map(|_, _, _| ()));
        }
        tracing::info!(stream = %msg.stream, session = %msg.session.id, protocol = msg.protocol.as_str(), "stream is live");
        let place = Place::new(msg.stream, msg.session.id, ctx.address().recipient());
        Ok(PublishLease { frames: granted.frames, packets: granted.packets, place })
    }
}

impl Handler<Play> for Registry {
    type Result = Result<PlayLease, PlayRefused>;

    fn handle(&mut self, msg: Play, ctx: &mut Self::Context) -> Self::Result {
        let settings = self.settings.app(&msg.stream.app).ok_or(PlayRefused::Unavailable)?;
        let live = self.state.play(&msg, &settings, self.clock.now().wall)?;
        let place = Place::new(msg.stream, msg.session.id, ctx.address().recipient());
        Ok(PlayLease { live, place })
    }
}

impl Handler<End> for Registry {
    type Result = ();

    fn handle(&mut self, msg: End, _: &mut Self::Context) {
        self.state.end(&msg.stream, msg.session);
    }
}

impl Handler<Silence> for Registry {
    type Result = ResponseFuture<Fenced>;

    fn handle(&mut self, msg: Silence, _: &mut Self::Context) -> Self::Result {
        hush(self.state.silence(&msg.stream, msg.session))
    }
}

impl Handler<SilenceEnded> for Registry {
    type Result = ResponseFuture<Fenced>;

    fn handle(&mut self, msg: SilenceEnded, _: &mut Self::Context) -> Self::Result {
        hush(self.state.silence_ended(&msg.stream, &msg.subscriber))
    }
}

/// Asks now, so that no publisher who comes next is heard first; then waits.
fn hush(players: Vec<SessionRef>) -> ResponseFuture<Fenced> {
    let hushed = join_all(players.iter().map(|player| player.hush.send(Hush)));
    Box::pin(async move {
        // A player whose session is gone has nothing left to send.
        hushed.await.into_iter().flatten().max().unwrap_or(Fenced::Confirmed)
    })
}

impl Handler<GetStream> for Registry {
    type Result = Option<StreamView>;

    fn handle(&mut self, msg: GetStream, _: &mut Self::Context) -> Self::Result {
        self.state.get(&msg.stream, &self.app(&msg.stream.app), self.clock.now().wall)
    }
}

impl Handler<ListStreams> for Registry {
    type Result = StreamPage;

    fn handle(&mut self, msg: ListStreams, _: &mut Self::Context) -> Self::Result {
        self.state.list(&msg, &self.app(&msg.app), self.clock.now().wall)
    }
}

impl Handler<CreateStream> for Registry {
    type Result = ResponseActFuture<Self, Result<StreamView, CreateStreamError>>;

    fn handle(&mut self, msg: CreateStream, _: &mut Self::Context) -> Self::Result {
        let key = msg.record.key.clone();
        let batch = record::put(&msg.record);
        let settings = self.app(&key.app);
        match self.state.create(msg.record, &settings, self.clock.now().wall) {
            Err(error) => Box::pin(actix::fut::ready(Err(error))),
            Ok(view) => {
                let written = self.commit(key, batch, view);
                Box::pin(written.map(|done, _, _| done.map_err(CreateStreamError::from)))
            }
        }
    }
}

impl Handler<UpdateStream> for Registry {
    type Result = ResponseActFuture<Self, Result<bool, NotStored>>;

    fn handle(&mut self, msg: UpdateStream, _: &mut Self::Context) -> Self::Result {
        let key = msg.record.key.clone();
        if !self.state.update(msg.record) {
            return Box::pin(actix::fut::ready(Ok(false)));
        }
        let batch = self.state.record(&key).as_ref().map_or_else(|| Ok(Batch::new()), record::put);
        self.commit(key, batch, true)
    }
}

impl Handler<RemoveStream> for Registry {
    type Result = ResponseActFuture<Self, Result<Removed, NotStored>>;

    fn handle(&mut self, msg: RemoveStream, _: &mut Self::Context) -> Self::Result {
        let registered = self.state.record(&msg.stream).is_some();
        for session in self.state.evict(&msg.stream) {
            session.close.do_send(Close { reason: CloseReason::Stopped });
        }
        let removed = self.state.remove(&msg.stream);
        if !registered {
            return Box::pin(actix::fut::ready(Ok(removed)));
        }
        let batch = record::delete(&msg.stream);
        self.commit(msg.stream, Ok(batch), removed)
    }
}

impl Handler<StopStream> for Registry {
    type Result = bool;

    fn handle(&mut self, msg: StopStream, _: &mut Self::Context) -> Self::Result {
        let publisher = self.state.publisher(&msg.stream);
        if let Some(publisher) = &publisher {
            publisher.close.do_send(Close { reason: CloseReason::Stopped });
        }
        publisher.is_some()
    }
}

impl Handler<Survey> for Registry {
    type Result = MessageResult<Survey>;

    fn handle(&mut self, _: Survey, _: &mut Self::Context) -> Self::Result {
        MessageResult(Arc::new(self.state.survey(|app| self.app(app), self.clock.now().wall)))
    }
}

impl Handler<ListSessions> for Registry {
    type Result = Option<SessionPage>;

    fn handle(&mut self, msg: ListSessions, _: &mut Self::Context) -> Self::Result {
        self.state.sessions(&msg, &self.app(&msg.stream.app), self.clock.now().wall)
    }
}

impl Handler<StopSession> for Registry {
    type Result = bool;

    fn handle(&mut self, msg: StopSession, _: &mut Self::Context) -> Self::Result {
        let session = self.state.session(&msg.stream, msg.session);
        if let Some(session) = &session {
            session.close.do_send(Close { reason: CloseReason::Stopped });
        }
        session.is_some()
    }
}

impl Handler<GetLive> for Registry {
    type Result = Option<Arc<Live>>;

    fn handle(&mut self, msg: GetLive, _: &mut Self::Context) -> Self::Result {
        self.state.live(&msg.stream)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use contract::{StreamId, WallMs};
    use store::MAX_VALUE;

    use super::*;

    fn named(id: &str, name: &str) -> StreamRecord {
        let key = StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse(id).unwrap() };
        StreamRecord { name: Some(name.to_owned()), ..StreamRecord::new(key, WallMs(1)) }
    }

    fn registry(store: Store) -> Addr<Registry> {
        let settings = SettingsView::fixed(AppName::parse("live").unwrap(), AppSettings::default());
        Registry::load(store, settings, Clock::system()).unwrap().start()
    }

    async fn name(registry: &Addr<Registry>, id: &str) -> Option<String> {
        let view = registry.send(GetStream { stream: named(id, "").key }).await.unwrap();
        view.and_then(|view| view.record.name)
    }

    #[actix_rt::test]
    async fn what_could_not_be_written_is_shown_as_it_is_on_disk() {
        let registry = registry(Store::memory());
        let create = |record| registry.send(CreateStream { record });
        let update = |record| registry.send(UpdateStream { record });
        create(named("cam", "door")).await.unwrap().unwrap();
        create(named("cam2", "yard")).await.unwrap().unwrap();
        let large = "x".repeat(MAX_VALUE);
        // The second is asked for before it is known that the first failed.
        let [first, second] = [(); 2].map(|()| update(named("cam", &large)));
        assert_eq!([first.await.unwrap(), second.await.unwrap()], [Err(NotStored); 2]);
        assert!(create(named("ca", &large)).await.unwrap().is_err());
        assert_eq!(name(&registry, "cam").await.as_deref(), Some("door"));
        assert_eq!(name(&registry, "cam2").await.as_deref(), Some("yard"));
        assert_eq!(name(&registry, "ca").await, None);
    }

    #[actix_rt::test]
    async fn a_write_that_is_refused_takes_nothing_from_one_that_still_waits() {
        let (store, hold) = Store::memory_held();
        let registry = registry(store);
        let update = |name: &str| registry.send(UpdateStream { record: named("cam", name) });
        let created = registry.send(CreateStream { record: named("cam", "door") });
        while !hold.sync_one() {
            tokio::task::yield_now().await;
        }
        created.await.unwrap().unwrap();
        let waits = update("gate");
        assert_eq!(update(&"x".repeat(MAX_VALUE)).await.unwrap(), Err(NotStored));
        assert!(hold.sync_one(), "the first was asked for before");
        assert_eq!(waits.await.unwrap(), Ok(true));
        assert_eq!(name(&registry, "cam").await.as_deref(), Some("gate"));
    }
}
