//! Messages to accounts: who may administer the server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::watch;

use crate::Secret;
use crate::auth::NotStored;

/// Whether nobody can log in yet.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "bool")]
pub struct NeedsFirstAccount;

/// Makes the first administrator. Check and create are one step (C§16.3a).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), FirstAccountError>")]
pub struct CreateFirstAccount {
    /// Login name.
    pub email: String,
    /// As the panel sends it: 32 hex digits of MD5, or plain.
    pub password: Secret<String>,
    /// Display name.
    pub first_name: String,
    /// Display name.
    pub last_name: String,
    /// Why the caller may.
    pub proof: SetupProof,
}

/// Why somebody may make the first administrator.
#[derive(Debug, Clone)]
pub enum SetupProof {
    /// He sits at the machine.
    Loopback,
    /// He has the one-time token that the first start printed.
    Token(Secret<String>),
    /// Neither.
    None,
}

/// Why there is no first administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FirstAccountError {
    /// There is one already.
    #[error("an account exists")]
    Exists,
    /// Neither loopback nor the set-up token.
    #[error("not allowed")]
    NotAllowed,
    /// Blank e-mail or password.
    #[error("e-mail or password missing")]
    Blank,
    /// Not on disk.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

/// Logs in.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Account, LoginError>")]
pub struct Login {
    /// Login name.
    pub email: String,
    /// As the panel sends it: 32 hex digits of MD5, or plain.
    pub password: Secret<String>,
    /// From where, for the failure budget.
    pub peer: IpAddr,
}

/// Who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub email: String,
    /// What he may do.
    pub role: Role,
    /// The password that he proved; see [`AccountView::revision`].
    pub revision: u64,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Streams and their subscribers; of settings only to read them.
    User,
    /// To look.
    ReadOnly,
}

/// Why not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Unknown name or wrong password; which one is not told.
    #[error("wrong e-mail or password")]
    Wrong,
    /// Too many failures from this network, or from all networks for this account, and it
    /// did not log in from this one of late.
    #[error("too many attempts")]
    Locked,
    /// Accounts cannot answer.
    #[error("accounts unavailable")]
    Unavailable,
}

/// Everybody's view of who may log in; always the newest. A login that is older
/// than its account's password ends by it, without anybody having to end it.
#[derive(Debug, Clone)]
pub struct AccountsView(watch::Receiver<Arc<AccountsTable>>);

/// Accounts by login name.
pub type AccountsTable = BTreeMap<String, AccountView>;

/// What may be shown of an account: never the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Display name.
    pub first_name: String,
    /// Display name.
    pub last_name: String,
    /// What he may do.
    pub role: Role,
    /// Of the password: another password has another one, and so has an account
    /// of the same name that was removed and added again. Unique in a process.
    pub revision: u64,
}

impl AccountsView {
    /// The owner of the accounts makes these.
    pub const fn new(table: watch::Receiver<Arc<AccountsTable>>) -> Self {
        Self(table)
    }

    /// One account.
    pub fn get(&self, email: &str) -> Option<AccountView> {
        self.0.borrow().get(email).cloned()
    }

    /// All accounts.
    pub fn all(&self) -> Arc<AccountsTable> {
        self.0.borrow().clone()
    }
}

/// Adds an account.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), AccountError>")]
pub struct AddAccount {
    /// Login name.
    pub email: String,
    /// As the panel sends it: 32 hex digits of MD5, or plain.
    pub password: Secret<String>,
    /// Display name.
    pub first_name: String,
    /// Display name.
    pub last_name: String,
    /// What he may do.
    pub role: Role,
}

/// Changes an account; what is `None` stays. Another password ends the logins of
/// the old one. Answers its revision, by which a login that asked goes on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<u64, AccountError>")]
pub struct ChangeAccount {
    /// Login name, which does not change.
    pub email: String,
    /// Display name.
    pub first_name: Option<String>,
    /// Display name.
    pub last_name: Option<String>,
    /// What he may do.
    pub role: Option<Role>,
    /// As the panel sends it: 32 hex digits of MD5, or plain.
    pub password: Option<Secret<String>>,
}

/// Removes an account and ends its logins.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), AccountError>")]
pub struct RemoveAccount {
    /// Login name.
    pub email: String,
}

/// Somebody changes his own password. Answers the new revision, by which the login
/// that asked goes on.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<u64, AccountError>")]
pub struct ChangePassword {
    /// Login name.
    pub email: String,
    /// The old one, as the panel sends it.
    pub password: Secret<String>,
    /// The new one, as the panel sends it.
    pub new: Secret<String>,
    /// From where, for the failure budget.
    pub peer: IpAddr,
}

/// Why an account was not changed; then nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No login name, or one that is none: white space or control characters in
    /// it, or longer than 254 bytes (RFC 5321 §4.5.3.1).
    #[error("not a login name")]
    Email,
    /// A blank password.
    #[error("password missing")]
    Password,
    /// There is such an account.
    #[error("the account exists")]
    Taken,
    /// There is no such account.
    #[error("no such account")]
    Unknown,
    /// Nobody could change accounts any more.
    #[error("the last administrator")]
    LastAdmin,
    /// As many accounts as there may be.
    #[error("too many accounts")]
    TooMany,
    /// The old password is wrong.
    #[error("wrong password")]
    Wrong,
    /// Too many wrong ones from this address.
    #[error("too many attempts")]
    Locked,
    /// Not on disk.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}
