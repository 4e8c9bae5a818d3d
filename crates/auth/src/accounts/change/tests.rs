use contract::Clock;
use contract::accounts::{AccountsView, CreateFirstAccount, Login, LoginError, SetupProof};
use store::Store;

use super::*;

const ADMIN: &str = "admin@example.org";
const USER: &str = "user@example.org";

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// Accounts with one administrator whose password is `secret`.
async fn with_admin(store: Store) -> (Addr<Accounts>, AccountsView) {
    let accounts = Accounts::load(store, Clock::system()).unwrap();
    let view = accounts.view();
    let accounts = accounts.start();
    let first = CreateFirstAccount {
        email: ADMIN.to_owned(),
        password: secret("secret"),
        first_name: "A".to_owned(),
        last_name: String::new(),
        proof: SetupProof::Loopback,
    };
    accounts.send(first).await.unwrap().unwrap();
    (accounts, view)
}

fn add(email: &str, role: Role) -> AddAccount {
    AddAccount {
        email: email.to_owned(),
        password: secret("their own"),
        first_name: "U".to_owned(),
        last_name: "V".to_owned(),
        role,
    }
}

fn unchanged(email: &str) -> ChangeAccount {
    ChangeAccount { email: email.to_owned(), first_name: None, last_name: None, role: None, password: None }
}

fn remove(email: &str) -> RemoveAccount {
    RemoveAccount { email: email.to_owned() }
}

async fn log_in(accounts: &Addr<Accounts>, email: &str, password: &str) -> Result<Role, LoginError> {
    let login =
        Login { email: email.to_owned(), password: secret(password), peer: IpAddr::from([127, 0, 0, 1]) };
    accounts.send(login).await.unwrap().map(|account| account.role)
}

#[actix_rt::test]
async fn an_account_is_added_once_logs_in_and_is_there_after_a_restart() {
    let store = Store::memory();
    let (accounts, view) = with_admin(store.clone()).await;
    assert_eq!(accounts.send(add(USER, Role::ReadOnly)).await.unwrap(), Ok(()));
    assert_eq!(accounts.send(add(USER, Role::Admin)).await.unwrap(), Err(AccountError::Taken));
    assert_eq!(log_in(&accounts, USER, "their own").await, Ok(Role::ReadOnly));
    assert_eq!(view.get(USER).unwrap().last_name, "V");
    let again = Accounts::load(store, Clock::system()).unwrap().view();
    assert_eq!(again.all().len(), 2);
    assert_eq!(again.get(USER).unwrap().role, Role::ReadOnly);
}

#[actix_rt::test]
async fn what_is_no_name_or_no_password_is_refused() {
    let (accounts, _) = with_admin(Store::memory()).await;
    for email in ["", " ", "a b", "a\tb", "a\u{0}b", &"a".repeat(255)] {
        let refused = accounts.send(add(email, Role::User)).await.unwrap();
        assert_eq!(refused, Err(AccountError::Email), "{email:?}");
    }
    let blank = AddAccount { password: secret(""), ..add(USER, Role::User) };
    assert_eq!(accounts.send(blank).await.unwrap(), Err(AccountError::Password));
    let blank = ChangeAccount { password: Some(secret("")), ..unchanged(ADMIN) };
    assert_eq!(accounts.send(blank).await.unwrap(), Err(AccountError::Password));
    assert_eq!(accounts.send(unchanged(USER)).await.unwrap(), Err(AccountError::Unknown));
    assert_eq!(accounts.send(remove(USER)).await.unwrap(), Err(AccountError::Unknown));
}

#[actix_rt::test]
async fn the_last_administrator_stays_one() {
    let (accounts, view) = with_admin(Store::memory()).await;
    let demote = |email| ChangeAccount { role: Some(Role::User), ..unchanged(email) };
    assert_eq!(accounts.send(remove(ADMIN)).await.unwrap(), Err(AccountError::LastAdmin));
    assert_eq!(accounts.send(demote(ADMIN)).await.unwrap(), Err(AccountError::LastAdmin));
    accounts.send(add(USER, Role::Admin)).await.unwrap().unwrap();
    // Each of the two would be allowed alone.
    let (a, b) = tokio::join!(accounts.send(remove(ADMIN)), accounts.send(demote(USER)));
    assert_eq!([a.unwrap().map(drop), b.unwrap().map(drop)], [Ok(()), Err(AccountError::LastAdmin)]);
    assert_eq!(view.all().keys().collect::<Vec<_>>(), [USER]);
    assert_eq!(log_in(&accounts, ADMIN, "secret").await, Err(LoginError::Wrong));
}

#[actix_rt::test]
async fn only_another_password_ends_the_logins_of_the_old_one() {
    let (accounts, view) = with_admin(Store::memory()).await;
    let before = view.get(ADMIN).unwrap();
    let named = ChangeAccount { first_name: Some("B".to_owned()), ..unchanged(ADMIN) };
    accounts.send(named).await.unwrap().unwrap();
    let renamed = view.get(ADMIN).unwrap();
    assert_eq!((renamed.first_name.as_str(), renamed.revision), ("B", before.revision));
    let other = ChangeAccount { password: Some(secret("new")), ..unchanged(ADMIN) };
    accounts.send(other).await.unwrap().unwrap();
    assert_ne!(view.get(ADMIN).unwrap().revision, before.revision);
    assert_eq!(log_in(&accounts, ADMIN, "secret").await, Err(LoginError::Wrong));
    assert_eq!(log_in(&accounts, ADMIN, "new").await, Ok(Role::Admin));
}

#[actix_rt::test]
async fn who_is_removed_and_added_again_is_somebody_else() {
    let (accounts, view) = with_admin(Store::memory()).await;
    accounts.send(add(USER, Role::User)).await.unwrap().unwrap();
    let before = view.get(USER).unwrap().revision;
    accounts.send(remove(USER)).await.unwrap().unwrap();
    assert_eq!(view.get(USER), None);
    accounts.send(add(USER, Role::User)).await.unwrap().unwrap();
    assert_ne!(view.get(USER).unwrap().revision, before);
}

#[actix_rt::test]
async fn an_own_password_takes_the_old_one_and_guesses_are_counted() {
    let (accounts, view) = with_admin(Store::memory()).await;
    let change = |old: &str, new: &str| {
        accounts.send(ChangePassword {
            email: ADMIN.to_owned(),
            password: secret(old),
            new: secret(new),
            peer: IpAddr::from([192, 0, 2, 1]),
        })
    };
    assert_eq!(change("secret", "").await.unwrap(), Err(AccountError::Password));
    assert_eq!(change("guess", "new").await.unwrap(), Err(AccountError::Wrong));
    let revision = change("secret", "new").await.unwrap().unwrap();
    assert_eq!(view.get(ADMIN).unwrap().revision, revision);
    assert_eq!(log_in(&accounts, ADMIN, "new").await, Ok(Role::Admin));
    for _ in 0..super::super::tries::FOR_A_NAME {
        assert_eq!(change("guess", "x").await.unwrap(), Err(AccountError::Wrong));
    }
    assert_eq!(change("new", "x").await.unwrap(), Err(AccountError::Locked));
}

#[actix_rt::test]
async fn what_is_not_on_disk_is_not_shown() {
    let (store, fault) = Store::memory_with_fault();
    let (accounts, view) = with_admin(store).await;
    fault.break_disk();
    assert!(matches!(accounts.send(add(USER, Role::User)).await.unwrap(), Err(AccountError::NotStored(_))));
    assert!(matches!(
        accounts.send(ChangeAccount { role: Some(Role::Admin), ..unchanged(ADMIN) }).await.unwrap(),
        Err(AccountError::NotStored(_))
    ));
    assert_eq!(view.all().len(), 1);
}
