//! TLS as a client that believes every certificate and counts every byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use tempfile::TempDir;

/// A certificate that signs itself, in files that a server can be given.
pub struct Identity {
    folder: TempDir,
}

impl Identity {
    /// A new one, for `localhost` and 127.0.0.1.
    pub fn new() -> Result<Self> {
        let identity = Self { folder: tempfile::tempdir()? };
        identity.renew()?;
        Ok(identity)
    }

    /// Puts another certificate in the place of this one; gives it as DER.
    pub fn renew(&self) -> Result<Vec<u8>> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        std::fs::write(self.key(), made.signing_key.serialize_pem())?;
        std::fs::write(self.certificate(), made.cert.pem())?;
        Ok(made.cert.der().to_vec())
    }

    /// Puts one that has expired in the place of this one.
    pub fn expire(&self) -> Result<()> {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let key = rcgen::KeyPair::generate()?;
        std::fs::write(self.key(), key.serialize_pem())?;
        Ok(std::fs::write(self.certificate(), params.self_signed(&key)?.pem())?)
    }

    /// Makes the certificate's file useless.
    pub fn spoil(&self) -> Result<()> {
        Ok(std::fs::write(self.certificate(), "not a certificate")?)
    }

    /// The certificate's PEM file.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The key's PEM file.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// Which certificate a listener shows, as DER.
pub fn certificate_of(host: SocketAddr) -> Result<Vec<u8>> {
    TlsClient::connect(TcpStream::connect(host)?)?.certificate()
}

/// A connection that reads one record at a time, so that each byte of plaintext can be found
/// again in a capture.
pub struct TlsClient {
    connection: ClientConnection,
    stream: TcpStream,
    /// Bytes that the server has sent, heads and handshake included.
    sealed: usize,
}

impl TlsClient {
    /// Shakes hands.
    pub fn connect(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let provider = Arc::new(default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost")?;
        let connection = ClientConnection::new(Arc::new(config), name)?;
        let mut client = Self { connection, stream, sealed: 0 };
        while client.connection.is_handshaking() {
            client.send()?;
            anyhow::ensure!(client.record()?, "the server closed during the handshake");
        }
        client.send()?;
        Ok(client)
    }

    /// What it speaks, of HTTP/2 and HTTP/1.1 (RFC 7301).
    pub fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The server's certificate as DER.
    pub fn certificate(&self) -> Result<Vec<u8>> {
        let chain = self.connection.peer_certificates().context("no certificate")?;
        Ok(chain.first().context("an empty chain")?.to_vec())
    }

    /// Bytes that the server has sent up to the last record that was read.
    pub fn sealed(&self) -> usize {
        self.sealed
    }

    /// Reads one record; false at the end of the connection.
    fn record(&mut self) -> io::Result<bool> {
        let mut record = vec![0; 5];
        if let Err(error) = self.stream.read_exact(&mut record) {
            let ended = error.kind() == io::ErrorKind::UnexpectedEof;
            return if ended { Ok(false) } else { Err(error) };
        }
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        self.stream.read_exact(&mut record[5..])?;
        self.sealed += record.len();
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            self.connection.read_tls(&mut rest)?;
        }
        self.connection.process_new_packets().map_err(io::Error::other)?;
        self.send()?;
        Ok(true)
    }

    fn send(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

impl Read for TlsClient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.record()? {
                        return Ok(0);
                    }
                }
                read => return read,
            }
        }
    }
}

impl Write for TlsClient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.connection.writer().write(bytes)?;
        self.send()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
