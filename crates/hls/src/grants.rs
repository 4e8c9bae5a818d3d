//! All grants, by number and by what they count for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use contract::{Clock, StreamKey};

use crate::grant::{Grant, Key, lock};
use crate::token::{GrantId, Signer, Token};

/// Grants at a time. Each costs a session, some kilobytes; an open stream gives
/// one to every address that asks. Who comes when all are taken is refused.
const MOST: usize = 16_384;

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<GrantId, Arc<Grant>>,
    by_key: HashMap<Key, GrantId>,
    last: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Grants {
    table: Mutex<Table>,
    signer: Signer,
}

/// All grants are taken.
#[derive(Debug)]
pub(crate) struct Full;

impl Grants {
    pub(crate) fn new(signer: Signer) -> Self {
        Self { table: Mutex::default(), signer }
    }

    /// The grant of this key, or a new one that is not in the table until it is
    /// kept.
    pub(crate) fn of(&self, key: &Key, clock: &Clock) -> Result<Arc<Grant>, Full> {
        let mut table = lock(&self.table);
        if let Some(grant) = table.find(key) {
            return Ok(grant);
        }
        if table.by_id.len() >= MOST {
            return Err(Full);
        }
        table.last += 1;
        Ok(Arc::new(Grant::new(GrantId(table.last), key.clone(), clock.clone())))
    }

    /// The grant of this key, if there is one.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Grant>> {
        lock(&self.table).find(key)
    }

    /// Puts a grant that got its session into the table.
    pub(crate) fn keep(&self, grant: &Arc<Grant>) {
        let mut table = lock(&self.table);
        table.by_key.insert(grant.key.clone(), grant.id);
        table.by_id.insert(grant.id, grant.clone());
    }

    /// The grant that a token of a request for this stream stands for.
    pub(crate) fn verify(&self, text: &str, stream: &StreamKey) -> Option<Arc<Grant>> {
        let token = Token::parse(text)?;
        let grant = lock(&self.table).by_id.get(&token.id).cloned()?;
        self.signer.verify(&token, stream, grant.key.subscriber.as_ref()).then_some(grant)
    }

    /// The text that stands for a grant.
    pub(crate) fn token(&self, grant: &Grant) -> String {
        self.signer.sign(grant.id, &grant.key.stream, grant.key.subscriber.as_ref())
    }

    /// Takes a grant out; whoever holds it may finish with it.
    pub(crate) fn remove(&self, grant: &Grant) {
        let mut table = lock(&self.table);
        table.by_id.remove(&grant.id);
        if table.by_key.get(&grant.key) == Some(&grant.id) {
            table.by_key.remove(&grant.key);
        }
    }

    /// All of them now.
    pub(crate) fn all(&self) -> Vec<Arc<Grant>> {
        lock(&self.table).by_id.values().cloned().collect()
    }
}

impl Table {
    fn find(&self, key: &Key) -> Option<Arc<Grant>> {
        self.by_id.get(self.by_key.get(key)?).cloned()
    }
}
