//! Publishers may be confined to networks (`allowedPublisherCIDR`).

use contract::Action;
use contract::auth::Authorize;

use super::{Gate, GateContext, Refusal, Verdict};

pub(super) struct Check;

impl Gate for Check {
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        let networks = &cx.security.publisher_networks;
        if ask.action != Action::Publish || networks.is_empty() {
            return Verdict::Skip;
        }
        match networks.iter().any(|network| network.contains(&ask.peer)) {
            true => Verdict::Pass,
            false => Verdict::Deny(Refusal::Ip),
        }
    }
}
