//! The owner's shell.
//!
//! Started by `server` on the system arbiter; lives as long as the process.
//! Readers bypass it through [`SettingsView`]. A change keeps the mailbox until it
//! is on disk, so the next one sees it, and only then everybody else does.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use contract::auth::NotStored;
use contract::settings::{
    GetSettings, ListSettings, PatchError, PatchSettings, Patched, SettingsDocument, SettingsTable,
    SettingsView,
};
use contract::{AppName, AppSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{Batch, MAX_VALUE, Sealing, Store, Table};
use tokio::sync::watch;

use crate::dialect as key;
use crate::document::{Document, invalid};
use crate::parse::{PERIOD, parse};

/// One record per application. Documents hold secrets.
const SETTINGS: Table = Table::new("settings", Sealing::Sealed);

/// Why settings could not be loaded; the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The table could not be read.
    #[error(transparent)]
    Scan(#[from] store::ScanError),
    /// A record is not what this version writes.
    #[error("the settings of application {app} are malformed")]
    Malformed {
        /// Whose.
        app: AppName,
    },
    /// Stored settings are not valid for this version.
    #[error("the settings of application {app}: {cause}")]
    Invalid {
        /// Whose.
        app: AppName,
        /// What is wrong.
        cause: PatchError,
    },
}

/// Owner of all applications' settings.
pub struct Settings {
    apps: BTreeMap<AppName, App>,
    store: Store,
    view: watch::Sender<Arc<SettingsTable>>,
}

#[derive(Clone)]
struct App {
    revision: u64,
    document: Document,
    parsed: Arc<AppSettings>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    revision: u64,
    values: Map<String, Value>,
}

impl Settings {
    /// Reads the settings of `applications`. No others exist; what the store holds
    /// of others stays there. Blocks on the disk.
    pub fn load(store: Store, applications: &[AppName]) -> Result<(Self, SettingsView), LoadError> {
        let records: BTreeMap<Vec<u8>, Vec<u8>> = store.scan(SETTINGS)?.into_iter().collect();
        let load = |app: &AppName| {
            let record = records.get(app.as_str().as_bytes());
            Ok((app.clone(), App::load(app, record.map(Vec::as_slice))?))
        };
        let apps: BTreeMap<AppName, App> = applications.iter().map(load).collect::<Result<_, LoadError>>()?;
        let (view, seen) = watch::channel(Arc::new(table(&apps)));
        Ok((Self { apps, store, view }, SettingsView::new(seen)))
    }

    /// The application as the patch makes it, and its record.
    fn patched(&self, ask: &PatchSettings) -> Result<(App, Vec<u8>), PatchError> {
        let old = self.apps.get(&ask.app).ok_or(PatchError::UnknownApp)?;
        if let Some(expected) = ask.expected.filter(|&expected| expected != old.revision) {
            return Err(PatchError::Stale { expected, current: old.revision });
        }
        let document = old.document.merged(&ask.patch)?;
        let parsed = Arc::new(parse(&document)?);
        let new = App { revision: old.revision + 1, document, parsed };
        let record = new.record();
        if record.len() > MAX_VALUE {
            return Err(invalid(longest(&ask.patch), "the application's settings are larger than 24 KiB"));
        }
        Ok((new, record))
    }

    fn publish(&mut self, app: AppName, new: App) -> Patched {
        let revision = new.revision;
        tracing::info!(target: "audit", %app, revision, "settings changed");
        let document = new.document.clone();
        let old = self.apps.insert(app, new);
        self.view.send_replace(Arc::new(table(&self.apps)));
        Patched { revision, changed: document.differences(&old.map(|old| old.document).unwrap_or_default()) }
    }
}

/// What is used of a setting of which an earlier version stored more than this one takes, where
/// that is no reason not to start.
fn instead(field: &str) -> Option<Value> {
    match field {
        key::STUN => Some("".into()),
        key::PERIOD => Some((*PERIOD.start()).into()),
        _ => None,
    }
}

impl App {
    fn load(app: &AppName, record: Option<&[u8]>) -> Result<Self, LoadError> {
        let stored = match record.map(serde_json::from_slice::<Stored>) {
            None => Stored { revision: 0, values: Map::new() },
            Some(Ok(stored)) => stored,
            // The cause would quote the record.
            Some(Err(_)) => return Err(LoadError::Malformed { app: app.clone() }),
        };
        let wrong = |cause| LoadError::Invalid { app: app.clone(), cause };
        // Merging checks kinds again: a key may be known now that was not then.
        let mut document = Document::default().merged(&stored.values).map_err(wrong)?;
        let parsed = loop {
            let error = match parse(&document) {
                Ok(parsed) => break Arc::new(parsed),
                Err(error) => error,
            };
            let PatchError::Invalid { field, .. } = &error else { return Err(wrong(error)) };
            let Some(value) = instead(field) else { return Err(wrong(error)) };
            tracing::warn!(%app, field, used = %value, "what is stored of this setting is refused now");
            document = document.merged(&Map::from_iter([(field.clone(), value)])).map_err(wrong)?;
        };
        Ok(Self { revision: stored.revision, document, parsed })
    }

    /// JSON values always encode; an empty record would be refused at load.
    fn record(&self) -> Vec<u8> {
        let values = self.document.set_values().clone();
        serde_json::to_vec(&Stored { revision: self.revision, values }).unwrap_or_default()
    }
}

fn table(apps: &BTreeMap<AppName, App>) -> SettingsTable {
    apps.iter().map(|(name, app)| (name.clone(), app.parsed.clone())).collect()
}

fn longest(patch: &Map<String, Value>) -> &str {
    let size = |value: &Value| value.to_string().len();
    patch.iter().max_by_key(|(_, value)| size(value)).map_or("", |(key, _)| key)
}

impl Actor for Settings {
    type Context = Context<Self>;
}

impl Handler<GetSettings> for Settings {
    type Result = Option<SettingsDocument>;

    fn handle(&mut self, ask: GetSettings, _: &mut Self::Context) -> Self::Result {
        let app = self.apps.get(&ask.app)?;
        Some(SettingsDocument { values: app.document.shown(&ask.app), revision: app.revision })
    }
}

impl Handler<ListSettings> for Settings {
    type Result = MessageResult<ListSettings>;

    fn handle(&mut self, _: ListSettings, _: &mut Self::Context) -> Self::Result {
        MessageResult(crate::schema::rows())
    }
}

impl Handler<PatchSettings> for Settings {
    type Result = AtomicResponse<Self, Result<Patched, PatchError>>;

    fn handle(&mut self, ask: PatchSettings, _: &mut Self::Context) -> Self::Result {
        let patched = self.patched(&ask).map(|(new, record)| {
            let mut batch = Batch::new();
            batch.put(SETTINGS, ask.app.as_str().as_bytes(), &record);
            (new, self.store.commit(batch))
        });
        let written = async move {
            let (new, written) = patched?;
            written.await.map_err(|error| {
                tracing::error!(%error, "settings could not be made durable");
                NotStored
            })?;
            Ok(new)
        };
        AtomicResponse::new(Box::pin(
            written
                .into_actor(self)
                .map(move |new: Result<App, PatchError>, this, _| Ok(this.publish(ask.app, new?))),
        ))
    }
}

#[cfg(test)]
mod tests;
