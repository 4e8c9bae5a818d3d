//! Publishes one synthetic stream over RTMP and plays it N times, on one thread.
//!
//! `sluice-load ADDRESS PLAYERS SECONDS [PID]`: 30 pictures a second of 4 KB (a
//! 24 KB keyframe every 2 s), 50 blocks of sound a second, about 1 Mbit/s. Each
//! picture carries the moment it was sent. Prints one line: frames that arrived
//! of those expected, delay p50 and p99 in ms, and the server's CPU (of process
//! PID) per player, measured over SECONDS after a warm-up of 3 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};
use rtmp::{Client, ClientEvent, Purpose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const AVCC: &[u8] = &[
    0x01, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9,
    0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2e, 0x48, 0x01,
    0x00, 0x05, 0x68, 0xcb, 0x83, 0xcb, 0x20,
];

const WARM_UP: Duration = Duration::from_secs(3);

fn tracks() -> Tracks {
    let video = VideoTrack {
        codec: VideoCodec::H264,
        config: Bytes::from_static(AVCC),
        width: 640,
        height: 360,
        reordered: false,
    };
    let config = Bytes::from_static(&[0x11, 0x90]);
    let audio = AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 };
    Tracks { video: Some(video), audio: Some(audio) }
}

/// A picture: one NAL unit that holds microseconds since `start`.
fn picture(n: i64, start: Instant) -> Frame {
    let keyframe = n % 60 == 0;
    let size: u32 = if keyframe { 24_000 } else { 4_000 };
    let mut data = BytesMut::with_capacity(size as usize + 4);
    data.put_u32(size);
    data.put_u8(if keyframe { 0x65 } else { 0x41 });
    data.put_u64(start.elapsed().as_micros() as u64);
    data.resize(size as usize + 4, 0x55);
    let at = MediaTime::from_millis(n * 1000 / 30);
    Frame { track: TrackKind::Video, pts: at, dts: at, keyframe, data: data.freeze() }
}

fn sound(n: i64) -> Frame {
    let at = MediaTime::from_millis(n * 20);
    Frame {
        track: TrackKind::Audio,
        pts: at,
        dts: at,
        keyframe: true,
        data: Bytes::from_static(&[0x21; 240]),
    }
}

struct Peer {
    socket: TcpStream,
    client: Client,
    buffer: Vec<u8>,
}

impl Peer {
    async fn connect(address: &str, purpose: Purpose) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let client = Client::new(purpose, "live", "bench", &[7; rtmp::HANDSHAKE_LEN]);
        let mut peer = Self { socket, client, buffer: vec![0; 64 << 10] };
        let wanted = match purpose {
            Purpose::Publish => "NetStream.Publish.Start",
            Purpose::Play => "NetStream.Play.Start",
        };
        loop {
            while let Some(event) = peer.client.poll_event() {
                match event {
                    ClientEvent::Status { code, .. } if code == wanted => return Ok(peer),
                    ClientEvent::Status { error: true, code, description } => bail!("{code}: {description}"),
                    _ => {}
                }
            }
            peer.flush().await?;
            peer.read().await?;
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let output = self.client.take_output();
        Ok(self.socket.write_all(&output).await?)
    }

    async fn read(&mut self) -> Result<()> {
        let n = self.socket.read(&mut self.buffer).await?;
        anyhow::ensure!(n > 0, "the server closed");
        Ok(self.client.receive(&self.buffer[..n])?)
    }
}

async fn publish(mut peer: Peer, start: Instant, stop: Arc<AtomicBool>) -> Result<()> {
    peer.client.send_tracks(&tracks());
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let (mut pictures, mut sounds) = (0, 0);
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let ms = begin.elapsed().as_millis() as i64;
        while pictures * 1000 / 30 <= ms {
            peer.client.send_frame(&picture(pictures, start));
            pictures += 1;
        }
        while sounds * 20 <= ms {
            peer.client.send_frame(&sound(sounds));
            sounds += 1;
        }
        peer.flush().await?;
    }
    Ok(())
}

/// Delays of the pictures that came while `measuring`, in microseconds.
async fn play(
    mut peer: Peer,
    start: Instant,
    measuring: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> Result<Vec<u64>> {
    let mut delays = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        peer.flush().await?;
        peer.read().await?;
        while let Some(event) = peer.client.poll_event() {
            let ClientEvent::Frame(frame) = event else { continue };
            if frame.track == TrackKind::Video && measuring.load(Ordering::Relaxed) {
                let sent =
                    frame.data.get(5..13).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
                delays.push((start.elapsed().as_micros() as u64).saturating_sub(sent));
            }
        }
    }
    Ok(delays)
}

/// User and system time of a process, in clock ticks of 10 ms.
fn cpu(pid: &str) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<_> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, players, seconds, pid] = &args[..] else { bail!("ADDRESS PLAYERS SECONDS PID") };
    let (players, seconds): (usize, u64) = (players.parse()?, seconds.parse()?);
    let start = Instant::now();
    let [stop, measuring, over] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
    let publisher = Peer::connect(address, Purpose::Publish).await?;
    let publishing = tokio::spawn(publish(publisher, start, over.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut playing = Vec::new();
    for _ in 0..players {
        let peer = Peer::connect(address, Purpose::Play).await?;
        playing.push(tokio::spawn(play(peer, start, measuring.clone(), stop.clone())));
    }
    tokio::time::sleep(WARM_UP).await;
    measuring.store(true, Ordering::Relaxed);
    let before = cpu(pid)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = cpu(pid)? - before;
    measuring.store(false, Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    let mut delays = Vec::new();
    for task in playing {
        delays.extend(task.await??);
    }
    over.store(true, Ordering::Relaxed);
    publishing.await??;
    delays.sort_unstable();
    let at = |q: f64| delays.get((delays.len() as f64 * q) as usize).copied().unwrap_or(0) as f64 / 1000.0;
    println!(
        "players {players}  pictures {} of {}  delay ms p50 {:.2} p99 {:.2}  cpu %/player {:.4}",
        delays.len(),
        players as u64 * seconds * 30,
        at(0.5),
        at(0.99),
        used as f64 / seconds as f64 / players as f64,
    );
    Ok(())
}
