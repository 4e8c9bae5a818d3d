//! The panel's preview: a pass instead of a code (see [`Previews`](crate::previews)).

use contract::auth::Authorize;

use super::{Gate, GateContext, Verdict};

pub(super) struct Check;

impl Gate for Check {
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        let admitted = cx.security.totp(ask.action) && cx.previews.admits(ask, cx.now.wall);
        if admitted { Verdict::Admit } else { Verdict::Skip }
    }
}
