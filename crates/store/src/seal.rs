//! How values look at rest.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::batch::{Sealing, Table};
use crate::key::{KeyId, SealKey};

/// First byte of a sealed value, so that another construction can follow.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const HEAD: usize = 1 + size_of::<KeyId>() + NONCE;

/// Seals and unseals values: `format ‖ key id ‖ nonce ‖ ciphertext and tag`.
/// The associated data names the table, the record and the schema version, so a
/// sealed value that is moved elsewhere does not open.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    id: KeyId,
    version: u32,
}

/// The system has no randomness for a nonce; nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("no randomness for a nonce")]
pub(crate) struct NoNonce;

/// The value was not sealed by this key for this place, or it is damaged.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open")]
pub(crate) struct Unsealable;

impl Sealer {
    /// For records of schema `version`.
    pub(crate) fn new(key: &SealKey, version: u32) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&key.bytes.into()), id: key.id(), version }
    }

    /// The value as it goes to the backend.
    pub(crate) fn close(&self, table: Table, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>, NoNonce> {
        if table.sealing() == Sealing::Open {
            return Ok(value);
        }
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| NoNonce)?;
        let aad = self.associated(table, key);
        let payload = Payload { msg: &value, aad: &aad };
        // Fails only for lengths that no value has.
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| NoNonce)?;
        Ok([&[FORMAT][..], &self.id, &nonce, &sealed].concat())
    }

    /// The value as the owner gave it.
    pub(crate) fn open(&self, table: Table, key: &[u8], stored: Vec<u8>) -> Result<Vec<u8>, Unsealable> {
        if table.sealing() == Sealing::Open {
            return Ok(stored);
        }
        let (head, sealed) = stored.split_at_checked(HEAD).ok_or(Unsealable)?;
        let (id, nonce) = head[1..].split_at(size_of::<KeyId>());
        if head[0] != FORMAT || id != self.id {
            return Err(Unsealable);
        }
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Unsealable)?;
        let aad = self.associated(table, key);
        let payload = Payload { msg: sealed, aad: &aad };
        self.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| Unsealable)
    }

    /// Unambiguous: a name holds no NUL and the version has a fixed length.
    fn associated(&self, table: Table, key: &[u8]) -> Vec<u8> {
        let mut aad = table.raw_key(key);
        aad.extend_from_slice(&self.version.to_be_bytes());
        aad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALED: Table = Table::new("sealed", Sealing::Sealed);
    const OTHER: Table = Table::new("other", Sealing::Sealed);

    fn sealer(version: u32) -> Sealer {
        Sealer::new(&SealKey { bytes: [7; 32] }, version)
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_own_place() {
        let stored = sealer(1).close(SEALED, b"alice", b"GEZDGNBV".to_vec()).unwrap();
        assert_eq!(sealer(1).open(SEALED, b"alice", stored.clone()).unwrap(), b"GEZDGNBV");
        assert!(sealer(1).open(SEALED, b"mallory", stored.clone()).is_err());
        assert!(sealer(1).open(OTHER, b"alice", stored.clone()).is_err());
        assert!(sealer(2).open(SEALED, b"alice", stored).is_err());
    }

    #[test]
    fn every_write_has_its_own_nonce() {
        let close = || sealer(1).close(SEALED, b"alice", b"same".to_vec()).unwrap();
        assert_ne!(close()[9..HEAD], close()[9..HEAD]);
    }

    #[test]
    fn a_changed_or_cut_value_does_not_open() {
        let stored = sealer(1).close(SEALED, b"k", b"value".to_vec()).unwrap();
        for at in 0..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            assert!(sealer(1).open(SEALED, b"k", changed).is_err(), "byte {at}");
            assert!(sealer(1).open(SEALED, b"k", stored[..at].to_vec()).is_err(), "cut to {at}");
        }
    }
}
