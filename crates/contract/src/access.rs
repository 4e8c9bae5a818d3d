//! Who asks to do what.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{Secret, SubscriberId};

/// The two roles a session can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To send a stream.
    Publish,
    /// To receive one.
    Play,
}

impl Action {
    /// Both, in a fixed order.
    pub const ALL: [Self; 2] = [Self::Publish, Self::Play];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::Play => "play",
        })
    }
}

/// A non-empty set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actions {
    /// One.
    Only(Action),
    /// Both.
    Both,
}

impl Actions {
    /// Whether `action` is in the set.
    pub fn contains(self, action: Action) -> bool {
        match self {
            Self::Only(only) => only == action,
            Self::Both => true,
        }
    }

    /// Its members.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |&a| self.contains(a))
    }
}

/// How a session is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RTMP over TCP.
    Rtmp,
    /// WebRTC, signalled over the AMS WebSocket.
    Webrtc,
    /// WebRTC, signalled by WHIP (RFC 9725).
    Whip,
    /// WebRTC, signalled by WHEP.
    Whep,
    /// HLS (RFC 8216).
    Hls,
}

impl Protocol {
    /// The name used in metrics, events and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Webrtc => "webrtc",
            Self::Whip => "whip",
            Self::Whep => "whep",
            Self::Hls => "hls",
        }
    }

    /// Whether media travels over WebRTC, however it was signalled.
    pub const fn is_webrtc(self) -> bool {
        matches!(self, Self::Webrtc | Self::Whip | Self::Whep)
    }
}

/// A time-based one-time code: six decimal digits (RFC 6238, C§4.1).
#[derive(Clone, Copy)]
pub struct TotpCode([u8; 6]);

impl TotpCode {
    /// Six ASCII digits, white space around them ignored; otherwise `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 6] = text.trim().as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The digits; must not end up in a log.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl PartialEq for TotpCode {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TotpCode {}

impl fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a peer shows of itself. Everything may be absent.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Who it says it is.
    pub subscriber: Option<SubscriberId>,
    /// Its code, if it sent a well-formed one.
    pub code: Option<TotpCode>,
    /// A bearer or query token.
    pub token: Option<Secret<String>>,
}

impl Credentials {
    /// From the texts of a query or message. A malformed subscriber or code is
    /// treated as absent: the gate then refuses it where one is required.
    pub fn from_texts(subscriber: Option<&str>, code: Option<&str>, token: Option<&str>) -> Self {
        Self {
            subscriber: subscriber.and_then(|s| SubscriberId::parse(s).ok()),
            code: code.and_then(TotpCode::parse),
            token: token.filter(|t| !t.is_empty()).map(|t| Secret::new(t.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_six_ascii_digits_and_never_printed() {
        assert!(TotpCode::parse(" 001891 ").is_some_and(|c| c.reveal() == "001891"));
        for bad in ["", "12345", "1234567", "12345a", "+12345", "١٢٣٤٥٦"] {
            assert!(TotpCode::parse(bad).is_none(), "{bad:?}");
        }
        let credentials = Credentials::from_texts(Some("alice"), Some("451222"), Some("tok"));
        let printed = format!("{credentials:?}");
        assert!(!printed.contains("451222") && !printed.contains("tok\""), "{printed}");
    }
}
