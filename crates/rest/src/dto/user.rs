//! Accounts in AMS's words (C§2.11).

use std::collections::BTreeMap;

use contract::accounts::{AccountView, Role};
use serde::Serialize;

use crate::dialect::user_type;

/// An account. The password has no field here, so it cannot be shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User<'a> {
    email: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    user_type: &'static str,
    app_name_user_type: BTreeMap<&'static str, &'static str>,
}

impl<'a> User<'a> {
    /// One line of the list.
    pub(crate) fn new(email: &'a str, view: &'a AccountView) -> Self {
        let user_type = user_type(view.role);
        Self {
            email,
            first_name: &view.first_name,
            last_name: &view.last_name,
            user_type,
            app_name_user_type: BTreeMap::from([("system", user_type)]),
        }
    }
}

/// Who is logged in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    email: String,
    first_name: String,
    last_name: String,
    role: &'static str,
}

impl Me {
    /// With the role of now.
    pub(crate) fn new(email: String, role: Role, view: Option<AccountView>) -> Self {
        let (first_name, last_name) = view.map(|view| (view.first_name, view.last_name)).unwrap_or_default();
        Self { email, first_name, last_name, role: user_type(role) }
    }
}
