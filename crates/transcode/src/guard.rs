//! Panics of decoders end here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A decoder panicked. What it held is no longer to be trusted; make a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a decoder panicked")]
pub(crate) struct Panicked;

/// Runs `f`; the caller discards whatever `f` was changing when it panics.
pub(crate) fn guard<T>(f: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| Panicked)
}
