//! The one way to wait for something.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough for any single step on a machine that is busy with the other tests.
pub const STEP: Duration = Duration::from_secs(30);

/// How often a condition is looked at: often enough not to slow a test down, seldom enough
/// not to slow the server down.
const PAUSE: Duration = Duration::from_millis(25);

/// Polls until `look` finds something, at most [`STEP`]; `what` names it in the failure.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> Result<T> {
    eventually_within(STEP, what, look)
}

/// Like [`eventually`], with a deadline of its own.
pub fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}
