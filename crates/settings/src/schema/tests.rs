use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::*;
use crate::dialect::{FMP4, HLS_TYPE, NOT_BUILT};
use crate::document::Document;
use crate::parse::parse;

/// Values that differ from every default.
fn probes(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Bool(default) => vec![json!(!default)],
        Kind::Int(default) => vec![json!(default + 7), json!(default + 1)],
        Kind::Real(default) => vec![json!(default + 7.0)],
        Kind::Number(_) => vec![json!("17")],
        Kind::Text(_) | Kind::Optional => vec![json!("10.7.0.0/16"), json!("probe")],
        Kind::List => vec![json!([1])],
        Kind::Object => vec![json!({"a": 1})],
    }
}

fn document(values: &[(&str, Value)]) -> Document {
    let values: Map<_, _> = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Document::default().merged(&values).unwrap()
}

/// Whether the parser reads a key: some value of it makes a difference.
fn is_heeded(name: &str, kind: Kind) -> bool {
    let unset = parse(&Document::default()).unwrap();
    probes(kind).into_iter().any(|value| parse(&document(&[(name, value)])) != Ok(unset.clone()))
}

#[test]
fn every_setting_with_an_effect_has_a_row_and_no_other_has() {
    let rows: BTreeSet<_> = rows().into_iter().map(|row| row.name).collect();
    assert_eq!(rows.len(), ROWS.len(), "a row of no key, or two of one");
    // What is refused has no effect, nor has what takes one value only.
    let constant = |name| NOT_BUILT.contains(&name) || name == HLS_TYPE;
    let heeded: BTreeSet<_> = key::all()
        .filter(|(name, kind)| !constant(*name) && is_heeded(name, *kind))
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(heeded, rows);
    assert!(parse(&document(&[(HLS_TYPE, json!(FMP4))])).is_ok());
}

#[test]
fn the_bounds_are_those_of_the_parser() {
    for row in rows() {
        let parses = |n: i64| parse(&document(&[(row.name, json!(n))])).is_ok();
        if let Some(max) = row.max {
            assert!(parses(max) && !parses(max + 1), "{}", row.name);
        }
        if let Some(min) = row.min {
            assert!(parses(min), "{}", row.name);
        }
    }
}

#[test]
fn rows_say_what_kind_of_value_they_take() {
    let kind = |name| rows().into_iter().find(|row| row.name == name).unwrap().kind;
    assert_eq!(kind("timeTokenSecretForPublish"), SettingKind::Secret);
    assert_eq!(kind("turnServerCredential"), SettingKind::Secret);
    assert_eq!(kind("remoteAllowedCIDR"), SettingKind::Networks);
    assert_eq!(kind("hlsTime"), SettingKind::Whole);
    assert_eq!(kind("enableTimeTokenForPlay"), SettingKind::Flag);
    assert_eq!(kind("stunServerURI"), SettingKind::Text);
    for row in rows() {
        assert!(!row.label.is_empty() && row.help.ends_with('.'), "{}", row.name);
    }
}
