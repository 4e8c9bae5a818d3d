//! The server under test: the real binary on ports and a data folder of its own.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::machine;
use crate::proc::Process;
use crate::rest::Rest;
use crate::tls::Identity;
use crate::wait::eventually;

/// What stands before the set-up token in what the server prints.
pub const SETUP_TOKEN: &str = "  Set-up token";

/// Where a server keeps what must last. It outlives the process, so that a test can start
/// another on it.
#[derive(Clone)]
pub struct Home(Arc<TempDir>);

impl Home {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::new(tempfile::tempdir()?)))
    }

    /// The sled folder.
    pub fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

/// A running server. Dropping it kills it; [`Server::stop`] ends it in good order.
pub struct Server {
    /// The process; its log is looked through at the end.
    pub process: Process,
    /// Where it keeps its data.
    pub home: Home,
    /// HTTP on loopback.
    pub http: SocketAddr,
    /// The control API on loopback: `http`, or a listener of its own.
    pub control: SocketAddr,
    /// HTTPS on loopback, where the server has a certificate.
    pub https: SocketAddr,
    /// RTMP on loopback.
    pub rtmp: SocketAddr,
    /// RTMPS on loopback, where the server has a certificate.
    pub rtmps: SocketAddr,
    /// WebRTC's UDP port on loopback.
    pub webrtc: SocketAddr,
}

impl Server {
    /// Starts one on an empty folder and waits until it is ready.
    pub fn start() -> Result<Self> {
        Self::start_on(Home::new()?)
    }

    /// Starts one that believes this machine's word for whom it asks (`X-Forwarded-For`). All
    /// loopback addresses are one peer, so without this no other can be played here. What is
    /// on this machine drives it by its control listener.
    pub fn start_behind_a_proxy() -> Result<Self> {
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, machine::free_tcp_port()?));
        let mut server = Self::start_as(Home::new()?, |command| {
            command.env("SLUICE__HTTP__TRUSTED_PROXIES", "['127.0.0.0/8']");
            command.env("SLUICE__CONTROL__LISTEN", control.to_string());
        })?;
        server.control = control;
        Ok(server)
    }

    /// Starts one that speaks TLS too.
    pub fn start_with_tls(identity: &Identity) -> Result<Self> {
        Self::start_as(Home::new()?, |command| {
            command.env("SLUICE__TLS__CERTIFICATE", identity.certificate());
            command.env("SLUICE__TLS__KEY", identity.key());
        })
    }

    /// Starts one on a folder that may hold data.
    pub fn start_on(home: Home) -> Result<Self> {
        Self::start_as(home, |_| ())
    }

    fn start_as(home: Home, adjust: impl Fn(&mut Command)) -> Result<Self> {
        // A port that was free a moment ago may be taken by the time of its use.
        let mut last = None;
        for _ in 0..3 {
            match Self::try_start(&home, &adjust) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no attempt was made")?)
    }

    /// One attempt; `adjust` may add environment variables.
    pub fn try_start(home: &Home, adjust: impl FnOnce(&mut Command)) -> Result<Self> {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let http = loopback(machine::free_tcp_port()?);
        let https = loopback(machine::free_tcp_port()?);
        let rtmp = loopback(machine::free_tcp_port()?);
        let rtmps = loopback(machine::free_tcp_port()?);
        let webrtc = loopback(machine::free_udp_port()?);
        let mut command = Command::new(binary()?);
        command.current_dir(machine::root()).args(["--config", "config/sluice.toml"]);
        let addresses = [http, https, rtmp, rtmps, webrtc];
        command.envs(environment(home, addresses));
        adjust(&mut command);
        let process = Process::spawn("sluice", command)?;
        let mut server =
            Self { process, home: home.clone(), http, control: http, https, rtmp, rtmps, webrtc };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// By which its own commands find it.
    pub fn environment(&self) -> [(&'static str, OsString); 6] {
        environment(&self.home, [self.http, self.https, self.rtmp, self.rtmps, self.webrtc])
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let Self { process, http, .. } = self;
        let ready = eventually("the server to be ready", || match process.ended() {
            Some(status) => Some(Err(anyhow::anyhow!("the server ended: {status}"))),
            None => {
                crate::http::get(*http, "/rest/v2/liveness").ok().filter(|a| a.status == 200).map(|_| Ok(()))
            }
        });
        ready.and_then(|r| r).with_context(|| process.log.text())
    }

    /// A REST client that speaks for a local operator.
    pub fn rest(&self) -> Rest {
        Rest::new(self.control, self.setup_token())
    }

    /// What the first account is made with; none when there is an account.
    pub fn setup_token(&self) -> Option<String> {
        self.process.log.find(|line| Some(line.strip_prefix(SETUP_TOKEN)?.trim().to_owned()))
    }

    /// `rtmp://…/live/{tail}`.
    pub fn rtmp_url(&self, tail: &str) -> String {
        format!("rtmp://{}/live/{tail}", self.rtmp)
    }

    /// `http://…/live/{tail}`.
    pub fn http_url(&self, tail: &str) -> String {
        format!("http://{}/live/{tail}", self.http)
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    /// Pulls the plug.
    pub fn kill(mut self) -> Result<Home> {
        self.process.signal(Signal::KILL);
        self.process.wait()?;
        Ok(self.home.clone())
    }

    /// Asks it to end, and fails if it does not end well or ever panicked.
    pub fn stop(mut self) -> Result<Home> {
        self.process.signal(Signal::TERM);
        let status = self.process.wait()?;
        ensure!(status.success(), "the server ended with {status}:\n{}", self.process.log.text());
        self.check_log(&[])?;
        Ok(self.home.clone())
    }

    /// Fails if the log shows a panic, or any of `secrets`: codes and keys that the test knows.
    pub fn check_log(&self, secrets: &[&str]) -> Result<()> {
        for line in self.process.log.lines() {
            ensure!(!line.contains("panicked"), "the server panicked:\n{}", self.process.log.text());
            ensure!(!secrets.iter().any(|s| line.contains(s)), "a secret reached the log: {line}");
        }
        Ok(())
    }
}

fn environment(home: &Home, addresses: [SocketAddr; 5]) -> [(&'static str, OsString); 6] {
    let [http, https, rtmp, rtmps, webrtc] = addresses.map(|address| address.to_string().into());
    [
        ("SLUICE__HTTP__LISTEN", http),
        ("SLUICE__HTTPS__LISTEN", https),
        ("SLUICE__RTMP__LISTEN", rtmp),
        ("SLUICE__RTMP__TLS_LISTEN", rtmps),
        ("SLUICE__WEBRTC__LISTEN", webrtc),
        ("SLUICE__STORE__PATH", home.data().into_os_string()),
    ]
}

/// The server's binary: `SLUICE_BIN`, or what cargo builds for the profile of this test.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|error| anyhow::anyhow!(error))
}

fn find() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("SLUICE_BIN") {
        return Ok(given.into());
    }
    let folder = machine::profile_folder()?;
    build(&folder)?;
    Ok(folder.join("sluice"))
}

/// Tests do not make cargo build another package's binary, so we ask for it.
fn build(folder: &Path) -> Result<()> {
    let target = folder.parent().context("a profile folder lies in a target folder")?;
    let profile = folder.file_name().context("a profile folder has a name")?.to_string_lossy();
    let profile = if profile == "debug" { "dev".into() } else { profile };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(machine::root()).args([
        "build",
        "--locked",
        "--quiet",
        "--package",
        "sluice-server",
        "--profile",
    ]);
    let output = cargo.arg(&*profile).env("CARGO_TARGET_DIR", target).output()?;
    ensure!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
