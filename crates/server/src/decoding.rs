//! This program as a process that decodes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use transcode::{Decoding, MEMORY, Program};

use crate::command::DECODE;

/// This program by the name that leads to it even when its file was replaced or
/// removed, as an upgrade does under a running server.
const OURSELVES: &str = "/proc/self/exe";

/// Each stream's pictures in a process of their own.
pub(crate) fn apart() -> Decoding {
    Decoding::Apart(program())
}

/// How to start one.
pub(crate) fn program() -> Program {
    let found = || std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sluice"));
    let ourselves = Path::new(OURSELVES);
    let path = if ourselves.exists() { ourselves.to_owned() } else { found() };
    Program::new(path, [OsString::from(DECODE), MEMORY.to_string().into()])
}
