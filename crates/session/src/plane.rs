//! The seam between a session's actor and whatever moves its media.

use contract::session::{CloseReason, SetStanding};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// How a session's actor reaches the task or shard that moves its media.
///
/// Neither call may block or fail: an order that cannot be delivered is answered
/// by dropping it, which counts as a connection that is gone.
pub trait DataPlane: Send + 'static {
    /// Carry this out, then complete [`Order::done`].
    fn order(&self, order: Order);

    /// Tear the connection down at once; nothing will be confirmed. Called when
    /// an order was not confirmed in time.
    fn kill(&self);
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
    /// the peer that it ended, keep the connection, wait for the next `Live`.
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

/// A [`DataPlane`] for a tokio task: the actor's half and the task's half.
pub fn channel() -> (ChannelPlane, Orders) {
    let (tx, rx) = mpsc::channel(PENDING);
    let killed = CancellationToken::new();
    (ChannelPlane { tx, killed: killed.clone() }, Orders { rx, killed })
}

/// The actor's half.
#[derive(Debug)]
pub struct ChannelPlane {
    tx: mpsc::Sender<Order>,
    killed: CancellationToken,
}

impl DataPlane for ChannelPlane {
    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.tx.try_send(order) {
            self.kill();
        }
    }

    fn kill(&self) {
        self.killed.cancel();
    }
}

/// The task's half. Keep it until the socket is closed: dropping it answers
/// orders that are under way.
#[derive(Debug)]
pub struct Orders {
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

    /// Resolves when the connection must be torn down at once.
    pub fn killed(&self) -> CancellationToken {
        self.killed.clone()
    }
}
