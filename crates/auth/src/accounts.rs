//! Who may administer the server (C§16.3a).
//!
//! Started by `server` on the system arbiter; lives as long as the process. A
//! password is hashed on a blocking thread, at most [`HASHINGS`] at once, so that
//! guessing costs the guesser and not the control plane.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use contract::accounts::{
    Account, CreateFirstAccount, FirstAccountError, Login, LoginError, NeedsFirstAccount, Role, SetupProof,
};
use contract::auth::NotStored;
use contract::{Clock, Secret};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use store::{Batch, ScanError, Sealing, Store, Table};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::lru::Lru;

const ACCOUNTS: Table = Table::new("accounts", Sealing::Sealed);

/// Each takes 19 MiB and some 20 ms of a core.
const HASHINGS: usize = 2;

/// Wrong passwords of one address for one account before it must wait.
const FREE_TRIES: u32 = 5;

/// How long it must wait then. Another address is not affected, so a stranger
/// cannot lock the administrator out.
const LOCKED: Duration = Duration::from_secs(300);

/// Addresses with wrong passwords that are remembered; the one that failed
/// longest ago is forgotten first.
const REMEMBERED: usize = 4096;

/// An account on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    first_name: String,
    last_name: String,
    role: Role,
    /// argon2id of the password's MD5, PHC string format.
    hash: Secret<String>,
}

/// Owner of the accounts.
pub struct Accounts {
    records: BTreeMap<String, Record>,
    store: Store,
    clock: Clock,
    failures: Lru<(IpAddr, String), (u32, Instant)>,
    hashings: Arc<Semaphore>,
    setup_token: Secret<String>,
}

impl Accounts {
    /// Reads the accounts.
    pub fn load(store: Store, clock: Clock) -> Result<Self, AccountsError> {
        let mut records = BTreeMap::new();
        for (key, value) in store.scan(ACCOUNTS)? {
            records.insert(String::from_utf8_lossy(&key).into_owned(), serde_json::from_slice(&value)?);
        }
        let mut token = [0; 20];
        getrandom::fill(&mut token)?;
        Ok(Self {
            records,
            store,
            clock,
            failures: Lru::new(REMEMBERED),
            hashings: Arc::new(Semaphore::new(HASHINGS)),
            setup_token: Secret::new(data_encoding::BASE32_NOPAD.encode(&token)),
        })
    }

    /// Allows the first account to be made from anywhere. New at each start;
    /// `None` when there is an account.
    pub fn setup_token(&self) -> Option<Secret<String>> {
        self.records.is_empty().then(|| self.setup_token.clone())
    }

    fn proves(&self, proof: &SetupProof) -> bool {
        match proof {
            SetupProof::Loopback => true,
            SetupProof::Token(token) => {
                token.reveal().trim().as_bytes().ct_eq(self.setup_token.reveal().as_bytes()).into()
            }
            SetupProof::None => false,
        }
    }

    fn is_locked(&self, key: &(IpAddr, String), now: Instant) -> bool {
        let failed = self.failures.get(key).copied();
        failed.is_some_and(|(count, last)| count >= FREE_TRIES && now.duration_since(last) < LOCKED)
    }

    fn failed(&mut self, key: (IpAddr, String), now: Instant) {
        let count = match self.failures.get(&key) {
            Some((count, last)) if now.duration_since(*last) < LOCKED => count + 1,
            _ => 1,
        };
        self.failures.put(key, (count, now));
    }
}

/// Why accounts could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The store cannot be read.
    #[error("cannot read the accounts: {0}")]
    Scan(#[from] ScanError),
    /// Not what this version wrote.
    #[error("an account is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// What is hashed: the MD5 that AMS's panels send, of whatever was typed.
fn as_md5(password: &Secret<String>) -> String {
    let text = password.reveal();
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return text.to_ascii_lowercase();
    }
    data_encoding::HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

fn hash(password: &Secret<String>) -> Option<Secret<String>> {
    let hash = Argon2::default().hash_password(as_md5(password).as_bytes()).ok()?;
    Some(Secret::new(hash.to_string()))
}

fn verify(password: &Secret<String>, hash: &Secret<String>) -> bool {
    let Ok(hash) = PasswordHash::new(hash.reveal()) else { return false };
    Argon2::default().verify_password(as_md5(password).as_bytes(), &hash).is_ok()
}

/// Runs a hashing on a blocking thread when one of the places is free.
async fn hashing<T: Send + 'static>(
    places: Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let _place = places.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}

impl Actor for Accounts {
    type Context = Context<Self>;
}

impl Handler<NeedsFirstAccount> for Accounts {
    type Result = bool;

    fn handle(&mut self, _: NeedsFirstAccount, _: &mut Self::Context) -> bool {
        self.records.is_empty()
    }
}

impl Handler<CreateFirstAccount> for Accounts {
    /// Exclusive, so that check and create are one step.
    type Result = AtomicResponse<Self, Result<(), FirstAccountError>>;

    fn handle(&mut self, msg: CreateFirstAccount, _: &mut Self::Context) -> Self::Result {
        let refused = if !self.records.is_empty() {
            Some(FirstAccountError::Exists)
        } else if !self.proves(&msg.proof) {
            Some(FirstAccountError::NotAllowed)
        } else if msg.email.trim().is_empty() || msg.password.reveal().is_empty() {
            Some(FirstAccountError::Blank)
        } else {
            None
        };
        if let Some(error) = refused {
            return AtomicResponse::new(Box::pin(actix::fut::ready(Err(error))));
        }
        AtomicResponse::new(Box::pin(
            create(msg, self.hashings.clone(), self.store.clone()).into_actor(self).map(|made, this, _| {
                let (email, record) = made?;
                this.records.insert(email, record);
                Ok(())
            }),
        ))
    }
}

async fn create(
    msg: CreateFirstAccount,
    hashings: Arc<Semaphore>,
    store: Store,
) -> Result<(String, Record), NotStored> {
    let password = msg.password;
    let hash = hashing(hashings, move || hash(&password)).await.flatten().ok_or(NotStored)?;
    let record = Record { first_name: msg.first_name, last_name: msg.last_name, role: Role::Admin, hash };
    let value = serde_json::to_vec(&record).map_err(|_| NotStored)?;
    let mut batch = Batch::new();
    batch.put(ACCOUNTS, msg.email.as_bytes(), &value);
    store.commit(batch).await.map_err(|error| {
        tracing::error!(%error, "account not written");
        NotStored
    })?;
    Ok((msg.email, record))
}

impl Handler<Login> for Accounts {
    type Result = ResponseActFuture<Self, Result<Account, LoginError>>;

    fn handle(&mut self, msg: Login, _: &mut Self::Context) -> Self::Result {
        let key = (msg.peer, msg.email.clone());
        if self.is_locked(&key, self.clock.now().mono) {
            return Box::pin(actix::fut::ready(Err(LoginError::Locked)));
        }
        let record = self.records.get(&msg.email);
        let role = record.map(|record| record.role);
        let stored = record.map(|record| record.hash.clone());
        let password = msg.password;
        // An unknown name costs the same time as a wrong password.
        let right = hashing(self.hashings.clone(), move || match stored {
            Some(stored) => verify(&password, &stored),
            None => hash(&password).is_none(),
        });
        Box::pin(right.into_actor(self).map(move |right, this, _| match (right, role) {
            (Some(true), Some(role)) => {
                this.failures.put(key.clone(), (0, this.clock.now().mono));
                Ok(Account { email: key.1, role })
            }
            (Some(_), _) => {
                let now = this.clock.now().mono;
                this.failed(key, now);
                Err(LoginError::Wrong)
            }
            (None, _) => Err(LoginError::Unavailable),
        }))
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("accounts", &self.records.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(password: &str, proof: SetupProof) -> CreateFirstAccount {
        CreateFirstAccount {
            email: "admin@example.org".to_owned(),
            password: Secret::new(password.to_owned()),
            first_name: String::new(),
            last_name: String::new(),
            proof,
        }
    }

    fn login(password: &str, peer: [u8; 4]) -> Login {
        Login {
            email: "admin@example.org".to_owned(),
            password: Secret::new(password.to_owned()),
            peer: peer.into(),
        }
    }

    const HOME: [u8; 4] = [127, 0, 0, 1];
    const AWAY: [u8; 4] = [192, 0, 2, 1];

    #[actix_rt::test]
    async fn the_first_account_needs_loopback_or_the_token_and_there_is_one_only() {
        let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap();
        let token = accounts.setup_token().unwrap();
        let accounts = accounts.start();
        let make = |proof| accounts.send(first("secret", proof));
        assert_eq!(make(SetupProof::None).await.unwrap(), Err(FirstAccountError::NotAllowed));
        let wrong = SetupProof::Token(Secret::new("wrong".to_owned()));
        assert_eq!(make(wrong).await.unwrap(), Err(FirstAccountError::NotAllowed));
        let (a, b) = tokio::join!(make(SetupProof::Token(token.clone())), make(SetupProof::Loopback));
        assert_eq!([a.unwrap(), b.unwrap()], [Ok(()), Err(FirstAccountError::Exists)]);
        assert!(!accounts.send(NeedsFirstAccount).await.unwrap());
    }

    #[actix_rt::test]
    async fn a_password_is_taken_plain_or_as_md5_and_what_is_stored_is_never_taken() {
        let store = Store::memory();
        let accounts = Accounts::load(store.clone(), Clock::system()).unwrap().start();
        accounts.send(first("secret", SetupProof::Loopback)).await.unwrap().unwrap();
        let again = Accounts::load(store, Clock::system()).unwrap();
        assert!(again.setup_token().is_none());
        let stored = again.records["admin@example.org"].hash.reveal().clone();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        for (password, right) in
            [("secret", true), ("5ebe2294ecd0e0f08eab7690d2a6ee69", true), (&stored, false)]
        {
            assert_eq!(accounts.send(login(password, HOME)).await.unwrap().is_ok(), right, "{password}");
        }
    }

    #[actix_rt::test]
    async fn a_guesser_is_locked_out_and_the_owner_is_not() {
        let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap().start();
        accounts.send(first("secret", SetupProof::Loopback)).await.unwrap().unwrap();
        for _ in 0..FREE_TRIES {
            assert_eq!(accounts.send(login("guess", AWAY)).await.unwrap(), Err(LoginError::Wrong));
        }
        assert_eq!(accounts.send(login("secret", AWAY)).await.unwrap(), Err(LoginError::Locked));
        assert!(accounts.send(login("secret", HOME)).await.unwrap().is_ok());
    }
}
