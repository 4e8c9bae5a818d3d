//! What the audit log is told.
//!
//! An entry is on disk before what it tells of is answered, but that of a failed login,
//! and one that the disk refuses: then the log says so. Of most deeds it is written
//! when they are done. Of a block it is on its way *before* the block: the
//! store keeps the order and syncs both together, so the answer waits no longer than
//! for the block's own write, and a block that failed has an entry too.

use contract::audit::{About, AuditEntry, Deed, Note};

use crate::api::{PATIENCE, Shared};
use crate::gate::Author;

impl Shared {
    /// Adds an entry. It is on its way when this returns; the future ends when it is
    /// on disk, or cannot be, which the log then says.
    pub(crate) fn note(
        &self,
        author: &Author,
        what: Deed,
        about: About,
        detail: String,
    ) -> impl Future<Output = ()> + use<> {
        let who = author.account.as_ref().map(|account| account.email.clone());
        self.note_entry(AuditEntry { at: self.clock.now().wall, who, from: author.from, what, about, detail })
    }

    /// The same, for who is not logged in.
    pub(crate) fn note_entry(&self, entry: AuditEntry) -> impl Future<Output = ()> + use<> {
        let what = entry.what.as_str();
        let written = self.links.note.send(Note(entry)).timeout(PATIENCE);
        async move {
            if !matches!(written.await, Ok(Ok(()))) {
                tracing::error!(what, "audit entry not written");
            }
        }
    }
}
