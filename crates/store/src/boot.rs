//! From a path to a store that may acknowledge.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::{Backend, BackendError, Disk, RawChange, sync_path};
use crate::key::{KeyError, KeyId, SealKey};
use crate::schema::{self, MigrateError, Schema};
use crate::seal::Sealer;

/// No table's name holds a NUL, so these collide with no record.
pub(crate) const VERSION: &[u8] = b"\0version";
pub(crate) const KEY_ID: &[u8] = b"\0key";

/// How many records the store keeps for itself.
pub(crate) const META_RECORDS: usize = 2;

/// An open data folder.
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) sealer: Sealer,
    /// Held for as long as the store lives.
    pub(crate) lock: File,
}

/// Locks the folder, opens sled in it, finds or makes the key, migrates.
pub(crate) fn open(folder: &Path, key_path: &Path, schema: &Schema) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(io)?;
    let lock = lock(folder)?;
    let disk = Disk::open(&folder.join("sled"))?;
    sync_path(folder)?;
    let folder = folder.canonicalize().map_err(io)?;
    if let Some(parent) = folder.parent() {
        sync_path(parent)?;
    }
    let sealer = prepare(&disk, key_path, schema)?;
    Ok(Opened { backend: Arc::new(disk), sealer, lock })
}

/// A second server on one folder would acknowledge what the first overwrites.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: folder.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

fn prepare(backend: &dyn Backend, key_path: &Path, schema: &Schema) -> Result<Sealer, OpenError> {
    let Some(found) = meta(backend, VERSION)? else {
        return found_new(backend, key_path, schema);
    };
    let version = found.try_into().map(u32::from_be_bytes).map_err(|_| OpenError::NotOurs)?;
    let key = SealKey::load(key_path)?;
    let expected: KeyId =
        meta(backend, KEY_ID)?.and_then(|id| id.try_into().ok()).ok_or(OpenError::NotOurs)?;
    if key.id() != expected {
        return Err(KeyError::Wrong { path: key_path.to_path_buf() }.into());
    }
    let sealer = Sealer::new(&key, schema.version);
    match version.cmp(&schema.version) {
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Less => {
            schema::migrate(backend, &Sealer::new(&key, version), &sealer, version, schema)?;
        }
        std::cmp::Ordering::Greater => {
            return Err(OpenError::Newer { found: version, known: schema.version });
        }
    }
    Ok(sealer)
}

/// A folder without our version record must hold nothing at all; only then may
/// a key be made.
fn found_new(backend: &dyn Backend, key_path: &Path, schema: &Schema) -> Result<Sealer, OpenError> {
    if !backend.scan(&[])?.is_empty() {
        return Err(OpenError::NotOurs);
    }
    let key = SealKey::load_or_create(key_path)?;
    backend.apply(vec![version_record(schema.version), (KEY_ID.to_vec(), Some(key.id().to_vec()))])?;
    backend.sync()?;
    Ok(Sealer::new(&key, schema.version))
}

fn meta(backend: &dyn Backend, name: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
    let found = backend.scan(name)?;
    Ok(found.into_iter().find(|(key, _)| key == name).map(|(_, value)| value))
}

pub(crate) fn version_record(version: u32) -> RawChange {
    (VERSION.to_vec(), Some(version.to_be_bytes().to_vec()))
}

/// Why the store did not open; the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has this folder.
    #[error("{path}: another server uses this data folder")]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// Power was lost before sled's parameters reached the disk.
    #[error(
        "{path}: holds only zeros, so power was lost while the folder was being made. \
         Remove the sled folder if the server had never been ready, else restore this file from a backup"
    )]
    ConfZeroed {
        /// Sled's `conf`.
        path: PathBuf,
    },
    /// The folder holds records that this store did not write.
    #[error("the data folder holds something else than a Sluice store")]
    NotOurs,
    /// A newer server wrote the folder.
    #[error("the data folder has schema {found}; this server knows schemas up to {known}")]
    Newer {
        /// Schema in the folder.
        found: u32,
        /// Newest schema known.
        known: u32,
    },
    /// A migration found records of a table that the schema does not list.
    #[error("the data folder holds records of an unknown table, so it cannot be migrated")]
    UnknownTable,
    /// A migration failed; the folder is as it was.
    #[error("migration: {0}")]
    Migrate(#[from] MigrateError),
    /// The key is missing or wrong.
    #[error("key: {0}")]
    Key(#[from] KeyError),
    /// The system or sled refused.
    #[error("{path}: {source}")]
    Io {
        /// What was opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing failed after opening.
    #[error("reading the data folder: {0}")]
    Backend(io::Error),
}

impl From<BackendError> for OpenError {
    fn from(error: BackendError) -> Self {
        Self::Backend(io::Error::other(error))
    }
}
