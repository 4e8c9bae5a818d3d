//! The key file.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::whole::{folder_of, write_whole};

/// Names a key without telling it.
pub(crate) type KeyId = [u8; 8];

/// The 32-byte key that seals records. It has no Debug output on purpose.
pub(crate) struct SealKey {
    pub(crate) bytes: [u8; 32],
}

impl SealKey {
    /// First 8 bytes of SHA-256 over a label and the key.
    pub(crate) fn id(&self) -> KeyId {
        let digest = Sha256::new().chain_update(b"sluice key id\0").chain_update(self.bytes).finalize();
        let mut id = KeyId::default();
        id.copy_from_slice(&digest[..8]);
        id
    }

    /// Reads the key that existing records were sealed with.
    pub(crate) fn load(path: &Path) -> Result<Self, KeyError> {
        let content = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: path.to_path_buf() },
            _ => KeyError::Io { path: path.to_path_buf(), source },
        })?;
        warn_if_shared(path);
        let bytes = content.try_into().map_err(|_| KeyError::Malformed { path: path.to_path_buf() })?;
        Ok(Self { bytes })
    }

    /// Reads the key, or makes one. Only for a data folder without records.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Missing { .. }) => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|_| KeyError::Random)?;
                Self { bytes }.save(path)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Where it is kept when another takes its place: beside that, with its id.
    pub(crate) fn apart(&self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{:016x}", u64::from_be_bytes(self.id())));
        name.into()
    }

    /// Puts it into a file, in the place of another one. Makes the folder.
    pub(crate) fn save(&self, path: &Path) -> Result<(), KeyError> {
        fs::create_dir_all(folder_of(path))
            .and_then(|()| write_whole(path, |file| file.write_all(&self.bytes)))
            .map_err(|source| KeyError::Io { path: path.to_path_buf(), source })
    }
}

fn warn_if_shared(path: &Path) {
    let shared = |meta: fs::Metadata| meta.permissions().mode() & 0o077 != 0;
    if fs::metadata(path).is_ok_and(shared) {
        tracing::warn!(path = %path.display(), "others than the owner may read the key file; chmod it to 0600");
    }
}

/// Why the store has no key; the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is gone and there are records that need it.
    #[error("{path}: the key file is missing, and the data folder holds records sealed with it; restore it")]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// It is another key than the records were sealed with.
    #[error("{path}: this is not the key that the records in the data folder were sealed with; restore it")]
    Wrong {
        /// The key file.
        path: PathBuf,
    },
    /// It does not hold exactly 32 bytes.
    #[error("{path}: a key file holds exactly 32 bytes")]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no random numbers to make one of.
    #[error("no random numbers for a key")]
    Random,
}
