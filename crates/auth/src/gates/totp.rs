//! The one-time code (RFC 6238, C§4).

use contract::auth::Authorize;

use super::{Gate, GateContext, Refusal, Verdict};
use crate::code::{self, CodeKey};
use crate::guess::{Attempt, Leave, Whose};

pub(super) struct Check;

impl Gate for Check {
    fn check(&self, ask: &Authorize, cx: &GateContext<'_>) -> Verdict {
        if !cx.security.totp(ask.action) {
            return Verdict::Skip;
        }
        let Some(attempt) = attempt(ask, cx) else {
            return Verdict::Deny(Refusal::Missing);
        };
        let Some((key, period)) = key(ask, cx) else {
            return Verdict::Deny(Refusal::NoSecret);
        };
        match cx.guesses.leave(&attempt, cx.now.mono) {
            Leave::Repeat => Verdict::Deny(Refusal::RepeatedCode),
            Leave::Wait => Verdict::Deny(Refusal::Guessing),
            Leave::Nowhere => Verdict::Deny(Refusal::UnknownStreamToPlay),
            Leave::Evaluate if key.accepts(attempt.code, cx.now.wall, period) => Verdict::Pass,
            Leave::Evaluate => Verdict::Deny(Refusal::WrongCode),
        }
    }
}

/// The try that a request is; `None` without subscriber or code.
pub(crate) fn attempt<'a>(ask: &'a Authorize, cx: &GateContext<'_>) -> Option<Attempt<'a>> {
    let own = cx.registration.with_secret();
    let period = own.and_then(|record| record.period).unwrap_or(cx.security.period);
    Some(Attempt {
        stream: &ask.stream,
        subscriber: ask.credentials.subscriber.as_ref()?,
        whose: match own {
            Some(_) => Whose::Own,
            None if ask.registered || ask.live || cx.registration.is_known() => Whose::Derived,
            None => Whose::Unheard,
        },
        action: ask.action,
        peer: ask.peer,
        code: ask.credentials.code.as_ref()?,
        step: code::step(cx.now.wall, period),
    })
}

/// What his codes are made from, and their period: his own secret and period, or
/// the application's.
fn key(ask: &Authorize, cx: &GateContext<'_>) -> Option<(CodeKey, u32)> {
    if let Some(record) = cx.registration.with_secret() {
        let key = CodeKey::from_base32(record.secret.as_ref()?.reveal()).ok()?;
        return Some((key, record.period.unwrap_or(cx.security.period)));
    }
    let subscriber = ask.credentials.subscriber.as_ref()?;
    let secret = cx.security.secret(ask.action).filter(|secret| !secret.reveal().trim().is_empty())?;
    Some((CodeKey::derived(secret, subscriber, &ask.stream, ask.action), cx.security.period))
}
