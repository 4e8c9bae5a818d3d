//! Owners that say what a test tells them to, and remember what they were asked.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix::prelude::*;
use actix_web::body::to_bytes;
use actix_web::dev::Service;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, HttpResponse};
use contract::accounts::*;
use contract::audit::*;
use contract::auth::*;
use contract::registry::*;
use contract::session::Fenced;
use contract::settings::*;
use contract::*;
use serde_json::Value;
use sluice_rest::{Api, Links, Options};
use tokio::sync::watch;

pub(crate) const NOW: WallMs = WallMs(1_700_000_000_000);

/// What the owners answer, and what they were asked, as `Debug` shows it.
pub(crate) struct Script {
    pub(crate) asked: Vec<String>,
    /// The last patch of settings, whose values `Debug` does not show.
    pub(crate) patch: Value,
    pub(crate) block: Result<Blocked, NotStored>,
    pub(crate) unblock: Result<(), NotStored>,
    pub(crate) put_subscriber: Result<(), PutSubscriberError>,
    pub(crate) remove_subscriber: Result<usize, NotStored>,
    pub(crate) issue_code: Result<TotpCode, IssueCodeError>,
    pub(crate) issue_preview: Secret<String>,
    pub(crate) list_subscribers: SubscriberPage,
    pub(crate) list_guessed: Guessed,
    pub(crate) forgive_guesses: bool,
    pub(crate) list_events: EventPage,
    pub(crate) get_subscriber: Option<SubscriberView>,
    pub(crate) get_stream: Option<StreamView>,
    pub(crate) list_streams: StreamPage,
    pub(crate) create_stream: Result<StreamView, CreateStreamError>,
    pub(crate) update_stream: Result<bool, NotStored>,
    pub(crate) remove_stream: Result<Removed, NotStored>,
    pub(crate) stop_stream: bool,
    pub(crate) get_settings: Option<SettingsDocument>,
    /// What the audit log was told.
    pub(crate) noted: Vec<AuditEntry>,
    pub(crate) note: Result<(), NotStored>,
    pub(crate) list_audit: AuditPage,
    pub(crate) survey: Arc<Board>,
    pub(crate) list_sessions: Option<SessionPage>,
    pub(crate) stop_session: bool,
    pub(crate) get_live: Option<Arc<Live>>,
    pub(crate) list_settings: Vec<SettingRow>,
    pub(crate) add_account: Result<(), AccountError>,
    pub(crate) change_account: Result<u64, AccountError>,
    pub(crate) remove_account: Result<(), AccountError>,
    pub(crate) change_password: Result<u64, AccountError>,
    pub(crate) patch_settings: Result<Patched, PatchError>,
    pub(crate) needs_first_account: bool,
    pub(crate) create_first_account: Result<(), FirstAccountError>,
    pub(crate) login: Result<Account, LoginError>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            asked: Vec::new(),
            patch: Value::Null,
            block: Ok(Blocked { until: NOW, stopped: 1, fenced: Fenced::Closed }),
            unblock: Ok(()),
            put_subscriber: Ok(()),
            remove_subscriber: Ok(1),
            issue_code: TotpCode::parse("001891").ok_or(IssueCodeError::NoSecret),
            issue_preview: Secret::new("a pass".to_owned()),
            list_subscribers: SubscriberPage::default(),
            list_guessed: Guessed::default(),
            forgive_guesses: true,
            list_events: EventPage::default(),
            get_subscriber: None,
            get_stream: None,
            list_streams: StreamPage { streams: Vec::new(), matching: 7, live: 3 },
            create_stream: Ok(idle("made")),
            update_stream: Ok(true),
            remove_stream: Ok(Removed::Record),
            stop_stream: false,
            get_settings: None,
            noted: Vec::new(),
            note: Ok(()),
            list_audit: AuditPage::default(),
            survey: Arc::default(),
            list_sessions: None,
            stop_session: true,
            get_live: None,
            list_settings: Vec::new(),
            add_account: Ok(()),
            change_account: Ok(2),
            remove_account: Ok(()),
            change_password: Ok(2),
            patch_settings: Ok(Patched { revision: 8, changed: vec!["hlsTime".to_owned()] }),
            needs_first_account: true,
            create_first_account: Ok(()),
            login: Ok(Account { email: "a@example.org".to_owned(), role: Role::Admin, revision: 1 }),
        }
    }
}

/// A stream that is registered and not live.
pub(crate) fn idle(id: &str) -> StreamView {
    StreamView {
        record: StreamRecord::new(key(id), NOW),
        registered: true,
        live: None,
        players: PlayerCounts::default(),
    }
}

pub(crate) fn key(id: &str) -> StreamKey {
    StreamKey { app: AppName::parse("LiveApp").unwrap(), id: StreamId::parse(id).unwrap() }
}

struct Owners(Arc<Mutex<Script>>);

impl Actor for Owners {
    type Context = Context<Self>;
}

macro_rules! answers {
    ($($message:ident: $field:ident),* $(,)?) => {
        $(impl Handler<$message> for Owners {
            type Result = MessageResult<$message>;
            fn handle(&mut self, message: $message, _: &mut Context<Self>) -> Self::Result {
                let mut script = self.0.lock().unwrap();
                match (&message as &dyn Any).downcast_ref::<Note>() {
                    Some(Note(entry)) => script.noted.push(entry.clone()),
                    None => script.asked.push(format!("{message:?}")),
                }
                if let Some(ask) = (&message as &dyn Any).downcast_ref::<PatchSettings>() {
                    script.patch = ask.patch.clone().into();
                }
                MessageResult(script.$field.clone())
            }
        })*

        fn links(owners: &Addr<Owners>) -> Links {
            Links { $($field: owners.clone().recipient()),* }
        }
    };
}

answers! {
    Block: block,
    Unblock: unblock,
    PutSubscriber: put_subscriber,
    RemoveSubscriber: remove_subscriber,
    IssueCode: issue_code,
    IssuePreview: issue_preview,
    ListSubscribers: list_subscribers,
    ListGuessed: list_guessed,
    ForgiveGuesses: forgive_guesses,
    ListEvents: list_events,
    GetSubscriber: get_subscriber,
    GetStream: get_stream,
    ListStreams: list_streams,
    CreateStream: create_stream,
    UpdateStream: update_stream,
    RemoveStream: remove_stream,
    StopStream: stop_stream,
    GetSettings: get_settings,
    PatchSettings: patch_settings,
    NeedsFirstAccount: needs_first_account,
    CreateFirstAccount: create_first_account,
    Login: login,
    AddAccount: add_account,
    ChangeAccount: change_account,
    RemoveAccount: remove_account,
    ChangePassword: change_password,
    Note: note,
    ListAudit: list_audit,
    Survey: survey,
    ListSessions: list_sessions,
    StopSession: stop_session,
    GetLive: get_live,
    ListSettings: list_settings,
}

/// A control API in front of scripted owners.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) clock: ManualClock,
    /// Everybody's view of the accounts; a@example.org is an administrator.
    pub(crate) accounts: watch::Sender<Arc<AccountsTable>>,
    script: Arc<Mutex<Script>>,
    owners: Addr<Owners>,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(AppSettings::default(), Options::default())
    }

    pub(crate) fn with(settings: AppSettings, options: Options) -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let owners = Owners(script.clone()).start();
        let app = AppName::parse("LiveApp").unwrap();
        let clock = ManualClock::new(NOW.after(Duration::from_secs(10)));
        let view = SettingsView::fixed(app, settings);
        let accounts = watch::Sender::new(account(Role::Admin, 1));
        let seen = AccountsView::new(accounts.subscribe());
        let api = Api::new(links(&owners), view, seen, clock.clock(), options);
        Self { api, clock, accounts, script, owners }
    }

    /// Change the script through this.
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Logs in as a@example.org in a role; answers the cookie.
    pub(crate) async fn log_in(&self, role: Role) -> String {
        self.accounts.send_replace(account(role, 1));
        let body = r#"{"email":"a@example.org","password":"hunter2"}"#;
        let reply = self.post("/rest/v2/users/authenticate", body).await;
        assert_eq!(reply.json()["success"], true);
        self.asked();
        self.noted();
        reply.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Logs in an operator by another name, who is known from then on beside the others.
    pub(crate) async fn log_in_as(&self, email: &str) -> String {
        let known = account(Role::User, 1).values().next().cloned().unwrap();
        self.accounts.send_modify(|all| {
            Arc::make_mut(all).insert(email.to_owned(), known);
        });
        self.script().login = Ok(Account { email: email.to_owned(), role: Role::User, revision: 1 });
        let body = serde_json::json!({"email": email, "password": "hunter2"}).to_string();
        let reply = self.post("/rest/v2/users/authenticate", &body).await;
        assert_eq!(reply.json()["success"], true);
        reply.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Calls from another machine with a cookie, or without one.
    pub(crate) async fn remote(&self, req: TestRequest, path: &str, cookie: &str) -> Reply {
        self.call(remote(req, path, cookie)).await
    }

    /// What the audit log was told since the last call.
    pub(crate) fn noted(&self) -> Vec<AuditEntry> {
        std::mem::take(&mut self.script().noted)
    }

    /// What the owners were asked since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script().asked)
    }

    /// Makes the owners go away.
    pub(crate) async fn lose_owners(&self) {
        self.owners.send(Die).await.unwrap();
        while self.owners.connected() {
            actix_web::rt::task::yield_now().await;
        }
    }

    /// Calls as somebody at the machine, unless the request says otherwise.
    pub(crate) async fn call(&self, req: TestRequest) -> Reply {
        let app = init_service(App::new().configure(|cfg| self.api.routes(cfg))).await;
        let response = match app.call(req.to_request()).await {
            Ok(response) => response.into_parts().1.map_into_boxed_body(),
            Err(error) => HttpResponse::from_error(error),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
        Reply { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(local(TestRequest::get(), path)).await
    }

    pub(crate) async fn put(&self, path: &str) -> Reply {
        self.call(local(TestRequest::put(), path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(local(TestRequest::delete(), path)).await
    }

    pub(crate) async fn post(&self, path: &str, json: &str) -> Reply {
        self.call(with_json(local(TestRequest::post(), path), json)).await
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Die;

impl Handler<Die> for Owners {
    type Result = ();
    fn handle(&mut self, Die: Die, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// What everybody sees of a@example.org.
pub(crate) fn account(role: Role, revision: u64) -> Arc<AccountsTable> {
    let (first_name, last_name) = ("Ada".to_owned(), "B".to_owned());
    let view = AccountView { first_name, last_name, role, revision };
    Arc::new(AccountsTable::from([("a@example.org".to_owned(), view)]))
}

/// A request from another machine, whose address may not call an application's API.
pub(crate) fn remote(req: TestRequest, path: &str, cookie: &str) -> TestRequest {
    let req = req.uri(path).peer_addr("203.0.113.5:40000".parse().unwrap());
    req.append_header(("host", "video.example")).append_header(("cookie", cookie.to_owned()))
}

/// A request from this machine.
pub(crate) fn local(req: TestRequest, path: &str) -> TestRequest {
    req.uri(path).peer_addr("127.0.0.1:40000".parse().unwrap()).append_header(("host", "127.0.0.1:5080"))
}

pub(crate) fn with_json(req: TestRequest, json: &str) -> TestRequest {
    req.append_header(("content-type", "application/json")).set_payload(json.to_owned())
}

/// A `Result` as AMS writes it.
pub(crate) fn result(success: bool, message: Option<&str>, data_id: Option<&str>) -> Value {
    serde_json::json!({"success": success, "message": message, "dataId": data_id, "errorId": 0})
}

/// The same without `dataId`, refused.
pub(crate) fn no(message: &str) -> Value {
    result(false, Some(message), None)
}

/// The same, about the field that the message begins with, if it begins with one.
pub(crate) fn no_in_field(message: &str) -> Value {
    let mut answer = no(message);
    if let Some((field, _)) = message.split_once(" must be ") {
        answer["field"] = field.into();
    }
    answer
}
