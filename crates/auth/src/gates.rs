//! The gates that every request passes, in one order on every protocol and in
//! both directions (C§16.10). A new gate is one file here and one word below.

use contract::Now;
use contract::auth::{Authorize, Denied};
use contract::settings::Security;

use crate::guess::Guesses;
use crate::previews::Previews;
use crate::record::Record;

macro_rules! gates {
    ($($name:ident),* $(,)?) => {
        $(pub(crate) mod $name;)*
        /// All gates, in the order in which they are asked.
        pub(crate) const ALL: &[&dyn Gate] = &[$(&$name::Check),*];
    };
}

// Credentials before blocks and limits, so that a stranger learns of neither. A pass
// before all that a code is needed for: it is nobody's, so no block and no limit is his.
gates![ip, preview, stream, subscriber, totp, blocked, limit];

/// One condition of being let in. Pure, so that its tests are tables.
pub(crate) trait Gate: Sync {
    /// Judges one request.
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict;
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The condition holds.
    Pass,
    /// The condition does not apply.
    Skip,
    /// Let in; the gates behind are not asked.
    Admit,
    /// Not let in.
    Deny(Refusal),
}

/// What gates know beside the request.
pub(crate) struct GateContext<'a> {
    pub(crate) security: &'a Security,
    pub(crate) registration: Registration<'a>,
    /// Whether a block of the subscriber in this direction is in force.
    pub(crate) blocked: bool,
    pub(crate) places: Places,
    pub(crate) guesses: &'a Guesses,
    pub(crate) previews: &'a Previews,
    pub(crate) now: Now,
}

/// What is known of the subscriber that the request names.
#[derive(Clone, Copy)]
pub(crate) enum Registration<'a> {
    /// Nothing.
    Unknown,
    /// He has a record.
    Known(&'a Record),
    /// His record is being changed or removed, and the disk has not confirmed it.
    Withdrawn,
}

impl<'a> Registration<'a> {
    /// Whether an operator has named it, if only to block it.
    pub(crate) fn is_known(self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// The record, if it has a secret of its own. A record without one (made by
    /// a block, or added so) leaves its subscriber to derived codes.
    pub(crate) fn with_secret(self) -> Option<&'a Record> {
        match self {
            Self::Known(record) if record.secret.is_some() => Some(record),
            _ => None,
        }
    }
}

/// Places of the subscriber in the request's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    /// How many he may have; `None`: as many as he likes.
    pub(crate) limit: Option<usize>,
    /// How many are taken, without those that the request would share or take over.
    pub(crate) taken: usize,
}

/// Why somebody is not let in, for us. The peer is told [`Refusal::outside`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// There is no such application.
    UnknownApp,
    /// The address is not in `allowedPublisherCIDR`.
    Ip,
    /// Only registered streams may be published.
    UnknownStream,
    /// A code to play a stream that is neither registered nor live, or only
    /// registered ones may be played with codes. Told like a wrong code.
    UnknownStreamToPlay,
    /// No subscriber or no well-formed code.
    Missing,
    /// Only registered subscribers, and this is none.
    Unregistered,
    /// Registered for playing only.
    Type,
    /// His record is being changed.
    Withdrawn,
    /// There is nothing to derive a code from.
    NoSecret,
    /// The code is wrong.
    WrongCode,
    /// The code is wrong, as it was before.
    RepeatedCode,
    /// Too many wrong codes.
    Guessing,
    /// Blocked in this direction.
    Blocked,
    /// He has all the sessions he may have.
    Limit,
}

impl Refusal {
    /// All of them.
    pub(crate) const ALL: [Self; 14] = [
        Self::UnknownApp,
        Self::Ip,
        Self::UnknownStream,
        Self::UnknownStreamToPlay,
        Self::Missing,
        Self::Unregistered,
        Self::Type,
        Self::Withdrawn,
        Self::NoSecret,
        Self::WrongCode,
        Self::RepeatedCode,
        Self::Guessing,
        Self::Blocked,
        Self::Limit,
    ];

    /// What the peer is told.
    pub(crate) fn outside(self) -> Denied {
        match self {
            Self::Ip => Denied::Ip,
            Self::UnknownApp | Self::UnknownStream => Denied::UnknownStream,
            Self::Blocked => Denied::Blocked,
            Self::Limit => Denied::Limit,
            Self::UnknownStreamToPlay
            | Self::Missing
            | Self::Unregistered
            | Self::Type
            | Self::Withdrawn
            | Self::NoSecret
            | Self::WrongCode
            | Self::RepeatedCode
            | Self::Guessing => Denied::Credentials,
        }
    }

    /// Whether the peer had shown a right code before it was refused.
    pub(crate) fn comes_after_the_code(self) -> bool {
        matches!(self, Self::Blocked | Self::Limit)
    }

    /// The name in metrics and logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UnknownApp => "unknown_app",
            Self::Ip => "ip",
            Self::UnknownStream => "unknown_stream",
            Self::UnknownStreamToPlay => "unknown_stream_to_play",
            Self::Missing => "missing",
            Self::Unregistered => "unregistered",
            Self::Type => "type",
            Self::Withdrawn => "withdrawn",
            Self::NoSecret => "no_secret",
            Self::WrongCode => "wrong_code",
            Self::RepeatedCode => "repeated_code",
            Self::Guessing => "guessing",
            Self::Blocked => "blocked",
            Self::Limit => "limit",
        }
    }
}

/// Asks `gates` in their order; the first that admits or denies decides.
pub(crate) fn ask_all(gates: &[&dyn Gate], ask: &Authorize, cx: &GateContext<'_>) -> Result<(), Refusal> {
    for gate in gates {
        match gate.check(ask, cx) {
            Verdict::Pass | Verdict::Skip => {}
            Verdict::Admit => break,
            Verdict::Deny(refusal) => return Err(refusal),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
