//! A copy of this machine that is thrown away, for what installs something or needs root.
//!
//! `tests/machine/enter` makes it: the machine's own files with what is written on top of them
//! in memory, and a network that is a loopback of its own. The release build is left out: the
//! binary under test lies where it would put its own. There is no systemd;
//! `tests/machine/systemctl` does by the unit's lines what one would ask of it. What the script
//! builds and packs with must be on the machine already: `scripts/test` brings it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine;
use crate::proc::Process;

/// For all that is done on it. `timeout`, which may end root's processes, is to be first.
const LIMIT: Duration = Duration::from_secs(620);
/// In new namespaces, which end when the first process in them does, and that when whoever
/// waits for it does (where sudo is needed, only by `timeout`). In a session of its own, or what asks something at a terminal (apt) would
/// be stopped there for not being in its foreground.
const ENTER: &str = "setpriv --pdeathsig KILL timeout --foreground --signal=KILL 600 \
    setpriv --pdeathsig KILL setsid unshare --mount --pid --net --uts --ipc --fork --kill-child";

/// Runs a script of bash as root in the checkout's copy; gives all that it printed. It fails
/// with the first command that does.
pub fn run(script: &str) -> Result<String> {
    let root = machine::root().canonicalize()?;
    let cargo = Cargo::find()?;
    // A folder to mount on, which stays empty outside of the namespaces.
    let base = tempfile::tempdir()?;
    let mut words = ENTER.split_whitespace();
    let mut enter = machine::as_root(words.next().context("a command has a name")?);
    enter.args(words).arg(root.join("tests/machine/enter")).arg(base.path());
    enter.arg(crate::server::binary()?).args([&root, &cargo.home, &cargo.toolchain]);
    let mut process = Process::spawn("the throw-away machine", enter)?;
    // If it ended before it read this, what it printed says why.
    let told = process.tell(&format!("{}{script}", prelude(&root, &cargo)));
    drop(process.stdin()?);
    let status = process.wait_within(LIMIT).with_context(|| process.log.text())?;
    ensure!(status.success(), "the throw-away machine ended with {status}:\n{}", process.log.text());
    told?;
    Ok(process.log.text())
}

/// Cargo as it runs these tests, without links.
struct Cargo {
    home: PathBuf,
    toolchain: PathBuf,
}

impl Cargo {
    fn find() -> Result<Self> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output()?;
        ensure!(output.status.success(), "rustc --print sysroot: {}", output.status);
        let toolchain = Path::new(String::from_utf8(output.stdout)?.trim()).canonicalize()?;
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
        let home = home.context("nothing says where cargo is at home")?.canonicalize()?;
        Ok(Self { home, toolchain })
    }
}

/// The environment of whoever builds and installs: a checkout, and no registry.
fn prelude(root: &Path, cargo: &Cargo) -> String {
    let (root, home, toolchain) = (root.display(), cargo.home.display(), cargo.toolchain.display());
    format!(
        "set -euo pipefail\n\
         trap '[ $? = 0 ] || cat /var/log/sluice.log' EXIT\n\
         unset CARGO_TARGET_DIR CARGO RUSTC\n\
         export HOME=/root CARGO_HOME=/opt/cargo CARGO_NET_OFFLINE=true\n\
         export TRUE_CARGO='{toolchain}/bin/cargo' TRUE_CARGO_HOME='{home}'\n\
         export CARGO_INSTALL_ROOT='{root}/.tools/cargo'\n\
         export PATH=\"/opt/cargo/bin:$CARGO_INSTALL_ROOT/bin:{toolchain}/bin:\
         /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n"
    )
}
