//! What systemd is told of the server, if it asked (sd_notify(3)): a datagram to the
//! socket that it names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// All listeners are bound.
pub(crate) const READY: &str = "READY=1";

/// The drain has begun.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells it. Nothing where nobody asked.
pub(crate) fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::error!(%error, state, "systemd was not told");
    }
}

/// A name that begins with `@` is an abstract one.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// What arrives at a socket that is bound to `address`, when `name` is told.
    fn told(address: &SocketAddr, name: &OsStr) -> String {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        send(name, READY).unwrap();
        let mut datagram = [0; 64];
        let length = socket.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    }

    #[test]
    fn the_state_is_the_whole_of_one_datagram() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        assert_eq!(told(&SocketAddr::from_pathname(&path).unwrap(), path.as_os_str()), "READY=1");
        let name = format!("sluice test {}", path.display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        assert_eq!(told(&address, &OsString::from(format!("@{name}"))), "READY=1");
        assert!(send(folder.path().join("nobody").as_os_str(), READY).is_err());
    }
}
