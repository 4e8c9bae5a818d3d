//! The README's tour, and the guides' commands, run as they are printed.
//!
//! A fenced block whose info string begins with `sh tour` is run. All blocks of one kind run in
//! order, in one shell, from a folder that looks like the checkout; the addresses of a default
//! installation are replaced by those of the server under test, and [`TOKEN`] by what it printed.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::machine;
use crate::server::{Home, Server};

/// For the whole tour, which is meant to take five minutes by hand.
const LIMIT: Duration = Duration::from_secs(120);
/// What stands in a guide for the set-up token.
const TOKEN: &str = "PASTE-THE-SET-UP-TOKEN";
/// What a guide may show without its being run.
const SHOWN: [&str; 4] = ["html", "js", "text", "toml"];
/// What begins a command that a reader might type.
const PROGRAMS: [&str; 24] = [
    "apt",
    "apt-get",
    "bash",
    "cargo",
    "chmod",
    "chown",
    "curl",
    "docker",
    "ffmpeg",
    "git",
    "install",
    "journalctl",
    "kill",
    "node",
    "npm",
    "openssl",
    "podman",
    "python3",
    "scripts/run",
    "scripts/test",
    "sluice",
    "sudo",
    "systemctl",
    "wget",
];

/// How a command block is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `sh tour`: while a server runs, to its end.
    Running,
    /// `sh tour background`: started while a server runs, and left running.
    Background,
    /// `sh tour stopped`: on the same data, after that server was stopped.
    Stopped,
    /// `sh tour root`: as root, on a copy of this machine ([`crate::throwaway`]), nothing
    /// replaced.
    Root,
}

impl Kind {
    fn of(info: &str) -> Option<Self> {
        match info {
            "sh tour" => Some(Self::Running),
            "sh tour background" => Some(Self::Background),
            "sh tour stopped" => Some(Self::Stopped),
            "sh tour root" => Some(Self::Root),
            _ => None,
        }
    }
}

/// A command block of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What is run.
    pub text: String,
    /// How.
    pub kind: Kind,
}

/// The blocks of a Markdown text that are to be run; they may stand in a list.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let fences = parts(markdown).fences.into_iter();
    fences.filter_map(|fence| Some(Block { kind: Kind::of(&fence.info)?, text: fence.text })).collect()
}

/// What a Markdown text consists of, as far as commands go.
#[derive(Default)]
struct Parts {
    fences: Vec<Fence>,
    /// The lines outside of all fences.
    prose: String,
}

struct Fence {
    info: String,
    text: String,
}

fn parts(markdown: &str) -> Parts {
    let (mut parts, mut open) = (Parts::default(), false);
    for line in markdown.lines() {
        match line.trim().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                parts.fences.push(Fence { info: info.to_owned(), text: String::new() });
            }
            None if open => parts.fences.last_mut().map_or((), |f| f.text += &format!("{line}\n")),
            None => parts.prose += &format!("{line}\n"),
        }
    }
    parts
}

/// What a guide shows as if it were to be typed, and no test runs: indented blocks, fences that
/// are neither run nor of another language, and command lines within sentences that are in no
/// block of `run`, the blocks of all guides.
pub fn not_run(markdown: &str, run: &[Block]) -> Vec<String> {
    let Parts { fences, prose } = parts(markdown);
    let indented = prose.lines().filter(|line| line.starts_with("    ") || line.contains('\t'));
    let tilded = prose.lines().filter(|line| line.trim().starts_with("~~~"));
    let fenced = fences.iter().filter(|f| Kind::of(&f.info).is_none() && !SHOWN.contains(&f.info.as_str()));
    let lines = indented.chain(tilded).chain(fenced.map(|fence| fence.text.as_str()));
    let spans = spans(&prose).into_iter();
    let spans = spans.filter(|span| is_command(span) && !run.iter().any(|block| block.text.contains(span)));
    lines.map(str::to_owned).chain(spans).collect()
}

/// The code within sentences, its lines joined.
fn spans(prose: &str) -> Vec<String> {
    let code = prose.split('`').skip(1).step_by(2);
    code.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn is_command(span: &str) -> bool {
    span.split_once(' ').is_some_and(|(program, _)| PROGRAMS.contains(&program))
}

/// One script of all blocks that want a running server, against `server`. It stops at the first
/// command that fails, and ends what it left in the background.
fn script(blocks: &[Block], server: &Server) -> String {
    // `kill 0` reaches the whole process group, which is ours alone, and not only the shells
    // that `jobs` knows.
    let mut script = String::from("set -euo pipefail\ntrap 'trap \"\" TERM; kill 0' EXIT\n");
    for block in blocks {
        let text = localised(&block.text, server);
        match block.kind {
            Kind::Running => script += &text,
            Kind::Background => script += &format!("{{\n{text}}} </dev/null &\n"),
            Kind::Stopped | Kind::Root => {}
        }
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
    text.replace(TOKEN, &server.setup_token().unwrap_or_default())
}

/// A document whose commands are run.
pub struct Tour {
    document: String,
    blocks: Vec<Block>,
    /// Where they run. What they write stays here.
    folder: TempDir,
}

impl Tour {
    /// A document of the checkout.
    pub fn of(document: &str) -> Result<Self> {
        let text = std::fs::read_to_string(machine::root().join(document)).context(document.to_owned())?;
        let folder = tempfile::tempdir()?;
        for entry in std::fs::read_dir(machine::root())? {
            let entry = entry?;
            std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name()))?;
        }
        Ok(Self { document: document.to_owned(), blocks: blocks(&text), folder })
    }

    /// Whether it has blocks of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.blocks.iter().any(|block| block.kind == kind)
    }

    /// Runs what wants a running server; gives all that it printed.
    pub fn beside(&self, server: &Server) -> Result<String> {
        ensure!(self.has(Kind::Running), "{} has no block marked `sh tour`", self.document);
        let mut bash = self.bash(&script(&self.blocks, server))?;
        bash.envs(server.environment());
        self.finish(bash)
    }

    /// Runs what wants the server stopped, on its data; gives all that it printed.
    pub fn after(&self, home: &Home) -> Result<String> {
        ensure!(self.has(Kind::Stopped), "{} has no block marked `sh tour stopped`", self.document);
        let stopped = self.blocks.iter().filter(|block| block.kind == Kind::Stopped);
        let script: String = stopped.map(|block| block.text.as_str()).collect();
        let mut bash = self.bash(&format!("set -euo pipefail\n{script}"))?;
        bash.env("SLUICE__STORE__PATH", home.data());
        self.finish(bash)
    }

    /// Where `sluice` is the binary under test.
    fn bash(&self, script: &str) -> Result<Command> {
        let mut bash = Command::new("bash");
        bash.current_dir(self.folder.path()).args(["-c", script]);
        let binary = crate::server::binary()?;
        let folders = [binary.parent().context("a binary lies in a folder")?.to_path_buf()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        bash.env("PATH", std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?);
        Ok(bash)
    }

    fn finish(&self, bash: Command) -> Result<String> {
        let mut process = crate::proc::Process::spawn(&self.document, bash)?;
        drop(process.stdin()?);
        let status = process.wait_within(LIMIT).with_context(|| process.log.text())?;
        ensure!(status.success(), "{} ended with {status}:\n{}", self.document, process.log.text());
        Ok(process.log.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let text = "```sh\nno\n```\n```sh tour\nyes 1\nyes 2\n```\n~~~\n```sh tour background\nlong\n```\n\
            - ```sh tour stopped\n  no mark\n  ```sh tour stopped\n  end\n  ```\n```sh tour root\nall\n```\n";
        let found = blocks(text);
        let texts: Vec<_> = found.iter().map(|b| b.text.as_str()).collect();
        assert_eq!(texts, ["yes 1\nyes 2\n", "long\n", "  end\n", "all\n"]);
        let kinds: Vec<_> = found.iter().map(|b| b.kind).collect();
        assert_eq!(kinds, [Kind::Running, Kind::Background, Kind::Stopped, Kind::Root]);
    }

    #[test]
    fn commands_that_nothing_runs_are_found() {
        let run = blocks("```sh tour\nsluice doctor --now\n```\n");
        let found = |text: &str| not_run(text, &run);
        let none: [&str; 0] = [];
        assert_eq!(found("    sluice doctor\n"), ["    sluice doctor"]);
        assert_eq!(
            found("- a\n\n  ```sh\n  one\n  ```\n```\ntwo\n```\n```sh tour\nran\n```\n"),
            ["  one\n", "two\n"]
        );
        assert_eq!(found("~~~sh\none\n~~~\n"), ["~~~sh", "~~~"]);
        assert_eq!(found("Type `sudo\nsluice` or `apt purge x`."), ["sudo sluice", "apt purge x"]);
        assert_eq!(found("`sluice doctor` `sluice` `systemd unit`\n- a\n  b\n```toml\n[x]\n```\n"), none);
    }
}
