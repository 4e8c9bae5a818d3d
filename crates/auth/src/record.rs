//! What auth keeps on disk, and under which keys.

use contract::auth::ConnectionEvent;
use contract::{Action, Secret, StreamKey, SubscriberId, WallMs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::{Batch, Sealing, Table};

/// Subscribers, with their secrets.
pub(crate) const SUBSCRIBERS: Table = Table::new("subscribers", Sealing::Sealed);
/// Blocks, one record per direction, so that the write of one never touches the other.
pub(crate) const BLOCKS: Table = Table::new("blocks", Sealing::Open);
/// Connection events.
pub(crate) const EVENTS: Table = Table::new("events", Sealing::Open);

/// A subscriber of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) stream: StreamKey,
    pub(crate) subscriber: SubscriberId,
    pub(crate) name: Option<String>,
    /// Base32; never blank.
    pub(crate) secret: Option<Secret<String>>,
    pub(crate) kind: Option<Action>,
    /// Sessions at a time and direction; -1: no limit.
    pub(crate) limit: i32,
    /// Seconds that a code lives.
    pub(crate) period: Option<u32>,
}

impl Record {
    /// What a block of somebody unknown leaves behind: no type, no limit (C§16.6).
    pub(crate) fn made_by_block(stream: &StreamKey, subscriber: &SubscriberId) -> Self {
        Self {
            stream: stream.clone(),
            subscriber: subscriber.clone(),
            name: None,
            secret: None,
            kind: None,
            limit: -1,
            period: None,
        }
    }

    /// Whether both let the same people do the same.
    pub(crate) fn grants_like(&self, other: &Self) -> bool {
        Self { name: None, ..self.clone() } == Self { name: None, ..other.clone() }
    }
}

/// A block of a subscriber in one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockRecord {
    pub(crate) stream: StreamKey,
    pub(crate) subscriber: SubscriberId,
    pub(crate) action: Action,
    /// Wall time; used only at boot.
    pub(crate) until: WallMs,
    /// When it was asked for, by the same clock; absent in records of older builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<WallMs>,
}

/// An event and its place in the order of all events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    pub(crate) number: u64,
    pub(crate) event: ConnectionEvent,
}

/// Names hold no NUL, so no two triples share a key.
fn key(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

fn subscriber_key(stream: &StreamKey, subscriber: &SubscriberId) -> Vec<u8> {
    key(&[stream.app.as_str(), stream.id.as_str(), subscriber.as_str()])
}

fn block_key(stream: &StreamKey, subscriber: &SubscriberId, action: Action) -> Vec<u8> {
    let action = match action {
        Action::Publish => "publish",
        Action::Play => "play",
    };
    key(&[stream.app.as_str(), stream.id.as_str(), subscriber.as_str(), action])
}

/// What auth writes, in words of auth.
pub(crate) trait Write {
    fn put_subscriber(&mut self, record: &Record);
    fn delete_subscriber(&mut self, stream: &StreamKey, subscriber: &SubscriberId);
    fn put_block(&mut self, record: &BlockRecord);
    fn delete_block(&mut self, stream: &StreamKey, subscriber: &SubscriberId, action: Action);
    fn put_event(&mut self, record: &EventRecord);
    fn delete_event(&mut self, number: u64);
}

impl Write for Batch {
    fn put_subscriber(&mut self, record: &Record) {
        self.put(SUBSCRIBERS, &subscriber_key(&record.stream, &record.subscriber), &encode(record));
    }

    fn delete_subscriber(&mut self, stream: &StreamKey, subscriber: &SubscriberId) {
        self.delete(SUBSCRIBERS, &subscriber_key(stream, subscriber));
    }

    fn put_block(&mut self, record: &BlockRecord) {
        let key = block_key(&record.stream, &record.subscriber, record.action);
        self.put(BLOCKS, &key, &encode(record));
    }

    fn delete_block(&mut self, stream: &StreamKey, subscriber: &SubscriberId, action: Action) {
        self.delete(BLOCKS, &block_key(stream, subscriber, action));
    }

    fn put_event(&mut self, record: &EventRecord) {
        self.put(EVENTS, &record.number.to_be_bytes(), &encode(record));
    }

    fn delete_event(&mut self, number: u64) {
        self.delete(EVENTS, &number.to_be_bytes());
    }
}

/// Structs with text keys always encode; an empty value would be refused at load.
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Why auth could not be loaded; the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The table could not be read.
    #[error(transparent)]
    Scan(#[from] store::ScanError),
    /// A record is not what this version writes.
    #[error("a record of table {table} is malformed")]
    Record {
        /// Whose record.
        table: &'static str,
    },
}

/// All records of a table.
pub(crate) fn decode_all<T: DeserializeOwned>(
    table: Table,
    pairs: Vec<store::Pair>,
) -> Result<Vec<T>, LoadError> {
    let decode = |(_, value): store::Pair| serde_json::from_slice(&value);
    let decoded: Result<Vec<T>, _> = pairs.into_iter().map(decode).collect();
    // The cause would quote the record.
    decoded.map_err(|_| LoadError::Record { table: table.name() })
}
