//! A WebSocket client that sends what it is told, for messages that no SDK would send.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::http::Http;

/// A connection to `/{app}/websocket`.
pub struct WebSocket(Http);

impl WebSocket {
    /// Connects and upgrades.
    pub fn connect(host: SocketAddr, path: &str) -> Result<Self> {
        Self::over(Http::connect(host)?, path)
    }

    /// The same over TLS.
    pub fn connect_tls(host: SocketAddr, path: &str) -> Result<Self> {
        Self::over(Http::connect_tls(host)?, path)
    }

    /// Connects through a proxy that says so of where the request comes from.
    pub fn connect_from(host: SocketAddr, path: &str, address: &str) -> Result<Self> {
        Self::upgrade(Http::connect(host)?, path, &[("X-Forwarded-For", address)])
    }

    fn over(http: Http, path: &str) -> Result<Self> {
        Self::upgrade(http, path, &[])
    }

    fn upgrade(mut http: Http, path: &str, more: &[(&str, &str)]) -> Result<Self> {
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "c2x1aWNlIHRlc3RzIGhlcg=="),
        ];
        http.send("GET", path, &[&headers, more].concat(), b"")?;
        let answer = http.head()?;
        ensure!(answer.status == 101, "no upgrade: {}", answer.status);
        Ok(Self(http))
    }

    /// Sends one whole text message.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.frame(0x81, text.as_bytes())
    }

    /// Sends one frame with the given first byte, masked with zeros.
    pub fn frame(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        let mut head = vec![first];
        match payload.len() {
            n @ 0..=125 => head.push(0x80 | n as u8),
            n @ 126..=65535 => {
                head.push(0xfe);
                head.extend((n as u16).to_be_bytes());
            }
            n => {
                head.push(0xff);
                head.extend((n as u64).to_be_bytes());
            }
        }
        head.extend([0; 4]);
        self.0.write(&[&head, payload].concat())
    }

    /// Sends bytes that need not be a frame.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes)
    }

    /// The next text message; `None` when the server has closed.
    pub fn receive(&mut self) -> Result<Option<String>> {
        loop {
            let Some((first, payload)) = self.next()? else { return Ok(None) };
            match first & 15 {
                1 => return Ok(Some(String::from_utf8(payload)?)),
                8 => return Ok(None),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let Some(head) = self.exactly(2)? else { return Ok(None) };
        let length = match head[1] & 127 {
            126 => self.exactly(2)?.context("cut")?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            127 => self.exactly(8)?.context("cut")?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            n => u64::from(n),
        };
        Ok(self.exactly(usize::try_from(length)?)?.map(|payload| (head[0], payload)))
    }

    fn exactly(&mut self, count: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; count];
        match self.0.reader().read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
