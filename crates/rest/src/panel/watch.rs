//! Pages that watch: server-sent events (WHATWG HTML §9.2), one at once and then one
//! each second, until the login ends, the server drains or the page falls behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::CONTENT_TYPE;
use actix_web::rt;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpRequest, HttpResponse};
use contract::accounts::Account;
use contract::registry::{Board, Survey};
use futures_util::stream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::seats::{Seat, Seats};
use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::gate;

/// Between two events.
const EVERY: Duration = Duration::from_secs(1);

/// A survey serves everybody who looks within half of that.
const FRESH: Duration = Duration::from_millis(500);

/// Events that wait for a slow page; one that lags further is dropped, and asks anew
/// when it can.
const WAITING: usize = 4;

/// What those who watch share.
#[derive(Default)]
pub(crate) struct Watching {
    seats: Seats,
    /// The newest survey. Held while a new one is asked for, so that many who look at
    /// once ask once.
    survey: Mutex<Option<(Instant, Arc<Board>)>>,
}

impl Shared {
    /// All streams, as they were half a second ago at most.
    pub(crate) async fn glance(&self) -> Result<Arc<Board>, Refused> {
        let mut newest = self.watching.survey.lock().await;
        let now = self.clock.now().mono;
        match newest.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < FRESH) {
            Some((_, board)) => Ok(board.clone()),
            None => {
                let board = self.survey().await?;
                *newest = Some((now, board.clone()));
                Ok(board)
            }
        }
    }

    /// All streams as they are now: who has just changed one wants to see that.
    pub(crate) async fn survey(&self) -> Result<Arc<Board>, Refused> {
        self.ask(&self.links.survey, Survey).await
    }
}

/// Something that can be looked at again and again.
pub(crate) trait View: 'static {
    /// Name of the event.
    const EVENT: &'static str;

    /// What it is now, as JSON. An error ends the events.
    fn look(&self, shared: &Shared) -> impl Future<Output = Result<String, Refused>>;
}

/// Answers `who` is logged in with events of what `view` sees.
pub(crate) fn watch(
    shared: &Data<Shared>,
    req: &HttpRequest,
    who: &Account,
    view: impl View,
) -> Result<HttpResponse, Refused> {
    let cookie = gate::login(shared, req).ok_or(Refused::NotAuthenticated)?;
    let seat = shared.watching.seats.take(&who.email).ok_or(Refused::Crowded)?;
    let (tx, rx) = mpsc::channel(WAITING);
    rt::spawn(Watcher { shared: shared.clone(), cookie, tx, _seat: seat }.run(view));
    let body =
        stream::unfold(rx, |mut rx| async { rx.recv().await.map(|event| (Ok::<_, Error>(event), rx)) });
    Ok(dialect::respond()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        // nginx holds answers back unless it is told not to.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

/// One page that watches.
struct Watcher {
    shared: Data<Shared>,
    cookie: String,
    tx: mpsc::Sender<Bytes>,
    _seat: Seat,
}

impl Watcher {
    async fn run(self, view: impl View) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.shared.options.stop.cancelled() => return,
                () = self.tx.closed() => return,
                _ = ticks.tick() => {}
            }
            if !self.tell(&view).await {
                return;
            }
        }
    }

    /// Sends one event; false: this was the last. To watch is to use the login.
    async fn tell<V: View>(&self, view: &V) -> bool {
        let now = self.shared.clock.now().mono;
        if self.shared.logins.account(&self.cookie, now).is_none() {
            return false;
        }
        let Ok(json) = view.look(&self.shared).await else { return false };
        self.tx.try_send(event(V::EVENT, &json)).is_ok()
    }
}

/// JSON has no line breaks of its own, so one `data` line holds it.
fn event(name: &str, json: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {json}\n\n"))
}
