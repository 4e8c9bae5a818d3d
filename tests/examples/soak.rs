//! `scripts/soak`: joins and leaves for a while, then looks whether the server holds what it
//! held before.
//!
//! One publisher is there all the time. A short round of the same load comes first, so that
//! what is made once and kept (threads, tables, the allocator's arenas) is in the base line.
#![allow(clippy::expect_used, reason = "a tool for developers")]

#[path = "soak/hold.rs"]
mod hold;
#[path = "soak/joins.rs"]
mod joins;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::server::Server;

use hold::Held;
use joins::{STREAM, World};

const JOINS_A_MINUTE: u32 = 500;
const WARM_UP: Duration = Duration::from_secs(60);

/// Joins under way at a time. Each holds a thread here; more wait because the server does
/// not answer, and then the rate means nothing.
const MAX_UNDER_WAY: usize = 400;

fn main() -> Result<()> {
    let minutes = std::env::args().nth(1).map_or(Ok(30.0), |text| text.parse::<f64>());
    let minutes = minutes.ok().filter(|minutes| *minutes > 0.0).context("usage: soak [MINUTES]")?;
    let server = Server::start_behind_a_proxy()?;
    let rest = server.rest();
    rest.require_codes()?;
    // Short playlists: a player who has left counts as one for ten of them.
    rest.set(&serde_json::json!({"hlsListSize": "3", "hlsTime": "1"}))?;
    let world = Arc::new(World::new(&server, rest)?);
    let publisher = ffmpeg::publish(&clips()?.plain, &server.rtmp_url(&world.publishing(STREAM)?))?;
    world.rest.wait_live(STREAM)?;

    load(&world, WARM_UP)?.print("warm-up");
    let before = Held::settled(&server, None)?;
    let soaked = load(&world, Duration::from_secs_f64(minutes * 60.0))?;
    soaked.print("soak");
    let after = Held::settled(&server, Some(&before))?;
    let back = after.compare(&before);
    world.rest.wait_live(STREAM)?;
    drop(publisher);
    server.stop()?;
    ensure!(soaked.good_served * 100 >= soaked.good * 95, "fewer than 95 % of the good joins were served");
    if !back {
        bail!("something did not come back");
    }
    Ok(())
}

/// What became of joins.
#[derive(Default)]
struct Outcome {
    seconds: f64,
    good: usize,
    good_served: usize,
    hostile: usize,
    /// Hostile ones that were treated as they should be.
    hostile_met: usize,
    skipped: usize,
}

impl Outcome {
    fn print(&self, name: &str) {
        let Self { seconds, good, good_served, hostile, hostile_met, skipped } = self;
        let rate = (good + hostile) as f64 * 60.0 / seconds;
        println!(
            "{name}: {} joins in {seconds:.0} s, {rate:.0} a minute: {good} good, of which {good_served} served; \
             {hostile} hostile, of which {hostile_met} were met as they should be; {skipped} left out",
            good + hostile
        );
    }
}

/// Joins at the stated rate, and waits until the last has left.
fn load(world: &Arc<World>, length: Duration) -> Result<Outcome> {
    let (start, every) = (Instant::now(), Duration::from_secs(60) / JOINS_A_MINUTE);
    let under_way = Arc::new(AtomicUsize::new(0));
    let (mut out, mut joins) = (Outcome::default(), Vec::new());
    for number in 0.. {
        let due = every * number;
        if due >= length {
            break;
        }
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        if under_way.load(Ordering::SeqCst) >= MAX_UNDER_WAY {
            out.skipped += 1;
            continue;
        }
        under_way.fetch_add(1, Ordering::SeqCst);
        let (world, under_way) = (world.clone(), under_way.clone());
        let join = move || {
            let met = world.join(number as usize);
            under_way.fetch_sub(1, Ordering::SeqCst);
            met
        };
        joins.push((joins::is_hostile(number as usize), std::thread::Builder::new().spawn(join)?));
    }
    out.seconds = start.elapsed().as_secs_f64();
    let mut causes = std::collections::BTreeMap::<String, usize>::new();
    for (hostile, join) in joins {
        let met = join.join().expect("a join that panicked");
        let (count, good) = match hostile {
            true => (&mut out.hostile, &mut out.hostile_met),
            false => (&mut out.good, &mut out.good_served),
        };
        *count += 1;
        *good += usize::from(met.is_ok());
        if let Err(error) = met {
            *causes.entry(format!("{error:#}")).or_default() += 1;
        }
    }
    causes.iter().take(20).for_each(|(cause, count)| println!("  {count} times: {cause}"));
    Ok(out)
}
