//! Everything in one file, and back.
//!
//! `magic ‖ version ‖ whether a key follows ‖ key? ‖ count ‖ records ‖ SHA-256`,
//! numbers big-endian, a record as `length ‖ key ‖ length ‖ value`. Values of sealed
//! tables are in it as they are on disk; the key that opens them only if asked for.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use crate::backend::{Backend, Disk, sync_path};
use crate::batch::Pair;
use crate::boot::{self, KEY_ID, OpenError, VERSION};
use crate::key::{KeyError, KeyId, SealKey};
use crate::schema::Schema;

const MAGIC: &[u8; 14] = b"SLUICE-BACKUP\n";
const FORMAT: u16 = 1;

/// Above what any record of ours has, in bytes: the longest key or value, the
/// table's name, and what sealing adds.
const MAX_PIECE: u32 = 64 << 10;

/// Records that are written back at once.
const BATCH: usize = 1000;

/// All records of a store at one moment. No Debug output of its contents.
pub struct Archive {
    records: Vec<Pair>,
    key: Option<SealKey>,
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It begins otherwise.
    #[error("this is not a backup of Sluice")]
    NotOurs,
    /// A newer server wrote it.
    #[error("the backup has format {0}; this server knows formats up to 1")]
    Newer(u16),
    /// Its checksum is wrong, or it ends early.
    #[error("the backup is damaged or incomplete")]
    Damaged,
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether restoring may take the place of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Only an empty place will do.
    Refuse,
    /// What is there goes.
    Allow,
}

/// What a restored store still needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// Nothing.
    Whole,
    /// The key file that its secrets were sealed with.
    NeedsKey,
}

/// Why nothing was restored; what was there is still there.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A server runs on the folder, or the disk refused.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is data already.
    #[error("{0}: holds data already")]
    NotEmpty(PathBuf),
    /// There is a key file, and it is another one.
    #[error("{0}: this is another key than that of the backup; move it away")]
    OtherKey(PathBuf),
    /// The key cannot be read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The backup does not say of which version it is, or with which key.
    #[error("the backup lacks the store's own records")]
    Incomplete,
}

impl Archive {
    pub(crate) const fn new(records: Vec<Pair>) -> Self {
        Self { records, key: None }
    }

    /// How many records it has.
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Puts the key into it. Whoever has the archive then can read every secret.
    pub fn with_key(self, path: &Path) -> Result<Self, KeyError> {
        let key = SealKey::load(path)?;
        if self.key_id() != Some(key.id()) {
            return Err(KeyError::Wrong { path: path.to_path_buf() });
        }
        Ok(Self { key: Some(key), ..self })
    }

    /// Writes it.
    pub fn write(&self, into: &mut dyn Write) -> io::Result<()> {
        let mut into = Summed { inner: into, sum: Sha256::new() };
        into.write_all(MAGIC)?;
        into.write_all(&FORMAT.to_be_bytes())?;
        into.write_all(&[u8::from(self.key.is_some())])?;
        if let Some(key) = &self.key {
            into.write_all(&key.bytes)?;
        }
        into.write_all(&(self.records.len() as u64).to_be_bytes())?;
        for piece in self.records.iter().flat_map(|(key, value)| [key, value]) {
            let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
            into.write_all(&length.to_be_bytes())?;
            into.write_all(piece)?;
        }
        let sum = into.sum.finalize();
        into.inner.write_all(&sum)
    }

    /// Reads one, and believes nothing before its checksum was right.
    pub fn read(from: &mut dyn Read) -> Result<Self, ArchiveError> {
        let mut from = Summed { inner: from, sum: Sha256::new() };
        let magic: [u8; MAGIC.len()] = from.array().map_err(|_| ArchiveError::NotOurs)?;
        if &magic != MAGIC {
            return Err(ArchiveError::NotOurs);
        }
        let format = u16::from_be_bytes(from.array()?);
        if format != FORMAT {
            return Err(ArchiveError::Newer(format));
        }
        let key = match from.array()? {
            [0] => None,
            [_] => Some(SealKey { bytes: from.array()? }),
        };
        let count = u64::from_be_bytes(from.array()?);
        let mut records = Vec::new();
        for _ in 0..count {
            records.push((from.piece()?, from.piece()?));
        }
        let expected = from.sum.clone().finalize();
        let sum: [u8; 32] = from.array()?;
        if sum != *expected {
            return Err(ArchiveError::Damaged);
        }
        Ok(Self { records, key })
    }

    /// Puts it into a data folder on which no server runs. Whatever happens, the
    /// folder holds the old data or the new, and no key is lost: one that has to make
    /// room stays beside its old place, under its name and its own id.
    pub fn restore(
        &self,
        folder: &Path,
        key_path: &Path,
        overwrite: Overwrite,
    ) -> Result<Restored, RestoreError> {
        let at = |source| OpenError::Io { path: folder.to_path_buf(), source };
        self.check_version()?;
        fs::create_dir_all(folder).map_err(at)?;
        let _lock = boot::lock(folder)?;
        let [there, new] = ["sled", "sled.restoring"].map(|name| folder.join(name));
        if there.exists() && overwrite == Overwrite::Refuse {
            return Err(RestoreError::NotEmpty(folder.to_path_buf()));
        }
        let key = self.key_to_place(key_path, overwrite)?;
        remove(&new).map_err(at)?;
        self.fill(&Disk::open(&new)?).map_err(OpenError::from)?;
        // With data there, both names change at once; the old data is removed after.
        let flags = if there.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &new, CWD, &there, flags).map_err(|error| at(error.into()))?;
        sync_path(folder)?;
        // Only now: until here the old data is there and needs its own.
        let restored = key.place(key_path)?;
        remove(&new).map_err(at)?;
        Ok(restored)
    }

    fn fill(&self, disk: &Disk) -> Result<(), crate::backend::BackendError> {
        for some in self.records.chunks(BATCH) {
            disk.apply(some.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect())?;
        }
        disk.sync()
    }

    /// The key file must be the one that the records were sealed with, or be missing,
    /// or make room.
    fn key_to_place(&self, path: &Path, overwrite: Overwrite) -> Result<KeyToPlace<'_>, RestoreError> {
        let wanted = self.key_id().ok_or(RestoreError::Incomplete)?;
        let there = match SealKey::load(path) {
            Ok(key) => Some(key),
            Err(KeyError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        match (&self.key, there) {
            (_, Some(there)) if there.id() == wanted => Ok(KeyToPlace::IsThere),
            (None, None) => Ok(KeyToPlace::IsKeptApart),
            (Some(key), None) => Ok(KeyToPlace::New(key)),
            (Some(key), Some(there)) if overwrite == Overwrite::Allow => {
                there.save(&there.apart(path))?;
                Ok(KeyToPlace::New(key))
            }
            (_, Some(_)) => Err(RestoreError::OtherKey(path.to_path_buf())),
        }
    }

    fn check_version(&self) -> Result<(), RestoreError> {
        let version = self.meta(VERSION).and_then(|value| value.try_into().ok());
        let found = version.map(u32::from_be_bytes).ok_or(RestoreError::Incomplete)?;
        let known = Schema::FIRST.version;
        if found > known { Err(OpenError::Newer { found, known }.into()) } else { Ok(()) }
    }

    fn key_id(&self) -> Option<KeyId> {
        self.meta(KEY_ID)?.try_into().ok()
    }

    fn meta(&self, name: &[u8]) -> Option<&[u8]> {
        self.records.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

/// What becomes of the key file.
enum KeyToPlace<'a> {
    IsThere,
    IsKeptApart,
    New(&'a SealKey),
}

impl KeyToPlace<'_> {
    fn place(&self, path: &Path) -> Result<Restored, KeyError> {
        match self {
            Self::IsThere => Ok(Restored::Whole),
            Self::IsKeptApart => Ok(Restored::NeedsKey),
            Self::New(key) => key.save(path).map(|()| Restored::Whole),
        }
    }
}

/// Removes a folder that may not be there.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sums up what passes.
struct Summed<T> {
    inner: T,
    sum: Sha256,
}

impl Summed<&mut dyn Write> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl Summed<&mut dyn Read> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn piece(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let length = u32::from_be_bytes(self.array()?);
        if length > MAX_PIECE {
            return Err(ArchiveError::Damaged);
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.inner.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Damaged,
            _ => error.into(),
        })?;
        self.sum.update(&*bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Sealing, Store, Table};

    const OPEN: Table = Table::new("open", Sealing::Open);
    const SEALED: Table = Table::new("sealed", Sealing::Sealed);

    /// A folder with a store that holds one record of each kind, and its archive.
    async fn stored() -> (tempfile::TempDir, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("data"), &folder.path().join("key")).unwrap();
        let mut batch = Batch::new();
        batch.put(OPEN, b"a", b"1").put(SEALED, b"b", b"a secret");
        store.commit(batch).await.unwrap();
        let archive = store.archive().await.unwrap();
        (folder, archive)
    }

    fn bytes(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.write(&mut bytes).unwrap();
        bytes
    }

    fn holds(folder: &Path, key: &Path) -> bool {
        let store = Store::open(folder, key).unwrap();
        store.scan(SEALED).unwrap() == [(b"b".to_vec(), b"a secret".to_vec())]
            && store.scan(OPEN).unwrap().len() == 1
    }

    #[tokio::test]
    async fn what_was_saved_comes_back_with_the_key_that_was_kept_apart() {
        let (folder, archive) = stored().await;
        let text = bytes(&archive);
        assert!(!text.windows(8).any(|w| w == b"a secret"), "a sealed value is readable");
        let archive = Archive::read(&mut text.as_slice()).unwrap();
        let (data, key) = (folder.path().join("other"), folder.path().join("kept"));
        assert_eq!(archive.restore(&data, &key, Overwrite::Refuse).unwrap(), Restored::NeedsKey);
        fs::copy(folder.path().join("key"), &key).unwrap();
        assert!(holds(&data, &key));
    }

    #[tokio::test]
    async fn an_archive_with_the_key_is_all_that_is_needed() {
        let (folder, archive) = stored().await;
        let text = bytes(&archive.with_key(&folder.path().join("key")).unwrap());
        let archive = Archive::read(&mut text.as_slice()).unwrap();
        let (data, key) = (folder.path().join("other"), folder.path().join("made"));
        assert_eq!(archive.restore(&data, &key, Overwrite::Refuse).unwrap(), Restored::Whole);
        assert!(holds(&data, &key));
    }

    #[tokio::test]
    async fn data_and_keys_that_are_there_are_not_overwritten_unless_that_is_asked_for() {
        let (folder, archive) = stored().await;
        let (data, key) = (folder.path().join("data"), folder.path().join("key"));
        let restore = |overwrite| archive.restore(&data, &key, overwrite);
        assert!(matches!(restore(Overwrite::Refuse), Err(RestoreError::NotEmpty(_))));
        assert_eq!(restore(Overwrite::Allow).unwrap(), Restored::Whole);
        fs::write(&key, [9; 32]).unwrap();
        assert!(matches!(restore(Overwrite::Allow), Err(RestoreError::OtherKey(_))));
    }

    #[tokio::test]
    async fn a_key_that_makes_room_is_kept_and_stays_in_use_if_nothing_was_restored() {
        let (folder, archive) = stored().await;
        let archive = archive.with_key(&folder.path().join("key")).unwrap();
        let (other, _) = stored().await;
        let (data, key) = (other.path().join("data"), other.path().join("key"));
        let before = SealKey::load(&key).unwrap();
        // What stands in the way of the new data.
        fs::write(data.join("sled.restoring"), b"").unwrap();
        assert!(archive.restore(&data, &key, Overwrite::Allow).is_err());
        assert!(holds(&data, &key), "the old data with its own key");
        fs::remove_file(data.join("sled.restoring")).unwrap();
        assert_eq!(archive.restore(&data, &key, Overwrite::Allow).unwrap(), Restored::Whole);
        assert!(holds(&data, &key));
        assert_ne!(SealKey::load(&key).unwrap().bytes, before.bytes);
        assert_eq!(SealKey::load(&before.apart(&key)).unwrap().bytes, before.bytes);
    }

    #[tokio::test]
    async fn nothing_is_restored_under_a_running_server() {
        let (folder, archive) = stored().await;
        let (data, key) = (folder.path().join("data"), folder.path().join("key"));
        let _server = Store::open(&data, &key).unwrap();
        let refused = archive.restore(&data, &key, Overwrite::Allow);
        assert!(matches!(refused, Err(RestoreError::Open(OpenError::Locked { .. }))));
    }

    #[tokio::test]
    async fn a_changed_or_cut_archive_is_refused() {
        let text = bytes(&stored().await.1);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(Archive::read(&mut changed.as_slice()).is_err(), "byte {at}");
            assert!(Archive::read(&mut &text[..at]).is_err(), "cut to {at}");
        }
    }
}
