use std::time::Instant;

use contract::{Action, TotpCode, WallMs};

use super::*;
use crate::code::CodeKey;
use crate::testing::{SECRET, Script, ask, guarded, peer, stream, sub};

const NOW: u64 = 1_700_000_000_000;

fn record(secret: Option<&str>, kind: Option<Action>) -> Record {
    let secret = secret.map(|secret| contract::Secret::new(secret.to_owned()));
    Record { secret, kind, ..Record::made_by_block(&stream(), &sub("alice")) }
}

fn own_code() -> Option<TotpCode> {
    CodeKey::from_base32(SECRET).unwrap().code_at(WallMs(NOW), 60)
}

fn derived_code(action: Action) -> Option<TotpCode> {
    let secret = contract::Secret::new("hush".to_owned());
    CodeKey::derived(&secret, &sub("alice"), &stream(), action).code_at(WallMs(NOW), 60)
}

fn wrong_code() -> Option<TotpCode> {
    let right = [own_code(), derived_code(Action::Play), derived_code(Action::Publish)];
    (0..10).map(|n| TotpCode::parse(&format!("{n:06}"))).find(|code| !right.contains(code)).flatten()
}

/// One request against one state of the world.
struct Case {
    security: Security,
    record: Option<Record>,
    withdrawn: bool,
    blocked: bool,
    places: Places,
    previews: Previews,
}

impl Case {
    fn new() -> Self {
        let places = Places { limit: None, taken: 0 };
        let (security, previews) = (guarded().security, Previews::new().unwrap());
        Self { security, record: None, withdrawn: false, blocked: false, places, previews }
    }

    fn with(record: Record) -> Self {
        Self { record: Some(record), ..Self::new() }
    }

    fn asked(
        &self,
        change: impl FnOnce(&mut Authorize),
        action: Action,
        code: Option<TotpCode>,
    ) -> Result<(), Refusal> {
        let mut ask = ask(action, Some("alice"), code, Script::new().session());
        change(&mut ask);
        let registration = match &self.record {
            _ if self.withdrawn => Registration::Withdrawn,
            Some(record) => Registration::Known(record),
            None => Registration::Unknown,
        };
        let cx = GateContext {
            security: &self.security,
            registration,
            blocked: self.blocked,
            places: self.places,
            guesses: &Guesses::new(),
            previews: &self.previews,
            now: Now { mono: Instant::now(), wall: WallMs(NOW) },
        };
        ask_all(ALL, &ask, &cx)
    }

    fn ask(&self, action: Action, code: Option<TotpCode>) -> Result<(), Refusal> {
        self.asked(|_| (), action, code)
    }
}

use Action::{Play, Publish};

#[actix_rt::test]
async fn the_table_of_who_is_accepted() {
    let open = Case { security: Security::default(), ..Case::new() };
    assert_eq!(open.ask(Publish, None), Ok(()), "row 1");
    assert_eq!(Case::new().ask(Publish, None), Err(Refusal::Missing), "row 2");
    assert_eq!(
        Case::new().asked(|ask| ask.credentials.subscriber = None, Play, derived_code(Play)),
        Err(Refusal::Missing),
        "row 2"
    );
    let rows = [
        (3, Some(SECRET), Some(Publish), Publish, own_code(), Ok(())),
        (3, Some(SECRET), Some(Play), Play, own_code(), Ok(())),
        (4, Some(SECRET), Some(Publish), Play, own_code(), Ok(())),
        (5, Some(SECRET), Some(Play), Publish, own_code(), Err(Refusal::Type)),
        (6, Some(SECRET), None, Play, own_code(), Ok(())),
        (6, Some(SECRET), None, Publish, own_code(), Err(Refusal::Type)),
        (7, None, None, Publish, derived_code(Publish), Ok(())),
        (7, None, Some(Play), Publish, derived_code(Publish), Ok(())),
        (12, Some(SECRET), Some(Publish), Publish, wrong_code(), Err(Refusal::WrongCode)),
        (12, Some(SECRET), Some(Publish), Publish, derived_code(Publish), Err(Refusal::WrongCode)),
    ];
    for (row, secret, kind, action, code, expected) in rows {
        assert_eq!(Case::with(record(secret, kind)).ask(action, code), expected, "row {row} {action}");
    }
    assert_eq!(Case::new().ask(Play, derived_code(Play)), Ok(()), "row 8");
    assert_eq!(Case::new().ask(Play, derived_code(Publish)), Err(Refusal::WrongCode), "row 8");
}

#[actix_rt::test]
async fn without_any_secret_nobody_unregistered_gets_in() {
    let mut case = Case::new();
    case.security.secret_play = None;
    assert_eq!(case.ask(Play, derived_code(Play)), Err(Refusal::NoSecret), "row 9");
    case.security.secret_play = Some(contract::Secret::new(" ".into()));
    assert_eq!(case.ask(Play, derived_code(Play)), Err(Refusal::NoSecret), "row 9");
}

#[actix_rt::test]
async fn registered_only_asks_for_stream_and_subscriber() {
    let mut case = Case::new();
    case.security.registered_only = true;
    assert_eq!(case.ask(Play, derived_code(Play)), Err(Refusal::Unregistered), "row 10");
    case.record = Some(record(None, None));
    assert_eq!(case.ask(Play, derived_code(Play)), Err(Refusal::Unregistered), "row 10");
    case.record = Some(record(Some(SECRET), Some(Publish)));
    assert_eq!(case.ask(Publish, own_code()), Ok(()));
    let unknown = |ask: &mut Authorize| ask.registered = false;
    assert_eq!(case.asked(unknown, Publish, own_code()), Err(Refusal::UnknownStream));
    assert_eq!(case.asked(unknown, Play, own_code()), Err(Refusal::UnknownStreamToPlay));
    assert_eq!(Refusal::UnknownStreamToPlay.outside(), Denied::Credentials);
    case.security = Security { registered_only: true, ..Security::default() };
    assert_eq!(case.asked(unknown, Publish, None), Err(Refusal::UnknownStream));
    assert_eq!(case.asked(unknown, Play, None), Ok(()));
}

#[actix_rt::test]
async fn to_play_a_stream_that_is_not_there_the_right_derived_code_is_no_better_than_a_wrong_one() {
    let nowhere = |ask: &mut Authorize| (ask.registered, ask.live) = (false, false);
    let case = Case::new();
    let [right, wrong] = [derived_code(Play), wrong_code()].map(|code| case.asked(nowhere, Play, code));
    assert_eq!([right, wrong], [Err(Refusal::UnknownStreamToPlay); 2]);
    assert_eq!(case.ask(Play, wrong_code()).map_err(Refusal::outside), right.map_err(Refusal::outside));
    assert_eq!(case.asked(nowhere, Publish, derived_code(Publish)), Ok(()), "somebody must be the first");
    let own = Case::with(record(Some(SECRET), Some(Publish)));
    assert_eq!(own.asked(nowhere, Play, own_code()), Ok(()), "a secret made on purpose");
    let named = Case { blocked: true, ..Case::with(record(None, None)) };
    assert_eq!(named.asked(nowhere, Play, derived_code(Play)), Err(Refusal::Blocked), "an operator named it");
    for there in [(true, false), (false, true)] {
        let there = |ask: &mut Authorize| (ask.registered, ask.live) = there;
        assert_eq!(case.asked(there, Play, derived_code(Play)), Ok(()));
    }
}

#[actix_rt::test]
async fn a_pass_stands_for_a_code_where_playing_needs_one() {
    let mut case = Case::new();
    case.security.registered_only = true;
    let pass = case.previews.issue(&stream(), WallMs(NOW));
    let show = |ask: &mut Authorize| {
        (ask.credentials.subscriber, ask.credentials.token) = (None, Some(pass.clone()));
        ask.registered = false;
    };
    assert_eq!(case.asked(show, Play, None), Ok(()));
    assert_eq!(case.asked(show, Publish, None), Err(Refusal::UnknownStream));
    case.previews = Previews::new().unwrap();
    assert_eq!(case.asked(show, Play, None), Err(Refusal::UnknownStreamToPlay));
}

#[actix_rt::test]
async fn a_stranger_learns_of_no_block_and_no_limit() {
    let full = Places { limit: Some(1), taken: 1 };
    let case = Case { blocked: true, places: full, ..Case::with(record(Some(SECRET), Some(Publish))) };
    assert_eq!(case.ask(Play, wrong_code()), Err(Refusal::WrongCode));
    assert_eq!(case.ask(Play, own_code()), Err(Refusal::Blocked));
    assert_eq!(Case { blocked: false, ..case }.ask(Play, own_code()), Err(Refusal::Limit));
}

#[actix_rt::test]
async fn blocks_hold_without_codes_too_but_limits_do_not() {
    let full = Places { limit: Some(0), taken: 0 };
    let case = Case { security: Security::default(), blocked: true, places: full, ..Case::new() };
    assert_eq!(case.ask(Play, None), Err(Refusal::Blocked));
    assert_eq!(case.asked(|ask| ask.credentials.subscriber = None, Play, None), Ok(()));
    assert_eq!(Case { blocked: false, ..case }.ask(Play, None), Ok(()));
}

#[actix_rt::test]
async fn publishers_may_be_confined_to_networks() {
    let mut case = Case { security: Security::default(), ..Case::new() };
    case.security.publisher_networks = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(case.ask(Publish, None), Err(Refusal::Ip));
    assert_eq!(case.ask(Play, None), Ok(()));
    case.security.publisher_networks.push("192.0.2.0/24".parse().unwrap());
    assert_eq!(case.ask(Publish, None), Ok(()));
    assert!(case.security.publisher_networks[1].contains(&peer(1)));
}

#[actix_rt::test]
async fn nobody_gets_in_on_a_record_that_is_being_changed() {
    let case = Case { withdrawn: true, ..Case::with(record(Some(SECRET), Some(Publish))) };
    assert_eq!(case.ask(Play, own_code()), Err(Refusal::Withdrawn));
    assert_eq!(case.ask(Play, derived_code(Play)), Err(Refusal::Withdrawn));
}
