//! All that the server counts. Labels name protocols, roles and reasons, never a
//! stream or a subscriber: their number is nobody's to choose but the operator's.

mod process;
mod text;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use contract::registry::{ListStreams, StreamSort};
use contract::{Action, AppName, Protocol};
use futures_util::future::BoxFuture;
use ingest::webrtc::Webrtc;
use rest::Readiness;
use session::{Census, Total};
use store::{SYNC_BOUNDS_US, Store};
use tokio_util::sync::CancellationToken;
use transcode::Decoding;

use crate::tls::Certificate;
use text::{Kind, Labels, Text};

/// A registry that takes longer is given up: the page comes without its counts.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who can be connected how. All of them are shown from the start, so that a rate
/// has a first value.
const GROUPS: [(Protocol, Action); 7] = [
    (Protocol::Rtmp, Action::Publish),
    (Protocol::Webrtc, Action::Publish),
    (Protocol::Whip, Action::Publish),
    (Protocol::Rtmp, Action::Play),
    (Protocol::Webrtc, Action::Play),
    (Protocol::Whep, Action::Play),
    (Protocol::Hls, Action::Play),
];

/// Everybody who counts something.
pub(crate) struct Metrics {
    pub(crate) census: Census,
    pub(crate) auth: Arc<auth::Counters>,
    pub(crate) streams: Recipient<ListStreams>,
    pub(crate) applications: Vec<AppName>,
    pub(crate) webrtc: Arc<Webrtc>,
    /// How many streams may be transcoded at a time.
    pub(crate) transcodes: usize,
    /// Where pictures are decoded.
    pub(crate) decoding: Decoding,
    pub(crate) store: Store,
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) stop: CancellationToken,
}

impl rest::Vitals for Metrics {
    fn readiness(&self) -> Readiness {
        if self.stop.is_cancelled() {
            Readiness::Draining
        } else if self.store.healthy() {
            Readiness::Ready
        } else {
            Readiness::ReadOnly
        }
    }

    fn metrics(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let mut text = Text::default();
            let version = vec![("version", env!("CARGO_PKG_VERSION"))];
            text.family(Kind::Gauge, "sluice_build_info", "Always 1; which build this is.", [(version, 1)]);
            self.streams(&mut text).await;
            self.sessions(&mut text);
            self.admissions(&mut text);
            self.transcodes(&mut text);
            self.durable(&mut text);
            process::write(&mut text);
            text.into_string()
        })
    }
}

impl Metrics {
    async fn streams(&self, text: &mut Text) {
        let mut live = Vec::new();
        for app in &self.applications {
            let ask =
                ListStreams { app: app.clone(), search: None, sort: StreamSort::Id, offset: 0, size: 0 };
            if let Ok(page) = self.streams.send(ask).timeout(PATIENCE).await {
                live.push((vec![("application", app.as_str())], page.live));
            }
        }
        text.family(Kind::Gauge, "sluice_streams_live", "Streams that somebody publishes.", live);
    }

    fn sessions(&self, text: &mut Text) {
        let known = self.census.totals();
        let total = |of: (Protocol, Action)| {
            known
                .iter()
                .find(|(protocol, role, _)| (*protocol, *role) == of)
                .map_or(Total::default(), |t| t.2)
        };
        let groups: Vec<_> = GROUPS.map(|of| (labels(of), of.1, total(of))).into();
        let mut family = |kind, name, help, value: fn(&Total) -> u64, roles: &[Action]| {
            let of_roles = groups.iter().filter(|(_, role, _)| roles.contains(role));
            text.family(kind, name, help, of_roles.map(|(labels, _, total)| (labels.clone(), value(total))));
        };
        let help = "Publishers and players that have a place.";
        family(Kind::Gauge, "sluice_sessions", help, |t| t.now, &Action::ALL);
        let help = "Publishers and players that ever had a place.";
        family(Kind::Counter, "sluice_sessions_total", help, |t| t.ever, &Action::ALL);
        let help = "Media bytes from publishers.";
        family(Kind::Counter, "sluice_received_bytes_total", help, |t| t.received_bytes, &[Action::Publish]);
        let help = "Media bytes to players.";
        family(Kind::Counter, "sluice_sent_bytes_total", help, |t| t.sent_bytes, &[Action::Play]);
        let help = "Times that a player was too slow and lost media.";
        family(Kind::Counter, "sluice_player_gaps_total", help, |t| t.gaps, &[Action::Play]);
    }

    fn admissions(&self, text: &mut Text) {
        let verdict = |name, count| (vec![("verdict", name)], count);
        let granted = std::iter::once(verdict("granted", self.auth.granted()));
        let denied = self.auth.denied().map(|(reason, count)| verdict(reason, count));
        let help = "Requests to publish or play, by what came of them.";
        text.family(Kind::Counter, "sluice_admissions_total", help, granted.chain(denied));
        let help = "Blocks in force; publishing and playing count apart.";
        text.single(Kind::Gauge, "sluice_blocks", help, self.auth.blocks());
        let help = "Permits that auth has given and not got back.";
        text.single(Kind::Gauge, "sluice_permits", help, self.auth.permits());
        let help = "Times that somebody used up the tries on a subscriber's codes.";
        text.single(Kind::Counter, "sluice_guessing_total", help, self.auth.attacks());
        let help = "Sessions taken over by a new login of their subscriber.";
        text.single(Kind::Counter, "sluice_takeovers_total", help, self.auth.takeovers());
        let help = "Times that auth's state panicked and was rebuilt.";
        text.single(Kind::Counter, "sluice_auth_rebuilds_total", help, self.auth.panics());
    }

    fn transcodes(&self, text: &mut Text) {
        let help = "Streams whose pictures are decoded and encoded again.";
        text.single(Kind::Gauge, "sluice_transcodes", help, self.webrtc.transcodes());
        let help = "Streams for which there is room to do so.";
        text.single(Kind::Gauge, "sluice_transcodes_max", help, self.transcodes);
        let help = "Times that a process which decodes pictures failed; a stream then comes as key frames.";
        text.single(Kind::Counter, "sluice_transcode_child_failures_total", help, self.decoding.failures());
    }

    fn durable(&self, text: &mut Text) {
        let help = "1 while the store can be written; 0 until a restart once the disk has failed.";
        text.single(Kind::Gauge, "sluice_store_writable", help, u8::from(self.store.healthy()));
        let bounds = SYNC_BOUNDS_US.map(|us| us as f64 / 1e6);
        let (syncs, help) = (self.store.syncs(), "How long it took to have a write on disk.");
        let sum = syncs.sum().as_secs_f64();
        text.histogram("sluice_store_sync_seconds", help, &bounds, &syncs.classes(), sum);
        if let Some(expires) = self.certificate.as_ref().and_then(|certificate| certificate.expires()) {
            let help = "When the certificate in use expires, in Unix seconds.";
            text.single(Kind::Gauge, "sluice_certificate_expiry_seconds", help, expires.as_secs());
        }
    }
}

fn labels((protocol, role): (Protocol, Action)) -> Labels<'static> {
    let role = match role {
        Action::Publish => "publisher",
        Action::Play => "player",
    };
    vec![("protocol", protocol.as_str()), ("role", role)]
}
