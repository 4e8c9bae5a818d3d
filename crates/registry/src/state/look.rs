//! What people who look after the server see of it.

use std::fmt::Write;
use std::sync::Arc;

use contract::registry::{Board, ListSessions, Live, SessionPage, SessionView, StreamRow};
use contract::session::{Moment, SessionRef};
use contract::{Action, AppName, AppSettings, SessionId, Standing, StreamKey, SubscriberId, WallMs};

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
        let mut search = Search::new(ask.search.as_deref());
        let newest = row.publisher.as_ref().and_then(|publisher| publisher.live.newest());
        let stream = row.line(&ask.stream, settings, now);
        let (mut total, mut matching, mut sessions) = (0, 0, Vec::new());
        for (role, seat) in row.seats().filter(|(_, seat)| seat.is_taken(settings, now)) {
            total += 1;
            if search.finds(role, seat) {
                if matching >= ask.offset && sessions.len() < ask.size {
                    sessions.push(seat.view(role, newest));
                }
                matching += 1;
            }
        }
        Some(SessionPage { at: now, stream, total, matching, sessions })
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

/// Looks for a text in sessions, of which there may be many: with one piece of memory.
struct Search {
    needle: String,
    line: String,
}

impl Search {
    fn new(needle: Option<&str>) -> Self {
        Self { needle: needle.unwrap_or_default().to_ascii_lowercase(), line: String::new() }
    }

    fn finds(&mut self, role: Action, seat: &Seat) -> bool {
        if self.needle.is_empty() {
            return true;
        }
        self.line.clear();
        let role = match role {
            Action::Publish => "publisher",
            Action::Play => "player",
        };
        let who = seat.subscriber.as_ref().map_or("", SubscriberId::as_str);
        // Writing to a string cannot fail.
        let _ = write!(self.line, "{role}\n{}\n{}\n{who}", seat.protocol.as_str(), seat.peer);
        self.line.make_ascii_lowercase();
        self.line.contains(&self.needle)
    }
}

impl Row {
    /// The publisher, then the players from the one who came first.
    fn seats(&self) -> impl Iterator<Item = (Action, &Seat)> {
        let publisher = self.publisher.iter().map(|publisher| (Action::Publish, &publisher.seat));
        publisher.chain(self.players.values().map(|seat| (Action::Play, seat)))
    }

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
    /// `newest` is the stream's newest media.
    fn view(&self, role: Action, newest: Option<Moment>) -> SessionView {
        let (traffic, standing) = (&self.session.traffic, self.standing.get());
        let plays = role == Action::Play && standing == Standing::Granted;
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
            lag: newest.filter(|_| plays).and_then(|newest| traffic.lag(newest)),
            standing,
        }
    }
}
