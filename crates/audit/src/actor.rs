//! The log's shell.
//!
//! Started by `server` on the system arbiter; lives as long as the process. An entry
//! is on its way to the disk when its message has been taken, and its mailbox stays
//! free while it is written, so that the store can sync it together with the deed.

use actix::prelude::*;
use contract::audit::{AuditEntry, AuditPage, ListAudit, Note};
use contract::auth::NotStored;
use store::{Batch, Sealing, Store, Table};

use crate::log::Log;

/// Entries by number, big-endian.
const AUDIT: Table = Table::new("audit", Sealing::Open);

/// Entries come from people and from REST calls, each of which waits for its own.
const MAILBOX: usize = 1024;

/// Why the log could not be read; the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The table could not be read.
    #[error("cannot read the audit log: {0}")]
    Scan(#[from] store::ScanError),
    /// Not what this version wrote.
    #[error("an entry of the audit log is damaged")]
    Damaged,
}

/// Owner of the audit log.
pub struct Audit {
    log: Log,
    store: Store,
}

impl Audit {
    /// Reads the log. Blocks on the disk.
    pub fn load(store: Store) -> Result<Self, LoadError> {
        let entries: Result<Vec<_>, _> = store.scan(AUDIT)?.into_iter().map(decode).collect();
        Ok(Self { log: Log::load(entries?), store })
    }

    fn write(&mut self, entry: AuditEntry) -> Batch {
        let change = self.log.add(entry);
        let mut batch = Batch::new();
        if let Some(value) = self.log.get(change.number).and_then(|entry| serde_json::to_vec(entry).ok()) {
            batch.put(AUDIT, &change.number.to_be_bytes(), &value);
        }
        if let Some(dropped) = change.dropped {
            batch.delete(AUDIT, &dropped.to_be_bytes());
        }
        batch
    }
}

fn decode((key, value): store::Pair) -> Result<(u64, AuditEntry), LoadError> {
    let number = key.try_into().map(u64::from_be_bytes).map_err(|_| LoadError::Damaged)?;
    Ok((number, serde_json::from_slice(&value).map_err(|_| LoadError::Damaged)?))
}

impl Actor for Audit {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Note> for Audit {
    type Result = ResponseFuture<Result<(), NotStored>>;

    fn handle(&mut self, Note(entry): Note, _: &mut Self::Context) -> Self::Result {
        let batch = self.write(entry);
        let written = self.store.commit(batch);
        Box::pin(async move {
            written.await.map_err(|error| {
                tracing::error!(%error, "audit entry not written");
                NotStored
            })
        })
    }
}

impl Handler<ListAudit> for Audit {
    type Result = AuditPage;

    fn handle(&mut self, ask: ListAudit, _: &mut Self::Context) -> AuditPage {
        self.log.list(&ask)
    }
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Audit")
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use contract::WallMs;
    use contract::audit::{About, Deed};

    use super::*;

    fn note(at: u64) -> Note {
        Note(AuditEntry {
            at: WallMs(at),
            who: Some("a@example.org".to_owned()),
            from: IpAddr::from([127, 0, 0, 1]),
            what: Deed::Block,
            about: About::default(),
            detail: String::new(),
        })
    }

    async fn times(audit: &Addr<Audit>) -> Vec<u64> {
        let page = audit.send(ListAudit { search: None, offset: 0, size: 9 }).await.unwrap();
        page.entries.iter().map(|entry| entry.at.0).collect()
    }

    #[actix_rt::test]
    async fn entries_are_there_after_a_restart() {
        let store = Store::memory();
        let audit = Audit::load(store.clone()).unwrap().start();
        for at in 1..=3 {
            audit.send(note(at)).await.unwrap().unwrap();
        }
        let audit = Audit::load(store).unwrap().start();
        assert_eq!(times(&audit).await, [3, 2, 1]);
        audit.send(note(4)).await.unwrap().unwrap();
        assert_eq!(times(&audit).await, [4, 3, 2, 1]);
    }

    #[actix_rt::test]
    async fn an_entry_is_queued_for_the_disk_when_it_is_taken_and_answered_when_it_is_there() {
        let (store, hold) = Store::memory_held();
        let audit = Audit::load(store).unwrap().start();
        let first = audit.send(note(1));
        // The mailbox is in order, so the entry was taken; and it is free.
        assert_eq!(times(&audit).await, [1]);
        assert!(hold.sync_one(), "queued before anybody waited for it");
        assert_eq!(first.await.unwrap(), Ok(()));
    }

    #[actix_rt::test]
    async fn what_is_not_written_is_not_acknowledged() {
        let (store, fault) = Store::memory_with_fault();
        let audit = Audit::load(store).unwrap().start();
        fault.break_disk();
        assert_eq!(audit.send(note(1)).await.unwrap(), Err(NotStored));
    }
}
