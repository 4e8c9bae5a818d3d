//! What could keep a server from starting, beside what its configuration says.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::{Config, Problem};
use crate::tls::Certificate;

/// Everything that a start would stumble over. Changes nothing, and may be asked while
/// a server runs: ports that are in use are no problem of the configuration.
pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Err(error) = Certificate::load(&config.tls) {
        problems.push(Problem::new(error.setting(), error));
    }
    let tcp = config.tcp_listens().into_iter().map(|(key, address)| (key, tcp(address)));
    let udp = ("webrtc.listen", udp(config.webrtc.listen));
    for (key, error) in tcp.chain([udp]).filter_map(|(key, bound)| Some((key, bound.err()?))) {
        problems.push(Problem::new(key, format!("not an address of this machine: {error}")));
    }
    if let Err(why) = writable(&config.store.path) {
        problems.push(Problem::new("store.path", why));
    }
    if let Err(why) = key(config) {
        problems.push(Problem::new("store.key", why));
    }
    problems
}

/// Binds another port of the same address.
fn tcp(mut address: SocketAddr) -> std::io::Result<()> {
    address.set_port(0);
    TcpListener::bind(address).map(drop)
}

fn udp(mut address: SocketAddr) -> std::io::Result<()> {
    address.set_port(0);
    UdpSocket::bind(address).map(drop)
}

/// The folder itself, or the nearest one that is there and in which it will be made.
fn writable(folder: &Path) -> Result<(), String> {
    let full = std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
    let there = full.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !there.is_dir() {
        return Err(format!("{} is no directory", there.display()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("{} cannot be written: {error}", there.display()))
}

/// Data that is there opens with its key only.
fn key(config: &Config) -> Result<(), String> {
    let path = config.store.key_path();
    if !config.store.path.join("sled").exists() {
        return path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), writable);
    }
    match std::fs::read(&path) {
        Ok(key) if key.len() == 32 => Ok(()),
        Ok(_) => Err(format!("{}: a key file holds exactly 32 bytes", path.display())),
        Err(error) => Err(format!("{}: {error}; the data does not open without it", path.display())),
    }
}
