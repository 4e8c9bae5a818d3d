//! What the server holds, from outside (`/proc`) and by its own word (`/metrics`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluice_tests::http;
use sluice_tests::server::Server;

/// Until everything must have been let go of: thrice as long as the last, which are HLS
/// players, count as ones after their last request.
const SETTLE: Duration = Duration::from_secs(120);

/// Seconds without change that make a base line: threads without work end after ten.
const STEADY: u32 = 15;

/// Memory may end so much above the base line: the allocator keeps pages that are partly in
/// use. A connection holds 8 KiB at the least, so a leak of one in ten joins would show
/// after ten minutes.
const MEMORY: f64 = 0.15;
/// And so many bytes more, for a base line that is small.
const MEMORY_BYTES: f64 = 8e6;

/// Names and values.
pub struct Held(BTreeMap<String, f64>);

impl Held {
    /// What is held when only the publisher has a place; with `base`, when all is back.
    pub fn settled(server: &Server, base: Option<&Self>) -> Result<Self> {
        let start = Instant::now();
        let (mut last, mut steady) = (Self::now(server)?, 0);
        while start.elapsed() < SETTLE && steady < STEADY {
            std::thread::sleep(Duration::from_secs(1));
            last = Self::now(server)?;
            let back = match base {
                Some(base) => last.rows(base).all(|(.., fits)| fits),
                None => last.0.get("sluice_sessions") == Some(&1.0),
            };
            steady = if back { steady + 1 } else { 0 };
        }
        println!("settled after {:.0} s", start.elapsed().as_secs_f64());
        Ok(last)
    }

    fn now(server: &Server) -> Result<Self> {
        let mut held = gauges(server)?;
        let folder = format!("/proc/{}", server.process.pid());
        let count =
            |what: &str| Ok::<_, std::io::Error>(std::fs::read_dir(format!("{folder}/{what}"))?.count());
        held.insert("descriptors".into(), count("fd")? as f64);
        held.insert("threads".into(), count("task")? as f64);
        held.insert("resident bytes".into(), server.memory()? as f64);
        Ok(Self(held))
    }

    /// Name, before, after, and whether it fits.
    fn rows<'a>(&'a self, base: &'a Self) -> impl Iterator<Item = (&'a str, f64, f64, bool)> {
        self.0.iter().map(|(name, now)| {
            let before = base.0.get(name).copied().unwrap_or(0.0);
            (name.as_str(), before, *now, *now <= allowed(name, before))
        })
    }

    /// Prints a table; whether everything is back.
    pub fn compare(&self, base: &Self) -> bool {
        println!("{:<32} {:>14} {:>14} {:>14}", "held", "before", "after", "allowed");
        for (name, before, now, fits) in self.rows(base) {
            let verdict = if fits { "" } else { "  DID NOT COME BACK" };
            println!("{name:<32} {before:>14} {now:>14} {:>14.0}{verdict}", allowed(name, before));
        }
        self.rows(base).all(|(.., fits)| fits)
    }
}

fn allowed(name: &str, before: f64) -> f64 {
    if name.contains("bytes") { before * (1.0 + MEMORY) + MEMORY_BYTES } else { before }
}

/// All gauges of `/metrics`, each the sum of its labels, but those that say how
/// things are and not how much is held.
fn gauges(server: &Server) -> Result<BTreeMap<String, f64>> {
    let answer = http::get(server.control, "/metrics")?;
    ensure!(answer.status == 200, "/metrics: {}", answer.status);
    let text = answer.text();
    let kind = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")));
    let mut held = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("sluice_")) {
        let (name, value) = line.rsplit_once(' ').context("a sample has a value")?;
        let name = name.split('{').next().unwrap_or_default();
        let counts = !["_info", "_max", "_limit_bytes", "_writable"].iter().any(|end| name.ends_with(end));
        if kind(name) == Some("gauge") && counts {
            *held.entry(name.to_owned()).or_default() += value.parse::<f64>()?;
        }
    }
    Ok(held)
}
