//! The TCP half of a fence, for every protocol that plays over TCP.
//!
//! After a block is acknowledged our kernel must not send a media byte for the
//! first time. Bytes in flight have left; bytes in the send queue have not, and
//! no socket call takes them back. So a fence waits until the kernel holds
//! nothing unsent, and disconnects the socket if that takes too long.

#![allow(unsafe_code, reason = "two system calls that no safe crate wraps")]

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::Instant;

/// How long a fence may take. What the kernel holds of a player's media, some 24 KB,
/// leaves in this time over most links that a stream of 1 Mbit/s fits through; a peer
/// that has not taken it is stalled, and reconnects. Below the deadline after which
/// a session's actor tears the connection down.
pub const PATIENCE: Duration = Duration::from_millis(210);

/// The kernel has no event for "all sent" (only for "all acknowledged"), so it is
/// asked again and again.
const POLL: Duration = Duration::from_millis(1);

/// For bytes on loopback to arrive that were not thrown away.
const FOR_THE_REST: Duration = Duration::from_secs(1);

/// `SIOCOUTQNSD` of `linux/sockios.h`, which libc does not name.
const SIOCOUTQNSD: libc::c_ulong = 0x894B;

/// Bytes in the send queue that were never sent (tcp(7), `SIOCOUTQNSD`).
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the borrow's life, and the call writes
    // one int through a pointer to one.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD, &raw mut bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(bytes).unwrap_or(0)) }
}

/// Disconnects at once and forgets the send queue; the peer gets a reset. Unlike
/// `close` it reaches a socket of which duplicates are open, and unlike
/// `shutdown` it delivers nothing. False: the system refuses that, and the connection
/// is as it was.
pub fn reset(socket: BorrowedFd<'_>) -> bool {
    // What is not connected any more is as good as reset; it is looked at before, because a
    // system that only says that it disconnects may show no peer afterwards.
    let is_gone = || SockRef::from(&socket).peer_addr().is_err();
    is_gone() || disconnect(socket).map_or_else(|_| is_gone(), |()| can_reset())
}

/// Whether this system resets connections, looked at once. Some sandboxes that stand for
/// a kernel refuse it, or say that they did and send on.
pub fn can_reset() -> bool {
    static SEEN: OnceLock<bool> = OnceLock::new();
    *SEEN.get_or_init(|| resets().unwrap_or(false))
}

/// Resets a connection to ourselves that holds unsent bytes, and looks whether they are gone.
fn resets() -> io::Result<bool> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut far = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (mut near, _) = listener.accept()?;
    near.set_nonblocking(true)?;
    let mut written = 0;
    while let Ok(n) = near.write(&[0; 1 << 16]) {
        written += n;
    }
    disconnect(near.as_fd())?;
    far.set_read_timeout(Some(FOR_THE_REST))?;
    let arrived = io::copy(&mut far, &mut io::sink());
    Ok(near.peer_addr().is_err() && !arrived.is_ok_and(|arrived| arrived >= written as u64))
}

fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the borrow's life, and the address is a
    // whole sockaddr of the length that is passed.
    let done = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How waiting for the kernel ended. But for the last, it sends nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything has left; the connection stays.
    Sent,
    /// It took too long, and the connection was reset.
    Reset,
    /// It took too long, and the system refused to reset the connection.
    Stuck,
}

/// Waits until the kernel holds nothing unsent, at most until `deadline`, and
/// resets the connection otherwise. The caller has stopped writing.
pub async fn drain(socket: BorrowedFd<'_>, deadline: Instant) -> Drained {
    loop {
        match unsent(socket) {
            Ok(0) => return Drained::Sent,
            Ok(_) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Ok(_) | Err(_) if reset(socket) => return Drained::Reset,
            Ok(_) | Err(_) => return Drained::Stuck,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    pub(crate) async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    /// Writes until the kernel holds something unsent; how much was written.
    pub(crate) async fn fill(server: &TcpStream) -> usize {
        let mut written = 0;
        while let Ok(n) = server.try_write(&[7; 1 << 16]) {
            written += n;
            server.writable().await.unwrap();
            if unsent(server.as_fd()).unwrap() > 0 {
                break;
            }
        }
        assert!(unsent(server.as_fd()).unwrap() > 0);
        written
    }

    #[test]
    fn this_system_resets_connections() {
        assert!(resets().unwrap());
    }

    #[tokio::test]
    async fn a_reset_is_certain_of_a_connection_that_is_gone_too() {
        let (server, client) = pair().await;
        assert!(reset(server.as_fd()) && reset(server.as_fd()));
        drop(client);
    }

    #[tokio::test]
    async fn a_reading_peer_gets_everything_and_keeps_its_connection() {
        let (mut server, mut client) = pair().await;
        server.write_all(&[7; 1000]).await.unwrap();
        assert_eq!(drain(server.as_fd(), Instant::now() + PATIENCE).await, Drained::Sent);
        let mut got = [0; 1000];
        client.read_exact(&mut got).await.unwrap();
        server.write_all(b"more").await.unwrap();
        client.read_exact(&mut got[..4]).await.unwrap();
    }

    #[tokio::test]
    async fn a_stalled_peer_is_reset_and_what_the_kernel_held_is_gone() {
        let (server, mut client) = pair().await;
        let written = fill(&server).await;
        assert_eq!(drain(server.as_fd(), Instant::now() + PATIENCE).await, Drained::Reset);
        let (mut got, mut chunk) = (0, vec![0; 1 << 16]);
        while let Ok(n @ 1..) = client.read(&mut chunk).await {
            got += n;
        }
        assert!(got < written, "{got} of {written}");
    }
}
