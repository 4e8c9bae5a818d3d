//! TLS of one connection, without its socket.
//!
//! What was sealed cannot be taken back: the peer's TLS counts records. So the wire
//! seals only what the kernel is about to be given, and this holds no more than
//! that.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::wire::WireError;

/// Plaintext taken out at a time.
const OPENED: usize = 16 << 10;

/// A TLS connection and the records that wait for the kernel.
pub(super) struct Tls {
    connection: ServerConnection,
    sealed: Vec<u8>,
    /// How much of `sealed` the kernel has.
    written: usize,
    opened: Box<[u8]>,
}

impl Tls {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        let connection = ServerConnection::new(config)?;
        Ok(Self { connection, sealed: Vec::new(), written: 0, opened: vec![0; OPENED].into() })
    }

    /// Takes bytes of the socket; gives what they carry to `take`, piece by piece.
    pub(super) fn open<E: Into<WireError>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), WireError> {
        while !bytes.is_empty() {
            self.connection.read_tls(&mut bytes)?;
            let mut left = self.connection.process_new_packets()?.plaintext_bytes_to_read();
            while left > 0 {
                let count = self.connection.reader().read(&mut self.opened)?;
                take(&self.opened[..count]).map_err(Into::into)?;
                left -= count;
            }
        }
        Ok(())
    }

    /// Seals plaintext behind what waits; says how much was taken.
    pub(super) fn seal(&mut self, plain: &[IoSlice<'_>]) -> io::Result<usize> {
        self.connection.writer().write_vectored(plain)
    }

    /// The last word: no more will come.
    pub(super) fn say_goodbye(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether there is something for the kernel.
    pub(super) fn wants_write(&self) -> bool {
        self.len() > 0 || self.connection.wants_write()
    }

    /// Bytes that are sealed and that the kernel has not taken.
    pub(super) fn len(&self) -> usize {
        self.sealed.len() - self.written
    }

    /// What to give to the kernel.
    pub(super) fn rest(&mut self) -> io::Result<&[u8]> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.sealed)?;
        }
        Ok(&self.sealed[self.written..])
    }

    /// The kernel took so many bytes.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.sealed.len() {
            self.sealed.clear();
            self.written = 0;
        }
    }
}
