//! Fan-out: what a player costs, and how late its pictures are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rtmp::Purpose;

use crate::peer::{Peer, play, publish};

const WARM_UP: Duration = Duration::from_secs(3);

/// User and system time of a process, in clock ticks of 10 ms.
pub(crate) fn cpu(pid: &str) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<_> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// `ADDRESS PLAYERS SECONDS PID`
pub(crate) async fn run(args: &[String]) -> Result<()> {
    let [address, players, seconds, pid] = args else { bail!("ADDRESS PLAYERS SECONDS PID") };
    let (players, seconds): (usize, u64) = (players.parse()?, seconds.parse()?);
    let start = Instant::now();
    let [stop, measuring, over] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
    let publisher = Peer::connect(address, Purpose::Publish, "bench").await?;
    let publishing = tokio::spawn(publish(publisher, start, over.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut playing = Vec::new();
    for _ in 0..players {
        let peer = Peer::connect(address, Purpose::Play, "bench").await?;
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
