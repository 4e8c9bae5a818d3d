//! A small HTTP/1.1 client that hides nothing: it shows its own port, lets a test read a body
//! as slowly as it likes, and sends what it is told, legal or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::tls::TlsClient;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// For example 200.
    pub status: u16,
    /// As sent, in order.
    pub headers: Vec<(String, String)>,
    /// Without the chunked framing.
    pub body: Vec<u8>,
    /// Our end of the connection that carried it.
    pub local: SocketAddr,
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} with a body that is not JSON: {}", self.status, self.text()))
    }

    /// All cookies that it sets, ready to be sent back.
    pub fn cookies(&self) -> String {
        let set = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("set-cookie"));
        set.filter_map(|(_, v)| v.split(';').next()).collect::<Vec<_>>().join("; ")
    }
}

/// One connection.
pub struct Http {
    stream: BufReader<Box<dyn Stream>>,
    host: SocketAddr,
    local: SocketAddr,
}

/// With or without TLS.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Http {
    /// Connects; reads give up after 30 s without a byte.
    pub fn connect(host: SocketAddr) -> Result<Self> {
        Self::over(host, |stream| Ok(Box::new(stream)))
    }

    /// The same over TLS.
    pub fn connect_tls(host: SocketAddr) -> Result<Self> {
        Self::over(host, |stream| Ok(Box::new(TlsClient::connect(stream)?)))
    }

    fn over(host: SocketAddr, wrap: impl FnOnce(TcpStream) -> Result<Box<dyn Stream>>) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&host, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self { stream: BufReader::new(wrap(stream)?), host, local })
    }

    /// Our end of the connection.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.local)
    }

    /// One request and its whole answer. The connection stays open.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        self.send(method, path, headers, body)?;
        self.answer(method == "HEAD")
    }

    /// Sends a request with `Host`, and with `Content-Length` where there is a body.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.write(&[head.as_bytes(), b"\r\n", body].concat())
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Reads an answer to its end.
    pub fn answer(&mut self, head_only: bool) -> Result<Answer> {
        let mut answer = self.head()?;
        if !head_only && answer.status != 204 && answer.status != 304 {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    /// Reads the head of an answer, and not a byte of its body.
    pub fn head(&mut self) -> Result<Answer> {
        let status = self.line()?;
        let code = status.split(' ').nth(1).and_then(|c| c.parse().ok());
        let status = code.with_context(|| format!("not an HTTP status line: {status:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line:?}"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Answer { status, headers, body: Vec::new(), local: self.local()? })
    }

    /// Up to `limit` raw bytes of the body; empty at the end of the connection.
    pub fn some(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; limit];
        let count = self.stream.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// The bytes behind what was read, for what is no longer HTTP.
    pub fn reader(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    fn body(&mut self, answer: &Answer) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = answer.header("content-length") {
            body.resize(length.parse()?, 0);
            self.stream.read_exact(&mut body)?;
        } else if answer.header("transfer-encoding").is_some() {
            while self.chunk(&mut body)? {}
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> Result<bool> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)?;
        let start = body.len();
        body.resize(start + size, 0);
        self.stream.read_exact(&mut body[start..])?;
        self.line()?;
        Ok(size > 0)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the connection was closed before the answer was complete");
        }
        Ok(line.trim_end().to_owned())
    }
}

/// One request on a connection of its own.
pub fn ask(
    host: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    Http::connect(host)?.ask(method, path, headers, body)
}

/// One GET over TLS on a connection of its own.
pub fn get_tls(host: SocketAddr, path: &str) -> Result<Answer> {
    Http::connect_tls(host)?.ask("GET", path, &[], b"")
}

/// One GET on a connection of its own.
pub fn get(host: SocketAddr, path: &str) -> Result<Answer> {
    ask(host, "GET", path, &[], b"")
}
