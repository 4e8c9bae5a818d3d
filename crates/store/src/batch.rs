//! Tables and batches: what owners say to the store.

/// Longest record key in bytes; [`StoreError::TooLarge`](crate::StoreError::TooLarge) above it.
pub const MAX_KEY: usize = 1024;

/// Longest record value in bytes; [`StoreError::TooLarge`](crate::StoreError::TooLarge)
/// above it. Sled moves a page that outgrows a quarter of a segment into a file
/// of its own, which it never syncs. A page holds up to 18 records, so this
/// bound keeps every page inside the file that we sync (`backend::disk`).
pub const MAX_VALUE: usize = 24 * 1024;

/// Whether the values of a table are readable on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// Stored as given.
    Open,
    /// Encrypted with XChaCha20-Poly1305 under the key in the key file. Record
    /// keys stay readable, so a secret must never be part of a key.
    Sealed,
}

/// A table, declared as a constant by the owner that writes it.
///
/// ```
/// # use sluice_store::{Sealing, Table};
/// const SUBSCRIBERS: Table = Table::new("subscribers", Sealing::Sealed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    name: &'static str,
    sealing: Sealing,
}

impl Table {
    /// Declares a table. The name is 1 to 64 bytes of `a-z`, `0-9`, `_`; any
    /// other name does not compile when declared as a constant.
    pub const fn new(name: &'static str, sealing: Sealing) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 64, "a table name has 1 to 64 bytes");
        let mut at = 0;
        while at < bytes.len() {
            assert!(matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_'), "a table name is a-z, 0-9, _");
            at += 1;
        }
        Self { name, sealing }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Whether its values are encrypted at rest.
    pub const fn sealing(self) -> Sealing {
        self.sealing
    }

    /// What every raw key of this table begins with. Names hold no NUL, so no
    /// table's prefix begins another's.
    pub(crate) fn prefix(self) -> Vec<u8> {
        self.raw_key(&[])
    }

    pub(crate) fn raw_key(self, key: &[u8]) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.name.len() + 1 + key.len());
        raw.extend_from_slice(self.name.as_bytes());
        raw.push(0);
        raw.extend_from_slice(key);
        raw
    }
}

/// A record's key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// One change of one record.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) table: Table,
    pub(crate) key: Vec<u8>,
    /// `None` deletes.
    pub(crate) value: Option<Vec<u8>>,
}

/// Changes that reach the disk together or not at all. Later changes of one
/// record win over earlier ones. Debug output shows no keys and no values.
#[derive(Clone, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
}

impl Batch {
    /// An empty batch. Committing it is a barrier: its answer comes after
    /// everything committed before it is on disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record, new or not. At most [`MAX_KEY`] and [`MAX_VALUE`] bytes.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> &mut Self {
        self.changes.push(Change { table, key: key.to_vec(), value: Some(value.to_vec()) });
        self
    }

    /// Removes a record; one that is not there is no error.
    pub fn delete(&mut self, table: Table, key: &[u8]) -> &mut Self {
        self.changes.push(Change { table, key: key.to_vec(), value: None });
        self
    }

    /// Number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn fits(&self) -> bool {
        let value_fits = |c: &Change| c.value.as_ref().is_none_or(|v| v.len() <= MAX_VALUE);
        self.changes.iter().all(|c| c.key.len() <= MAX_KEY && value_fits(c))
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("changes", &self.changes.len()).finish()
    }
}
