//! Block: from request to answer while many sessions play.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rtmp::Purpose;
use tokio::task::JoinSet;

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
    let mut playing = JoinSet::new();
    for n in 0..sessions {
        let mut peer = Peer::join(rtmp, &format!("bench?subscriberId=player{n}")).await?;
        peer.first_frame().await?;
        playing.spawn(play(peer, start, measuring.clone(), stop.clone()));
    }
    let (http, folder) = (http.clone(), folder.clone());
    // Not one of the tasks that read the media: it would wait behind all of them.
    let measured = tokio::task::spawn_blocking(move || measure(&http, sessions, rounds, Path::new(&folder)));
    let times = tokio::select! {
        times = measured => times??,
        ended = playing.join_next() => bail!("a player ended: {:?}", ended.map(|e| e.map(|r| r.map(|_| ())))),
    };
    for (what, mut times) in ["block", "unblock", "disk sync"].into_iter().zip(times) {
        times.sort_unstable();
        let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0;
        println!("{what:9}  p50 {:6.2} ms  p90 {:6.2} ms  p99 {:6.2} ms", at(0.5), at(0.9), at(0.99));
    }
    Ok(())
}

/// How long each block, each unblock and each sync of the disk took.
fn measure(http: &str, sessions: usize, rounds: usize, folder: &Path) -> Result<[Vec<Duration>; 3]> {
    let mut api = TcpStream::connect(http)?;
    api.set_nodelay(true)?;
    let [mut blocks, mut unblocks, mut syncs] = [const { Vec::new() }; 3];
    for n in 0..rounds {
        let player = n % sessions;
        blocks.push(put(&mut api, http, player, 60)?);
        unblocks.push(put(&mut api, http, player, 0)?);
        syncs.push(sync(folder)?);
    }
    Ok([blocks, unblocks, syncs])
}

fn put(api: &mut TcpStream, host: &str, player: usize, seconds: u64) -> Result<Duration> {
    let path = format!("/live/rest/v2/broadcasts/bench/subscribers/player{player}/block/{seconds}/play");
    let request = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    let begin = Instant::now();
    api.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.ends_with(b"}") {
        let read = api.read(&mut buffer)?;
        ensure!(read > 0, "the server closed");
        answer.extend_from_slice(&buffer[..read]);
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
