//! `Result`, and the small answers of the console.

use std::borrow::Cow;

use contract::AppName;
use serde::Serialize;

/// AMS's `Result` (C§3.5). `errorId` is 0: its other values belong to what we do not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    success: bool,
    message: Option<Cow<'static, str>>,
    data_id: Option<String>,
    error_id: i32,
    /// AMS has no such field. Which of the sent ones is wrong, in refusals that are
    /// ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Answer {
    const fn new(success: bool, message: Option<Cow<'static, str>>) -> Self {
        Self { success, message, data_id: None, error_id: 0, field: None }
    }

    /// It was done.
    pub(crate) fn yes(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(true, Some(message.into()))
    }

    /// It was not done.
    pub(crate) fn no(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(false, Some(message.into()))
    }

    /// It was done, and AMS has no word for it.
    pub(crate) const fn silent_yes() -> Self {
        Self::new(true, None)
    }

    /// It was not done, and AMS has no word for it.
    pub(crate) const fn silent_no() -> Self {
        Self::new(false, None)
    }

    /// Whether it was done.
    pub(crate) const fn is_success(&self) -> bool {
        self.success
    }

    /// The same, about a field.
    pub(crate) fn about(self, field: Option<&str>) -> Self {
        Self { field: field.map(str::to_owned), ..self }
    }

    /// The same, with `dataId`.
    pub(crate) fn with(self, data_id: &str) -> Self {
        Self { data_id: Some(data_id.to_owned()), ..self }
    }
}

/// Answer to a change of settings. AMS makes this one with another serialiser,
/// which omits what is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsAnswer {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    error_id: i32,
}

impl SettingsAnswer {
    /// They were changed.
    pub(crate) const fn yes() -> Self {
        Self { success: true, message: None, error_id: 0 }
    }

    /// They were not.
    pub(crate) const fn no(message: String) -> Self {
        Self { success: false, message: Some(message), error_id: 0 }
    }
}

/// Version (C§2.10). AMS clients look for "Enterprise" and compare `versionName`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version<'a> {
    version_name: &'static str,
    version_type: &'static str,
    build_number: &'a str,
    server_name: &'static str,
    server_version: &'a str,
}

impl<'a> Version<'a> {
    /// `own` is Sluice's version.
    pub(crate) const fn new(own: &'a str) -> Self {
        Self {
            version_name: "3.0.0",
            version_type: "Enterprise Edition",
            build_number: own,
            server_name: "Sluice",
            server_version: own,
        }
    }
}

/// Names of the applications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Applications {
    /// In order.
    pub(crate) applications: Vec<AppName>,
}

/// Whether the server lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Liveness {
    /// How the caller reached it.
    pub(crate) host: String,
    status: &'static str,
}

impl Liveness {
    /// Who can answer lives.
    pub(crate) const fn new(host: String) -> Self {
        Self { host, status: "ok" }
    }
}
