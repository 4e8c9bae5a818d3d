//! What `scripts/fuzz` calls. Compiled for fuzzing and for the test here.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is a finding")]

use sha2::{Digest, Sha256};

use crate::{Archive, ArchiveError};

/// An archive, and the same with a right checksum, which no mutation finds by itself.
pub fn archive(bytes: &[u8]) {
    read(bytes);
    let sum = Sha256::digest(bytes);
    read(&[bytes, &sum[..]].concat());
}

fn read(bytes: &[u8]) {
    let mut rest = bytes;
    match Archive::read(&mut rest) {
        Ok(archive) => {
            let mut again = Vec::new();
            archive.write(&mut again).expect("memory takes it");
            let read = &bytes[..bytes.len() - rest.len()];
            // Any byte but 0 says that a key follows.
            let same = |(at, (a, b)): (usize, (&u8, &u8))| a == b || at == 16 || at + 32 >= read.len();
            assert!(again.len() == read.len(), "an archive is not written as it was read");
            assert!(again.iter().zip(read).enumerate().all(same), "an archive is not written as it was read");
        }
        Err(ArchiveError::Io(error)) => panic!("memory failed: {error}"),
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_are_read() {
        super::archive(b"SLUICE-BACKUP\n\0\x01\0\0\0\0\0\0\0\0\x01\0\0\0\x01a\0\0\0\x01b");
        super::archive(b"");
    }
}
