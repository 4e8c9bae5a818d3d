//! Who may administer the server (C§16.3a).
//!
//! Started by `server` on the system arbiter; lives as long as the process. A
//! password is hashed on a blocking thread, at most [`HASHINGS`] at once, so that
//! guessing costs the guesser and not the control plane. Logins wait for a place
//! outside the actor: it makes the first account with its mailbox shut, and must
//! not wait then for places that only its mailbox would free.

mod change;
mod tries;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::dev::{MessageResponse, OneshotSender};
use actix::prelude::*;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use contract::accounts::{
    Account, AccountView, AccountsTable, AccountsView, CreateFirstAccount, FirstAccountError, Login,
    LoginError, NeedsFirstAccount, Role, SetupProof,
};
use contract::{Clock, Secret};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use store::{ScanError, Sealing, Store, Table};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use tries::{Payment, Tries};

const ACCOUNTS: Table = Table::new("accounts", Sealing::Sealed);

/// Each takes 19 MiB and some 20 ms of a core.
const HASHINGS: usize = 2;

/// Logins that wait for one of the places, some 100 ms in all. Who comes when so
/// many wait is told to come again.
const WAITING: usize = 8;

/// Seats for logins from where the account logged in before. A crowd of strangers
/// takes none of them, so it keeps no owner out.
const SEATS_AT_HOME: usize = 4;

/// An account on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    first_name: String,
    last_name: String,
    role: Role,
    /// argon2id of the password's MD5, PHC string format.
    hash: Secret<String>,
    /// See [`AccountView::revision`].
    #[serde(skip)]
    revision: u64,
}

/// Owner of the accounts.
pub struct Accounts {
    records: BTreeMap<String, Record>,
    /// The newest revision of a password.
    revision: u64,
    view: watch::Sender<Arc<AccountsTable>>,
    store: Store,
    clock: Clock,
    tries: Tries,
    /// One permit for each place.
    hashings: Arc<Semaphore>,
    /// One permit for each login that has a place or waits for one.
    seats: Arc<Semaphore>,
    /// The same, for those of [`SEATS_AT_HOME`].
    seats_at_home: Arc<Semaphore>,
    setup_token: Secret<String>,
}

impl Accounts {
    /// Reads the accounts.
    pub fn load(store: Store, clock: Clock) -> Result<Self, AccountsError> {
        let (mut records, mut revision) = (BTreeMap::new(), 0);
        for (key, value) in store.scan(ACCOUNTS)? {
            revision += 1;
            let record = Record { revision, ..serde_json::from_slice(&value)? };
            records.insert(String::from_utf8_lossy(&key).into_owned(), record);
        }
        let mut token = [0; 20];
        getrandom::fill(&mut token)?;
        Ok(Self {
            view: watch::Sender::new(Arc::new(table(&records))),
            records,
            revision,
            store,
            clock,
            tries: Tries::new(),
            hashings: Arc::new(Semaphore::new(HASHINGS)),
            seats: Arc::new(Semaphore::new(HASHINGS + WAITING)),
            seats_at_home: Arc::new(Semaphore::new(SEATS_AT_HOME)),
            setup_token: Secret::new(data_encoding::BASE32_NOPAD.encode(&token)),
        })
    }

    /// Allows the first account to be made from anywhere. New at each start;
    /// `None` when there is an account.
    pub fn setup_token(&self) -> Option<Secret<String>> {
        self.records.is_empty().then(|| self.setup_token.clone())
    }

    /// Everybody's view of the accounts.
    pub fn view(&self) -> AccountsView {
        AccountsView::new(self.view.subscribe())
    }

    /// Changes the table, and then what everybody sees of it.
    fn publish(&mut self, change: impl FnOnce(&mut BTreeMap<String, Record>)) {
        change(&mut self.records);
        self.view.send_replace(Arc::new(table(&self.records)));
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
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

    fn attempt(&mut self, login: Login) -> Result<Attempt, LoginError> {
        let now = self.clock.now().mono;
        let at_home = self.tries.is_home(login.peer, &login.email, now);
        let seats = if at_home { &self.seats_at_home } else { &self.seats };
        let seat = seats.clone().try_acquire_owned().map_err(|_| LoginError::Unavailable)?;
        let payment = self.tries.pay(login.peer, &login.email, now).ok_or(LoginError::Locked)?;
        let record = self.records.get(&login.email).cloned();
        let check = Check {
            password: login.password,
            stored: record.as_ref().map(|record| record.hash.clone()),
            places: self.hashings.clone(),
            seat,
        };
        let account =
            record.map(|record| Account { email: login.email, role: record.role, revision: record.revision });
        Ok(Attempt { payment, account, check })
    }

    fn judge(&mut self, attempt: Tried) -> Result<Account, LoginError> {
        match (attempt.right, attempt.account) {
            (Some(true), Some(account)) => {
                self.tries.forgive(&attempt.payment, self.clock.now().mono);
                Ok(account)
            }
            (Some(_), account) => {
                if let (true, Some(account)) = (attempt.payment.is_last, account) {
                    tracing::warn!(email = %account.email, "somebody guesses this account's password; \
                        until it ends, logins are taken from networks where it logged in before");
                }
                Err(LoginError::Wrong)
            }
            (None, _) => {
                self.tries.give_back(&attempt.payment);
                Err(LoginError::Unavailable)
            }
        }
    }
}

fn table(records: &BTreeMap<String, Record>) -> AccountsTable {
    let view = |record: &Record| AccountView {
        first_name: record.first_name.clone(),
        last_name: record.last_name.clone(),
        role: record.role,
        revision: record.revision,
    };
    records.iter().map(|(email, record)| (email.clone(), view(record))).collect()
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

/// Runs a hashing on a blocking thread, where it keeps its place until it has
/// ended, whoever still waits for it.
async fn hashing<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let work = move || {
        let result = work();
        drop(place);
        result
    };
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
        let record = Record {
            first_name: msg.first_name,
            last_name: msg.last_name,
            role: Role::Admin,
            hash: Secret::default(),
            revision: self.next_revision(),
        };
        let written = self.write(msg.email, record, Some(msg.password));
        AtomicResponse::new(Box::pin(written.map(|done, _, _| done.map_err(FirstAccountError::from))))
    }
}

/// A login that was paid for.
struct Attempt {
    payment: Payment,
    account: Option<Account>,
    check: Check,
}

/// What came of it.
struct Tried {
    payment: Payment,
    account: Option<Account>,
    /// `None`: the password was not looked at.
    right: Option<bool>,
}

/// A password to look at.
struct Check {
    password: Secret<String>,
    stored: Option<Secret<String>>,
    places: Arc<Semaphore>,
    seat: OwnedSemaphorePermit,
}

type Reply = OneshotSender<Result<Account, LoginError>>;

impl Check {
    /// Waits for a place, and looks. `None`: who asked went away meanwhile.
    async fn run(self, reply: &mut Reply) -> Option<bool> {
        let Self { password, stored, places, seat } = self;
        let place = tokio::select! {
            biased;
            () = reply.closed() => return None,
            place = places.acquire_owned() => place.ok()?,
        };
        // An unknown name costs the same time as a wrong password.
        hashing(place, move || {
            let _seat = seat;
            match stored {
                Some(stored) => verify(&password, &stored),
                None => hash(&password).is_none(),
            }
        })
        .await
    }
}

/// The answer to a login: at once, or when its password has been looked at.
pub struct Answer(Result<Attempt, LoginError>);

impl MessageResponse<Accounts, Login> for Answer {
    fn handle(self, ctx: &mut Context<Accounts>, reply: Option<Reply>) {
        // Who asks without waiting for the answer has paid for nothing.
        let Some(mut reply) = reply else { return };
        match self.0 {
            // In these sends nobody may be left to hear it, which is his affair.
            Err(refused) => _ = reply.send(Err(refused)),
            Ok(Attempt { payment, account, check }) => {
                let looking = tokio::spawn(async move { (check.run(&mut reply).await, reply) });
                ctx.spawn(actix::fut::wrap_future::<_, Accounts>(looking).map(|looked, this, _| {
                    if let Ok((right, reply)) = looked {
                        _ = reply.send(this.judge(Tried { payment, account, right }));
                    }
                }));
            }
        }
    }
}

impl Handler<Login> for Accounts {
    type Result = Answer;

    fn handle(&mut self, msg: Login, _: &mut Self::Context) -> Answer {
        Answer(self.attempt(msg))
    }
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("accounts", &self.records.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
