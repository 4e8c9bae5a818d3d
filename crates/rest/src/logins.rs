//! Who is logged in to the console: a bounded table in memory, empty after a restart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::accounts::{Account, AccountsView};
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
pub(crate) struct Logins {
    table: Mutex<HashMap<Token, Entry>>,
    /// What ends a login when its account goes or gets another password.
    accounts: AccountsView,
}

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
    /// None yet.
    pub(crate) fn new(accounts: AccountsView) -> Self {
        Self { table: Mutex::default(), accounts }
    }

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

    /// Whose cookie this is, with the role that he has now; using it keeps it alive.
    pub(crate) fn account(&self, cookie: &str, now: Instant) -> Option<Account> {
        let token = parse(cookie)?;
        let mut table = self.table();
        let entry = table.get_mut(&token)?;
        let current = self.accounts.get(&entry.account.email).filter(|_| !entry.is_over(now));
        let Some(current) = current else {
            table.remove(&token);
            return None;
        };
        // Of another password: he may be the one who changes it now, and has his login
        // renewed in a moment.
        (current.revision == entry.account.revision).then(|| {
            entry.used = now;
            Account { role: current.role, ..entry.account.clone() }
        })
    }

    /// A login goes on though its account has another password now: it was the one
    /// that changed it.
    pub(crate) fn renew(&self, cookie: &str, revision: u64) {
        let Some(token) = parse(cookie) else { return };
        if let Some(entry) = self.table().get_mut(&token) {
            // Of two changes at once the earlier may be told of last.
            entry.account.revision = entry.account.revision.max(revision);
        }
    }

    /// Ends a login.
    pub(crate) fn close(&self, cookie: &str) {
        if let Some(token) = parse(cookie) {
            self.table().remove(&token);
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Token, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(cookie: &str) -> Option<Token> {
    BASE64URL_NOPAD.decode(cookie.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contract::accounts::{AccountView, AccountsTable};
    use tokio::sync::watch;

    use contract::accounts::Role;

    use super::*;

    fn admin() -> Account {
        Account { email: "a@example.org".to_owned(), role: Role::Admin, revision: 1 }
    }

    /// What everybody sees of that one account.
    fn table(role: Role, revision: u64) -> Arc<AccountsTable> {
        let view = AccountView { first_name: String::new(), last_name: String::new(), role, revision };
        Arc::new(AccountsTable::from([(admin().email, view)]))
    }

    fn logins() -> (Logins, watch::Sender<Arc<AccountsTable>>) {
        let (accounts, view) = watch::channel(table(Role::Admin, 1));
        (Logins::new(AccountsView::new(view)), accounts)
    }

    #[test]
    fn a_login_ends_when_idle_and_after_a_day() {
        let ((logins, _accounts), start) = (logins(), Instant::now());
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
    fn a_role_is_the_one_of_now() {
        let ((logins, accounts), now) = (logins(), Instant::now());
        let cookie = logins.open(admin(), now).unwrap();
        accounts.send_replace(table(Role::ReadOnly, 1));
        assert_eq!(logins.account(&cookie, now).unwrap().role, Role::ReadOnly);
    }

    #[test]
    fn another_password_ends_all_logins_but_the_one_that_changed_it() {
        let ((logins, accounts), now) = (logins(), Instant::now());
        let (his, other) = (logins.open(admin(), now).unwrap(), logins.open(admin(), now).unwrap());
        accounts.send_replace(table(Role::Admin, 2));
        assert_eq!(logins.account(&his, now), None, "not yet");
        logins.renew(&his, 2);
        assert!(logins.account(&his, now).is_some());
        assert_eq!(logins.account(&other, now), None);
        // Whoever proved the old password while it was changed comes too late.
        let late = logins.open(admin(), now).unwrap();
        assert_eq!(logins.account(&late, now), None);
    }

    #[test]
    fn a_removed_accounts_login_is_over_for_good_though_another_has_its_name() {
        let ((logins, accounts), now) = (logins(), Instant::now());
        let [seen, unseen] = [(); 2].map(|()| logins.open(admin(), now).unwrap());
        accounts.send_replace(Arc::default());
        assert_eq!(logins.account(&seen, now), None);
        // The other comes again only when the name is another's.
        accounts.send_replace(table(Role::Admin, 2));
        for cookie in [seen, unseen] {
            assert_eq!(logins.account(&cookie, now), None);
        }
    }

    #[test]
    fn a_closed_or_foreign_cookie_is_nobodys() {
        let ((logins, _accounts), now) = (logins(), Instant::now());
        let cookie = logins.open(admin(), now).unwrap();
        logins.close(&cookie);
        for foreign in [cookie.as_str(), "", "x", "ä", &"A".repeat(43)] {
            assert_eq!(logins.account(foreign, now), None);
        }
    }

    #[test]
    fn the_table_is_bounded_and_the_longest_idle_goes() {
        let ((logins, _accounts), start) = (logins(), Instant::now());
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
