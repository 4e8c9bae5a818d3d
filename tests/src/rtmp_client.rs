//! An RTMP client that decodes nothing, stays connected whatever it is told, and remembers the
//! words. ffmpeg hangs up at `NetStream.Play.UnpublishNotify`; other players wait for the
//! publisher's return.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::rtmp_wire::{self, Message, Status};
use crate::tls::TlsClient;
use crate::wait::eventually;

/// Bytes that a narrow link takes at a time.
const NARROW: usize = 1024;

/// Bytes that may be under way on it, and in one packet: loopback's packets of 64 KB would
/// let nothing through for long, and then all at once.
const WINDOW: usize = 4 << 10;
const SEGMENT: u32 = 1460;

/// A connection that plays or wants to publish. Dropping it closes it.
pub struct RtmpClient {
    stream: TcpStream,
    received: Arc<Mutex<Vec<u8>>>,
    /// After each record of TLS: bytes sent, and bytes received.
    records: Arc<Mutex<Vec<(usize, usize)>>>,
    /// Held while it reads.
    reading: Arc<Mutex<()>>,
    closed: Arc<AtomicBool>,
}

impl RtmpClient {
    /// Connects to application `live` and plays `name`, which may carry a query.
    pub fn play(host: SocketAddr, name: &str) -> Result<Self> {
        Self::ask(host, &[text("play"), number(3.0), vec![5], text(name)])
    }

    /// Plays over RTMPS.
    pub fn play_sealed(host: SocketAddr, name: &str) -> Result<Self> {
        let stream = TcpStream::connect(host)?;
        let client = Self::of(stream.try_clone()?);
        let mut tls = TlsClient::connect(stream)?;
        tls.write_all(&hello(&[text("play"), number(3.0), vec![5], text(name)]))?;
        client.read_sealed(tls);
        Ok(client)
    }

    /// Plays over a narrow link: takes so many bytes a second, and its kernel holds little.
    pub fn play_slowly(host: SocketAddr, name: &str, bytes_per_second: usize) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(host), Type::STREAM, None)?;
        socket.set_tcp_mss(SEGMENT)?;
        socket.set_recv_buffer_size(WINDOW)?;
        socket.connect(&host.into())?;
        let stream = socket.into();
        let pace = Duration::from_secs_f64(NARROW as f64 / bytes_per_second as f64);
        Self::ask_over(stream, &[text("play"), number(3.0), vec![5], text(name)], Some(pace))
    }

    /// Connects to application `live` and asks to publish `name`, which may carry a query. It
    /// has nothing to send, so the stream does not become live.
    pub fn publish(host: SocketAddr, name: &str) -> Result<Self> {
        Self::ask(host, &[text("publish"), number(3.0), vec![5], text(name), text("live")])
    }

    fn ask(host: SocketAddr, request: &[Vec<u8>]) -> Result<Self> {
        Self::ask_over(TcpStream::connect(host)?, request, None)
    }

    fn ask_over(mut stream: TcpStream, request: &[Vec<u8>], pace: Option<Duration>) -> Result<Self> {
        stream.write_all(&hello(request))?;
        let client = Self::of(stream);
        client.read(pace)?;
        Ok(client)
    }

    fn of(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Arc::default(),
            records: Arc::default(),
            reading: Arc::default(),
            closed: Arc::default(),
        }
    }

    /// Bytes of sound and picture that came later than so many bytes of TLS.
    pub fn media_after(&self, sealed: usize) -> Result<usize> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let before = records.iter().take_while(|(bytes, _)| *bytes <= sealed).last();
        let before = before.map_or(0, |(_, received)| *received);
        rtmp_wire::media_from(&self.received.lock().unwrap_or_else(PoisonError::into_inner), before)
    }

    /// Sends bytes as they are: of a publisher, whole messages.
    pub fn say(&self, bytes: &[u8]) -> Result<()> {
        Ok((&self.stream).write_all(bytes)?)
    }

    /// The first status that the server answers the request with.
    pub fn answer(&self) -> Result<Status> {
        eventually("an answer over RTMP", || self.statuses().ok()?.into_iter().next())
    }

    /// All statuses so far.
    pub fn statuses(&self) -> Result<Vec<Status>> {
        rtmp_wire::statuses(&self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes of sound and picture so far.
    pub fn media(&self) -> Result<usize> {
        rtmp_wire::media_from(&self.received.lock().unwrap_or_else(PoisonError::into_inner), 0)
    }

    /// All whole messages so far.
    pub fn messages(&self) -> Result<Vec<Message>> {
        rtmp_wire::messages(&self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes nothing from its link, a narrow one, while this is held.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `more` bytes of media beyond those of now have come.
    pub fn more(&self, more: usize) -> Result<()> {
        let wanted = self.media()? + more;
        eventually(&format!("{more} more bytes of media"), || (self.media().ok()? >= wanted).then_some(()))
    }

    /// Whether the server has closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Our port.
    pub fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    fn read(&self, pace: Option<Duration>) -> Result<()> {
        let mut stream = self.stream.try_clone().context("a second handle")?;
        let (received, reading, closed) = (self.received.clone(), self.reading.clone(), self.closed.clone());
        std::thread::spawn(move || {
            let mut bytes = vec![0; if pace.is_some() { NARROW } else { 16384 }];
            let mut read = |bytes: &mut [u8]| {
                let _reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
                stream.read(bytes)
            };
            while let Ok(count @ 1..) = read(&mut bytes) {
                received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..count]);
                // The link's own speed; nothing waits for it.
                pace.iter().for_each(|pace| std::thread::sleep(*pace));
            }
            closed.store(true, Ordering::SeqCst);
        });
        Ok(())
    }

    fn read_sealed(&self, mut tls: TlsClient) {
        let (received, records, closed) = (self.received.clone(), self.records.clone(), self.closed.clone());
        std::thread::spawn(move || {
            // No record carries more.
            let mut bytes = vec![0; 16384];
            while let Ok(count @ 1..) = tls.read(&mut bytes) {
                let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
                received.extend_from_slice(&bytes[..count]);
                let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
                records.push((tls.sealed(), received.len()));
            }
            closed.store(true, Ordering::SeqCst);
        });
    }
}

impl Drop for RtmpClient {
    fn drop(&mut self) {
        let _gone = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// All that a client says first.
fn hello(request: &[Vec<u8>]) -> Vec<u8> {
    let create = command(0, &[text("createStream"), number(2.0), vec![5]]);
    // C0, C1 with the zeros of the simple handshake, C2 that nobody compares.
    [&[3][..], &[0; 1536], &[0; 1536], &connect(), &create, &command(1, request)].concat()
}

/// The command that opens application `live`.
pub fn connect() -> Vec<u8> {
    command(0, &[text("connect"), number(1.0), object(&[("app", "live")])])
}

/// A command message (type 20) in chunks of 128 bytes.
fn command(stream: u32, values: &[Vec<u8>]) -> Vec<u8> {
    let body = values.concat();
    let length = (body.len() as u32).to_be_bytes();
    let mut chunks = [&[3, 0, 0, 0][..], &length[1..], &[20], &stream.to_le_bytes()].concat();
    for (i, part) in body.chunks(128).enumerate() {
        if i > 0 {
            chunks.push(0xc3);
        }
        chunks.extend_from_slice(part);
    }
    chunks
}

fn text(text: &str) -> Vec<u8> {
    [&[2][..], &bare(text)].concat()
}

fn bare(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn number(number: f64) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes()].concat()
}

fn object(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| [bare(name), text(value)].concat());
    [&[3][..], &fields.collect::<Vec<_>>().concat(), &[0, 0, 9]].concat()
}
