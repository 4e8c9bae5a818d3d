//! The text of a grant, as it stands in cookies and URLs.

use contract::{Secret, StreamKey, SubscriberId};
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Number of a grant; unique within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GrantId(pub(crate) u64);

/// Signs grants with a key that lives as long as the process. The text is the
/// grant's number and an HMAC-SHA256 over it and what it is good for, so a grant
/// for one stream or subscriber is none for another.
#[derive(Debug)]
pub(crate) struct Signer {
    key: SigningKey,
}

/// A whole block of SHA-256, so that nothing has to be padded (RFC 2104 §3).
pub(crate) type SigningKey = Secret<[u8; 64]>;

impl Signer {
    pub(crate) const fn new(key: SigningKey) -> Self {
        Self { key }
    }

    /// Digits, letters, `-`, `_` and `.`: needs no escape anywhere.
    pub(crate) fn sign(&self, id: GrantId, stream: &StreamKey, subscriber: Option<&SubscriberId>) -> String {
        let tag = self.mac(id, stream, subscriber).finalize().into_bytes();
        format!("{}.{}", id.0, BASE64URL_NOPAD.encode(&tag))
    }

    /// Whether `token` is what [`Signer::sign`] gave, in constant time.
    pub(crate) fn verify(
        &self,
        token: &Token,
        stream: &StreamKey,
        subscriber: Option<&SubscriberId>,
    ) -> bool {
        self.mac(token.id, stream, subscriber).verify_slice(&token.tag).is_ok()
    }

    fn mac(&self, id: GrantId, stream: &StreamKey, subscriber: Option<&SubscriberId>) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new(self.key.reveal().into());
        mac.update(b"sluice hls grant");
        mac.update(&id.0.to_be_bytes());
        // Length first, so that no two lists of names give the same bytes.
        let subscriber = subscriber.map_or("", |s| s.as_str());
        for name in [stream.app.as_str(), stream.id.as_str(), subscriber] {
            mac.update(&(name.len() as u64).to_be_bytes());
            mac.update(name.as_bytes());
        }
        mac
    }
}

/// A grant's text, taken apart but not verified.
pub(crate) struct Token {
    pub(crate) id: GrantId,
    tag: Vec<u8>,
}

impl Token {
    /// `None` for what was never a grant of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // 20 digits, a dot, 43 characters.
        if text.len() > 64 {
            return None;
        }
        let (id, tag) = text.split_once('.')?;
        Some(Self { id: GrantId(id.parse().ok()?), tag: BASE64URL_NOPAD.decode(tag.as_bytes()).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use contract::{AppName, StreamId};

    use super::*;

    fn stream(app: &str, id: &str) -> StreamKey {
        StreamKey { app: AppName::parse(app).unwrap(), id: StreamId::parse(id).unwrap() }
    }

    #[test]
    fn a_grant_is_good_for_one_stream_and_one_subscriber() {
        let signer = Signer::new(Secret::new([7; 64]));
        let alice = SubscriberId::parse("alice").unwrap();
        let text = signer.sign(GrantId(3), &stream("live", "cam"), Some(&alice));
        let token = Token::parse(&text).unwrap();
        assert!(signer.verify(&token, &stream("live", "cam"), Some(&alice)));
        let bob = SubscriberId::parse("bob").unwrap();
        assert!(!signer.verify(&token, &stream("live", "cam"), Some(&bob)));
        assert!(!signer.verify(&token, &stream("live", "cam"), None));
        assert!(!signer.verify(&token, &stream("live", "cam2"), Some(&alice)));
        assert!(!signer.verify(&token, &stream("livec", "am"), Some(&alice)));
        let other = Token::parse(&text.replacen('3', "4", 1)).unwrap();
        assert!(!signer.verify(&other, &stream("live", "cam"), Some(&alice)));
        assert!(!Signer::new(Secret::new([8; 64])).verify(&token, &stream("live", "cam"), Some(&alice)));
    }

    #[test]
    fn other_texts_are_no_grants() {
        for text in ["", ".", "1", "1.", "x.AAAA", "1.====", &"1".repeat(65)] {
            assert!(Token::parse(text).is_none_or(|t| t.tag.len() != 32), "{text}");
        }
    }
}
