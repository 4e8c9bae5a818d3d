//! Load for the benches, on one thread: `sluice-load fanout …`, `block …`, or many of one
//! thing (`streams …`, `players …`) and pages that watch them (`watch …`).
//!
//! The stream of `fanout` and `block`: 30 pictures a second of 4 KB (a 24 KB keyframe every 2 s) and 50
//! blocks of sound, about 1 Mbit/s. Each picture carries the moment it was sent.

mod block;
mod crowd;
mod fanout;
mod peer;

use anyhow::{Result, bail};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((mode, rest)) if mode == "fanout" => fanout::run(rest).await,
        Some((mode, rest)) if mode == "block" => block::run(rest).await,
        Some((mode, rest)) if mode == "streams" => crowd::streams(rest).await,
        Some((mode, rest)) if mode == "players" => crowd::players(rest).await,
        Some((mode, rest)) if mode == "watch" => crowd::watch(rest).await,
        _ => bail!("fanout, block, streams, players or watch"),
    }
}
