//! What the server makes once and every HTTP worker shares.

use std::time::Duration;

use actix::prelude::*;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, PathConfig, ServiceConfig};
use contract::accounts::{
    AccountsView, AddAccount, ChangeAccount, ChangePassword, CreateFirstAccount, Login, NeedsFirstAccount,
    RemoveAccount,
};
use contract::audit::{ListAudit, Note};
use contract::auth::{
    Block, GetSubscriber, IssueCode, IssuePreview, ListEvents, ListSubscribers, PutSubscriber,
    RemoveSubscriber, Unblock,
};
use contract::registry::{
    CreateStream, GetLive, GetStream, ListSessions, ListStreams, RemoveStream, StopSession, StopStream,
    Survey, UpdateStream,
};
use contract::settings::{GetSettings, ListSettings, PatchSettings};
use contract::{Clock, SettingsView, TrustedProxies};
use tokio_util::sync::CancellationToken;
use transcode::Decoding;

use crate::dialect::Refused;
use crate::logins::Logins;
use crate::panel::{Stills, Watching};
use crate::path::read;
use crate::{access, broadcasts, console, pages, panel, statistics, subscribers, users};

/// An owner that takes longer than this is given up. A block waits for its fence
/// (250 ms) and one synced write, so only a stuck disk comes near.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Whom the control API asks. One message each is all it needs of them.
#[derive(Clone)]
pub struct Links {
    /// Auth.
    pub block: Recipient<Block>,
    /// Auth.
    pub unblock: Recipient<Unblock>,
    /// Auth.
    pub put_subscriber: Recipient<PutSubscriber>,
    /// Auth.
    pub remove_subscriber: Recipient<RemoveSubscriber>,
    /// Auth.
    pub issue_code: Recipient<IssueCode>,
    /// Auth.
    pub issue_preview: Recipient<IssuePreview>,
    /// Auth.
    pub list_subscribers: Recipient<ListSubscribers>,
    /// Auth.
    pub get_subscriber: Recipient<GetSubscriber>,
    /// Auth.
    pub list_events: Recipient<ListEvents>,
    /// The registry.
    pub get_stream: Recipient<GetStream>,
    /// The registry.
    pub list_streams: Recipient<ListStreams>,
    /// The registry.
    pub create_stream: Recipient<CreateStream>,
    /// The registry.
    pub update_stream: Recipient<UpdateStream>,
    /// The registry.
    pub remove_stream: Recipient<RemoveStream>,
    /// The registry.
    pub stop_stream: Recipient<StopStream>,
    /// The registry.
    pub survey: Recipient<Survey>,
    /// The registry.
    pub list_sessions: Recipient<ListSessions>,
    /// The registry.
    pub stop_session: Recipient<StopSession>,
    /// The registry.
    pub get_live: Recipient<GetLive>,
    /// Settings.
    pub get_settings: Recipient<GetSettings>,
    /// Settings.
    pub patch_settings: Recipient<PatchSettings>,
    /// Settings.
    pub list_settings: Recipient<ListSettings>,
    /// Accounts.
    pub needs_first_account: Recipient<NeedsFirstAccount>,
    /// Accounts.
    pub create_first_account: Recipient<CreateFirstAccount>,
    /// Accounts.
    pub login: Recipient<Login>,
    /// Accounts.
    pub add_account: Recipient<AddAccount>,
    /// Accounts.
    pub change_account: Recipient<ChangeAccount>,
    /// Accounts.
    pub remove_account: Recipient<RemoveAccount>,
    /// Accounts.
    pub change_password: Recipient<ChangePassword>,
    /// The audit log.
    pub note: Recipient<Note>,
    /// The audit log.
    pub list_audit: Recipient<ListAudit>,
}

/// What the operator's configuration says about the control API.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own version, shown beside the one that AMS clients test.
    pub version: String,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: TrustedProxies,
    /// The name that publishers reach us by, for `rtmpURL` and `originAdress`;
    /// `None` takes the request's `Host`.
    pub host: Option<String>,
    /// The RTMP port, for `rtmpURL`.
    pub rtmp_port: u16,
    /// The ports by which the panel tells people to reach us; `None`: not served. What
    /// a proxy in front of us makes of them is not known here.
    pub ports: Ports,
    /// Where thumbnails are decoded.
    pub decoding: Decoding,
    /// Cancelled when the server drains: pages that watch are let go.
    pub stop: CancellationToken,
}

/// Ports beside RTMP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// HTTP.
    pub http: u16,
    /// HTTPS.
    pub https: Option<u16>,
    /// RTMP over TLS.
    pub rtmps: Option<u16>,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 5080, https: None, rtmps: None }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            trusted_proxies: TrustedProxies::default(),
            host: None,
            rtmp_port: 1935,
            ports: Ports::default(),
            decoding: Decoding::Here,
            stop: CancellationToken::new(),
        }
    }
}

/// The control API. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Api(Data<Shared>);

impl Api {
    /// Takes all that it will ever need.
    pub fn new(
        links: Links,
        settings: SettingsView,
        accounts: AccountsView,
        clock: Clock,
        options: Options,
    ) -> Self {
        Self(Data::new(Shared {
            links,
            settings,
            clock,
            options,
            logins: Logins::new(accounts.clone()),
            accounts,
            watching: Watching::default(),
            stills: Stills::default(),
            updates: tokio::sync::Mutex::new(()),
        }))
    }

    /// Adds the routes of the control API and of the pages. Called once per HTTP
    /// worker; all workers share the logins.
    pub fn routes(&self, cfg: &mut ServiceConfig) {
        let paths = PathConfig::default().error_handler(|_, _| Refused::NotFound.into());
        cfg.service(
            web::scope("/rest/v2")
                .app_data(self.0.clone())
                .app_data(paths.clone())
                .wrap(from_fn(access::own_pages_only))
                .configure(console::routes)
                .configure(users::routes)
                .configure(panel::routes),
        );
        cfg.service(
            web::scope("/{app}/rest/v2")
                .app_data(self.0.clone())
                .app_data(paths)
                .wrap(from_fn(access::allowed_only))
                .service(web::resource("/version").route(read().to(console::app_version)))
                .service(
                    web::scope("/broadcasts")
                        .configure(subscribers::routes)
                        .configure(statistics::routes)
                        .configure(broadcasts::routes),
                ),
        );
        pages::routes(cfg, &self.0);
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) links: Links,
    pub(crate) settings: SettingsView,
    pub(crate) accounts: AccountsView,
    pub(crate) clock: Clock,
    pub(crate) options: Options,
    pub(crate) logins: Logins,
    pub(crate) watching: Watching,
    pub(crate) stills: Stills,
    /// Held while a stream's record is read, changed and written back, so that of
    /// two changes at once neither is lost.
    pub(crate) updates: tokio::sync::Mutex<()>,
}

impl Shared {
    /// Asks an owner. Its absence, or its silence for ten seconds, is
    /// [`Refused::Unavailable`].
    pub(crate) async fn ask<M>(&self, owner: &Recipient<M>, message: M) -> Result<M::Result, Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
    {
        owner.send(message).timeout(PATIENCE).await.map_err(|error| {
            tracing::warn!(%error, "an owner did not answer the control API");
            Refused::Unavailable
        })
    }
}
