//! Chromium, driven through `tests/clients/browser.mjs` by JSON lines.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::clip::clips;
use crate::machine;
use crate::proc::Process;
use crate::seen::Seen;
use crate::wait::eventually;

/// A browser with its own small web server for the pages under `tests/clients/pages`.
#[derive(Clone)]
pub struct Browser(Arc<Mutex<Driver>>);

struct Driver {
    process: Process,
    calls: u64,
}

impl Browser {
    /// Starts Chromium; the camera shows the test clip, the microphone hears it.
    pub fn start() -> Result<Self> {
        let clips = clips()?;
        let mut command = machine::node();
        command.arg(machine::client("browser.mjs")).arg(&clips.camera).arg(&clips.microphone);
        let mut process = Process::spawn("the browser", command)?;
        process.line("ready", |line| line.contains("\"ready\"").then_some(()))?;
        Ok(Self(Arc::new(Mutex::new(Driver { process, calls: 0 }))))
    }

    /// Opens a page: a name under `tests/clients/pages`, or a whole URL.
    pub fn open(&self, url: &str) -> Result<Page> {
        let page = self.call(json!({"op": "open", "url": url}))?;
        Ok(Page { browser: self.clone(), id: page.as_u64().context("no page")? })
    }

    fn call(&self, mut call: Value) -> Result<Value> {
        let mut driver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        driver.calls += 1;
        let id = driver.calls;
        call["id"] = json!(id);
        driver.process.tell(&call.to_string())?;
        let answer = driver.process.line("an answer", |line| {
            let answer: Value = serde_json::from_str(line).ok()?;
            (answer["id"] == id).then_some(answer)
        })?;
        match answer.get("error") {
            Some(error) => bail!("the browser: {error}"),
            None => Ok(answer["value"].clone()),
        }
    }
}

/// An open page. Dropping it leaves it open: its browser closes it.
pub struct Page {
    browser: Browser,
    id: u64,
}

impl Page {
    /// Evaluates an expression; promises are awaited.
    pub fn eval(&self, expression: &str) -> Result<Value> {
        self.browser.call(json!({"op": "eval", "page": self.id, "js": expression}))
    }

    /// Waits until an expression is true.
    pub fn until(&self, expression: &str) -> Result<()> {
        let found =
            eventually(expression, || self.eval(expression).ok().filter(|v| v == &json!(true)).map(drop));
        found.with_context(|| format!("page log: {}", self.eval("window.events").unwrap_or_default()))
    }

    /// Writes a picture of the page.
    pub fn screenshot(&self, path: &std::path::Path) -> Result<()> {
        self.browser.call(json!({"op": "shot", "page": self.id, "path": path})).map(drop)
    }

    /// Closes it, as a user closes a tab.
    pub fn close(&self) -> Result<()> {
        self.browser.call(json!({"op": "close", "page": self.id})).map(drop)
    }

    /// What its video element showed and played so far.
    pub fn seen(&self) -> Result<Seen> {
        let seen = self.eval("({pictures: window.pictures, peak: window.peak})")?;
        let number = |n: &Value| n.as_u64().and_then(|n| u16::try_from(n).ok());
        let pictures = seen["pictures"].as_array().context("no pictures")?.iter().map(number).collect();
        Ok(Seen { pictures, peak: seen["peak"].as_f64().unwrap_or(0.0) })
    }

    /// Pictures shown so far.
    pub fn count(&self) -> Result<u64> {
        self.eval("window.pictures.length")?.as_u64().context("no count")
    }

    /// Waits until `more` pictures beyond those of now were shown.
    pub fn more(&self, more: u64) -> Result<()> {
        let wanted = self.count()? + more;
        self.until(&format!("window.pictures.length >= {wanted}"))
    }

    /// Waits until it shows a picture that it has not loaded yet: a player of segments goes on
    /// for seconds from what it has.
    pub fn outlives_its_buffer(&self) -> Result<()> {
        let loaded = self.eval("window.loaded()")?.as_f64().context("no end of the buffer")?;
        self.until(&format!("document.getElementById('video').currentTime > {loaded} + 0.5"))
    }

    /// Waits for `pictures` and sound.
    pub fn plays(&self, pictures: usize) -> Result<Seen> {
        self.until(&format!("window.pictures.length >= {pictures} && window.peak > 0.1"))?;
        self.seen()
    }

    /// Waits until the SDK has been told an error so many times.
    pub fn is_told(&self, error: &str, times: usize) -> Result<()> {
        let told = format!("window.events.filter(l => l[0] === 'error' && l[1] === {})", json!(error));
        self.until(&format!("{told}.length >= {times}"))
    }

    /// Waits for a callback of the SDK, by its name.
    pub fn called_back(&self, name: &str) -> Result<()> {
        self.until(&format!("window.events.some(l => l[1] === {})", json!(name)))
    }

    /// The local UDP port of the page's peer connection of a stream, once a pair is chosen.
    pub fn port(&self, stream: &str) -> Result<u16> {
        let expression = format!("window.localPort({})", json!(stream));
        let port = eventually("a chosen candidate pair", || self.eval(&expression).ok()?.as_u64());
        Ok(u16::try_from(port?)?)
    }

    /// Publishes by the SDK, from the fake camera, with the seed's own call.
    pub fn sdk_publish(
        browser: &Browser,
        websocket: &str,
        stream: &str,
        subscriber: &str,
        code: &str,
    ) -> Result<Self> {
        let page = browser.open("sdk.html")?;
        page.eval(&format!(
            "window.publish({}, {}, {}, {})",
            json!(websocket),
            json!(stream),
            json!(subscriber),
            json!(code)
        ))?;
        Ok(page)
    }

    /// Plays by the SDK, with the seed's own call.
    pub fn sdk_play(
        browser: &Browser,
        websocket: &str,
        stream: &str,
        subscriber: &str,
        code: &str,
    ) -> Result<Self> {
        let page = browser.open("sdk.html")?;
        page.eval(&format!(
            "window.play({}, {}, {}, {})",
            json!(websocket),
            json!(stream),
            json!(subscriber),
            json!(code)
        ))?;
        Ok(page)
    }

    /// Plays by hls.js.
    pub fn hls_play(browser: &Browser, playlist: &str) -> Result<Self> {
        let page = browser.open("hls.html")?;
        page.eval(&format!("window.play({})", json!(playlist)))?;
        Ok(page)
    }
}
