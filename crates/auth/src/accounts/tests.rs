use contract::accounts::ChangeAccount;
use futures_util::future::poll_immediate;

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
    for (password, right) in [("secret", true), ("5ebe2294ecd0e0f08eab7690d2a6ee69", true), (&stored, false)]
    {
        assert_eq!(accounts.send(login(password, HOME)).await.unwrap().is_ok(), right, "{password}");
    }
}

#[actix_rt::test]
async fn a_guesser_is_locked_out_and_the_owner_is_not() {
    let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap().start();
    accounts.send(first("secret", SetupProof::Loopback)).await.unwrap().unwrap();
    for _ in 0..tries::FOR_A_NAME {
        assert_eq!(accounts.send(login("guess", AWAY)).await.unwrap(), Err(LoginError::Wrong));
    }
    assert_eq!(accounts.send(login("secret", AWAY)).await.unwrap(), Err(LoginError::Locked));
    assert!(accounts.send(login("secret", HOME)).await.unwrap().is_ok());
}

/// Accounts with one account, and all places taken by the test.
async fn busy() -> (Addr<Accounts>, OwnedSemaphorePermit, Arc<Semaphore>) {
    let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap();
    let (hashings, seats) = (accounts.hashings.clone(), accounts.seats.clone());
    let accounts = accounts.start();
    accounts.send(first("secret", SetupProof::Loopback)).await.unwrap().unwrap();
    let places = hashings.acquire_many_owned(u32::try_from(HASHINGS).unwrap()).await.unwrap();
    (accounts, places, seats)
}

#[actix_rt::test]
async fn tries_at_the_same_time_are_all_counted_before_one_is_looked_at() {
    let (accounts, places, _) = busy().await;
    let early: Vec<_> = (0..tries::FOR_A_NAME).map(|_| accounts.send(login("guess", AWAY))).collect();
    assert_eq!(accounts.send(login("secret", AWAY)).await.unwrap(), Err(LoginError::Locked));
    drop(places);
    for guess in early {
        assert_eq!(guess.await.unwrap(), Err(LoginError::Wrong));
    }
}

#[actix_rt::test]
async fn a_crowd_is_told_to_come_again_and_pays_nothing() {
    let (accounts, places, _) = busy().await;
    let peer = |n: usize| [192, 0, 2, u8::try_from(n).unwrap()];
    let crowd: Vec<_> = (0..HASHINGS + WAITING).map(|n| accounts.send(login("secret", peer(n)))).collect();
    for _ in 0..=tries::FOR_ALL_NAMES {
        assert_eq!(accounts.send(login("secret", HOME)).await.unwrap(), Err(LoginError::Unavailable));
    }
    drop(places);
    for one in crowd {
        assert!(one.await.unwrap().is_ok());
    }
    assert!(accounts.send(login("secret", HOME)).await.unwrap().is_ok());
}

#[actix_rt::test]
async fn an_abandoned_login_is_not_hashed_and_pays_nothing() {
    let (accounts, places, seats) = busy().await;
    for _ in 0..=tries::FOR_ALL_NAMES {
        let abandoned = accounts.send(login("guess", AWAY));
        // The mailbox is in order, so the login waits for a place now.
        assert!(!accounts.send(NeedsFirstAccount).await.unwrap());
        assert_eq!(seats.available_permits(), HASHINGS + WAITING - 1);
        drop(abandoned);
        // No place came free, and still it leaves its seat.
        let all = u32::try_from(HASHINGS + WAITING).unwrap();
        drop(seats.acquire_many(all).await.unwrap());
    }
    drop(places);
    assert!(accounts.send(login("secret", AWAY)).await.unwrap().is_ok());
}

#[actix_rt::test]
async fn logins_that_wait_do_not_keep_the_first_account_from_being_made() {
    let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap().start();
    let peer = |n: usize| [192, 0, 2, u8::try_from(n).unwrap()];
    let crowd: Vec<_> = (0..HASHINGS + WAITING).map(|n| accounts.send(login("x", peer(n)))).collect();
    assert_eq!(accounts.send(first("secret", SetupProof::Loopback)).await.unwrap(), Ok(()));
    for one in crowd {
        assert_eq!(one.await.unwrap(), Err(LoginError::Wrong));
    }
}

/// An account that logged in from [`HOME`] and then had all places taken, and its password
/// changed before that if `changed`; and a crowd of strangers that has all seats.
async fn crowded(changed: bool) -> (Addr<Accounts>, OwnedSemaphorePermit, Vec<Request<Accounts, Login>>) {
    let accounts = Accounts::load(Store::memory(), Clock::system()).unwrap();
    let hashings = accounts.hashings.clone();
    let accounts = accounts.start();
    accounts.send(first("secret", SetupProof::Loopback)).await.unwrap().unwrap();
    assert!(accounts.send(login("secret", HOME)).await.unwrap().is_ok());
    let password = changed.then(|| Secret::new("another".to_owned()));
    let email = "admin@example.org".to_owned();
    let change = ChangeAccount { email, first_name: None, last_name: None, role: None, password };
    accounts.send(change).await.unwrap().unwrap();
    let places = hashings.acquire_many_owned(u32::try_from(HASHINGS).unwrap()).await.unwrap();
    let peer = |n: usize| [192, 0, 2, u8::try_from(n).unwrap()];
    let crowd = (0..HASHINGS + WAITING).map(|n| accounts.send(login("guess", peer(n)))).collect();
    (accounts, places, crowd)
}

#[actix_rt::test]
async fn a_crowd_of_strangers_keeps_no_owner_out_where_it_logged_in_before() {
    let (accounts, places, crowd) = crowded(false).await;
    let owner = accounts.send(login("secret", HOME));
    assert_eq!(accounts.send(login("secret", AWAY)).await.unwrap(), Err(LoginError::Unavailable));
    drop(places);
    assert!(owner.await.unwrap().is_ok());
    for one in crowd {
        assert_eq!(one.await.unwrap(), Err(LoginError::Wrong));
    }
}

#[actix_rt::test]
async fn a_network_that_proved_another_password_is_a_stranger() {
    let (accounts, _places, _crowd) = crowded(true).await;
    let mut owner = Box::pin(accounts.send(login("another", HOME)));
    assert!(poll_immediate(&mut owner).await.is_none(), "on its way");
    // The mailbox is in order, so the login was heard.
    assert!(!accounts.send(NeedsFirstAccount).await.unwrap());
    let refused = poll_immediate(&mut owner).await.map(Result::unwrap);
    assert_eq!(refused, Some(Err(LoginError::Unavailable)), "it waits in a seat of those at home");
}
