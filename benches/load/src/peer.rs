//! One synthetic stream, its publisher and its players.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
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

pub(crate) struct Peer {
    socket: TcpStream,
    pub(crate) client: Client,
    buffer: Vec<u8>,
}

impl Peer {
    pub(crate) async fn connect(address: &str, purpose: Purpose, name: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let client = Client::new(purpose, "live", name, &[7; rtmp::HANDSHAKE_LEN]);
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

    /// Plays a stream that its publisher has begun just now.
    pub(crate) async fn join(address: &str, name: &str) -> Result<Self> {
        let mut tries = 0;
        loop {
            match Self::connect(address, Purpose::Play, name).await {
                Err(error) if tries < 100 && error.to_string().contains("StreamNotFound") => tries += 1,
                joined => return joined,
            }
        }
    }

    /// Waits until media has come.
    pub(crate) async fn first_frame(&mut self) -> Result<()> {
        loop {
            while let Some(event) = self.client.poll_event() {
                if let ClientEvent::Frame(_) = event {
                    return Ok(());
                }
            }
            self.flush().await?;
            self.read().await?;
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        let output = self.client.take_output();
        Ok(self.socket.write_all(&output).await?)
    }

    pub(crate) async fn read(&mut self) -> Result<()> {
        let n = self.socket.read(&mut self.buffer).await?;
        anyhow::ensure!(n > 0, "the server closed");
        Ok(self.client.receive(&self.buffer[..n])?)
    }
}

pub(crate) async fn publish(mut peer: Peer, start: Instant, stop: Arc<AtomicBool>) -> Result<()> {
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
pub(crate) async fn play(
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
