//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use contract::accounts::Role;

pub(crate) const USAGE: &str = "\
Usage: sluice [--config FILE] [COMMAND]

  (none)                     start the server
  check                      say whether it would start; also --check-config
  doctor                     look at ports, addresses, clock, disk and limits
  user add EMAIL [--role admin|user|read-only] [--generate]
  user reset EMAIL [--generate]
                             make an account, or give it another password. The password
                             is asked for, read from standard input, or generated
  backup FILE [--with-key]   write everything that lasts to a file, also while the server
                             runs. Without the key nobody can read the secrets in it
  restore FILE [--force]     put it back, while no server runs; --force: over other data

  --config FILE              configuration to use; if not given, config/sluice.toml, or
                             /etc/sluice/sluice.toml where that is not there
  --help, --version
";

/// Where packages put the configuration.
const INSTALLED_CONFIG: &str = "/etc/sluice/sluice.toml";

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve,
    Check,
    Doctor,
    AddUser {
        email: String,
        role: Role,
        password: Password,
    },
    ResetUser {
        email: String,
        password: Password,
    },
    Backup {
        file: PathBuf,
        key: Key,
    },
    Restore {
        file: PathBuf,
        overwrite: store::Overwrite,
    },
    /// Decode for the server that started it; no command for an operator.
    Decode {
        memory: u64,
    },
    Help,
    Version,
}

/// Where a password comes from; never from the command line, which others can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Password {
    Asked,
    Generated,
}

/// Whether a backup can be read by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    LeftOut,
    Included,
}

/// A command and the configuration that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) config: PathBuf,
    pub(crate) command: Command,
}

impl Invocation {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut words = Words::sort(args)?;
        let config = words.value("--config").map_or_else(usual_config, PathBuf::from);
        let command = words.command()?;
        words.end()?;
        Ok(Self { config, command })
    }
}

/// The configuration of a checkout that one stands in, else that of the installed server.
fn usual_config() -> PathBuf {
    let checkout = PathBuf::from("config/sluice.toml");
    if checkout.exists() { checkout } else { INSTALLED_CONFIG.into() }
}

/// What the server calls itself with to decode, before the bytes of memory.
pub(crate) const DECODE: &str = "transcode-child";

/// Options without a value.
const FLAGS: [&str; 7] =
    ["--help", "-h", "--version", "--check-config", "--with-key", "--force", "--generate"];

/// Options in any place, and the rest in order.
struct Words {
    options: Vec<(String, Option<String>)>,
    rest: std::collections::VecDeque<String>,
}

impl Words {
    fn sort(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut words = Self { options: Vec::new(), rest: std::collections::VecDeque::new() };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--config" | "--role" => {
                    let value = args.next().with_context(|| format!("{arg} needs a value"))?;
                    words.options.push((arg, Some(value)));
                }
                flag if FLAGS.contains(&flag) => words.options.push((arg, None)),
                _ if arg.starts_with('-') => bail!("unknown option {arg}\n\n{USAGE}"),
                _ => words.rest.push_back(arg),
            }
        }
        Ok(words)
    }

    fn command(&mut self) -> Result<Command> {
        if self.flag("--help") || self.flag("-h") {
            return Ok(Command::Help);
        }
        if self.flag("--version") {
            return Ok(Command::Version);
        }
        if self.flag("--check-config") {
            return Ok(Command::Check);
        }
        Ok(match self.rest.pop_front().as_deref() {
            None => Command::Serve,
            Some("check") => Command::Check,
            Some("doctor") => Command::Doctor,
            Some(DECODE) => Command::Decode { memory: self.next("memory")?.parse()? },
            Some("user") => self.user()?,
            Some("backup") => {
                let key = if self.flag("--with-key") { Key::Included } else { Key::LeftOut };
                Command::Backup { file: self.next("a file")?.into(), key }
            }
            Some("restore") => {
                let force = self.flag("--force");
                let overwrite = if force { store::Overwrite::Allow } else { store::Overwrite::Refuse };
                Command::Restore { file: self.next("a file")?.into(), overwrite }
            }
            Some(other) => bail!("unknown command {other}\n\n{USAGE}"),
        })
    }

    fn user(&mut self) -> Result<Command> {
        let what = self.next("add or reset")?;
        let email = self.next("an e-mail address")?;
        let password = if self.flag("--generate") { Password::Generated } else { Password::Asked };
        match what.as_str() {
            "add" => Ok(Command::AddUser { email, role: self.role()?, password }),
            "reset" => Ok(Command::ResetUser { email, password }),
            other => bail!("user: add or reset, not {other}"),
        }
    }

    fn role(&mut self) -> Result<Role> {
        match self.value("--role").as_deref() {
            None | Some("admin") => Ok(Role::Admin),
            Some("user") => Ok(Role::User),
            Some("read-only") => Ok(Role::ReadOnly),
            Some(other) => bail!("--role: admin, user or read-only, not {other}"),
        }
    }

    fn next(&mut self, what: &str) -> Result<String> {
        self.rest.pop_front().with_context(|| format!("{what} is missing\n\n{USAGE}"))
    }

    fn flag(&mut self, name: &str) -> bool {
        let before = self.options.len();
        self.options.retain(|(option, value)| option != name || value.is_some());
        self.options.len() < before
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(option, value)| option == name && value.is_some())?;
        self.options.remove(at).1
    }

    /// Nothing may be left that was not understood.
    fn end(self) -> Result<()> {
        let left = self.options.into_iter().map(|(option, _)| option).chain(self.rest).next();
        ensure!(left.is_none(), "unknown argument {}\n\n{USAGE}", left.unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Invocation> {
        Invocation::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_may_stand_anywhere() {
        for line in ["--config x backup f --with-key", "backup --with-key f --config x"] {
            let expected = Command::Backup { file: "f".into(), key: Key::Included };
            assert_eq!(parse(line).unwrap(), Invocation { config: "x".into(), command: expected }, "{line}");
        }
        assert_eq!(parse("").unwrap().command, Command::Serve);
        assert_eq!(parse("--check-config").unwrap().command, Command::Check);
        assert_eq!(parse("transcode-child 7").unwrap().command, Command::Decode { memory: 7 });
        let add = Command::AddUser { email: "a@b".into(), role: Role::User, password: Password::Generated };
        assert_eq!(parse("user add a@b --generate --role user").unwrap().command, add);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, word) in [
            ("--confg x", "--confg"),
            ("serve", "serve"),
            ("user add", "e-mail"),
            ("transcode-child", "memory"),
            ("user add a@b secret", "secret"),
            ("user drop a@b", "drop"),
            ("restore f --with-key", "--with-key"),
            ("doctor --force", "--force"),
            ("--config", "--config"),
            ("user add a@b --role king", "king"),
        ] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
