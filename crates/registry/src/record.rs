//! Stream records on disk.

use contract::StreamKey;
use contract::registry::StreamRecord;
use store::{Batch, Sealing, Store, Table};

/// Records by application and stream.
pub(crate) const STREAMS: Table = Table::new("streams", Sealing::Open);

// What fits is stored.
const _: () = assert!(contract::registry::MAX_RECORD <= store::MAX_VALUE);

/// Application and id, apart by a byte that neither can contain.
fn key(stream: &StreamKey) -> Vec<u8> {
    [stream.app.as_str().as_bytes(), b"\0", stream.id.as_str().as_bytes()].concat()
}

/// The record on disk, or that there is none; one that is damaged is none. `None`: the
/// disk cannot be read.
pub(crate) fn stored(store: &Store, stream: &StreamKey) -> Option<Option<StreamRecord>> {
    let value = store.get(STREAMS, &key(stream)).ok()?;
    Some(value.and_then(|value| serde_json::from_slice(&value).ok()))
}

/// The write that makes a record durable.
pub(crate) fn put(record: &StreamRecord) -> Result<Batch, serde_json::Error> {
    let mut batch = Batch::new();
    batch.put(STREAMS, &key(&record.key), &serde_json::to_vec(record)?);
    Ok(batch)
}

/// The write that makes a removal durable.
pub(crate) fn delete(stream: &StreamKey) -> Batch {
    let mut batch = Batch::new();
    batch.delete(STREAMS, &key(stream));
    batch
}
