//! Settings as a document in AMS's names: defaults, merging, masking (C§16.2).

use std::collections::BTreeSet;

use contract::AppName;
use contract::settings::PatchError;
use serde_json::{Map, Value};

use crate::dialect::{self, APP_NAME, Kind, MASK, SECRETS};

/// Longest key in bytes. Unknown keys are kept, so somebody bounds them.
const MAX_KEY: usize = 255;

/// Values that somebody set, without those that equal no value at all.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Document(Map<String, Value>);

impl Document {
    /// What is to be kept.
    pub(crate) fn set_values(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The value in force, the default included; `null` if there is none.
    pub(crate) fn get(&self, key: &str) -> Value {
        self.0.get(key).cloned().unwrap_or_else(|| dialect::kind(key).map_or(Value::Null, default))
    }

    /// This document with `patch` on top.
    pub(crate) fn merged(&self, patch: &Map<String, Value>) -> Result<Self, PatchError> {
        let mut merged = self.clone();
        for (key, value) in patch {
            merged.set(key, value)?;
        }
        Ok(merged)
    }

    /// Names of the values that are in force here and not there.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        names.into_iter().filter(|name| self.get(name) != other.get(name)).cloned().collect()
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), PatchError> {
        let secret = SECRETS.contains(&key);
        if key == APP_NAME || (secret && value == MASK) {
            return Ok(());
        }
        if key.len() > MAX_KEY || key.is_empty() {
            let short: String = key.chars().take(32).collect();
            return Err(invalid(&short, "a key has 1 to 255 bytes"));
        }
        if value.is_null() || (secret && value == "") {
            self.0.remove(key);
            return Ok(());
        }
        let value = match dialect::kind(key) {
            Some(kind) => coerce(key, kind, value)?,
            None => value.clone(),
        };
        self.0.insert(key.to_owned(), value);
        Ok(())
    }

    /// Everything that is known, with secrets masked.
    pub(crate) fn shown(&self, app: &AppName) -> Map<String, Value> {
        let mut shown: Map<_, _> =
            dialect::all().map(|&(key, kind)| (key.to_owned(), default(kind))).collect();
        shown.extend(self.0.clone());
        for key in SECRETS {
            if let Some(value) =
                shown.get_mut(*key).filter(|value| value.as_str().is_some_and(|s| !s.is_empty()))
            {
                *value = MASK.into();
            }
        }
        shown.insert(APP_NAME.to_owned(), app.as_str().into());
        shown
    }
}

/// Not derived: it would print secrets.
impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("keys", &self.0.len()).finish()
    }
}

/// What a key is when nobody set it.
pub(crate) fn default(kind: Kind) -> Value {
    match kind {
        Kind::Bool(value) => value.into(),
        Kind::Int(value) => value.into(),
        Kind::Real(value) => value.into(),
        Kind::Text(value) | Kind::Number(value) => value.into(),
        Kind::Optional => Value::Null,
        Kind::List => Value::Array(Vec::new()),
        Kind::Object => Value::Object(Map::new()),
    }
}

/// The value as this key keeps it. Numbers are taken for texts that hold one;
/// nothing else is bent.
fn coerce(key: &str, kind: Kind, value: &Value) -> Result<Value, PatchError> {
    let fits = match kind {
        Kind::Bool(_) => value.is_boolean(),
        Kind::Int(_) => value.is_i64(),
        Kind::Real(_) => value.is_number(),
        Kind::Text(_) | Kind::Optional => value.is_string(),
        Kind::Number(_) if value.is_number() => return Ok(value.to_string().into()),
        Kind::Number(_) => value.as_str().is_some_and(is_number),
        Kind::List => value.is_array(),
        Kind::Object => value.is_object(),
    };
    if fits { Ok(value.clone()) } else { Err(invalid(key, expected(kind))) }
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool(_) => "must be true or false",
        Kind::Int(_) => "must be a whole number",
        Kind::Real(_) => "must be a number",
        Kind::Text(_) | Kind::Optional => "must be a text",
        Kind::Number(_) => "must be a number or a text that holds one",
        Kind::List => "must be a list",
        Kind::Object => "must be an object",
    }
}

/// An error that names the key.
pub(crate) fn invalid(field: &str, reason: &str) -> PatchError {
    PatchError::Invalid { field: field.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
