//! Who is logged in to the console: a bounded table in memory, empty after a restart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::accounts::Account;
use data_encoding::BASE64URL_NOPAD;

/// A login that is not used for so long is over.
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);

/// A login is over after this, however busy: a stolen cookie does not live for ever.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// At a time. Beyond it the longest idle login goes; only who has a password makes
/// them, so this bounds memory and nothing else.
const MAX_LOGINS: usize = 256;

/// 256 random bits that stand for a login.
type Token = [u8; 32];

/// All logins; one table for all HTTP workers.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<Token, Entry>>);

struct Entry {
    account: Account,
    since: Instant,
    used: Instant,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= IDLE || now.duration_since(self.since) >= LONGEST
    }
}

/// The machine gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("no random numbers")]
pub(crate) struct NoRandom;

impl Logins {
    /// A new login; answers the cookie's value, which must not end up in a log.
    pub(crate) fn open(&self, account: Account, now: Instant) -> Result<String, NoRandom> {
        let mut token = Token::default();
        getrandom::fill(&mut token).map_err(|_| NoRandom)?;
        let mut table = self.table();
        table.retain(|_, entry| !entry.is_over(now));
        if table.len() >= MAX_LOGINS
            && let Some(oldest) = table.iter().min_by_key(|(_, e)| e.used).map(|(token, _)| *token)
        {
            table.remove(&oldest);
        }
        table.insert(token, Entry { account, since: now, used: now });
        Ok(BASE64URL_NOPAD.encode(&token))
    }

    /// Whose cookie this is; using it keeps it alive.
    pub(crate) fn account(&self, cookie: &str, now: Instant) -> Option<Account> {
        let token = parse(cookie)?;
        let mut table = self.table();
        if table.get(&token)?.is_over(now) {
            table.remove(&token);
            return None;
        }
        let entry = table.get_mut(&token)?;
        entry.used = now;
        Some(entry.account.clone())
    }

    /// Ends a login.
    pub(crate) fn close(&self, cookie: &str) {
        if let Some(token) = parse(cookie) {
            self.table().remove(&token);
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Token, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(cookie: &str) -> Option<Token> {
    BASE64URL_NOPAD.decode(cookie.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use contract::accounts::Role;

    use super::*;

    fn admin() -> Account {
        Account { email: "a@example.org".to_owned(), role: Role::Admin }
    }

    #[test]
    fn a_login_ends_when_idle_and_after_a_day() {
        let (logins, start) = (Logins::default(), Instant::now());
        let cookie = logins.open(admin(), start).unwrap();
        assert!(cookie.len() >= 43);
        let mut now = start;
        while now < start + LONGEST - IDLE {
            now += IDLE - Duration::from_secs(1);
            assert_eq!(logins.account(&cookie, now), Some(admin()));
        }
        assert_eq!(logins.account(&cookie, start + LONGEST), None);

        let cookie = logins.open(admin(), start).unwrap();
        assert_eq!(logins.account(&cookie, start + IDLE), None);
        assert_eq!(logins.account(&cookie, start), None, "over is over");
    }

    #[test]
    fn a_closed_or_foreign_cookie_is_nobodys() {
        let (logins, now) = (Logins::default(), Instant::now());
        let cookie = logins.open(admin(), now).unwrap();
        logins.close(&cookie);
        for foreign in [cookie.as_str(), "", "x", "ä", &"A".repeat(43)] {
            assert_eq!(logins.account(foreign, now), None);
        }
    }

    #[test]
    fn the_table_is_bounded_and_the_longest_idle_goes() {
        let (logins, start) = (Logins::default(), Instant::now());
        let first = logins.open(admin(), start).unwrap();
        let second = logins.open(admin(), start + Duration::from_secs(1)).unwrap();
        logins.account(&first, start + Duration::from_secs(2));
        for _ in 0..MAX_LOGINS - 1 {
            logins.open(admin(), start + Duration::from_secs(3)).unwrap();
        }
        assert_eq!(logins.table().len(), MAX_LOGINS);
        assert!(logins.account(&first, start + Duration::from_secs(4)).is_some());
        assert!(logins.account(&second, start + Duration::from_secs(4)).is_none());
    }
}
