//! WHIP and WHEP peers on aiortc: an ICE, DTLS and SRTP that share nothing with the server's.
//! They answer in JSON lines; `tests/clients/whip.py` and `whep.py` say which.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::clip::clips;
use crate::machine;
use crate::proc::Process;
use crate::seen::Seen;
use crate::wait::eventually;

/// A peer of either direction.
pub struct Peer {
    /// The process; ends when told `stop`, after its DELETE.
    pub process: Process,
}

impl Peer {
    /// Publishes the plain clip to a WHIP URL.
    pub fn publish(url: &str) -> Result<Self> {
        let clips = clips()?;
        let mut command = machine::python();
        command.arg(machine::client("whip.py")).arg(url).arg(&clips.annexb).arg(&clips.microphone);
        Self::start("the WHIP peer", command)
    }

    /// Plays a WHEP URL.
    pub fn play(url: &str) -> Result<Self> {
        let mut command = machine::python();
        command.arg(machine::client("whep.py")).arg(url);
        Self::start("the WHEP peer", command)
    }

    fn start(name: &str, command: std::process::Command) -> Result<Self> {
        Ok(Self { process: Process::spawn(name, command)? })
    }

    /// The HTTP status that its offer got, and the answer's text when it was refused.
    pub fn status(&mut self) -> Result<(u64, String)> {
        self.event("status", |e| {
            Some((e["status"].as_u64()?, e["text"].as_str().unwrap_or_default().to_owned()))
        })
    }

    /// Its local UDP ports.
    pub fn ports(&mut self) -> Result<Vec<u16>> {
        self.event("ports", |e| {
            let ports = e["ports"].as_array()?;
            Some(ports.iter().filter_map(|p| u16::try_from(p.as_u64()?).ok()).collect())
        })
    }

    /// Waits until media can flow.
    pub fn connected(&mut self) -> Result<()> {
        self.event("state", |e| (e["state"] == "connected").then_some(()))
    }

    /// The newest connection state.
    pub fn state(&self) -> String {
        let states = self.events().filter_map(|e| e["state"].as_str().map(str::to_owned));
        states.last().unwrap_or_default()
    }

    /// What was seen and heard so far.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for event in self.events() {
            if let Some(n) = event.get("n") {
                seen.pictures.push(n.as_u64().and_then(|n| u16::try_from(n).ok()));
            }
            seen.peak = seen.peak.max(event["peak"].as_f64().unwrap_or(0.0));
        }
        seen
    }

    /// Pictures decoded so far.
    pub fn count(&self) -> usize {
        self.seen().pictures.len()
    }

    /// Waits until `more` pictures beyond those of now were decoded.
    pub fn more(&self, more: usize) -> Result<()> {
        let (before, wanted) = (self.count(), self.count() + more);
        let found =
            eventually(&format!("{more} more pictures from WHEP"), || (self.count() >= wanted).then_some(()));
        found.with_context(|| {
            format!("{} more, state {}: {}", self.count() - before, self.state(), self.last())
        })
    }

    /// Its last lines, for a failure.
    fn last(&self) -> String {
        let lines = self.process.log.lines();
        lines[lines.len().saturating_sub(8)..].join(" ")
    }

    /// Waits for `pictures` and sound.
    pub fn plays(&self, pictures: usize) -> Result<Seen> {
        let enough = |seen: &Seen| seen.pictures.len() >= pictures && seen.heard();
        let found = eventually("pictures and sound", || Some(self.seen()).filter(enough));
        found.with_context(|| {
            let seen = self.seen();
            format!("{} pictures, peak {}, state {}", seen.pictures.len(), seen.peak, self.state())
        })
    }

    /// Ends the session by DELETE; gives the status of that.
    pub fn stop(&mut self) -> Result<u64> {
        self.process.tell("stop")?;
        self.event("deleted", |e| e["deleted"].as_u64())
    }

    fn event<T>(&mut self, what: &str, mut find: impl FnMut(&Value) -> Option<T>) -> Result<T> {
        self.process.line(what, |line| find(&serde_json::from_str(line).ok()?))
    }

    fn events(&self) -> impl Iterator<Item = Value> {
        self.process.log.lines().into_iter().filter_map(|line| serde_json::from_str(&line).ok())
    }
}
