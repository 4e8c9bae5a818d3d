//! Messages to accounts: who may administer the server.

use actix::prelude::*;

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
    pub peer: std::net::IpAddr,
}

/// Who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub email: String,
    /// What he may do.
    pub role: Role,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
}

/// Why not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Unknown name or wrong password; which one is not told.
    #[error("wrong e-mail or password")]
    Wrong,
    /// Too many failures from this address for this account.
    #[error("too many attempts")]
    Locked,
    /// Accounts cannot answer.
    #[error("accounts unavailable")]
    Unavailable,
}
