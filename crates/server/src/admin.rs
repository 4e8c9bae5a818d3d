//! What an operator does by command: accounts, backup, restore. Through the running
//! server's socket if there is one, else on the data folder itself.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use actix::prelude::*;
use anyhow::{Context, Result, bail, ensure};
use audit::Audit;
use auth::Accounts;
use contract::accounts::Role;
use contract::{Clock, Secret};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use store::{Archive, Overwrite, Restored, Store, write_whole};
use tracing_subscriber::EnvFilter;

use crate::command::{Key, Password};
use crate::config::Config;
use crate::socket::{self, Ask, Desk};

/// Makes an account.
pub(crate) fn add_user(config: &Config, email: String, role: Role, password: Password) -> Result<()> {
    let password = password.get()?;
    ask(config, Ask::AddUser { email: email.clone(), role, password })?;
    println!("{email} can log in.");
    Ok(())
}

/// Gives an account another password.
pub(crate) fn reset_user(config: &Config, email: String, password: Password) -> Result<()> {
    let password = password.get()?;
    ask(config, Ask::ResetUser { email: email.clone(), password })?;
    println!("{email} has another password; who was logged in with the old one is not any more.");
    Ok(())
}

/// Writes everything that lasts to a file that only its owner can read.
pub(crate) fn backup(config: &Config, file: &Path, key: Key) -> Result<()> {
    ensure!(config.store.path.join("sled").exists(), "{}: holds no data", config.store.path.display());
    let bytes = ask(config, Ask::Backup)?;
    let mut archive = Archive::read(&mut bytes.as_slice())?;
    if key == Key::Included {
        archive = archive.with_key(&config.store.key_path())?;
    }
    write_whole(file, |out| archive.write(out)).with_context(|| file.display().to_string())?;
    println!("{} records in {}.", archive.len(), file.display());
    if key == Key::LeftOut {
        println!(
            "Keep {} as well, elsewhere: its secrets open with nothing else.",
            config.store.key_path().display()
        );
    }
    Ok(())
}

/// Puts a backup into the data folder.
pub(crate) fn restore(config: &Config, file: &Path, overwrite: Overwrite) -> Result<()> {
    let mut from = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    let archive = Archive::read(&mut std::io::BufReader::new(&mut from))?;
    let key = config.store.key_path();
    let restored = archive.restore(&config.store.path, &key, overwrite);
    let restored = restored.map_err(|error| match error {
        store::RestoreError::NotEmpty(_) => anyhow::anyhow!("{error}; --force puts the backup in its place"),
        error => error.into(),
    })?;
    println!("{} records in {}.", archive.len(), config.store.path.display());
    if restored == Restored::NeedsKey {
        println!("Put its key into {} before you start the server.", key.display());
    }
    Ok(())
}

/// Asks the running server, or does it on the folder.
fn ask(config: &Config, ask: Ask) -> Result<Vec<u8>> {
    match socket::ask(&config.store.path, &ask)? {
        Some(bytes) => Ok(bytes),
        None => {
            // No server's log tells what goes wrong.
            crate::log::start(EnvFilter::new("warn"));
            actix::System::new().block_on(alone(config, ask))
        }
    }
}

async fn alone(config: &Config, ask: Ask) -> Result<Vec<u8>> {
    let store = Store::open(&config.store.path, &config.store.key_path())?;
    let clock = Clock::system();
    let accounts = Accounts::load(store.clone(), clock.clone())?.start();
    let audit = Audit::load(store.clone())?.start();
    let desk = Desk {
        store,
        add_account: accounts.clone().recipient(),
        change_account: accounts.recipient(),
        note: audit.recipient(),
        clock,
    };
    desk.carry_out(ask).await
}

impl Password {
    fn get(self) -> Result<Secret<String>> {
        match self {
            Self::Generated => generated(),
            Self::Asked => asked(),
        }
    }
}

/// 100 bits, in letters and digits that are not mistaken for each other.
fn generated() -> Result<Secret<String>> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut random = [0; 20];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let password: String = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    println!("Password: {password}");
    Ok(Secret::new(password))
}

fn asked() -> Result<Secret<String>> {
    let input = std::io::stdin();
    let password = if input.is_terminal() { unseen("Password: ")? } else { line()? };
    if password.is_empty() {
        bail!("no password");
    }
    if input.is_terminal() && unseen("Again: ")? != password {
        bail!("these are two");
    }
    Ok(Secret::new(password))
}

fn line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads a line that the terminal does not show.
fn unseen(prompt: &str) -> Result<String> {
    let terminal = std::io::stdin();
    eprint!("{prompt}");
    std::io::stderr().flush()?;
    let shown = tcgetattr(&terminal)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    let read = line();
    tcsetattr(&terminal, OptionalActions::Flush, &shown)?;
    eprintln!();
    read
}
