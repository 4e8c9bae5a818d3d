//! The machine that the tests run on: folders, ports, and its two cores.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// A file under `tests/clients`.
pub fn client(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

/// Cargo's folder of the running profile, for example `target/debug`: two levels above the
/// test binary.
pub fn profile_folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    Ok(test.ancestors().nth(2).context("the test binary has no profile folder")?.to_path_buf())
}

/// The Python that `scripts/test` equipped.
pub fn python() -> Command {
    let mut command = Command::new(root().join(".tools/python/bin/python"));
    command.env("PYTHONUNBUFFERED", "1");
    command
}

/// Node: ours where the system's was too old.
pub fn node() -> Command {
    let ours = root().join(".tools/node/bin/node");
    Command::new(if ours.exists() { ours } else { "node".into() })
}

/// A command as root, which packet capture and tracing need.
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub fn free_tcp_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A UDP port of 127.0.0.1 that was free a moment ago.
pub fn free_udp_port() -> Result<u16> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Held by a test that drives video clients. They need the whole of a small machine, and
/// would only make each other drop frames.
pub fn whole() -> MutexGuard<'static, ()> {
    static WHOLE: Mutex<()> = Mutex::new(());
    // A failed test poisons the lock and leaves nothing behind that the next could trip over.
    WHOLE.lock().unwrap_or_else(PoisonError::into_inner)
}
