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
    /// Fails with [`WireError::Closed`] where something follows the peer's last word.
    pub(super) fn open<E: Into<WireError>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), WireError> {
        while !bytes.is_empty() {
            // After a `close_notify` it takes nothing, for ever.
            if self.connection.read_tls(&mut bytes)? == 0 {
                return Err(WireError::Closed);
            }
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

#[cfg(test)]
pub(super) mod tests {
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// Both ends, before the handshake.
    pub(in super::super) fn pair() -> (Tls, ClientConnection) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone());
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.clone()], key.into()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(client.with_no_client_auth()), name).unwrap();
        (Tls::new(Arc::new(server)).unwrap(), client)
    }

    /// Moves bytes both ways until neither end has more to say.
    fn exchange(server: &mut Tls, client: &mut ClientConnection, heard: &mut Vec<u8>) {
        while server.wants_write() || client.wants_write() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            // One byte at a time, as a network may.
            for byte in bytes {
                let take = |plain: &[u8]| {
                    heard.extend_from_slice(plain);
                    Ok::<_, WireError>(())
                };
                server.open(&[byte], take).unwrap();
            }
            let answer = server.rest().unwrap().to_vec();
            server.advance(answer.len());
            let mut rest = answer.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
    }

    #[test]
    fn what_is_said_at_one_end_is_heard_at_the_other() {
        let ((mut server, mut client), mut heard) = (pair(), Vec::new());
        exchange(&mut server, &mut client, &mut heard);
        assert!(!client.is_handshaking());
        client.writer().write_all(&[7; 40_000]).unwrap();
        let pieces = [IoSlice::new(b"pic"), IoSlice::new(b"ture")];
        assert_eq!(server.seal(&pieces).unwrap(), 7);
        exchange(&mut server, &mut client, &mut heard);
        assert_eq!(heard, [7; 40_000]);
        let mut picture = [0; 7];
        client.reader().read_exact(&mut picture).unwrap();
        assert_eq!(&picture, b"picture");
    }

    #[test]
    fn what_follows_the_peers_last_word_ends_the_connection() {
        let ((mut server, mut client), mut heard) = (pair(), Vec::new());
        exchange(&mut server, &mut client, &mut heard);
        client.send_close_notify();
        exchange(&mut server, &mut client, &mut heard);
        let after = server.open(&[0; 8192], |_: &[u8]| Ok::<_, WireError>(()));
        assert!(matches!(after, Err(WireError::Closed)));
    }

    #[test]
    fn what_is_no_tls_is_an_error() {
        let (mut server, _) = pair();
        let heard = server.open(b"GET / HTTP/1.1\r\n\r\n", |_: &[u8]| Ok::<_, WireError>(()));
        assert!(matches!(heard, Err(WireError::Tls(_))));
    }
}
