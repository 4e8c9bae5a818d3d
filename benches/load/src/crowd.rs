//! Many of one thing, and pages of the panel that watch them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks};
use rtmp::Purpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::fanout::cpu;
use crate::peer::Peer;

/// On their way in at a time. The server has a limit for one address.
const ARRIVING: usize = 16;

fn tracks() -> Tracks {
    let config = bytes::Bytes::from_static(&[0x11, 0x90]);
    let audio = AudioTrack { codec: AudioCodec::Aac, config, sample_rate: 48_000, channels: 2 };
    Tracks { video: None, audio: Some(audio) }
}

/// `ADDRESS STREAMS EVERY`: publishes so many streams of sound, each with a block of 8
/// bytes every so many milliseconds, until it is ended.
pub(crate) async fn streams(args: &[String]) -> Result<()> {
    let [address, streams, every] = args else { bail!("ADDRESS STREAMS EVERY") };
    let every = Duration::from_millis(every.parse()?);
    crowd(streams.parse()?, |n| {
        let address = address.clone();
        async move {
            let peer = Peer::connect(&address, Purpose::Publish, &format!("crowd{n:05}")).await?;
            Ok(tick(peer, every))
        }
    })
    .await
}

async fn tick(mut peer: Peer, every: Duration) -> Result<()> {
    let start = Instant::now();
    peer.client.send_tracks(&tracks());
    loop {
        let at = MediaTime::from_micros(start.elapsed().as_micros() as i64);
        let data = bytes::Bytes::from_static(&[0x21; 8]);
        peer.client.send_frame(&Frame { track: TrackKind::Audio, pts: at, dts: at, keyframe: true, data });
        peer.flush().await?;
        tokio::time::sleep(every).await;
    }
}

/// `ADDRESS PLAYERS STREAM`: plays one stream so many times, until it is ended.
pub(crate) async fn players(args: &[String]) -> Result<()> {
    let [address, players, stream] = args else { bail!("ADDRESS PLAYERS STREAM") };
    crowd(players.parse()?, |_| {
        let (address, stream) = (address.clone(), stream.clone());
        async move {
            let mut peer = Peer::connect(&address, Purpose::Play, &stream).await?;
            Ok(async move {
                loop {
                    peer.flush().await?;
                    peer.read().await?;
                    while peer.client.poll_event().is_some() {}
                }
            })
        }
    })
    .await
}

/// Brings so many in, a few at a time, and keeps them.
async fn crowd<F, S>(many: usize, come: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<S>> + Send + 'static,
    S: Future<Output = Result<()>> + Send + 'static,
{
    let (begin, mut staying, mut next) = (Instant::now(), JoinSet::new(), 0);
    let mut coming: JoinSet<Result<S>> = JoinSet::new();
    while next < many || !coming.is_empty() {
        if next < many && coming.len() < ARRIVING {
            coming.spawn(come(next));
            next += 1;
            continue;
        }
        let stay = coming.join_next().await.context("nobody comes")??;
        staying.spawn(stay.with_context(|| format!("after {} of {many}", staying.len()))?);
    }
    println!("{many} in {:.1} s", begin.elapsed().as_secs_f64());
    staying.join_next().await.context("nobody stayed")??
}

/// `ADDRESS PATH COOKIE PAGES SECONDS PID`: so many pages watch the same, each with a
/// connection of its own.
pub(crate) async fn watch(args: &[String]) -> Result<()> {
    let [address, path, cookie, pages, seconds, pid] = args else {
        bail!("ADDRESS PATH COOKIE PAGES SECONDS PID")
    };
    let (pages, seconds): (usize, u64) = (pages.parse()?, seconds.parse()?);
    let (mut first, mut open, bytes) = (Vec::new(), JoinSet::new(), Arc::new(AtomicU64::new(0)));
    for _ in 0..pages {
        let begin = Instant::now();
        let page = page(address, path, cookie).await?;
        first.push(begin.elapsed().as_secs_f64() * 1000.0);
        open.spawn(read(page, bytes.clone()));
    }
    bytes.store(0, Ordering::Relaxed);
    let before = cpu(pid)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = cpu(pid)? - before;
    first.sort_by(f64::total_cmp);
    println!(
        "{pages} pages  first event ms p50 {:.1} max {:.1}  KB/s a page {:.1}  cpu % {:.1}",
        first[pages / 2],
        first[pages - 1],
        bytes.load(Ordering::Relaxed) as f64 / 1000.0 / seconds as f64 / pages as f64,
        used as f64 / seconds as f64,
    );
    ensure!(open.len() == pages && open.try_join_next().is_none(), "a page ended");
    Ok(())
}

/// A page that has had its first event.
async fn page(address: &str, path: &str, cookie: &str) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut heard = Vec::new();
    while !heard.ends_with(b"\n\n\r\n") {
        ensure!(socket.read_buf(&mut heard).await? > 0, "{}", String::from_utf8_lossy(&heard));
        ensure!(
            heard.starts_with(b"HTTP/1.1 200") || heard.len() < 12,
            "{}",
            String::from_utf8_lossy(&heard)
        );
    }
    Ok(socket)
}

async fn read(mut socket: TcpStream, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = socket.read(&mut buffer).await?;
        ensure!(read > 0, "the server closed");
        bytes.fetch_add(read as u64, Ordering::Relaxed);
    }
}
