//! Blocks hold whether or not codes are needed (C§5.1 row 13, C§6).

use contract::auth::Authorize;

use super::{Gate, GateContext, Refusal, Verdict};

pub(super) struct Check;

impl Gate for Check {
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        match (&ask.credentials.subscriber, cx.blocked) {
            (None, _) => Verdict::Skip,
            (Some(_), false) => Verdict::Pass,
            (Some(_), true) => Verdict::Deny(Refusal::Blocked),
        }
    }
}
