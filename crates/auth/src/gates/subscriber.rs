//! Who he says he is, and what he was registered for (C§5.1 rows 2, 4–6, 10).

use contract::Action;
use contract::auth::Authorize;

use super::{Gate, GateContext, Refusal, Registration, Verdict};

pub(super) struct Check;

impl Gate for Check {
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        if !cx.security.totp(ask.action) {
            return Verdict::Skip;
        }
        if ask.credentials.subscriber.is_none() || ask.credentials.code.is_none() {
            return Verdict::Deny(Refusal::Missing);
        }
        if matches!(cx.registration, Registration::Withdrawn) {
            return Verdict::Deny(Refusal::Withdrawn);
        }
        match cx.registration.with_secret() {
            // Publishers may play too; whoever has no type may play only.
            Some(record) if ask.action == Action::Publish && record.kind != Some(Action::Publish) => {
                Verdict::Deny(Refusal::Type)
            }
            None if cx.security.registered_only => Verdict::Deny(Refusal::Unregistered),
            _ => Verdict::Pass,
        }
    }
}
