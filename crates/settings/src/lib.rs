//! Live settings per application. Documents in AMS's names come in, typed values
//! go out to everybody through [`contract::SettingsView`]; what does not parse, or
//! claims protection that does not exist, is refused whole.

mod actor;
mod dialect;
mod document;
mod parse;
mod schema;

pub use actor::{LoadError, Settings};
