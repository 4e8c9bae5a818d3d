use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use tempfile::TempDir;

use super::*;
use crate::backend::RawChange;
use crate::batch::{MAX_KEY, MAX_VALUE, Sealing};
use crate::key::KeyError;
use crate::schema::Record;

const PLAIN: Table = Table::new("plain", Sealing::Open);
const PLAIN2: Table = Table::new("plain2", Sealing::Open);
const SECRET: Table = Table::new("secret", Sealing::Sealed);

/// Waits for a commit without a runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}

fn put(table: Table, key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key.as_bytes(), value.as_bytes());
    batch
}

fn pairs(store: &Store, table: Table) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    store.scan(table).unwrap().into_iter().map(|(k, v)| (text(k), text(v))).collect()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn open(&self) -> Store {
        self.try_open().unwrap()
    }
    fn try_open(&self) -> Result<Store, OpenError> {
        Store::open(&self.at("data"), &self.at("secrets.key"))
    }
    fn open_with(&self, schema: &Schema) -> Result<Store, OpenError> {
        Store::open_with(&self.at("data"), &self.at("secrets.key"), schema)
    }
}

/// A backend that tells when it syncs, and waits there for leave.
struct Gated {
    memory: Memory,
    applied: Mutex<usize>,
    arrived: Mutex<Sender<usize>>,
    leave: Mutex<Receiver<Result<(), BackendError>>>,
}

impl Backend for Gated {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        self.memory.get(key)
    }
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, BackendError> {
        self.memory.scan(prefix)
    }
    fn apply(&self, changes: Vec<RawChange>) -> Result<(), BackendError> {
        *self.applied.lock().unwrap() += changes.len();
        self.memory.apply(changes)
    }
    fn sync(&self) -> Result<(), BackendError> {
        let applied = *self.applied.lock().unwrap();
        self.arrived.lock().unwrap().send(applied).unwrap();
        self.leave.lock().unwrap().recv().unwrap()
    }
}

/// A store on a gated backend, where syncs are announced, and how to let them go.
fn gated() -> (Store, Receiver<usize>, Sender<Result<(), BackendError>>) {
    let (arrived, arrivals) = channel();
    let (let_go, leave) = channel();
    let backend = Gated {
        memory: Memory::default(),
        applied: Mutex::default(),
        arrived: Mutex::new(arrived),
        leave: Mutex::new(leave),
    };
    let sealer = Sealer::new(&SealKey { bytes: [1; 32] }, 1);
    (Store::threaded(Arc::new(backend), sealer, None).unwrap(), arrivals, let_go)
}

/// What a test does with either store.
fn same_story(store: &Store) -> Vec<(String, String)> {
    wait(store.commit(put(PLAIN, "b", "1"))).unwrap();
    wait(store.commit(put(PLAIN2, "a", "other table"))).unwrap();
    wait(store.commit(put(SECRET, "a", "hidden"))).unwrap();
    let mut batch = put(PLAIN, "a", "2");
    batch.put(PLAIN, b"a", b"3").delete(PLAIN, b"b").put(PLAIN, b"", b"empty key").put(PLAIN, b"c", b"");
    wait(store.commit(batch)).unwrap();
    let mut large = Batch::new();
    large.put(PLAIN, b"large", &vec![0; MAX_VALUE + 1]).put(PLAIN, b"beside", b"x");
    assert_eq!(wait(store.commit(large)), Err(StoreError::TooLarge));
    assert_eq!(wait(store.commit(put(PLAIN, &"k".repeat(MAX_KEY + 1), ""))), Err(StoreError::TooLarge));
    assert!(store.healthy());
    assert_eq!(store.get(SECRET, b"a").unwrap().as_deref(), Some(b"hidden".as_slice()));
    assert_eq!(store.get(PLAIN2, b"a").unwrap().as_deref(), Some(b"other table".as_slice()));
    assert_eq!(store.get(PLAIN, b"").unwrap().as_deref(), Some(b"empty key".as_slice()));
    assert_eq!(store.get(PLAIN, b"b").unwrap(), None, "it was deleted");
    [pairs(store, PLAIN), pairs(store, PLAIN2), pairs(store, SECRET)].concat()
}

#[test]
fn memory_and_disk_tell_the_same_story() {
    let folder = Folder::new();
    let expected = [("", "empty key"), ("a", "3"), ("c", ""), ("a", "other table"), ("a", "hidden")];
    let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    assert_eq!(same_story(&Store::memory()), expected);
    assert_eq!(same_story(&folder.open()), expected);
    let again = folder.open();
    assert_eq!([pairs(&again, PLAIN), pairs(&again, PLAIN2), pairs(&again, SECRET)].concat(), expected);
}

#[test]
fn the_order_is_that_of_the_calls_not_of_the_polls() {
    let folder = Folder::new();
    let store = folder.open();
    let commits: Vec<_> = (0..500).map(|i| store.commit(put(PLAIN, "k", &i.to_string()))).collect();
    for commit in commits.into_iter().rev() {
        wait(commit).unwrap();
    }
    assert_eq!(pairs(&store, PLAIN), [("k".into(), "499".into())]);
}

#[test]
fn a_commit_that_nobody_awaits_is_written() {
    let folder = Folder::new();
    drop(folder.open().commit(put(PLAIN, "k", "v")));
    assert_eq!(pairs(&folder.open(), PLAIN), [("k".into(), "v".into())]);
}

#[test]
fn batches_that_wait_together_share_one_sync() {
    let (store, arrivals, let_go) = gated();
    let first = store.commit(put(PLAIN, "first", ""));
    assert_eq!(arrivals.recv().unwrap(), 1);
    let others: Vec<_> = (0..10).map(|i| store.commit(put(PLAIN, &i.to_string(), ""))).collect();
    let_go.send(Ok(())).unwrap();
    wait(first).unwrap();
    assert_eq!(arrivals.recv().unwrap(), 11, "all ten were applied before the second sync");
    let_go.send(Ok(())).unwrap();
    for other in others {
        wait(other).unwrap();
    }
    drop(store);
    assert!(arrivals.recv().is_err(), "there was no third sync");
}

#[test]
fn nothing_is_acknowledged_before_its_sync_returns() {
    let (store, arrivals, let_go) = gated();
    let commit = store.commit(put(PLAIN, "k", "v"));
    let mut commit = std::pin::pin!(commit);
    arrivals.recv().unwrap();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(commit.as_mut().poll(&mut cx).is_pending());
    let_go.send(Ok(())).unwrap();
    wait(commit).unwrap();
}

#[test]
fn a_full_queue_answers_busy_at_once_and_keeps_what_it_took() {
    let (store, arrivals, let_go) = gated();
    let first = store.commit(put(PLAIN, "first", ""));
    arrivals.recv().unwrap();
    let taken: Vec<_> = (0..1024).map(|i| store.commit(put(PLAIN, &i.to_string(), ""))).collect();
    assert_eq!(wait(store.commit(put(PLAIN, "too many", ""))), Err(StoreError::Busy));
    assert!(store.healthy());
    drop(let_go.send(Ok(())));
    (0..4).for_each(|_| let_go.send(Ok(())).unwrap());
    wait(first).unwrap();
    taken.into_iter().for_each(|commit| wait(commit).unwrap());
    assert_eq!(store.scan(PLAIN).unwrap().len(), 1025);
}

#[test]
fn the_first_failed_sync_makes_the_store_read_only_for_good() {
    let (store, arrivals, let_go) = gated();
    wait_ok(&store, &arrivals, &let_go);
    let failing = store.commit(put(PLAIN, "lost", ""));
    arrivals.recv().unwrap();
    let queued = store.commit(put(PLAIN, "queued", ""));
    let_go.send(Err(BackendError::Injected)).unwrap();
    assert_eq!(wait(failing), Err(StoreError::Failed));
    assert_eq!(wait(queued), Err(StoreError::ReadOnly));
    assert!(!store.healthy());
    assert_eq!(wait(store.commit(put(PLAIN, "later", ""))), Err(StoreError::ReadOnly));
    assert!(arrivals.try_recv().is_err(), "no sync was tried again");
}

fn wait_ok(store: &Store, arrivals: &Receiver<usize>, let_go: &Sender<Result<(), BackendError>>) {
    let commit = store.commit(put(PLAIN, "kept", ""));
    arrivals.recv().unwrap();
    let_go.send(Ok(())).unwrap();
    wait(commit).unwrap();
}

#[test]
fn a_writer_that_panics_is_a_disk_that_failed() {
    let (store, arrivals, let_go) = gated();
    let commit = store.commit(put(PLAIN, "k", ""));
    arrivals.recv().unwrap();
    drop(let_go); // `recv().unwrap()` in the backend panics
    assert_eq!(wait(commit), Err(StoreError::Failed));
    assert!(!store.healthy());
    assert_eq!(wait(store.commit(put(PLAIN, "k", ""))), Err(StoreError::ReadOnly));
}

#[test]
fn a_test_can_break_the_memory_store_and_mending_does_not_help() {
    let (store, fault) = Store::memory_with_fault();
    wait(store.commit(put(PLAIN, "k", ""))).unwrap();
    fault.break_disk();
    assert_eq!(wait(store.commit(put(PLAIN, "k", ""))), Err(StoreError::Failed));
    fault.mend_disk();
    assert_eq!(wait(store.commit(put(PLAIN, "k", ""))), Err(StoreError::ReadOnly));
    assert!(!store.healthy());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn on_disk(folder: &Path, needle: &[u8]) -> bool {
    files(folder).iter().any(|f| std::fs::read(f).unwrap().windows(needle.len()).any(|w| w == needle))
}

#[test]
fn sealed_values_cannot_be_read_on_disk() {
    let folder = Folder::new();
    let store = folder.open();
    wait(store.commit(put(PLAIN, "p", "readable-value"))).unwrap();
    wait(store.commit(put(SECRET, "s", "hidden-value"))).unwrap();
    drop(store);
    assert!(on_disk(&folder.at("data"), b"readable-value"), "the search finds what is there");
    assert!(!on_disk(&folder.at("data"), b"hidden-value"));
    assert_eq!(pairs(&folder.open(), SECRET), [("s".into(), "hidden-value".into())]);
}

#[test]
fn the_key_file_is_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    drop(folder.open());
    let meta = std::fs::metadata(folder.at("secrets.key")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o600, 32));
}

#[test]
fn a_missing_key_beside_data_refuses_and_makes_none() {
    let folder = Folder::new();
    wait(folder.open().commit(put(SECRET, "s", "v"))).unwrap();
    std::fs::rename(folder.at("secrets.key"), folder.at("kept")).unwrap();
    let refused = folder.try_open();
    assert!(matches!(refused, Err(OpenError::Key(KeyError::Missing { .. }))), "{refused:?}");
    assert!(!folder.at("secrets.key").exists());
    std::fs::rename(folder.at("kept"), folder.at("secrets.key")).unwrap();
    assert_eq!(pairs(&folder.open(), SECRET), [("s".into(), "v".into())]);
}

#[test]
fn a_wrong_or_cut_key_refuses_and_stays_as_it_is() {
    let folder = Folder::new();
    wait(folder.open().commit(put(SECRET, "s", "v"))).unwrap();
    std::fs::write(folder.at("secrets.key"), [9; 32]).unwrap();
    assert!(matches!(folder.try_open(), Err(OpenError::Key(KeyError::Wrong { .. }))));
    assert_eq!(std::fs::read(folder.at("secrets.key")).unwrap(), [9; 32]);
    std::fs::write(folder.at("secrets.key"), [9; 31]).unwrap();
    assert!(matches!(folder.try_open(), Err(OpenError::Key(KeyError::Malformed { .. }))));
}

#[test]
fn an_empty_folder_takes_the_key_that_is_there() {
    let folder = Folder::new();
    std::fs::write(folder.at("secrets.key"), [5; 32]).unwrap();
    drop(folder.open());
    assert_eq!(std::fs::read(folder.at("secrets.key")).unwrap(), [5; 32]);
}

#[test]
fn a_first_start_makes_the_folder_of_its_key() {
    let folder = Folder::new();
    let key = folder.at("keys/of/mine");
    drop(Store::open(&folder.at("data"), &key).unwrap());
    assert_eq!(std::fs::read(key).unwrap().len(), 32);
}

#[test]
fn a_data_folder_has_one_server() {
    let folder = Folder::new();
    let _first = folder.open();
    assert!(matches!(folder.try_open(), Err(OpenError::Locked { .. })));
}

#[test]
fn a_zero_filled_conf_is_named() {
    let folder = Folder::new();
    drop(folder.open());
    let conf = folder.at("data").join("sled/conf");
    let zeros = vec![0; std::fs::metadata(&conf).unwrap().len() as usize];
    std::fs::write(&conf, zeros).unwrap();
    let refused = folder.try_open().unwrap_err();
    assert!(refused.to_string().contains("only zeros"), "{refused}");
}

#[test]
fn the_largest_records_stay_in_the_file_that_we_sync() {
    let folder = Folder::new();
    let store = folder.open();
    for round in 0..3_u8 {
        let mut batch = Batch::new();
        for i in 0..100_u8 {
            let key = [&[i; MAX_KEY - 1][..], &[round]].concat();
            batch.put(SECRET, &key, &[round; MAX_VALUE]);
        }
        wait(store.commit(batch)).unwrap();
        assert_eq!(files(&folder.at("data").join("sled/blobs")), Vec::<PathBuf>::new());
    }
    drop(store);
    assert_eq!(folder.open().scan(SECRET).unwrap().len(), 300);
}

/// Version 2 splits the records of `plain` and keeps the others.
fn split(from: u32, record: Record) -> Result<Vec<Record>, crate::MigrateError> {
    assert_eq!(from, 1);
    if record.table != PLAIN {
        return Ok(vec![record]);
    }
    let half = |key: &[u8]| Record { key: key.to_vec(), ..record.clone() };
    Ok(vec![half(b"left"), half(b"right")])
}

#[test]
fn a_migration_carries_open_and_sealed_records_over() {
    let folder = Folder::new();
    let store = folder.open();
    wait(store.commit(put(PLAIN, "old", "v"))).unwrap();
    wait(store.commit(put(SECRET, "s", "hidden"))).unwrap();
    drop(store);
    let schema = Schema { version: 2, tables: &[PLAIN, SECRET], migrate: split };
    for _ in 0..2 {
        let store = folder.open_with(&schema).unwrap();
        assert_eq!(pairs(&store, PLAIN), [("left".into(), "v".into()), ("right".into(), "v".into())]);
        assert_eq!(pairs(&store, SECRET), [("s".into(), "hidden".into())]);
    }
    assert!(matches!(folder.try_open(), Err(OpenError::Newer { found: 2, known: 1 })));
}

#[test]
fn a_migration_that_would_forget_a_table_does_not_start() {
    let folder = Folder::new();
    wait(folder.open().commit(put(PLAIN2, "k", "v"))).unwrap();
    let schema = Schema { version: 2, tables: &[PLAIN, SECRET], migrate: split };
    let refused = folder.open_with(&schema);
    assert!(matches!(refused, Err(OpenError::UnknownTable)), "{refused:?}");
    assert_eq!(pairs(&folder.open(), PLAIN2), [("k".into(), "v".into())]);
}

#[test]
fn debug_output_tells_no_value() {
    let batch = put(SECRET, "key-text", "value-text");
    let shown = format!("{batch:?} {:?}", Store::memory());
    assert!(!shown.contains("text"), "{shown}");
}
