//! A child process: its lines, its end, and the certainty that it does not outlive its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::{STEP, eventually, eventually_within};

/// For the last lines of a process that has ended.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What a process printed so far, on both outputs.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// A copy of all lines.
    pub fn lines(&self) -> Vec<String> {
        self.with(Clone::clone)
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        self.with(|lines| lines.join("\n"))
    }

    /// The first line that `find` makes something of.
    pub fn find<T>(&self, find: impl FnMut(&String) -> Option<T>) -> Option<T> {
        self.with(|lines| lines.iter().find_map(find))
    }

    fn with<T>(&self, look: impl FnOnce(&Vec<String>) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn follow(&self, source: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                line.clear();
            }
        })
    }
}

/// A running child in a process group of its own. Dropping it kills the whole group.
pub struct Process {
    name: String,
    child: std::process::Child,
    /// What it printed. Standard output is missing when it was taken as bytes.
    pub log: Log,
    followers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` and follows both outputs as lines.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped());
        let (mut process, output) = Self::start(name, command)?;
        process.followers.push(process.log.follow(output));
        Ok(process)
    }

    /// Starts `command`; its standard output is the caller's, as bytes.
    pub fn spawn_bytes(name: &str, mut command: Command) -> Result<(Self, ChildStdout)> {
        command.stdout(Stdio::piped());
        Self::start(name, command)
    }

    fn start(name: &str, mut command: Command) -> Result<(Self, ChildStdout)> {
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("{name} could not be started: {command:?}"))?;
        let output = child.stdout.take().context("stdout is piped")?;
        let log = Log::default();
        let followers = vec![log.follow(child.stderr.take().context("stderr is piped")?)];
        Ok((Self { name: name.to_owned(), child, log, followers }, output))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, once.
    pub fn stdin(&mut self) -> Result<ChildStdin> {
        self.child.stdin.take().with_context(|| format!("{}'s input is taken", self.name))
    }

    /// Writes to its standard input and keeps it open.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().with_context(|| format!("{}'s input is taken", self.name))?;
        Ok(writeln!(input, "{line}")?)
    }

    /// Sends a signal to the process, not to its children.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _gone = kill_process(pid, signal);
        }
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end and for the last of its lines.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_within(STEP)
    }

    /// Like [`Process::wait`], with a deadline of its own.
    pub fn wait_within(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let status = eventually_within(limit, &what, || self.child.try_wait().ok().flatten())?;
        // What it started may hold its outputs open; then its own last lines are there already.
        let told = || self.followers.iter().all(JoinHandle::is_finished).then_some(());
        let _held_open = eventually_within(LAST_LINES, &what, told);
        Ok(status)
    }

    /// Waits for a line that `find` makes something of; a process that ends first fails with
    /// all that it said.
    pub fn line<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> Result<T> {
        let (log, name) = (self.log.clone(), self.name.clone());
        let found = eventually(&format!("{what} from {name}"), || {
            let over = self.child.try_wait().ok().flatten().is_some()
                && self.followers.iter().all(JoinHandle::is_finished);
            log.find(|line| find(line)).map(Some).or(if over { Some(None) } else { None })
        });
        found
            .and_then(|f| f.context("it ended first"))
            .with_context(|| format!("{name} said:\n{}", log.text()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
