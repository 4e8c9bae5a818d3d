//! Only registered streams (`acceptOnlyStreamsInDataStore`, C§5.1 row 10).

use contract::Action;
use contract::auth::Authorize;

use super::{Gate, GateContext, Refusal, Verdict};

pub(super) struct Check;

impl Gate for Check {
    /// Playing is gated only together with codes (C§16.8).
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        if !cx.security.registered_only {
            return Verdict::Skip;
        }
        match ask.action {
            _ if ask.registered => Verdict::Pass,
            Action::Publish => Verdict::Deny(Refusal::UnknownStream),
            Action::Play if cx.security.totp_play => Verdict::Deny(Refusal::UnknownStreamToPlay),
            Action::Play => Verdict::Skip,
        }
    }
}
