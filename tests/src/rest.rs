//! The control API, as an operator on this machine uses it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::wait::eventually;

/// Whoever logs in; the first user is made on the first login.
pub const EMAIL: &str = "operator@example.org";
const PASSWORD: &str = "not-a-secret-of-anyone";

/// A client. Every call has a connection of its own.
pub struct Rest {
    host: SocketAddr,
    cookie: Mutex<String>,
    setup_token: Option<String>,
}

impl Rest {
    /// For the server at `host`, and with what makes its first account.
    pub fn new(host: SocketAddr, setup_token: Option<String>) -> Self {
        Self { host, cookie: Mutex::default(), setup_token }
    }

    /// One call; a body is sent as JSON.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let cookie = self.cookie.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut headers = vec![("Accept", "application/json")];
        if !cookie.is_empty() {
            headers.push(("Cookie", cookie.as_str()));
        }
        if body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        http::ask(self.host, method, path, &headers, body.as_bytes())
            .with_context(|| format!("{method} {path}"))
    }

    /// A call that must be answered 200; gives its JSON.
    pub fn must(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.call(method, path, body)?;
        ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    /// A call that must be answered `success: true`; gives the answer.
    pub fn succeed(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let answer = self.call(method, path, body)?;
        let good = answer.status == 200 && answer.json()?["success"] == true;
        ensure!(good, "{method} {path}: {} {}", answer.status, answer.text());
        Ok(answer)
    }

    /// Logs in to the console, making the first user if there is none.
    pub fn login(&self) -> Result<()> {
        let user = json!({
            "email": EMAIL, "password": PASSWORD, "firstName": "O", "lastName": "P",
            "setupToken": self.setup_token,
        });
        if self.must("GET", "/rest/v2/first-login-status", None)?["success"] == true {
            self.succeed("POST", "/rest/v2/users/initial", Some(&user))?;
        }
        self.login_as(EMAIL, PASSWORD)
    }

    /// Logs in to the console with an account that is there.
    pub fn login_as(&self, email: &str, password: &str) -> Result<()> {
        let user = json!({"email": email, "password": password});
        let answer = self.succeed("POST", "/rest/v2/users/authenticate", Some(&user))?;
        *self.cookie.lock().unwrap_or_else(PoisonError::into_inner) = answer.cookies();
        Ok(())
    }

    /// Changes settings of application `live`. Needs a login.
    pub fn set(&self, settings: &Value) -> Result<Answer> {
        self.succeed("POST", "/rest/v2/applications/settings/live", Some(settings))
    }

    /// All settings of application `live`. Needs a login.
    pub fn settings(&self) -> Result<Value> {
        self.must("GET", "/rest/v2/applications/settings/live", None)
    }

    /// Logs in and requires one-time codes of publishers and players.
    pub fn require_codes(&self) -> Result<()> {
        self.login()?;
        let on = json!({
            "enableTimeTokenForPublish": true, "enableTimeTokenForPlay": true,
            "timeTokenSecretForPublish": PUBLISH_SECRET, "timeTokenSecretForPlay": PLAY_SECRET,
        });
        self.set(&on).map(drop)
    }

    /// Registers a subscriber of a stream for `publish` or `play`.
    pub fn add(&self, stream: &str, subscriber: &str, role: &str) -> Result<Answer> {
        self.register(stream, subscriber, role, 60)
    }

    /// Makes all codes that the subscriber was ever given wrong, by another period; his sessions
    /// stay.
    pub fn forget_code(&self, stream: &str, subscriber: &str, role: &str) -> Result<()> {
        let code = self.code(stream, subscriber, role)?;
        self.register(stream, subscriber, role, 61)?;
        ensure!(self.code(stream, subscriber, role)? != code, "the code is what it was");
        Ok(())
    }

    fn register(&self, stream: &str, subscriber: &str, role: &str, period: u32) -> Result<Answer> {
        let body = json!({"subscriberId": subscriber, "b32Secret": SUBSCRIBER_SECRET, "type": role,
            "concurrentConnectionsLimit": -1, "totpExpiryPeriodSeconds": period});
        self.succeed("POST", &broadcasts(&format!("{stream}/subscribers")), Some(&body))
    }

    /// The subscriber's code of now, for `publish` or `play`.
    pub fn code(&self, stream: &str, subscriber: &str, role: &str) -> Result<String> {
        let path = broadcasts(&format!("{stream}/subscribers/{subscriber}/totp?type={role}"));
        let answer = self.succeed("GET", &path, None)?.json()?;
        Ok(answer["dataId"].as_str().context("no code in dataId")?.to_owned())
    }

    /// The query string that lets the subscriber in: `subscriberId=…&subscriberCode=…`.
    pub fn query(&self, stream: &str, subscriber: &str, role: &str) -> Result<String> {
        Ok(format!("subscriberId={subscriber}&subscriberCode={}", self.code(stream, subscriber, role)?))
    }

    /// Blocks for `seconds`; 0 lifts the block. `what`: `publish`, `play`, `publish_play`.
    /// The answer is there when the party is silent.
    pub fn block(&self, stream: &str, subscriber: &str, seconds: u64, what: &str) -> Result<Answer> {
        let path = broadcasts(&format!("{stream}/subscribers/{subscriber}/block/{seconds}/{what}"));
        self.succeed("PUT", &path, None)
    }

    /// The subscribers of a stream.
    pub fn subscribers(&self, stream: &str) -> Result<Vec<Value>> {
        let list = self.must("GET", &broadcasts(&format!("{stream}/subscribers/list/0/50")), None)?;
        list.as_array().cloned().context("the list of subscribers is not a list")
    }

    /// The status of a stream, if it is known.
    pub fn status(&self, stream: &str) -> Option<String> {
        let answer = self.call("GET", &broadcasts(stream), None).ok()?;
        Some(answer.json().ok()?["status"].as_str()?.to_owned())
    }

    /// Waits until somebody publishes the stream.
    pub fn wait_live(&self, stream: &str) -> Result<()> {
        let live = || (self.status(stream)? == "broadcasting").then_some(());
        eventually(&format!("{stream} to be live"), live)
    }

    /// Waits until nobody publishes the stream.
    pub fn wait_not_live(&self, stream: &str) -> Result<()> {
        let ended = || (self.status(stream).as_deref() != Some("broadcasting")).then_some(());
        eventually(&format!("{stream} to end"), ended)
    }
}

/// A subscriber's base32 secret, 20 bytes.
pub const SUBSCRIBER_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// From which codes of unregistered publishers derive.
pub const PUBLISH_SECRET: &str = "publishers-of-the-test";
/// From which codes of unregistered players derive.
pub const PLAY_SECRET: &str = "players-of-the-test";

/// `/live/rest/v2/broadcasts/{tail}`.
pub fn broadcasts(tail: &str) -> String {
    format!("/live/rest/v2/broadcasts/{tail}")
}
