//! SIGKILL at each step: nothing acknowledged is lost, nothing is half there.
//!
//! strace kills the server at the n-th of the system calls by which a change reaches the disk
//! or its answer reaches the socket, so each step is hit, and not by luck.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sluice_tests::machine;
use sluice_tests::proc::Process;
use sluice_tests::rest::{Rest, SUBSCRIBER_SECRET};
use sluice_tests::server::{Home, Server};
use sluice_tests::wait::eventually;

const STREAM: &str = "crash";

/// Where the plug is pulled: the calls that lead to the disk, then those that lead to the
/// socket. A step that an operation does not reach leaves it acknowledged.
const STEPS: [(&str, u32); 10] = [
    ("pwrite64", 1),
    ("pwrite64", 2),
    ("pwrite64", 3),
    ("sync_file_range,fsync,fdatasync", 1),
    ("sync_file_range,fsync,fdatasync", 2),
    ("sync_file_range,fsync,fdatasync", 3),
    ("sendto,writev,sendmsg", 1),
    ("sendto,writev,sendmsg", 2),
    ("futex", 4),
    ("epoll_wait,epoll_pwait", 3),
];

/// strace on a running server. Dropping it lets go.
fn trace(server: &Server, arguments: &[&str]) -> Result<Process> {
    let mut command = machine::as_root("strace");
    command.args(["-f", "-p", &server.process.pid().to_string()]).args(arguments);
    let mut strace = Process::spawn("strace", command)?;
    strace.line("attached", |line| line.contains("attached").then_some(()))?;
    Ok(strace)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Block,
    Unblock,
    Add,
    Delete,
    Settings,
}

impl Change {
    /// Puts the server into a state that the change is about to leave.
    fn prepare(self, rest: &Rest, round: usize) -> Result<()> {
        let who = subscriber(round);
        if !matches!(self, Self::Add) {
            rest.add(STREAM, &who, "play")?;
        }
        if matches!(self, Self::Unblock) {
            rest.block(STREAM, &who, 6000, "play")?;
        }
        Ok(())
    }

    /// Whether the change was acknowledged.
    fn make(self, rest: &Rest, round: usize) -> bool {
        let (who, period) = (subscriber(round), 100 + round);
        let path = format!("/live/rest/v2/broadcasts/{STREAM}/subscribers/{who}");
        let made = match self {
            Self::Block => rest.block(STREAM, &who, 6000, "play"),
            Self::Unblock => rest.block(STREAM, &who, 0, "play"),
            Self::Add => rest.add(STREAM, &who, "play"),
            Self::Delete => rest.succeed("DELETE", &path, None),
            Self::Settings => {
                rest.set(&json!({"timeTokenPeriod": period, "hlsListSize": period.to_string()}))
            }
        };
        made.is_ok()
    }

    /// Whether the change is there. Fails on anything that is neither before nor after.
    fn is_made(self, rest: &Rest, round: usize) -> Result<bool> {
        let list = rest.subscribers(STREAM)?;
        let record = list.iter().find(|s| s["subscriberId"] == subscriber(round).as_str());
        Ok(match self {
            Self::Block => is_blocked(record.context("the subscriber is gone")?)?,
            Self::Unblock => !is_blocked(record.context("the subscriber is gone")?)?,
            Self::Delete => record.is_none(),
            Self::Add => {
                anyhow::ensure!(record.is_none_or(|r| r["type"] == "play"), "half a record: {record:?}");
                record.is_some()
            }
            Self::Settings => {
                let (settings, period) = (rest.settings()?, 100 + round);
                let (first, second) = (
                    settings["timeTokenPeriod"] == period,
                    settings["hlsListSize"] == period.to_string().as_str(),
                );
                anyhow::ensure!(first == second, "half of the settings were written");
                first
            }
        })
    }
}

fn subscriber(round: usize) -> String {
    format!("subscriber{round}")
}

fn is_blocked(record: &Value) -> Result<bool> {
    let (what, until) = (&record["blockedType"], record["blockedUntilUnitTimeStampMs"].as_u64().unwrap_or(0));
    anyhow::ensure!((what == "play") == (until > 0), "half a block: {record}");
    Ok(what == "play")
}

/// One round: prepare, pull the plug during the change, start again, look. Gives whether the
/// change was acknowledged before the plug was pulled.
fn round(change: Change, (calls, nth): (&str, u32), number: usize, home: &Home) -> Result<bool> {
    let server = Server::start_on(home.clone())?;
    let rest = server.rest();
    rest.login()?;
    change.prepare(&rest, number)?;
    let inject = format!("inject={calls}:signal=KILL:when={nth}");
    let strace = trace(&server, &["-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject])?;
    let acknowledged = change.make(&rest, number);
    drop(strace);
    server.kill()?;

    let server = Server::start_on(home.clone())?;
    let rest = server.rest();
    rest.login()?;
    let made = change.is_made(&rest, number)?;
    anyhow::ensure!(made || !acknowledged, "acknowledged and lost");
    rest.code(STREAM, "keeper", "play").context("an older record is gone")?;
    server.kill()?;
    Ok(acknowledged)
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_plug_is_pulled() {
    let home = Home::new().unwrap();
    let server = Server::start_on(home.clone()).unwrap();
    server.rest().add(STREAM, "keeper", "play").unwrap();
    server.stop().unwrap();
    let changes = [Change::Block, Change::Unblock, Change::Add, Change::Delete, Change::Settings];
    let rounds = changes.iter().flat_map(|change| STEPS.iter().map(move |step| (*change, *step)));
    let mut cut_short = Vec::new();
    for (number, (change, step)) in rounds.enumerate() {
        let acknowledged = round(change, step, number, &home)
            .unwrap_or_else(|e| panic!("round {number}, {change:?} killed at {step:?}: {e:#}"));
        if !acknowledged {
            cut_short.push((change, step));
        }
    }
    for change in changes {
        let kills = cut_short.iter().filter(|(cut, _)| *cut == change).count();
        assert!(
            kills >= 3,
            "the plug was pulled only {kills} times before {change:?} was done: {cut_short:?}"
        );
    }
    let data = std::fs::read_dir(home.data()).unwrap().flatten();
    for file in data.filter(|f| f.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap();
        let found = bytes.windows(SUBSCRIBER_SECRET.len()).any(|w| w == SUBSCRIBER_SECRET.as_bytes());
        assert!(!found, "a secret lies in the clear in {:?}", file.path());
    }
}

#[test]
fn the_disk_has_it_before_the_answer_is_sent() {
    let server = Server::start().unwrap();
    let rest = server.rest();
    rest.add(STREAM, "alice", "play").unwrap();
    let folder = tempfile_folder();
    let file = folder.path().join("calls");
    let to = file.to_str().unwrap();
    let calls = "trace=pwrite64,fsync,fdatasync,sync_file_range,sendto,writev,sendmsg,write";
    let strace = trace(&server, &["-y", "-s", "64", "-o", to, "-e", calls]).unwrap();
    rest.block(STREAM, "alice", 600, "play").unwrap();
    let lines = eventually("the answer in the trace", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("HTTP/1.1 200").then_some(text)
    });
    drop(strace);
    let lines = lines.unwrap();
    let place = |find: &dyn Fn(&str) -> bool| lines.lines().position(find);
    let data = server.home.data().to_str().unwrap().to_owned();
    let written = lines
        .lines()
        .enumerate()
        .filter(|(_, l)| l.contains("pwrite64") && l.contains(&data))
        .map(|(i, _)| i);
    let answered = place(&|l| l.contains("HTTP/1.1 200")).unwrap();
    let written = written.filter(|i| *i < answered).last().expect("the block is written before the answer");
    let synced = lines.lines().enumerate().skip(written).find(|(_, l)| is_synced(l)).map(|(i, _)| i);
    assert!(synced.is_some_and(|i| i < answered), "no sync between the write and the answer:\n{lines}");
    server.stop().unwrap();
}

/// A sync that has returned.
fn is_synced(line: &str) -> bool {
    (line.contains("fdatasync") || line.contains("fsync")) && line.trim_end().ends_with("= 0")
}

fn tempfile_folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
