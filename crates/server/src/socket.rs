//! The operator's way to a running server: a Unix socket in the store's folder that
//! only the server's own user (and root) can open.
//!
//! One request of one line of JSON, one line of JSON as answer; a backup follows it as
//! bytes. Started once the store is open, so that a socket which is there already is
//! one that a dead server left. Ends with the process.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix::Recipient;
use anyhow::{Context, Result, bail};
use contract::accounts::{AddAccount, ChangeAccount, Role};
use contract::audit::{About, AuditEntry, Deed, Note};
use contract::{Clock, Secret};
use rustix::fs::{Mode, fchmod};
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use store::Store;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// Longest request in bytes.
const LONGEST: u64 = 4096;

/// For one request and its answer, a backup over a slow disk included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Accepting fails again at once while descriptors are short. This keeps the loop from
/// taking a core, and is nothing to an operator who waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Operators at a time.
const BACKLOG: i32 = 4;

/// Connections to the control API that wait to be accepted.
const API_BACKLOG: i32 = 128;

/// What an operator may ask of a running server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub(crate) enum Ask {
    /// Everything that lasts.
    Backup,
    /// Another account.
    AddUser { email: String, role: Role, password: Secret<String> },
    /// Another password.
    ResetUser { email: String, password: Secret<String> },
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// Why not.
    error: Option<String>,
    /// How many bytes follow.
    bytes: u64,
}

/// Where it is.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

/// Whom the socket asks.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) add_account: Recipient<AddAccount>,
    pub(crate) change_account: Recipient<ChangeAccount>,
    pub(crate) note: Recipient<Note>,
    pub(crate) clock: Clock,
}

/// Listens, and answers one after the other.
pub(crate) fn serve(folder: &Path, desk: Desk) -> Result<()> {
    let listener = listen(&path(folder))?;
    actix_rt::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: let some close.
                    tracing::warn!(%error, "control socket: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let answered = tokio::time::timeout(PATIENCE, desk.answer(stream)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::warn!("an operator left before his answer");
            }
        }
    });
    Ok(())
}

fn listen(path: &Path) -> Result<UnixListener> {
    // No other server can have this folder now.
    let _absent = std::fs::remove_file(path);
    Ok(UnixListener::from_std(bind(path, BACKLOG)?)?)
}

/// A Unix socket for this user and its group, in the place of one that a server left which
/// is gone.
pub(crate) fn listen_at(path: &Path) -> Result<std::os::unix::net::UnixListener> {
    let name = || path.display().to_string();
    let is_socket = std::fs::metadata(path).is_ok_and(|there| there.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path).with_context(name)?;
    }
    let listener = bind(path, API_BACKLOG)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660)).with_context(name)?;
    Ok(listener)
}

fn bind(path: &Path, backlog: i32) -> Result<std::os::unix::net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it has a name, so that it is never open to others.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?).with_context(|| path.display().to_string())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Desk {
    async fn answer(&self, mut stream: tokio::net::UnixStream) -> Result<()> {
        let mut line = String::new();
        tokio::io::BufReader::new((&mut stream).take(LONGEST)).read_line(&mut line).await?;
        let done = match serde_json::from_str(&line) {
            Ok(ask) => self.carry_out(ask).await,
            Err(_) => Err(anyhow::anyhow!("not a request that this server knows")),
        };
        let (error, bytes) = match done {
            Ok(bytes) => (None, bytes),
            Err(error) => (Some(format!("{error:#}")), Vec::new()),
        };
        let answer = Answer { error, bytes: bytes.len() as u64 };
        stream.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
        Ok(stream.write_all(&bytes).await?)
    }

    /// Gives what follows the answer.
    pub(crate) async fn carry_out(&self, ask: Ask) -> Result<Vec<u8>> {
        match ask {
            Ask::Backup => {
                let archive = self.store.archive().await?;
                // Summing up all of it would hold up the owners, who share this thread.
                let bytes = tokio::task::spawn_blocking(move || {
                    let mut bytes = Vec::new();
                    archive.write(&mut bytes).map(|()| bytes)
                });
                let bytes = bytes.await??;
                tracing::info!(bytes = bytes.len(), "backup given to the operator");
                return Ok(bytes);
            }
            Ask::AddUser { email, role, password } => {
                let (first_name, last_name) = Default::default();
                let account = AddAccount { email: email.clone(), password, first_name, last_name, role };
                self.add_account.send(account).await??;
                tracing::info!(%email, "account added by the operator");
                self.note(Deed::AddAccount, &email).await;
            }
            Ask::ResetUser { email, password } => {
                let password = Some(password);
                let (first_name, last_name, role) = Default::default();
                let change = ChangeAccount { email: email.clone(), first_name, last_name, role, password };
                self.change_account.send(change).await??;
                tracing::info!(%email, "password changed by the operator");
                self.note(Deed::ChangeAccount, &email).await;
            }
        }
        Ok(Vec::new())
    }

    /// What was done is done, whether or not it can be noted; the log says if not.
    async fn note(&self, what: Deed, email: &str) {
        let entry = AuditEntry {
            at: self.clock.now().wall,
            who: None,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            what,
            about: About::default(),
            detail: format!("{email}, by command"),
        };
        if !matches!(self.note.send(Note(entry)).await, Ok(Ok(()))) {
            tracing::error!(what = what.as_str(), "audit entry not written");
        }
    }
}

/// Asks the server that runs on this folder; `None`: none does.
pub(crate) fn ask(folder: &Path, ask: &Ask) -> Result<Option<Vec<u8>>> {
    let path = path(folder);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            bail!("{}: not allowed; ask as root or as the server's user", path.display())
        }
        // Nobody listens, whether or not a dead server left a name.
        Err(_) => return Ok(None),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", serde_json::to_string(ask)?).as_bytes())?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let answer: Answer = serde_json::from_str(&line).context("the server's answer cannot be read")?;
    if let Some(error) = answer.error {
        bail!(error);
    }
    let mut bytes = Vec::new();
    stream.take(answer.bytes).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != answer.bytes {
        bail!("the server ended before its answer did");
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use actix::Actor;
    use audit::Audit;
    use auth::Accounts;

    use super::*;

    #[actix_rt::test]
    async fn what_was_done_is_told_as_done_though_its_audit_entry_was_not_written() {
        let (broken, fault) = Store::memory_with_fault();
        fault.break_disk();
        let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap();
        let view = accounts.view();
        let accounts = accounts.start();
        let desk = Desk {
            store: broken.clone(),
            add_account: accounts.clone().recipient(),
            change_account: accounts.recipient(),
            note: Audit::load(broken).unwrap().start().recipient(),
            clock: Clock::system(),
        };
        let (email, role) = ("a@example.org".to_owned(), Role::Admin);
        let add = || Ask::AddUser { email: email.clone(), role, password: Secret::new("secret".to_owned()) };
        assert_eq!(desk.carry_out(add()).await.unwrap(), b"");
        assert!(view.get(&email).is_some());
        assert!(desk.carry_out(add()).await.is_err(), "what was not done is told as not done");
        let reset = Ask::ResetUser { email, password: Secret::new("other".to_owned()) };
        assert_eq!(desk.carry_out(reset).await.unwrap(), b"");
    }
}
