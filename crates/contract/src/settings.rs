//! Settings of applications: typed values that others read, and messages to their owner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use ipnet::IpNet;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::auth::NotStored;
use crate::session::Traffic;
use crate::{Action, AppName, Protocol, Secret, WallMs};

/// Live settings of one application, parsed. AMS's names for them are in C§3.10.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AppSettings {
    /// Who may publish and play.
    pub security: Security,
    /// HLS output.
    pub hls: Hls,
    /// RTMP.
    pub rtmp: Rtmp,
    /// WebRTC.
    pub webrtc: Webrtc,
    /// Limits and records.
    pub streams: Streams,
}

/// Who may publish and play.
#[derive(Debug, Clone, PartialEq)]
pub struct Security {
    /// Publishing needs a one-time code. (`enableTimeTokenForPublish`)
    pub totp_publish: bool,
    /// Playing needs a one-time code. (`enableTimeTokenForPlay`)
    pub totp_play: bool,
    /// Codes of unregistered publishers derive from this. (`timeTokenSecretForPublish`)
    pub secret_publish: Option<Secret<String>>,
    /// Codes of unregistered players derive from this. (`timeTokenSecretForPlay`)
    pub secret_play: Option<Secret<String>>,
    /// Seconds that a code lives, at least 10. (`timeTokenPeriod`, 60)
    pub period: u32,
    /// Only registered streams, and with codes on only registered subscribers.
    /// (`acceptOnlyStreamsInDataStore`)
    pub registered_only: bool,
    /// Publishers must come from one of these; empty: from anywhere.
    /// (`allowedPublisherCIDR`)
    pub publisher_networks: Vec<IpNet>,
    /// The control API answers only these; `None`: everybody. (`ipFilterEnabled`,
    /// `remoteAllowedCIDR`)
    pub rest_networks: Option<Vec<IpNet>>,
    /// Bind an HLS grant to the address that earned it. (`hlsGrantBoundToAddress`, ours)
    pub hls_grant_bound_to_address: bool,
}

impl Security {
    /// Whether `action` needs a one-time code.
    pub fn totp(&self, action: Action) -> bool {
        match action {
            Action::Publish => self.totp_publish,
            Action::Play => self.totp_play,
        }
    }

    /// What codes of unregistered subscribers derive from.
    pub fn secret(&self, action: Action) -> Option<&Secret<String>> {
        match action {
            Action::Publish => self.secret_publish.as_ref(),
            Action::Play => self.secret_play.as_ref(),
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self {
            totp_publish: false,
            totp_play: false,
            secret_publish: None,
            secret_play: None,
            period: 60,
            registered_only: false,
            publisher_networks: Vec::new(),
            rest_networks: Some(vec![IpNet::from(std::net::IpAddr::from([127, 0, 0, 1]))]),
            hls_grant_bound_to_address: false,
        }
    }
}

/// HLS output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hls {
    /// Whether there is any. (`hlsMuxingEnabled`)
    pub enabled: bool,
    /// Target length of a segment, at least 1 s. (`hlsTime`, 2)
    pub segment: Duration,
    /// Segments in a playlist, at least 5. (`hlsListSize`, 15)
    pub list_size: usize,
}

impl Hls {
    /// After so much silence nobody is there any more: he counts as no viewer, and
    /// his place may be taken by a new login of the same subscriber (C§16.7).
    pub const fn patience(&self) -> Duration {
        self.segment.saturating_mul(10)
    }

    /// Whether a player has left, as far as that can be known: HLS has no
    /// connection whose end would tell.
    pub fn has_left(&self, protocol: Protocol, traffic: &Traffic, now: WallMs) -> bool {
        protocol == Protocol::Hls && traffic.silent_for(now) >= self.patience()
    }
}

impl Default for Hls {
    fn default() -> Self {
        Self { enabled: true, segment: Duration::from_secs(2), list_size: 15 }
    }
}

/// RTMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtmp {
    /// Whether RTMP players are served. (`rtmpPlaybackEnabled`; true, unlike AMS)
    pub playback: bool,
}

impl Default for Rtmp {
    fn default() -> Self {
        Self { playback: true }
    }
}

/// WebRTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webrtc {
    /// Whether it is served. (`webRTCEnabled`)
    pub enabled: bool,
    /// A publisher that sends no media for so long after its offer is closed.
    /// (`webRTCClientStartTimeoutMs`, 10 s)
    pub start_timeout: Duration,
    /// What browsers are told to use as STUN or TURN server; empty: none.
    /// (`stunServerURI`)
    pub stun_uri: String,
    /// For a TURN server. (`turnServerUsername`)
    pub turn_username: String,
    /// For a TURN server. (`turnServerCredential`)
    pub turn_credential: Secret<String>,
}

impl Default for Webrtc {
    fn default() -> Self {
        Self {
            enabled: true,
            start_timeout: Duration::from_secs(10),
            stun_uri: "stun:stun1.l.google.com:19302".to_owned(),
            turn_username: String::new(),
            turn_credential: Secret::new(String::new()),
        }
    }
}

/// Limits and records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Streams {
    /// Live streams at a time; `None`: no limit. (`ingestingStreamLimit`)
    pub live_limit: Option<u64>,
    /// WebRTC players at a time and stream; `None`: no limit. (`webRTCViewerLimit`)
    pub webrtc_player_limit: Option<u64>,
    /// Keep connection events. (`writeSubscriberEventsToDatastore`)
    pub write_events: bool,
}

/// Everybody's view of every application's settings; always the newest.
#[derive(Debug, Clone)]
pub struct SettingsView(watch::Receiver<Arc<SettingsTable>>);

/// Settings by application. An application that is not in it does not exist.
pub type SettingsTable = BTreeMap<AppName, Arc<AppSettings>>;

impl SettingsView {
    /// The settings owner makes these.
    pub const fn new(table: watch::Receiver<Arc<SettingsTable>>) -> Self {
        Self(table)
    }

    /// A view that never changes, for tests.
    pub fn fixed(app: AppName, settings: AppSettings) -> Self {
        Self(watch::channel(Arc::new(BTreeMap::from([(app, Arc::new(settings))]))).1)
    }

    /// An application's settings; `None` if there is no such application.
    pub fn app(&self, app: &AppName) -> Option<Arc<AppSettings>> {
        self.0.borrow().get(app).cloned()
    }

    /// All applications.
    pub fn apps(&self) -> Vec<AppName> {
        self.0.borrow().keys().cloned().collect()
    }

    /// Waits until something changed since the last call. False: the owner is gone.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// An application's settings as a document in AMS's names, secrets masked.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<SettingsDocument>")]
pub struct GetSettings {
    /// Whose.
    pub app: AppName,
}

/// Settings as a document.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsDocument {
    /// Every key that we know, and every unknown one that was ever set.
    pub values: Map<String, Value>,
    /// Grows with each change.
    pub revision: u64,
}

/// What there is to be set.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Vec<SettingRow>")]
pub struct ListSettings;

/// One setting, for a form. None is listed that has no effect.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingRow {
    /// In AMS's names.
    pub name: &'static str,
    /// Under which heading.
    pub group: &'static str,
    /// What it takes.
    pub kind: SettingKind,
    /// What it is when nobody set it.
    pub default: Value,
    /// Smallest number that has a meaning of its own.
    pub min: Option<i64>,
    /// Largest number that is taken.
    pub max: Option<i64>,
    /// Its name for people.
    pub label: &'static str,
    /// What it does, in a sentence or two.
    pub help: &'static str,
}

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// True or false.
    Flag,
    /// A whole number.
    Whole,
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// Networks and addresses, separated by commas.
    Networks,
}

/// Changes some of an application's settings (C§16.2): absent keys keep their
/// value, `null` gives the default, unknown keys are kept.
#[derive(Clone, Message)]
#[rtype(result = "Result<Patched, PatchError>")]
pub struct PatchSettings {
    /// Whose.
    pub app: AppName,
    /// Refuse unless this is the current revision.
    pub expected: Option<u64>,
    /// In AMS's names.
    pub patch: Map<String, Value>,
}

/// Settings were changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// What they are now.
    pub revision: u64,
    /// Names of those that are other than before, in order.
    pub changed: Vec<String>,
}

/// Of the patch its names only: some values are secrets.
impl std::fmt::Debug for PatchSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatchSettings")
            .field("app", &self.app)
            .field("expected", &self.expected)
            .field("patch", &self.patch.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Why settings were not changed; then nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// No such application.
    #[error("unknown application")]
    UnknownApp,
    /// Somebody else changed them meanwhile.
    #[error("settings have changed since revision {expected}; current is {current}")]
    Stale {
        /// What the caller knew.
        expected: u64,
        /// What is.
        current: u64,
    },
    /// A value is of the wrong type or out of range.
    #[error("{field}: {reason}")]
    Invalid {
        /// The key in AMS's names.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two kinds of token at once for one direction (C§5.7).
    #[error("{first} and {second} cannot be on together")]
    Conflict {
        /// A key.
        first: String,
        /// A key that excludes it.
        second: String,
    },
    /// Not on disk.
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_in_a_log_shows_no_values() {
        let patch = Map::from_iter([("timeTokenSecretForPlay".to_owned(), Value::from("open sesame"))]);
        let patch = PatchSettings { app: AppName::parse("live").unwrap(), expected: None, patch };
        let debug = format!("{patch:?}");
        assert!(debug.contains("timeTokenSecretForPlay") && !debug.contains("sesame"), "{debug}");
    }
}
