//! How many sessions a subscriber may have (C§5.1 row 11, C§16.7).

use contract::auth::Authorize;

use super::{Gate, GateContext, Refusal, Verdict};

pub(super) struct Check;

impl Gate for Check {
    /// Only where codes are needed: without them anybody could use up the
    /// places of anybody else by saying his name.
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        match cx.places.limit {
            Some(_) if !cx.security.totp(ask.action) => Verdict::Skip,
            None => Verdict::Skip,
            Some(limit) if cx.places.taken < limit => Verdict::Pass,
            Some(_) => Verdict::Deny(Refusal::Limit),
        }
    }
}
