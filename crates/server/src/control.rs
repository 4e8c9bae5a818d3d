//! The control plane: the store and the actors that own its tables.

use std::sync::Arc;

use actix::prelude::*;
use anyhow::{Context, Result};
use audit::Audit;
use auth::{Accounts, Auth};
use contract::accounts::AccountsView;
use contract::{Clock, Secret, SettingsView};
use media::Memory;
use registry::Registry;
use session::{Admission, Links};
use settings::Settings;
use store::Store;

use crate::config::Config;
use crate::socket::Desk;

/// The owners, running.
pub(crate) struct Control {
    store: Store,
    auth: Addr<Auth>,
    counters: Arc<auth::Counters>,
    accounts: Addr<Accounts>,
    audit: Addr<Audit>,
    registry: Addr<Registry>,
    settings: Addr<Settings>,
    view: SettingsView,
    accounts_view: AccountsView,
    setup_token: Option<Secret<String>>,
    memory: Memory,
}

impl Control {
    /// Reads everything that lasts, then starts the owners on this thread's
    /// arbiter. Nobody is live yet.
    pub(crate) fn start(config: &Config, clock: &Clock) -> Result<Self> {
        let store = Store::open(&config.store.path, &config.store.key_path())
            .with_context(|| format!("store in {}", config.store.path.display()))?;
        let (settings, view) = Settings::load(store.clone(), &config.applications)?;
        let accounts = Accounts::load(store.clone(), clock.clone())?;
        let memory = Memory::new(config.media.limit());
        let registry = Registry::load(store.clone(), view.clone(), clock.clone())?;
        let registry = registry.with_memory(memory.clone()).start();
        let counters = Arc::new(auth::Counters::default());
        let auth = auth::start(auth::Config {
            store: store.clone(),
            settings: view.clone(),
            silence_ended: registry.clone().recipient(),
            clock: clock.clone(),
            counters: counters.clone(),
        })?;
        let setup_token = accounts.setup_token();
        Ok(Self {
            audit: Audit::load(store.clone())?.start(),
            store,
            auth,
            accounts_view: accounts.view(),
            counters,
            accounts: accounts.start(),
            registry,
            settings: settings.start(),
            view,
            setup_token,
            memory,
        })
    }

    /// The one-time token for the first account; `None` when there is an account.
    pub(crate) fn setup_token(&self) -> Option<Secret<String>> {
        self.setup_token.clone()
    }

    /// What all media counts against.
    pub(crate) fn memory(&self) -> Memory {
        self.memory.clone()
    }

    /// Everybody's view of the settings.
    pub(crate) fn settings(&self) -> SettingsView {
        self.view.clone()
    }

    /// Everybody's view of the accounts.
    pub(crate) fn accounts(&self) -> AccountsView {
        self.accounts_view.clone()
    }

    /// The one way in for every protocol.
    pub(crate) fn admission(&self) -> Admission {
        let links = Links {
            authorize: self.auth.clone().recipient(),
            get_stream: self.registry.clone().recipient(),
            publish: self.registry.clone().recipient(),
            play: self.registry.clone().recipient(),
            silence: self.registry.clone().recipient(),
        };
        Admission::new(links, self.settings(), Arbiter::current())
    }

    /// Everything that lasts.
    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    /// Whom the operator's commands ask.
    pub(crate) fn desk(&self, clock: &Clock) -> Desk {
        Desk {
            store: self.store.clone(),
            add_account: self.accounts.clone().recipient(),
            change_account: self.accounts.clone().recipient(),
            note: self.audit.clone().recipient(),
            clock: clock.clone(),
        }
    }

    /// What auth counts.
    pub(crate) fn counters(&self) -> Arc<auth::Counters> {
        self.counters.clone()
    }

    /// Whom the control API asks.
    pub(crate) fn links(&self) -> rest::Links {
        rest::Links {
            block: self.auth.clone().recipient(),
            unblock: self.auth.clone().recipient(),
            put_subscriber: self.auth.clone().recipient(),
            remove_subscriber: self.auth.clone().recipient(),
            issue_code: self.auth.clone().recipient(),
            issue_preview: self.auth.clone().recipient(),
            list_subscribers: self.auth.clone().recipient(),
            get_subscriber: self.auth.clone().recipient(),
            list_guessed: self.auth.clone().recipient(),
            forgive_guesses: self.auth.clone().recipient(),
            list_events: self.auth.clone().recipient(),
            get_stream: self.registry.clone().recipient(),
            list_streams: self.registry.clone().recipient(),
            create_stream: self.registry.clone().recipient(),
            update_stream: self.registry.clone().recipient(),
            remove_stream: self.registry.clone().recipient(),
            stop_stream: self.registry.clone().recipient(),
            survey: self.registry.clone().recipient(),
            list_sessions: self.registry.clone().recipient(),
            stop_session: self.registry.clone().recipient(),
            get_live: self.registry.clone().recipient(),
            get_settings: self.settings.clone().recipient(),
            patch_settings: self.settings.clone().recipient(),
            list_settings: self.settings.clone().recipient(),
            needs_first_account: self.accounts.clone().recipient(),
            create_first_account: self.accounts.clone().recipient(),
            login: self.accounts.clone().recipient(),
            add_account: self.accounts.clone().recipient(),
            change_account: self.accounts.clone().recipient(),
            remove_account: self.accounts.clone().recipient(),
            change_password: self.accounts.clone().recipient(),
            note: self.audit.clone().recipient(),
            list_audit: self.audit.clone().recipient(),
        }
    }

    /// Waits until everything that was committed is on disk.
    pub(crate) async fn flush(&self) {
        // An empty batch is written after all others.
        if let Err(error) = self.store.commit(store::Batch::new()).await {
            tracing::error!(%error, "store not flushed");
        }
    }
}
