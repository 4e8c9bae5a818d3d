//! What people who look after the server see of it.

use std::sync::Arc;

use contract::registry::{Board, ListSessions, Live, SessionPage, SessionView, StreamRow};
use contract::session::SessionRef;
use contract::{Action, AppName, AppSettings, SessionId, StreamKey, WallMs};

use super::{Publisher, Row, Seat, State};

impl State {
    /// Every stream that is registered or live.
    pub(crate) fn survey(&self, settings: impl Fn(&AppName) -> Arc<AppSettings>, now: WallMs) -> Board {
        let shown = self.rows.iter().filter(|(_, row)| row.is_shown());
        let streams = shown.map(|(key, row)| row.line(key, &settings(&key.app), now)).collect();
        Board { at: now, streams }
    }

    /// Who has a place in a stream; `None` if there is no such stream.
    pub(crate) fn sessions(
        &self,
        ask: &ListSessions,
        settings: &AppSettings,
        now: WallMs,
    ) -> Option<SessionPage> {
        let row = self.rows.get(&ask.stream).filter(|row| row.is_shown())?;
        let publisher = row.publisher.iter().map(|publisher| publisher.seat.view(Action::Publish));
        let there = row.players.iter().filter(|(_, seat)| seat.is_taken(settings, now));
        let players = there.map(|(_, seat)| seat.view(Action::Play));
        Some(SessionPage {
            at: now,
            stream: row.line(&ask.stream, settings, now),
            sessions: publisher.chain(players).take(ask.size).collect(),
        })
    }

    /// One session of a stream.
    pub(crate) fn session(&self, stream: &StreamKey, id: SessionId) -> Option<SessionRef> {
        let row = self.rows.get(stream)?;
        let publisher = row.publisher.as_ref().map(|p| &p.seat.session).filter(|session| session.id == id);
        publisher.or_else(|| row.players.get(&id).map(|seat| &seat.session)).cloned()
    }

    /// A live stream's media.
    pub(crate) fn live(&self, stream: &StreamKey) -> Option<Arc<Live>> {
        Some(self.rows.get(stream)?.publisher.as_ref()?.live.clone())
    }
}

impl Row {
    fn is_shown(&self) -> bool {
        self.record.is_some() || self.publisher.is_some()
    }

    fn line(&self, key: &StreamKey, settings: &AppSettings, now: WallMs) -> StreamRow {
        StreamRow {
            key: key.clone(),
            name: self.record.as_ref().and_then(|record| record.name.clone()),
            registered: self.record.is_some(),
            live: self.publisher.as_ref().map(Publisher::view),
            players: self.counts(settings, now),
        }
    }
}

impl Seat {
    fn view(&self, role: Action) -> SessionView {
        let traffic = &self.session.traffic;
        SessionView {
            id: self.session.id,
            role,
            protocol: self.protocol,
            subscriber: self.subscriber.clone(),
            peer: self.peer,
            since: self.since,
            bytes: match role {
                Action::Publish => traffic.received_bytes(),
                Action::Play => traffic.sent_bytes(),
            },
            gaps: traffic.gaps(),
            standing: self.standing.get(),
        }
    }
}
