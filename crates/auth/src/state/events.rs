//! Connection events: one `connected` and one `disconnected` per session.

use std::collections::{BTreeMap, VecDeque};

use contract::auth::{Change, ConnectionEvent, EventPage, ListEvents};
use contract::registry::Order;
use contract::{StreamKey, SubscriberId, WallMs};
use store::Batch;

use super::permits::{self, Held};
use crate::record::{EventRecord, Write};

/// Newest events kept of one stream.
const PER_STREAM: usize = 10_000;
/// Newest events kept of all streams: strangers choose stream names where codes
/// are not needed. Some 20 MiB.
const IN_TOTAL: usize = 50_000;

/// Events by stream, oldest first. Numbers order all of them in time.
#[derive(Debug, Default)]
pub(super) struct Events {
    last: u64,
    by_stream: BTreeMap<StreamKey, VecDeque<EventRecord>>,
    streams: BTreeMap<u64, StreamKey>,
}

impl Events {
    /// From disk, in order of numbers.
    pub(super) fn load(records: Vec<EventRecord>) -> Self {
        let mut events = Self::default();
        for record in records {
            events.last = record.number;
            events.insert(record);
        }
        events
    }

    /// When the newest of them was. Their order is that of their numbers, not of their times.
    pub(super) fn newest(&self) -> Option<WallMs> {
        self.by_stream.values().flatten().map(|record| record.event.at).max()
    }

    /// Continues the numbers of `old`, some of whose events may still be on their
    /// way to the disk.
    pub(super) fn number_after(&mut self, old: &Self) {
        self.last = self.last.max(old.last);
    }

    /// A session of a subscriber began.
    pub(super) fn connected(&mut self, held: &mut Held, at: WallMs, write: &mut Batch) {
        if let Some(subscriber) = held.subscriber.clone() {
            held.events = permits::Events::Recorded;
            self.push(event(held, subscriber, Change::Connected, at), write);
        }
    }

    /// A session ended; recorded if its beginning was.
    pub(super) fn disconnected(&mut self, held: &Held, at: WallMs, write: &mut Batch) {
        if let (permits::Events::Recorded, Some(subscriber)) = (held.events, held.subscriber.clone()) {
            self.push(event(held, subscriber, Change::Disconnected, at), write);
        }
    }

    /// Forgets a subscriber's events on a stream, or everybody's.
    pub(super) fn forget(&mut self, stream: &StreamKey, whose: Option<&SubscriberId>, write: &mut Batch) {
        let Some(of_stream) = self.by_stream.get_mut(stream) else { return };
        of_stream.retain(|record| {
            let keep = whose.is_some_and(|whose| record.event.subscriber != *whose);
            if !keep {
                self.streams.remove(&record.number);
                write.delete_event(record.number);
            }
            keep
        });
        if of_stream.is_empty() {
            self.by_stream.remove(stream);
        }
    }

    pub(super) fn list(&self, ask: &ListEvents) -> EventPage {
        let of_stream = self.by_stream.get(&ask.stream).into_iter().flatten().map(|record| &record.event);
        let needle = ask.search.as_deref().unwrap_or_default().to_lowercase();
        let asked_for = |event: &&ConnectionEvent| {
            ask.subscriber.as_ref().is_none_or(|whose| event.subscriber == *whose)
                && (needle.is_empty() || event.subscriber.as_str().to_lowercase().contains(&needle))
        };
        let wanted: Vec<_> = of_stream.filter(asked_for).collect();
        let page = |events: &mut dyn Iterator<Item = &&ConnectionEvent>| {
            events.skip(ask.offset).take(ask.size).map(|event| (*event).clone()).collect()
        };
        let events = match ask.order {
            Order::Ascending => page(&mut wanted.iter()),
            Order::Descending => page(&mut wanted.iter().rev()),
        };
        EventPage { events, matching: wanted.len() }
    }

    fn push(&mut self, event: ConnectionEvent, write: &mut Batch) {
        self.last += 1;
        let record = EventRecord { number: self.last, event };
        write.put_event(&record);
        let stream = record.event.stream.clone();
        self.insert(record);
        if self.by_stream.get(&stream).is_some_and(|of_stream| of_stream.len() > PER_STREAM) {
            self.drop_oldest_of(&stream, write);
        }
        if self.streams.len() > IN_TOTAL
            && let Some((_, stream)) = self.streams.first_key_value()
        {
            self.drop_oldest_of(&stream.clone(), write);
        }
    }

    fn insert(&mut self, record: EventRecord) {
        self.streams.insert(record.number, record.event.stream.clone());
        self.by_stream.entry(record.event.stream.clone()).or_default().push_back(record);
    }

    fn drop_oldest_of(&mut self, stream: &StreamKey, write: &mut Batch) {
        let Some(of_stream) = self.by_stream.get_mut(stream) else { return };
        if let Some(oldest) = of_stream.pop_front() {
            self.streams.remove(&oldest.number);
            write.delete_event(oldest.number);
        }
        if of_stream.is_empty() {
            self.by_stream.remove(stream);
        }
    }
}

fn event(held: &Held, subscriber: SubscriberId, change: Change, at: WallMs) -> ConnectionEvent {
    ConnectionEvent {
        at,
        stream: held.stream.clone(),
        subscriber,
        change,
        action: held.action,
        protocol: held.protocol,
    }
}
