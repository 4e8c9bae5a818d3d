//! All grants, by number and by what they count for.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use contract::{Clock, Standing, StreamKey, network};

use crate::grant::{Grant, Key, lock};
use crate::lingering::Lingering;
use crate::token::{GrantId, Signer, Token};

/// Grants at a time. Each costs a session, some kilobytes; an open stream gives
/// one to every address that asks. Who comes when all are taken is refused.
const MOST: usize = 16_384;

/// Grants of one address at a time, a v6 /64 being one: on an open stream every
/// name that somebody gives himself is another grant. The one of his that is
/// silent for longest goes. Not for loopback, where proxies sit that nobody told
/// us of, in front of all players.
const MOST_OF_ONE: usize = 256;

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<GrantId, Arc<Grant>>,
    by_key: HashMap<Key, GrantId>,
    by_network: HashMap<IpAddr, HashSet<GrantId>>,
    last: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Grants {
    table: Mutex<Table>,
    signer: Signer,
    lingering: Arc<Lingering>,
}

/// What became of a grant that was to be kept.
#[derive(Debug)]
pub(crate) enum Kept {
    /// It is in the table; the other one of the same address must end for it, if
    /// any.
    For(Option<Arc<Grant>>),
    /// Another request of the same player got this one meanwhile, and it serves
    /// both.
    Twin(Arc<Grant>),
}

/// All grants are taken.
#[derive(Debug)]
pub(crate) struct Full;

impl Grants {
    pub(crate) fn new(signer: Signer, lingering: Arc<Lingering>) -> Self {
        Self { table: Mutex::default(), signer, lingering }
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
        Ok(Arc::new(Grant::new(GrantId(table.last), key.clone(), clock.clone(), self.lingering.clone())))
    }

    /// The grant of this key, if there is one.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Grant>> {
        lock(&self.table).find(key)
    }

    /// Puts a grant that got its session into the table.
    pub(crate) fn keep(&self, grant: &Arc<Grant>, now: Instant) -> Kept {
        let mut table = lock(&self.table);
        let twin = table.find(&grant.key).filter(|twin| twin.id != grant.id);
        if let Some(twin) = twin.filter(|twin| twin.standing() == Some(Standing::Granted)) {
            return Kept::Twin(twin);
        }
        table.by_key.insert(grant.key.clone(), grant.id);
        table.by_id.insert(grant.id, grant.clone());
        table.by_network.entry(network(grant.key.peer)).or_default().insert(grant.id);
        Kept::For(table.loser(grant, now))
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
        let at = network(grant.key.peer);
        if let Some(same) = table.by_network.get_mut(&at) {
            same.remove(&grant.id);
            if same.is_empty() {
                table.by_network.remove(&at);
            }
        }
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

    fn loser(&self, keeper: &Grant, now: Instant) -> Option<Arc<Grant>> {
        let same = self.by_network.get(&network(keeper.key.peer))?;
        if same.len() <= MOST_OF_ONE || keeper.key.peer.is_loopback() {
            return None;
        }
        let others = same.iter().filter(|id| **id != keeper.id).filter_map(|id| self.by_id.get(id));
        others.max_by_key(|grant| grant.silent_for(now)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contract::{AppName, ManualClock, Now, Secret, StreamId, SubscriberId, WallMs};

    use super::*;

    fn key(name: usize, peer: &str) -> Key {
        Key {
            stream: StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() },
            subscriber: Some(SubscriberId::parse(&format!("s{name}")).unwrap()),
            peer: peer.parse().unwrap(),
            coded: false,
        }
    }

    /// Whether somebody at `peer` with one more name costs somebody his grant.
    fn full(peer: impl Fn(usize) -> String) -> bool {
        let clock = ManualClock::new(WallMs(0));
        let grants = Grants::new(Signer::new(Secret::new([7; 64])), Lingering::new(1, clock.clock()));
        let now = || -> Now { clock.clock().now() };
        let kept: Vec<_> = (0..=MOST_OF_ONE)
            .map(|n| {
                clock.advance(Duration::from_secs(1));
                if n == MOST_OF_ONE {
                    // All but one are heard of.
                    let all = grants.all();
                    all.iter()
                        .filter(|g| g.key.subscriber != key(3, "::").subscriber)
                        .for_each(|g| g.hear(now()));
                }
                let grant = grants.of(&key(n, &peer(n)), &clock.clock()).unwrap();
                let Kept::For(loser) = grants.keep(&grant, now().mono) else { panic!("a twin") };
                assert!(loser.is_none() || n == MOST_OF_ONE, "{n}");
                loser
            })
            .collect();
        let Some(loser) = kept.into_iter().flatten().next() else { return false };
        assert_eq!(loser.key.subscriber, key(3, "::").subscriber, "the longest silent");
        grants.remove(&loser);
        grants.all().iter().for_each(|grant| grants.remove(grant));
        assert!(lock(&grants.table).by_network.is_empty());
        true
    }

    #[test]
    fn one_address_can_not_take_the_grants_of_others() {
        assert!(full(|_| "192.0.2.1".to_owned()));
        assert!(full(|n| format!("2001:db8::{n:x}")), "a /64");
        assert!(!full(|n| format!("2001:db8:0:{n:x}::1")));
        assert!(!full(|n| format!("192.0.{}.{}", n / 200, n % 200)));
        assert!(!full(|_| "127.0.0.1".to_owned()), "a proxy");
    }
}
