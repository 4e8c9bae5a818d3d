//! The README's tour, and the guides' commands, run as they are printed.
//!
//! A fenced block whose info string is `sh tour` is run, and one that says `sh tour background`
//! is started and left running. All blocks run in order, in one shell, from the checkout; the
//! addresses of a default installation are replaced by those of the server under test.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine;
use crate::server::Server;

/// For the whole tour, which is meant to take five minutes by hand.
const LIMIT: Duration = Duration::from_secs(120);

/// A command block of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What is run.
    pub text: String,
    /// Whether the tour goes on while it runs.
    pub background: bool,
}

/// The blocks of a Markdown text that are to be run; they may stand in a list.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let (mut found, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    for line in markdown.lines() {
        match line.trim().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info @ ("sh tour" | "sh tour background")) => {
                open = true;
                found.push(Block { text: String::new(), background: info.ends_with("background") });
            }
            _ if open => found.last_mut().map_or((), |b| b.text += &format!("{line}\n")),
            _ => {}
        }
    }
    found
}

/// One script of all blocks, against `server`. It stops at the first command that fails, and
/// ends what it left in the background.
pub fn script(blocks: &[Block], server: &Server) -> String {
    // `kill 0` reaches the whole process group, which is ours alone, and not only the shells
    // that `jobs` knows.
    let mut script = String::from("set -euo pipefail\ntrap 'trap \"\" TERM; kill 0' EXIT\n");
    for block in blocks {
        let text = localised(&block.text, server);
        script += &if block.background { format!("{{\n{text}}} </dev/null &\n") } else { text };
    }
    script
}

fn localised(text: &str, server: &Server) -> String {
    let mut text = text.to_owned();
    for host in ["127.0.0.1", "localhost"] {
        text = text.replace(&format!("{host}:5080"), &server.http.to_string());
        text = text.replace(&format!("{host}:1935"), &server.rtmp.to_string());
        text = text.replace(&format!("rtmp://{host}/"), &format!("rtmp://{}/", server.rtmp));
    }
    text
}

/// Runs the tour of a document of the checkout; gives all that it printed.
pub fn run(document: &str, server: &Server) -> Result<String> {
    let text = std::fs::read_to_string(machine::root().join(document)).context(document.to_owned())?;
    let blocks = blocks(&text);
    ensure!(!blocks.is_empty(), "{document} has no block marked `sh tour`");
    let mut bash = Command::new("bash");
    bash.current_dir(machine::root()).args(["-c", &script(&blocks, server)]);
    // `sluice` is the binary under test, told of the same addresses and data as the server.
    let binary = crate::server::binary()?;
    let folders = [binary.parent().context("a binary lies in a folder")?.to_path_buf()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    bash.env("PATH", std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?);
    bash.envs(server.environment());
    let mut process = crate::proc::Process::spawn("the tour", bash)?;
    drop(process.stdin()?);
    let status = process.wait_within(LIMIT).with_context(|| process.log.text())?;
    ensure!(status.success(), "the tour failed with {status}:\n{}", process.log.text());
    Ok(process.log.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let text = "```sh\nno\n```\n```sh tour\nyes 1\nyes 2\n```\n~~~\n```sh tour background\nlong\n```\n";
        let found = blocks(text);
        assert_eq!(found.iter().map(|b| b.text.as_str()).collect::<Vec<_>>(), ["yes 1\nyes 2\n", "long\n"]);
        assert_eq!(found.iter().map(|b| b.background).collect::<Vec<_>>(), [false, true]);
    }
}
