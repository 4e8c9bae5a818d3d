//! Block: from request to answer while many sessions play.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rtmp::Purpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peer::{Peer, play, publish};

/// `RTMP HTTP SESSIONS ROUNDS FOLDER`: every session is a player with a subscriber
/// of its own. Blocks and unblocks one after the other, and times the disk's own
/// sync in FOLDER between.
pub(crate) async fn run(args: &[String]) -> Result<()> {
    let [rtmp, http, sessions, rounds, folder] = args else { bail!("RTMP HTTP SESSIONS ROUNDS FOLDER") };
    let (sessions, rounds): (usize, usize) = (sessions.parse()?, rounds.parse()?);
    let start = Instant::now();
    let [stop, measuring, over] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
    let publisher = Peer::connect(rtmp, Purpose::Publish, "bench").await?;
    tokio::spawn(publish(publisher, start, over));
    tokio::time::sleep(Duration::from_millis(500)).await;
    for n in 0..sessions {
        let peer = Peer::connect(rtmp, Purpose::Play, &format!("bench?subscriberId=player{n}")).await?;
        tokio::spawn(play(peer, start, measuring.clone(), stop.clone()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut api = TcpStream::connect(http).await?;
    api.set_nodelay(true)?;
    let (mut blocks, mut unblocks, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..rounds {
        let player = n % sessions;
        blocks.push(put(&mut api, http, player, 60).await?);
        unblocks.push(put(&mut api, http, player, 0).await?);
        syncs.push(sync(Path::new(folder))?);
    }
    for (what, mut times) in [("block", blocks), ("unblock", unblocks), ("disk sync", syncs)] {
        times.sort_unstable();
        let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0;
        println!("{what:9}  p50 {:6.2} ms  p99 {:6.2} ms", at(0.5), at(0.99));
    }
    Ok(())
}

async fn put(api: &mut TcpStream, host: &str, player: usize, seconds: u64) -> Result<Duration> {
    let path = format!("/live/rest/v2/broadcasts/bench/subscribers/player{player}/block/{seconds}/play");
    let request = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    let begin = Instant::now();
    api.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        ensure!(api.read_buf(&mut answer).await? > 0, "the server closed");
    }
    let took = begin.elapsed();
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.contains("\"success\":true"), "{answer}");
    Ok(took)
}

/// One small write and `fdatasync` beside the server's data.
fn sync(folder: &Path) -> Result<Duration> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("sync.probe"))?;
    let begin = Instant::now();
    file.write_all(&[7; 300])?;
    file.sync_data()?;
    Ok(begin.elapsed())
}
