//! Accounts that come, change and go.
//!
//! Each change keeps the mailbox until it is on disk, so that of two that would
//! remove the last two administrators the second one sees the first.

use std::net::IpAddr;

use actix::fut::LocalBoxActorFuture;
use actix::prelude::*;
use contract::Secret;
use contract::accounts::{AccountError, AddAccount, ChangeAccount, ChangePassword, RemoveAccount, Role};
use contract::auth::NotStored;
use store::Batch;

use super::{ACCOUNTS, Accounts, Payment, Record, hash, hashing, verify};

/// Each is a line in a list that people read, and a few hundred bytes in memory.
const MOST: usize = 1000;

/// RFC 5321 §4.5.3.1.
const LONGEST_EMAIL: usize = 254;

type Writing<T> = LocalBoxActorFuture<Accounts, T>;
type Changing = AtomicResponse<Accounts, Result<(), AccountError>>;

fn refuse<T: 'static>(why: AccountError) -> AtomicResponse<Accounts, Result<T, AccountError>> {
    AtomicResponse::new(Box::pin(actix::fut::ready(Err(why))))
}

/// A login name has no white space to be lost when it is typed.
fn is_email(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    !text.is_empty() && text.len() <= LONGEST_EMAIL && text.chars().all(plain)
}

fn is_blank(password: &Secret<String>) -> bool {
    password.reveal().is_empty()
}

impl Accounts {
    /// Writes an account, with another password where there is one, and then shows
    /// it.
    pub(super) fn write(
        &self,
        email: String,
        mut record: Record,
        password: Option<Secret<String>>,
    ) -> Writing<Result<(), NotStored>> {
        let (hashings, store) = (self.hashings.clone(), self.store.clone());
        let written = async move {
            if let Some(password) = password {
                let place = hashings.acquire_owned().await.map_err(|_| NotStored)?;
                record.hash = hashing(place, move || hash(&password)).await.flatten().ok_or(NotStored)?;
            }
            let mut batch = Batch::new();
            batch.put(ACCOUNTS, email.as_bytes(), &serde_json::to_vec(&record).map_err(|_| NotStored)?);
            store.commit(batch).await.map_err(not_written)?;
            Ok((email, record))
        };
        Box::pin(written.into_actor(self).map(|written, this, _| {
            let (email, record) = written?;
            this.publish(|records| _ = records.insert(email, record));
            Ok(())
        }))
    }

    /// Whether there is no administrator but this one.
    fn is_last_admin(&self, email: &str) -> bool {
        let admins = || self.records.iter().filter(|(_, record)| record.role == Role::Admin);
        admins().any(|(name, _)| name == email) && admins().count() == 1
    }

    fn added(&mut self, ask: &AddAccount) -> Result<Record, AccountError> {
        if !is_email(&ask.email) {
            return Err(AccountError::Email);
        }
        if is_blank(&ask.password) {
            return Err(AccountError::Password);
        }
        if self.records.contains_key(&ask.email) {
            return Err(AccountError::Taken);
        }
        if self.records.len() >= MOST {
            return Err(AccountError::TooMany);
        }
        Ok(Record {
            first_name: ask.first_name.clone(),
            last_name: ask.last_name.clone(),
            role: ask.role,
            hash: Secret::default(),
            revision: self.next_revision(),
        })
    }

    fn changed(&mut self, ask: &ChangeAccount) -> Result<Record, AccountError> {
        let old = self.records.get(&ask.email).cloned().ok_or(AccountError::Unknown)?;
        if ask.password.as_ref().is_some_and(is_blank) {
            return Err(AccountError::Password);
        }
        let role = ask.role.unwrap_or(old.role);
        if role != Role::Admin && self.is_last_admin(&ask.email) {
            return Err(AccountError::LastAdmin);
        }
        let revision = if ask.password.is_some() { self.next_revision() } else { old.revision };
        Ok(Record {
            first_name: ask.first_name.clone().unwrap_or(old.first_name),
            last_name: ask.last_name.clone().unwrap_or(old.last_name),
            role,
            hash: old.hash,
            revision,
        })
    }

    /// The record whose password is to be changed, and what was paid for a look at
    /// the old one.
    fn own(&mut self, ask: &ChangePassword) -> Result<(Record, Payment), AccountError> {
        let record = self.records.get(&ask.email).cloned().ok_or(AccountError::Unknown)?;
        if is_blank(&ask.new) {
            return Err(AccountError::Password);
        }
        let payment = self.pay(ask.peer, &ask.email).ok_or(AccountError::Locked)?;
        Ok((record, payment))
    }

    fn pay(&mut self, peer: IpAddr, email: &str) -> Option<Payment> {
        self.tries.pay(peer, email, self.clock.now().mono)
    }

    /// Whether the old password is right; what was paid is given back if it is.
    fn proved(&self, old: Secret<String>, record: &Record, payment: Payment) -> Writing<bool> {
        let (hashings, stored) = (self.hashings.clone(), record.hash.clone());
        let looked = async move {
            let place = hashings.acquire_owned().await.ok()?;
            hashing(place, move || verify(&old, &stored)).await
        };
        Box::pin(looked.into_actor(self).map(move |right, this, _| match right {
            Some(true) => {
                this.tries.forgive(&payment, this.clock.now().mono);
                true
            }
            Some(false) => false,
            None => {
                this.tries.give_back(&payment);
                false
            }
        }))
    }
}

fn not_written(error: store::StoreError) -> NotStored {
    tracing::error!(%error, "account not written");
    NotStored
}

impl Handler<AddAccount> for Accounts {
    type Result = Changing;

    fn handle(&mut self, ask: AddAccount, _: &mut Self::Context) -> Changing {
        match self.added(&ask) {
            Ok(record) => {
                let written = self.write(ask.email, record, Some(ask.password));
                AtomicResponse::new(Box::pin(written.map(|done, _, _| done.map_err(AccountError::from))))
            }
            Err(why) => refuse(why),
        }
    }
}

impl Handler<ChangeAccount> for Accounts {
    type Result = AtomicResponse<Self, Result<u64, AccountError>>;

    fn handle(&mut self, ask: ChangeAccount, _: &mut Self::Context) -> Self::Result {
        match self.changed(&ask) {
            Ok(record) => {
                let revision = record.revision;
                if ask.password.is_some() {
                    self.tries.changed(&ask.email);
                }
                let written = self.write(ask.email, record, ask.password);
                AtomicResponse::new(Box::pin(written.map(move |done, _, _| Ok(done.map(|()| revision)?))))
            }
            Err(why) => refuse(why),
        }
    }
}

impl Handler<RemoveAccount> for Accounts {
    type Result = Changing;

    fn handle(&mut self, ask: RemoveAccount, _: &mut Self::Context) -> Changing {
        if !self.records.contains_key(&ask.email) {
            return refuse(AccountError::Unknown);
        }
        if self.is_last_admin(&ask.email) {
            return refuse(AccountError::LastAdmin);
        }
        let mut batch = Batch::new();
        batch.delete(ACCOUNTS, ask.email.as_bytes());
        let written = self.store.commit(batch);
        AtomicResponse::new(Box::pin(written.into_actor(self).map(move |done, this, _| {
            done.map_err(not_written)?;
            this.publish(|records| _ = records.remove(&ask.email));
            Ok(())
        })))
    }
}

impl Handler<ChangePassword> for Accounts {
    type Result = AtomicResponse<Self, Result<u64, AccountError>>;

    fn handle(&mut self, ask: ChangePassword, _: &mut Self::Context) -> Self::Result {
        let (mut record, payment) = match self.own(&ask) {
            Ok(found) => found,
            Err(why) => return refuse(why),
        };
        let proved = self.proved(ask.password, &record, payment);
        AtomicResponse::new(Box::pin(proved.then(move |right, this, _| -> Writing<_> {
            if !right {
                return Box::pin(actix::fut::ready(Err(AccountError::Wrong)));
            }
            record.revision = this.next_revision();
            let revision = record.revision;
            let written = this.write(ask.email, record, Some(ask.new));
            Box::pin(written.map(move |done, _, _| done.map(|()| revision).map_err(AccountError::from)))
        })))
    }
}

#[cfg(test)]
mod tests;
