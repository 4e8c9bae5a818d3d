//! Messages to the audit log: who did what.

use std::net::IpAddr;

use actix::prelude::*;
use serde::{Deserialize, Serialize};

use crate::auth::NotStored;
use crate::{AppName, StreamId, StreamKey, SubscriberId, WallMs};

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Blocked a subscriber.
    Block,
    /// Lifted a block.
    Unblock,
    /// Added a subscriber or changed one.
    PutSubscriber,
    /// Removed one subscriber, or all of a stream.
    RemoveSubscriber,
    /// Added subscribers from a file.
    ImportSubscribers,
    /// Changed an application's settings.
    ChangeSettings,
    /// Registered a stream.
    CreateStream,
    /// Changed a stream's record.
    UpdateStream,
    /// Removed a stream.
    RemoveStream,
    /// Forgot the wrong codes on a subscriber, or on those of a stream without secrets.
    ForgiveGuesses,
    /// Stopped a stream's publisher.
    StopStream,
    /// Ended one connection.
    StopSession,
    /// Added an account.
    AddAccount,
    /// Changed an account.
    ChangeAccount,
    /// Removed an account.
    RemoveAccount,
    /// Changed his own password.
    ChangePassword,
    /// Logged in.
    LogIn,
    /// Tried to, with a wrong password or as nobody known.
    LogInFailed,
}

impl Deed {
    /// Its name, as it is stored and as programs know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::PutSubscriber => "put_subscriber",
            Self::RemoveSubscriber => "remove_subscriber",
            Self::ImportSubscribers => "import_subscribers",
            Self::ChangeSettings => "change_settings",
            Self::CreateStream => "create_stream",
            Self::UpdateStream => "update_stream",
            Self::RemoveStream => "remove_stream",
            Self::ForgiveGuesses => "forgive_guesses",
            Self::StopStream => "stop_stream",
            Self::StopSession => "stop_session",
            Self::AddAccount => "add_account",
            Self::ChangeAccount => "change_account",
            Self::RemoveAccount => "remove_account",
            Self::ChangePassword => "change_password",
            Self::LogIn => "log_in",
            Self::LogInFailed => "log_in_failed",
        }
    }

    /// What people are shown of it, before whom or what it was done to.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Block => "Blocked",
            Self::Unblock => "Unblocked",
            Self::PutSubscriber => "Registered subscriber",
            Self::RemoveSubscriber => "Removed subscriber",
            Self::ImportSubscribers => "Imported subscribers",
            Self::ChangeSettings => "Changed settings",
            Self::CreateStream => "Registered stream",
            Self::UpdateStream => "Changed stream",
            Self::RemoveStream => "Deleted stream",
            Self::ForgiveGuesses => "Lifted a slow-down of",
            Self::StopStream => "Stopped stream",
            Self::StopSession => "Stopped session",
            Self::AddAccount => "Added user",
            Self::ChangeAccount => "Changed user",
            Self::RemoveAccount => "Removed user",
            Self::ChangePassword => "Changed password",
            Self::LogIn => "Logged in",
            Self::LogInFailed => "Failed to log in",
        }
    }
}

/// On what something was done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// Application.
    pub app: Option<AppName>,
    /// Stream in it.
    pub stream: Option<StreamId>,
    /// Subscriber of that.
    pub subscriber: Option<SubscriberId>,
}

impl From<&StreamKey> for About {
    fn from(stream: &StreamKey) -> Self {
        Self { app: Some(stream.app.clone()), stream: Some(stream.id.clone()), subscriber: None }
    }
}

impl From<&AppName> for About {
    fn from(app: &AppName) -> Self {
        Self { app: Some(app.clone()), ..Self::default() }
    }
}

impl About {
    /// The same, of one of its subscribers.
    #[must_use]
    pub fn subscriber(self, subscriber: &SubscriberId) -> Self {
        Self { subscriber: Some(subscriber.clone()), ..self }
    }
}

/// Somebody did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: WallMs,
    /// Which account; `None`: somebody without one, whose address may call the API.
    pub who: Option<String>,
    /// From where.
    pub from: IpAddr,
    /// What.
    pub what: Deed,
    /// On what.
    pub about: About,
    /// What else there is to say, for people, without secrets; the owner cuts it at 500
    /// bytes.
    pub detail: String,
}

/// Adds an entry. Answered when it is on disk; its place in the order of all writes
/// is fixed when the owner takes it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), NotStored>")]
pub struct Note(pub AuditEntry);

/// Entries, newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "AuditPage")]
pub struct ListAudit {
    /// Only those in which some part contains this, in any case of ASCII letters.
    pub search: Option<String>,
    /// How many to skip.
    pub offset: usize,
    /// How many at most.
    pub size: usize,
}

/// Some entries.
#[derive(Debug, Clone, Default, MessageResponse)]
pub struct AuditPage {
    /// Those asked for.
    pub entries: Vec<AuditEntry>,
    /// How many match in all.
    pub matching: usize,
}
