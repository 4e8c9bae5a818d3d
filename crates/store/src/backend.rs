//! Where raw records live. A backend sees opaque keys and values only.

use crate::batch::Pair;

mod disk;
mod memory;

pub(crate) use disk::{Disk, sync_path};
pub use memory::Fault;
pub(crate) use memory::Memory;

/// A raw record, or a raw key with `None` to delete it.
pub(crate) type RawChange = (Vec<u8>, Option<Vec<u8>>);

/// The disk, or what stands for it, refused. For the log; nobody recovers from it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("sled: {0}")]
    Sled(#[from] sled::Error),
    #[error("sync: {0}")]
    Sync(#[from] std::io::Error),
    #[error("injected by a test")]
    Injected,
}

/// Raw records with ordered keys.
pub(crate) trait Backend: Send + Sync + 'static {
    /// The value of one key; `None` if there is none.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError>;
    /// All records whose key begins with `prefix`, ordered by key.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, BackendError>;
    /// Applies all changes or none; on disk only after [`Backend::sync`].
    fn apply(&self, changes: Vec<RawChange>) -> Result<(), BackendError>;
    /// Returns when all that was applied survives a loss of power.
    fn sync(&self) -> Result<(), BackendError>;
}
