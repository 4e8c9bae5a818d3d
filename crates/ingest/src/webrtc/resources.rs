//! The sessions that WHIP and WHEP made, by the name in their `Location`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::command::PeerHandle;

/// The table is swept when it has grown by so many since the last time.
const SWEEP: usize = 64;

/// Names a session. 128 random bits: knowing it is the right to end it
/// (RFC 9725 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ResourceId(String);

impl ResourceId {
    /// A new one; none when the machine gives no random bytes.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is ended by a DELETE.
pub(super) enum Resource {
    /// A publisher, whose task hears of it.
    Publisher(CancellationToken),
    /// A player.
    Player(PeerHandle),
}

impl Resource {
    fn is_over(&self) -> bool {
        match self {
            Self::Publisher(token) => token.is_cancelled(),
            Self::Player(peer) => peer.is_gone(),
        }
    }

    fn end(self) {
        match self {
            Self::Publisher(token) => token.cancel(),
            Self::Player(peer) => drop(peer),
        }
    }
}

#[derive(Default)]
struct Table {
    by_id: HashMap<ResourceId, (String, Resource)>,
    sweep_at: usize,
}

/// Every session of WHIP and WHEP.
#[derive(Default)]
pub(super) struct Resources(Mutex<Table>);

impl Resources {
    /// Adds a session that was made at `path`.
    pub(super) fn add(&self, id: ResourceId, path: String, resource: Resource) {
        let mut table = self.lock();
        if table.by_id.len() >= table.sweep_at {
            table.by_id.retain(|_, (_, resource)| !resource.is_over());
            table.sweep_at = table.by_id.len() * 2 + SWEEP;
        }
        table.by_id.insert(id, (path, resource));
    }

    /// Ends a session; whether there was one of that name at `path`.
    pub(super) fn remove(&self, id: &str, path: &str) -> bool {
        let id = ResourceId(id.to_owned());
        let mut table = self.lock();
        let here = |(made, _): &&(String, Resource)| path.strip_prefix(made.as_str()).is_some();
        if table.by_id.get(&id).filter(here).is_none() {
            return false;
        }
        let removed = table.by_id.remove(&id);
        drop(table);
        let Some((_, resource)) = removed else { return false };
        let was = !resource.is_over();
        resource.end();
        was
    }

    /// Ends every session.
    pub(super) fn clear(&self) {
        let table = std::mem::take(&mut self.lock().by_id);
        table.into_values().for_each(|(_, resource)| resource.end());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
