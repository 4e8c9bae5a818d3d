//! sled 0.34.7, the only file that names it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Backend, BackendError, RawChange};
use crate::batch::Pair;
use crate::boot::OpenError;

/// Sled's page cache in bytes. Owners hold what is hot themselves and read a
/// table once, at boot; the whole idle server has 25 MB.
const CACHE: u64 = 4 << 20;

/// Sled's segment in bytes, fixed for the life of a data folder. A page above a
/// quarter of it would leave the file that we sync; see [`crate::MAX_VALUE`].
const SEGMENT: usize = 2 << 20;

/// Sled's own thread only collects old segments for us, and that needs no
/// hurry: every commit flushes by itself.
const COLLECT_EVERY_MS: u64 = 1000;

/// All tables in one sled tree, because a sled batch is atomic within a tree.
pub(crate) struct Disk {
    tree: sled::Db,
    /// Sled's `db` file once more. Its flush ends in `sync_file_range`, which
    /// neither empties the drive's cache nor writes the file's length. Ours is
    /// a descriptor of its own, so the kernel reports a failed write to it even
    /// when a thread of sled's has already been told.
    file: File,
}

impl Disk {
    /// Opens or makes sled's folder. Returns when its existence, its parameters
    /// and its length survive a loss of power.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let at = |source| OpenError::Io { path: folder.to_path_buf(), source };
        refuse_zeroed(&folder.join("conf"))?;
        let config = sled::Config::new().path(folder).cache_capacity(CACHE).segment_size(SEGMENT);
        let tree = config.flush_every_ms(Some(COLLECT_EVERY_MS)).open();
        let tree = tree.map_err(|e| at(std::io::Error::from(e)))?;
        let file = File::open(folder.join("db")).map_err(at)?;
        file.sync_all().map_err(at)?;
        // Sled writes `conf` once and syncs neither it nor any folder.
        for path in [folder.join("conf"), folder.join("blobs"), folder.to_path_buf()] {
            sync_path(&path)?;
        }
        Ok(Self { tree, file })
    }
}

/// What a power cut leaves of a file that was written and not synced.
fn refuse_zeroed(conf: &Path) -> Result<(), OpenError> {
    let mut content = Vec::new();
    match File::open(conf).and_then(|file| file.take(4096).read_to_end(&mut content)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(OpenError::Io { path: conf.to_path_buf(), source }),
        Ok(_) => {}
    }
    if content.iter().all(|&byte| byte == 0) {
        return Err(OpenError::ConfZeroed { path: conf.to_path_buf() });
    }
    Ok(())
}

/// Syncs a file or a folder (so that its entries survive a loss of power).
pub(crate) fn sync_path(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| OpenError::Io { path: path.to_path_buf(), source })
}

impl Backend for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.tree.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, BackendError> {
        let pairs = self.tree.scan_prefix(prefix);
        pairs
            .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(Into::into))
            .collect()
    }

    fn apply(&self, changes: Vec<RawChange>) -> Result<(), BackendError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(self.tree.apply_batch(batch)?)
    }

    fn sync(&self) -> Result<(), BackendError> {
        self.tree.flush()?;
        Ok(self.file.sync_data()?)
    }
}
