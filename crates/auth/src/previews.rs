//! Passes for the panel's preview.
//!
//! Who is logged in there sees a stream as it is seen without codes, whatever its
//! players must show. A pass is the moment until which it is good and an HMAC-SHA256
//! (RFC 2104) over that and the stream, with a key that lives as long as the process:
//! so there is no table of passes to be bounded.

use std::time::Duration;

use contract::auth::Authorize;
use contract::{Action, Secret, StreamKey, WallMs};
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Long enough to connect, and to connect again by another way. Who plays already
/// does not need it any more.
const LASTS: Duration = Duration::from_secs(60);

/// 20 digits, a dot, 43 characters.
const LONGEST: usize = 64;

/// Makes passes and knows them again.
pub(crate) struct Previews {
    /// A whole block of SHA-256, so that nothing has to be padded (RFC 2104 §3).
    key: Secret<[u8; 64]>,
}

impl Previews {
    /// Draws the key.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        Ok(Self { key: Secret::new(key) })
    }

    /// A pass for one stream, good from now on for a minute.
    pub(crate) fn issue(&self, stream: &StreamKey, now: WallMs) -> Secret<String> {
        let until = now.after(LASTS);
        let tag = self.mac(stream, until).finalize().into_bytes();
        Secret::new(format!("{}.{}", until.0, BASE64URL_NOPAD.encode(&tag)))
    }

    /// Whether a request to play shows a pass for its stream that is still good. Who says
    /// that he is a subscriber must show that subscriber's code.
    pub(crate) fn admits(&self, ask: &Authorize, now: WallMs) -> bool {
        let nobody = ask.action == Action::Play && ask.credentials.subscriber.is_none();
        let pass = ask.credentials.token.as_ref().filter(|_| nobody);
        pass.is_some_and(|pass| self.is_good(&ask.stream, pass.reveal(), now))
    }

    fn is_good(&self, stream: &StreamKey, pass: &str, now: WallMs) -> bool {
        let parts = pass.split_once('.').filter(|_| pass.len() <= LONGEST);
        let Some((Ok(until), Ok(tag))) =
            parts.map(|(until, tag)| (until.parse().map(WallMs), BASE64URL_NOPAD.decode(tag.as_bytes())))
        else {
            return false;
        };
        self.mac(stream, until).verify_slice(&tag).is_ok() && until > now
    }

    fn mac(&self, stream: &StreamKey, until: WallMs) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(self.key.reveal().into());
        mac.update(b"sluice preview");
        mac.update(&until.0.to_be_bytes());
        // Its length first, so that no two pairs of names give the same bytes.
        mac.update(&(stream.app.as_str().len() as u64).to_be_bytes());
        mac.update(stream.app.as_str().as_bytes());
        mac.update(stream.id.as_str().as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use contract::{AppName, StreamId};

    use super::*;

    const NOW: WallMs = WallMs(1_700_000_000_000);

    fn stream(app: &str, id: &str) -> StreamKey {
        StreamKey { app: AppName::parse(app).unwrap(), id: StreamId::parse(id).unwrap() }
    }

    #[test]
    fn a_pass_is_good_for_one_stream_and_one_minute() {
        let previews = Previews::new().unwrap();
        let cam = stream("live", "cam");
        let pass = previews.issue(&cam, NOW).reveal().clone();
        assert!(pass.len() <= LONGEST, "{pass}");
        assert!(previews.is_good(&cam, &pass, NOW));
        assert!(previews.is_good(&cam, &pass, NOW.after(LASTS - Duration::from_millis(1))));
        assert!(!previews.is_good(&cam, &pass, NOW.after(LASTS)));
        for other in [stream("live", "cam2"), stream("livec", "am")] {
            assert!(!previews.is_good(&other, &pass, NOW), "{other}");
        }
        assert!(!Previews::new().unwrap().is_good(&cam, &pass, NOW));
    }

    #[test]
    fn nobody_makes_himself_a_pass_or_a_longer_one() {
        let previews = Previews::new().unwrap();
        let cam = stream("live", "cam");
        let pass = previews.issue(&cam, NOW).reveal().clone();
        let (until, tag) = pass.split_once('.').unwrap();
        let longer = format!("{}.{tag}", until.parse::<u64>().unwrap() + 1);
        let long = "1".repeat(LONGEST + 1);
        for forged in ["", ".", "1", "1.", ".AAAA", "x.AAAA", "1.====", &longer, &long, &format!("{until}.")]
        {
            assert!(!previews.is_good(&cam, forged, NOW), "{forged}");
        }
    }
}
