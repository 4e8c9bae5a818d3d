//! The seam between a session's actor and whatever moves its media.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use contract::session::{CloseReason, SetStanding};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::tcp;

/// How a session's actor reaches the task or shard that moves its media.
///
/// Neither call may block or fail: an order that cannot be delivered is answered
/// by dropping it, which counts as a connection that is gone.
pub trait DataPlane: Send + 'static {
    /// Carry this out, then complete [`Order::done`].
    fn order(&self, order: Order);

    /// Tear the connection down: no media byte leaves any more once this has
    /// returned. Called when an order was not confirmed in time, so it must not
    /// count on whoever did not confirm. False: that cannot be promised, because the
    /// system refused it.
    fn kill(&self) -> bool;
}

/// Something a data plane must do.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub what: What,
    /// To be completed when no media byte that the order forbids is queued, being
    /// sealed or handed to a socket any more. Dropping it says that the
    /// connection is gone; then no byte may leave either.
    pub done: oneshot::Sender<()>,
}

/// What a data plane must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The standing is this from now on. (The [`StandingCell`](contract::StandingCell)
    /// in the [`Link`](crate::Link) already says so.) `Suspend`: stop, drop what
    /// is queued, keep the connection, tell the peer. `Grant`: resume from a
    /// keyframe, tell the peer. `Revoke`: stop, drop what is queued, tell the peer
    /// why, confirm, then close.
    Standing(SetStanding),
    /// The stream was silenced at its source: drop what is queued of it, tell
    /// the peer that it has stopped in words at which he stays, keep the
    /// connection, wait for the next `Live`.
    Hush,
    /// Tell the peer, flush what is polite, close.
    Close(CloseReason),
}

impl What {
    /// Why the session ends; `None` if it goes on.
    pub const fn ends(self) -> Option<CloseReason> {
        match self {
            Self::Standing(SetStanding::Revoke(reason)) | Self::Close(reason) => Some(reason),
            Self::Standing(SetStanding::Grant | SetStanding::Suspend { .. }) | Self::Hush => None,
        }
    }
}

/// A few orders can be under way: block, unblock, hush, close. A data plane that
/// let eight pile up has stopped, and loses its connection.
const PENDING: usize = 8;

/// A TCP connection that a session can be killed with.
pub type Socket = Arc<dyn AsFd + Send + Sync>;

/// A [`DataPlane`] for a tokio task that moves a TCP connection's media: the
/// actor's half and the task's half.
pub fn channel(socket: Socket) -> (ChannelPlane, Orders) {
    let (tx, rx) = mpsc::channel(PENDING);
    let (grip, killed) = (Arc::new(Grip(socket)), CancellationToken::new());
    let plane = ChannelPlane { tx, grip: Arc::downgrade(&grip), killed: killed.clone() };
    (plane, Orders { _grip: grip, rx, killed })
}

/// The session's hold on the connection, which outlives it: the peer may ask for
/// another role, and a kill that comes late must not cost him that.
struct Grip(Socket);

impl fmt::Debug for Grip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grip")
    }
}

/// The actor's half.
#[derive(Debug)]
pub struct ChannelPlane {
    tx: mpsc::Sender<Order>,
    grip: Weak<Grip>,
    killed: CancellationToken,
}

impl DataPlane for ChannelPlane {
    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.tx.try_send(order) {
            self.kill();
        }
    }

    /// The task may be in the middle of a write, or held up before one. The kernel
    /// lets neither pass a reset: a write that has begun is over when the reset
    /// begins, and one that comes later fails.
    fn kill(&self) -> bool {
        // A task that has let go may have closed it, and what the kernel held is sent then.
        let is_reset = self.grip.upgrade().map_or_else(tcp::can_reset, |grip| tcp::reset(grip.0.as_fd()));
        self.killed.cancel();
        is_reset
    }
}

/// The task's half. Keep it while anything of the session may leave: dropping it
/// answers orders that are under way, and no kill reaches the connection any more.
#[derive(Debug)]
pub struct Orders {
    // Dropped first: an order that is dropped after it kills nobody.
    _grip: Arc<Grip>,
    rx: mpsc::Receiver<Order>,
    killed: CancellationToken,
}

impl Orders {
    /// The next order; `None` when the session is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<Order> {
        self.rx.recv().await
    }

    /// An order that has come already.
    pub fn try_next(&mut self) -> Option<Order> {
        self.rx.try_recv().ok()
    }

    /// Resolves when the connection was torn down by somebody else.
    pub fn killed(&self) -> CancellationToken {
        self.killed.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::tcp::tests::{fill, pair};

    #[tokio::test]
    async fn who_is_killed_sends_nothing_more_though_his_task_does_not_look() {
        let (server, mut client) = pair().await;
        let server = Arc::new(server);
        let (plane, orders) = channel(server.clone());
        let written = fill(&server).await;
        plane.kill();
        // Delivers what is queued, if the connection still is.
        drop((server, orders));
        let (mut got, mut chunk) = (0, vec![0; 1 << 16]);
        while let Ok(n @ 1..) = client.read(&mut chunk).await {
            got += n;
        }
        assert!(got < written, "{got} of {written}");
    }

    #[tokio::test]
    async fn a_connection_that_the_session_has_left_is_neither_killed_nor_kept_open() {
        let (server, mut client) = pair().await;
        let mut server = Arc::new(server);
        let (plane, orders) = channel(server.clone());
        drop(orders);
        plane.kill();
        Arc::get_mut(&mut server).unwrap().write_all(b"on").await.unwrap();
        let mut got = [0; 2];
        client.read_exact(&mut got).await.unwrap();
        drop(server);
        assert_eq!(client.read(&mut got).await.unwrap(), 0, "closed");
    }
}
