//! What others may see.

use contract::auth::{
    CodeKind, EventPage, GetSubscriber, IssueCode, IssueCodeError, ListEvents, ListSubscribers,
    SubscriberPage, SubscriberView,
};
use contract::settings::Hls;
use contract::{Action, AppSettings, StreamKey, SubscriberId, TotpCode, WallMs};

use super::State;
use super::subjects::Subject;
use crate::code::CodeKey;
use crate::record::Record;

impl State {
    /// The code of this moment (C§2.1.5, C§16.5). Neither blocks nor settings
    /// that switch codes on or off matter here.
    pub(crate) fn issue(
        &self,
        ask: &IssueCode,
        settings: &AppSettings,
        now: WallMs,
    ) -> Result<TotpCode, IssueCodeError> {
        let subject = self.subjects.get(&ask.stream, &ask.subscriber);
        let record = subject.and_then(|subject| subject.record.as_ref());
        let default = settings.security.period;
        if let Some((record, secret)) = record.and_then(|record| Some((record, record.secret.as_ref()?))) {
            let key = CodeKey::from_base32(secret.reveal()).map_err(|_| IssueCodeError::NoSecret)?;
            return code(&key, now, record.period.unwrap_or(default));
        }
        let action = match ask.kind {
            CodeKind::For(action) => action,
            CodeKind::Unsaid => record.and_then(|record| record.kind).unwrap_or(Action::Play),
            CodeKind::Unknown => return Err(IssueCodeError::Kind),
        };
        let secret = settings.security.secret(action).filter(|secret| !secret.reveal().trim().is_empty());
        let secret = secret.ok_or(IssueCodeError::NoSecret)?;
        code(&CodeKey::derived(secret, &ask.subscriber, &ask.stream, action), now, default)
    }

    /// One subscriber, if he has a record.
    pub(crate) fn get(&self, ask: &GetSubscriber, hls: &Hls, now: WallMs) -> Option<SubscriberView> {
        let subject = self.subjects.get(&ask.stream, &ask.subscriber)?;
        self.view(&ask.stream, &ask.subscriber, subject, hls, now)
    }

    /// Subscribers that have records, by id.
    pub(crate) fn list(&self, ask: &ListSubscribers, hls: &Hls, now: WallMs) -> SubscriberPage {
        let needle = ask.search.as_deref().unwrap_or_default().to_lowercase();
        let mut page = SubscriberPage::default();
        let wanted = ask.offset..ask.offset.saturating_add(ask.size);
        for (id, subject) in self.subjects.of_stream(&ask.stream) {
            if !subject.record.as_ref().is_some_and(|record| matches(record, &needle)) {
                continue;
            }
            if wanted.contains(&page.matching) {
                page.subscribers.extend(self.view(&ask.stream, id, subject, hls, now));
            }
            page.matching += 1;
        }
        page
    }

    /// Events of a stream.
    pub(crate) fn list_events(&self, ask: &ListEvents) -> EventPage {
        self.events.list(ask)
    }

    fn view(
        &self,
        stream: &StreamKey,
        id: &SubscriberId,
        subject: &Subject,
        hls: &Hls,
        now: WallMs,
    ) -> Option<SubscriberView> {
        let record = subject.record.as_ref()?;
        let blocked = |action| subject.bar(action).in_force.map(|in_force| in_force.until);
        Some(SubscriberView {
            id: id.clone(),
            stream: stream.clone(),
            name: record.name.clone(),
            kind: record.kind,
            has_secret: record.secret.is_some(),
            sessions: self.permits.of(stream, id).filter(|(_, held)| held.is_there(hls, now)).count(),
            limit: record.limit,
            publish_blocked_until: blocked(Action::Publish),
            play_blocked_until: blocked(Action::Play),
            period: record.period,
        })
    }
}

fn matches(record: &Record, needle: &str) -> bool {
    let holds = |text: &str| text.to_lowercase().contains(needle);
    needle.is_empty() || holds(record.subscriber.as_str()) || record.name.as_deref().is_some_and(holds)
}

/// Six digits always parse, so the error never happens.
fn code(key: &CodeKey, now: WallMs, period: u32) -> Result<TotpCode, IssueCodeError> {
    key.code_at(now, period).ok_or(IssueCodeError::Unavailable)
}
