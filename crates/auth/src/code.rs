//! Codes: from a secret to six digits, and back to a verdict (C§4).

use contract::{Action, Secret, StreamKey, SubscriberId, TotpCode, WallMs};
use data_encoding::BASE32;
use totp_rs::{Builder, Totp};

/// Longest accepted secret in characters. Longer than any that a generator
/// makes, and short enough to hash and store without a thought.
const MAX_SECRET: usize = 1024;

/// What codes are made from. Not printable on purpose.
pub(crate) struct CodeKey(Vec<u8>);

/// The text is no base32 secret as AMS understands one (C§4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotBase32;

impl CodeKey {
    /// The key of a registered subscriber (C§4.3): RFC 4648 base32 in either
    /// case, of a multiple of 8 characters with `=` only at the end.
    pub(crate) fn from_base32(secret: &str) -> Result<Self, NotBase32> {
        // `BASE32` would take several padded texts in a row for one.
        let stem = secret.trim_end_matches('=');
        if secret.len() > MAX_SECRET || stem.is_empty() || stem.contains('=') {
            return Err(NotBase32);
        }
        let key = BASE32.decode(secret.to_ascii_uppercase().as_bytes()).map_err(|_| NotBase32)?;
        Ok(Self(key))
    }

    /// The key of a subscriber without a secret of his own (C§4.2). The texts
    /// are joined without a separator and filled up with `X` to a multiple of 8
    /// UTF-16 units, because AMS does so; its base32 step is a round trip.
    pub(crate) fn derived(
        settings_secret: &Secret<String>,
        subscriber: &SubscriberId,
        stream: &StreamKey,
        action: Action,
    ) -> Self {
        let mut text = format!("{}{subscriber}{}{action}", settings_secret.reveal(), stream.id);
        while text.encode_utf16().count() % 8 != 0 {
            text.push('X');
        }
        Self(text.into_bytes())
    }

    /// The code of the moment `now` with steps of `period` seconds.
    pub(crate) fn code_at(&self, now: WallMs, period: u32) -> Option<TotpCode> {
        let token = self.generator(period).generate(now.0 / 1000);
        TotpCode::parse(&token.to_string())
    }

    /// Whether `code` is that of the current step or of the one before, so that
    /// a code lives for at least `period` seconds after it was made (C§4.4).
    /// Both are always compared, in constant time.
    pub(crate) fn accepts(&self, code: &TotpCode, now: WallMs, period: u32) -> bool {
        let generator = self.generator(period);
        let time = now.0 / 1000;
        let current = generator.check(code.reveal(), time).is_some();
        let previous = generator.check(code.reveal(), time.saturating_sub(period.into())).is_some();
        current | previous
    }

    /// A skew of 0, since the library's skew of 1 would take the next step too.
    fn generator(&self, period: u32) -> Totp {
        Builder::new()
            .with_secret(self.0.clone())
            .with_skew(0)
            .with_step_duration(period.max(1).into())
            .build_noncompliant()
    }
}

/// The number of the step that `now` is in.
pub(crate) fn step(now: WallMs, period: u32) -> u64 {
    now.0 / 1000 / u64::from(period.max(1))
}

#[cfg(test)]
mod tests {
    use contract::{AppName, StreamId};

    use super::*;

    fn at(seconds: u64) -> WallMs {
        WallMs(seconds * 1000)
    }

    fn code(key: &CodeKey, seconds: u64, period: u32) -> String {
        key.code_at(at(seconds), period).unwrap().reveal().to_owned()
    }

    #[test]
    fn codes_of_registered_secrets_match_rfc_6238_and_ams() {
        let rfc = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let rows = [
            (rfc, 59, 30, "287082"),
            (rfc, 1_111_111_109, 30, "081804"),
            (rfc, 1_111_111_111, 30, "050471"),
            (rfc, 1_234_567_890, 30, "005924"),
            (rfc, 2_000_000_000, 30, "279037"),
            (rfc, 20_000_000_000, 30, "353130"),
            ("6qsp6qhndryqs56zjmvs37i6gqtjsdvc", 1_700_000_000, 60, "216877"),
            ("6qsp6qhndryqs56zjmvs37i6gqtjsdvc", 1_700_000_039, 60, "216877"),
            ("mysecret", 1_700_000_000, 60, "806136"),
            ("abcdabcd", 1_700_000_000, 60, "500681"),
            ("ABCDABCD", 1_700_000_000, 60, "500681"),
            ("abcdabcf", 1_700_000_000, 10, "100057"),
            ("abcdabcf", 1_700_000_000, 30, "550726"),
            ("abcdabcf", 1_700_000_000, 60, "215703"),
            (rfc, 1_700_000_000, 60, "895298"),
            ("JBSWY3DPEHPK3PXP", 1_700_000_000, 60, "508648"),
            ("JBSWY3DPEHPK3PXP", 1_735_689_600, 2_147_483_647, "282760"),
            ("JBSWY3DPEHPK3PXP", 1_700_002_260, 60, "001891"),
        ];
        for (secret, t, period, expected) in rows {
            assert_eq!(code(&CodeKey::from_base32(secret).unwrap(), t, period), expected, "{secret} at {t}");
        }
    }

    #[test]
    fn codes_of_unregistered_subscribers_match_ams() {
        let rows = [
            ("secret", "sub1", "stream1", Action::Publish, 1_700_000_000, "645454"),
            ("secret1", "sub1", "stream1", Action::Play, 1_700_000_000, "176709"),
            ("secret1", "sub1", "stream1", Action::Publish, 1_700_000_000, "286894"),
            ("random_thing", "lastpeony", "teststream", Action::Publish, 1_700_000_000, "544222"),
            ("random_thing", "lastpeony", "teststream", Action::Play, 1_700_000_000, "136754"),
            ("random_thing", "lastpeony", "teststream", Action::Play, 1_700_000_039, "136754"),
            ("random_thing", "lastpeony", "teststream", Action::Play, 1_700_000_040, "198040"),
            ("s3cr3t", "playerA", "stream-1", Action::Play, 1_735_689_600, "341221"),
        ];
        for (secret, sid, id, action, t, expected) in rows {
            assert_eq!(
                code(&derived(secret, sid, id, action), t, 60),
                expected,
                "{secret} {sid} {id} {action}"
            );
        }
    }

    #[test]
    fn a_derived_key_is_padded_in_utf16_units() {
        assert_eq!(derived("secret", "sub1", "stream1", Action::Publish).0, b"secretsub1stream1publish");
        assert_eq!(derived("secret1", "sub1", "stream1", Action::Play).0, b"secret1sub1stream1playXX");
        // One UTF-16 unit and two bytes: 24 units need no padding.
        let umlaut = derived("s\u{e4}cret", "sub1", "stream1", Action::Publish).0;
        assert_eq!(umlaut, "s\u{e4}cretsub1stream1publish".as_bytes());
    }

    #[test]
    fn secrets_are_base32_as_ams_checks_it() {
        for good in ["abcdabcf", "mysecret", "ABCDEFA=", "AAAAAA======", "AA======"] {
            assert_eq!(CodeKey::from_base32(good).is_ok(), good.len() % 8 == 0, "{good}");
        }
        let bad = [
            "1234567",
            "abcdabc1",
            "SecretKey",
            "ABCDEF==",
            "ABCDEF1=",
            "ABCDEFB=",
            "========",
            "=",
            "",
            "A=======",
            "abcd abc",
            "abcdabc\u{e4}",
            "AA======AA======",
            "ABCDABC",
            " abcdabcd",
        ];
        for text in bad {
            assert!(CodeKey::from_base32(text).is_err(), "{text}");
        }
        assert!(CodeKey::from_base32(&"A".repeat(MAX_SECRET)).is_ok());
        assert!(CodeKey::from_base32(&"A".repeat(MAX_SECRET + 8)).is_err());
    }

    #[test]
    fn the_current_and_the_previous_step_are_accepted_and_no_other() {
        let key = CodeKey::from_base32("mysecret").unwrap();
        let made = 28_333_333 * 60;
        let code = key.code_at(at(made), 60).unwrap();
        for (offset, accepted) in [(-1, false), (0, true), (59, true), (60, true), (119, true), (120, false)]
        {
            let t = made.checked_add_signed(offset).unwrap();
            assert_eq!(key.accepts(&code, at(t), 60), accepted, "{offset} s");
        }
    }

    #[test]
    fn time_before_the_first_step_ends_is_no_trouble() {
        let key = CodeKey::from_base32("JBSWY3DPEHPK3PXP").unwrap();
        let code = TotpCode::parse("282760").unwrap();
        assert!(key.accepts(&code, at(0), i32::MAX as u32));
        assert!(key.accepts(&code, at(1_735_689_600), i32::MAX as u32));
        assert!(!key.accepts(&TotpCode::parse("282761").unwrap(), at(0), i32::MAX as u32));
    }

    fn derived(secret: &str, sid: &str, id: &str, action: Action) -> CodeKey {
        let stream = StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse(id).unwrap() };
        CodeKey::derived(&Secret::new(secret.into()), &SubscriberId::parse(sid).unwrap(), &stream, action)
    }
}
