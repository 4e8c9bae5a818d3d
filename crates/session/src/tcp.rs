//! The TCP half of a fence, for every protocol that plays over TCP.
//!
//! After a block is acknowledged our kernel must not send a media byte for the
//! first time. Bytes in flight have left; bytes in the send queue have not, and
//! no socket call takes them back. So a fence waits until the kernel holds
//! nothing unsent, and disconnects the socket if that takes too long.

#![allow(unsafe_code, reason = "two system calls that no safe crate wraps")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use tokio::time::Instant;

/// How long a fence may take. What the kernel holds of a player's media, some 24 KB,
/// leaves in this time over most links that a stream of 1 Mbit/s fits through; a peer
/// that has not taken it is stalled, and reconnects. Below the deadline after which
/// a session's actor tears the connection down.
pub const PATIENCE: Duration = Duration::from_millis(210);

/// The kernel has no event for "all sent" (only for "all acknowledged"), so it is
/// asked again and again.
const POLL: Duration = Duration::from_millis(1);

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
/// `shutdown` it delivers nothing.
pub fn reset(socket: BorrowedFd<'_>) -> io::Result<()> {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the borrow's life, and the address is a
    // whole sockaddr of the length that is passed.
    let done = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How waiting for the kernel ended. Either way it sends nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything has left; the connection stays.
    Sent,
    /// It took too long, and the connection was reset.
    Reset,
}

/// Waits until the kernel holds nothing unsent, at most until `deadline`, and
/// resets the connection otherwise. The caller has stopped writing.
pub async fn drain(socket: BorrowedFd<'_>, deadline: Instant) -> Drained {
    loop {
        match unsent(socket) {
            Ok(0) => return Drained::Sent,
            Ok(_) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Ok(_) | Err(_) => {
                // It fails only on a socket that is not connected any more.
                let _ = reset(socket);
                return Drained::Reset;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::fd::AsFd;

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
