//! What tests share: names, requests, and sessions that write down what they are told.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use contract::auth::{Authorize, Block, PutSubscriber, Unblock};
use contract::session::{Close, CloseReason, Fenced, Hush, SessionRef, SetStanding, Traffic};
use contract::settings::{Security, Streams};
use contract::{
    Action, Actions, AppName, AppSettings, Credentials, Protocol, Secret, SessionId, StreamId, StreamKey,
    SubscriberId, TotpCode,
};
use tokio::sync::Semaphore;

pub(crate) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

pub(crate) fn stream() -> StreamKey {
    StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() }
}

pub(crate) fn sub(name: &str) -> SubscriberId {
    SubscriberId::parse(name).unwrap()
}

pub(crate) fn peer(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// Codes needed in both directions, derivable, events on.
pub(crate) fn guarded() -> AppSettings {
    let secret = Some(Secret::new("hush".to_owned()));
    AppSettings {
        security: Security {
            totp_publish: true,
            totp_play: true,
            secret_publish: secret.clone(),
            secret_play: secret,
            ..Security::default()
        },
        streams: Streams { write_events: true, ..Streams::default() },
        ..AppSettings::default()
    }
}

/// What sessions were told, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Standing(SessionId, SetStanding),
    Closed(SessionId, CloseReason),
}

/// Makes sessions that answer a fence when the test lets them.
#[derive(Clone)]
pub(crate) struct Script {
    told: Arc<Mutex<Vec<Told>>>,
    fences: Arc<Semaphore>,
}

impl Script {
    /// Fences hold at once.
    pub(crate) fn new() -> Self {
        Self { told: Arc::default(), fences: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }

    /// Fences hold when [`Script::let_one_hold`] says so.
    pub(crate) fn held() -> Self {
        Self { told: Arc::default(), fences: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn let_one_hold(&self) {
        self.fences.add_permits(1);
    }

    pub(crate) fn session(&self) -> SessionRef {
        let id = SessionId::new();
        let actor = Scripted { id, script: self.clone() }.start();
        SessionRef {
            id,
            standing: actor.clone().recipient(),
            hush: actor.clone().recipient(),
            close: actor.recipient(),
            traffic: Arc::new(Traffic::default()),
        }
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn write(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

struct Scripted {
    id: SessionId,
    script: Script,
}

impl Actor for Scripted {
    type Context = Context<Self>;
}

impl Handler<SetStanding> for Scripted {
    type Result = ResponseFuture<Fenced>;

    fn handle(&mut self, msg: SetStanding, _: &mut Self::Context) -> Self::Result {
        self.script.write(Told::Standing(self.id, msg));
        let fences = self.script.fences.clone();
        Box::pin(async move {
            fences.acquire().await.unwrap().forget();
            Fenced::Confirmed
        })
    }
}

impl Handler<Hush> for Scripted {
    type Result = MessageResult<Hush>;

    fn handle(&mut self, _: Hush, _: &mut Self::Context) -> Self::Result {
        MessageResult(Fenced::Confirmed)
    }
}

impl Handler<Close> for Scripted {
    type Result = ();

    fn handle(&mut self, msg: Close, _: &mut Self::Context) {
        self.script.write(Told::Closed(self.id, msg.reason));
    }
}

pub(crate) fn ask(
    action: Action,
    who: Option<&str>,
    code: Option<TotpCode>,
    session: SessionRef,
) -> Authorize {
    Authorize {
        action,
        stream: stream(),
        registered: true,
        live: true,
        credentials: Credentials { subscriber: who.map(sub), code, token: None },
        peer: peer(1),
        protocol: Protocol::Rtmp,
        session,
    }
}

pub(crate) fn block(who: &str, actions: Actions, seconds: u64) -> Block {
    let duration = std::time::Duration::from_secs(seconds);
    Block { stream: stream(), subscriber: sub(who), actions, duration }
}

pub(crate) fn unblock(who: &str, actions: Actions) -> Unblock {
    Unblock { stream: stream(), subscriber: sub(who), actions }
}

pub(crate) fn put(who: &str, secret: Option<&str>, limit: i32) -> PutSubscriber {
    PutSubscriber {
        stream: stream(),
        subscriber: sub(who),
        name: None,
        secret: secret.map(|secret| Secret::new(secret.to_owned())),
        kind: Some(Action::Publish),
        limit,
        period: None,
    }
}
