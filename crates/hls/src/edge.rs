//! The edge: what all routes share, and the way from a request to a grant.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use contract::session::SetStanding;
use contract::settings::AppSettings;
use contract::{Action, Clock, Credentials, Protocol, SessionId, Standing, StreamKey, TrustedProxies};
use media::Memory;
use session::{Admission, DataPlane, Order, Request, What};
use tokio::runtime::Runtime;

use crate::connection::{STALLED, STALLED_IN_NEED};
use crate::dialect::Refusal;
use crate::grant::{Grant, Key, lock};
use crate::grants::{Grants, Kept};
use crate::lingering::{Lingering, MOST_LINGERING};
use crate::packager::Shape;
use crate::shelf::{Filler, Shelf};
use crate::token::Signer;

/// A grant that a code earned outlives so many playlists of silence (C§16.18).
const LISTS_OF_SILENCE: u32 = 10;

/// See the module.
pub(crate) struct Edge {
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) grants: Grants,
    pub(crate) proxies: TrustedProxies,
    lingering: Arc<Lingering>,
    shelves: Mutex<HashMap<StreamKey, Arc<Shelf>>>,
    packagers: Packagers,
}

/// Packagers copy every frame once, which is milliseconds per segment, and must
/// not wait for HTTP workers nor make the control plane wait: a thread of theirs.
struct Packagers(Option<Runtime>);

impl Packagers {
    fn start() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("hls").enable_time().build().map(Some).map(Self)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
    }
}

impl Drop for Packagers {
    /// The last owner may be a task, where a runtime must not wait for its own.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Who asks, as far as a request says.
pub(crate) struct Asker<'a> {
    pub(crate) stream: &'a StreamKey,
    pub(crate) credentials: Credentials,
    /// From the URL, and from the cookie.
    pub(crate) tokens: [Option<&'a str>; 2],
    pub(crate) peer: IpAddr,
    pub(crate) settings: &'a AppSettings,
}

/// How a request was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A grant in the URL or the cookie.
    Grant,
    /// Credentials, or none where none are needed.
    Credentials,
}

impl Edge {
    pub(crate) fn new(
        admission: Admission,
        clock: Clock,
        proxies: TrustedProxies,
        signer: Signer,
    ) -> io::Result<Arc<Self>> {
        let lingering = Lingering::new(MOST_LINGERING, clock.clone());
        Ok(Arc::new(Self {
            admission,
            grants: Grants::new(signer, lingering.clone()),
            lingering,
            clock,
            proxies,
            shelves: Mutex::default(),
            packagers: Packagers::start()?,
        }))
    }

    /// Lets a request in: by a grant it carries, by one that its credentials have
    /// earned already where none need proof, or by asking auth.
    pub(crate) async fn admit(self: &Arc<Self>, asker: Asker<'_>) -> Result<(Arc<Grant>, By), Refusal> {
        if let Some(grant) = self.by_token(&asker) {
            return Ok((grant, By::Grant));
        }
        let key = asker.key();
        let free = !asker.settings.security.totp_play && asker.credentials.token.is_none();
        match self.grants.find(&key).filter(|grant| free && grant.standing().is_some()) {
            Some(grant) => Ok((grant, By::Credentials)),
            None => Ok((self.ask(asker, key).await?, By::Credentials)),
        }
    }

    fn by_token(&self, asker: &Asker<'_>) -> Option<Arc<Grant>> {
        let grants = asker.tokens.iter().flatten().filter_map(|text| self.grants.verify(text, asker.stream));
        let bound = asker.settings.security.hls_grant_bound_to_address;
        let named = asker.credentials.subscriber.as_ref();
        grants
            .filter(|grant| !bound || grant.key.peer == asker.peer)
            // Who says that he is another wants to be another.
            .find(|grant| named.is_none() || named == grant.key.subscriber.as_ref())
    }

    async fn ask(self: &Arc<Self>, asker: Asker<'_>, key: Key) -> Result<Arc<Grant>, Refusal> {
        let request = Request {
            action: Action::Play,
            stream: asker.stream.clone(),
            credentials: asker.credentials,
            peer: asker.peer,
            protocol: Protocol::Hls,
        };
        let pass = self.admission.ask(request).await?;
        let grant = self.grants.of(&key, &self.clock).map_err(|_| Refusal::Unavailable)?;
        if grant.standing() == Some(Standing::Granted) {
            // The same player again, who lost his cookie: one session, one pair of events.
            return Ok(grant);
        }
        let (session, over) = (pass.session(), Arc::new(AtomicBool::new(false)));
        let (edge, weak) = (Arc::downgrade(self), Arc::downgrade(&grant));
        let player =
            pass.attach(Plane { edge, grant: weak, session, over: over.clone() }).await?.play().await?;
        grant.sit(player);
        let loser = match self.grants.keep(&grant, self.clock.now().mono) {
            Kept::For(loser) => loser,
            Kept::Twin(twin) => {
                grant.rise();
                return Ok(twin);
            }
        };
        loser.iter().for_each(|grant| self.crowd_out(grant));
        if over.load(Ordering::Acquire) {
            self.unseat(&grant, session);
            return Err(Refusal::Credentials);
        }
        Ok(grant)
    }

    fn crowd_out(&self, grant: &Grant) {
        tracing::debug!(peer = %grant.key.peer, stream = %grant.key.stream, "too many HLS players of one address");
        self.end(grant);
    }

    /// Ends a session that was over before it had its seat. Its plane may have
    /// found the seat after that, but not the grant in the table.
    fn unseat(&self, grant: &Grant, session: SessionId) {
        grant.leave(session);
        if grant.standing().is_none() {
            self.grants.remove(grant);
        }
    }

    /// The stream's shelf; made if the stream is live and has none. `None`:
    /// nobody publishes it, and nothing is left of who did.
    pub(crate) fn shelf(self: &Arc<Self>, grant: &Grant) -> Option<Arc<Shelf>> {
        let view = grant.live()?;
        let stream = &grant.key.stream;
        let mut shelves = lock(&self.shelves);
        if let Some(shelf) = shelves.get(stream).filter(|shelf| shelf.offer(&view)) {
            return Some(shelf.clone());
        }
        // Borrowed and given back: the registry waits for whoever looks.
        let is_live = view.borrow().is_some();
        if !is_live {
            return None;
        }
        let shelf = Arc::new(Shelf::new(view, self.shape(stream), &self.clock));
        shelves.insert(stream.clone(), shelf.clone());
        self.packagers.spawn(self.filler(shelf.clone(), stream.clone()).run());
        Some(shelf)
    }

    fn filler(self: &Arc<Self>, shelf: Arc<Shelf>, stream: StreamKey) -> Filler {
        let (edge, key) = (Arc::downgrade(self), stream.clone());
        let shape = Box::new(move || edge.upgrade().map_or_else(Shape::default, |edge| edge.shape(&key)));
        Filler { shelf, stream, clock: self.clock.clone(), shape }
    }

    fn shape(&self, stream: &StreamKey) -> Shape {
        self.admission.settings(&stream.app).map_or_else(Shape::default, |app| Shape::from(&app.hls))
    }

    /// Gives back what nobody uses any more: sessions of silent players, and
    /// shelves whose task has ended.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now().mono;
        let need = self.need();
        let patience = if need.is_some() { STALLED_IN_NEED } else { STALLED };
        for grant in self.grants.all() {
            let reset = grant.settle(now, patience);
            need.iter().for_each(|memory| (0..reset).for_each(|_| memory.count_ended()));
            if grant.silent_for(now) > self.patience(&grant) {
                self.end(&grant);
            }
        }
        self.lingering.sweep(now);
        lock(&self.shelves).retain(|_, shelf| !shelf.is_closed());
    }

    /// The budget of media, if it is scarce. All streams have one.
    fn need(&self) -> Option<Memory> {
        let memory = lock(&self.shelves).values().find_map(|shelf| shelf.memory())?;
        memory.is_scarce().then_some(memory)
    }

    /// A code is good once, so who showed one is waited for longer. His place may
    /// be taken before that, and he is counted no more.
    fn patience(&self, grant: &Grant) -> Duration {
        let hls =
            self.admission.settings(&grant.key.stream.app).map(|app| app.hls.clone()).unwrap_or_default();
        if grant.key.coded {
            Shape::from(&hls).lifetime().saturating_mul(LISTS_OF_SILENCE)
        } else {
            hls.patience()
        }
    }

    /// Ends a grant and its session.
    pub(crate) fn end(&self, grant: &Grant) {
        self.grants.remove(grant);
        grant.fence();
        grant.rise();
    }

    /// Ends all of them, and resets nobody: what players were given before may reach
    /// them.
    pub(crate) fn drain(&self) {
        for grant in self.grants.all() {
            self.grants.remove(&grant);
            grant.rise();
        }
    }
}

impl Asker<'_> {
    fn key(&self) -> Key {
        Key {
            stream: self.stream.clone(),
            subscriber: self.credentials.subscriber.clone(),
            peer: self.peer,
            coded: self.settings.security.totp_play,
        }
    }
}

/// How a session's actor reaches a grant. Fences are system calls that do not
/// block, so orders are carried out where they arrive.
struct Plane {
    edge: Weak<Edge>,
    grant: Weak<Grant>,
    session: SessionId,
    /// Whether the session is over; for who gives it a seat later.
    over: Arc<AtomicBool>,
}

impl Plane {
    fn hush(&self, grant: &Grant) {
        if let Some(edge) = self.edge.upgrade() {
            // Not held while the shelf is emptied.
            let shelf = lock(&edge.shelves).get(&grant.key.stream).cloned();
            shelf.iter().for_each(|shelf| shelf.hush());
        }
    }

    /// The session is over. The grant is, too, unless it has another one.
    fn leave(&self, grant: &Grant) {
        // First this, then the seat: who sits down after it is taken reads this.
        self.over.store(true, Ordering::Release);
        if grant.leave(self.session)
            && let Some(edge) = self.edge.upgrade()
        {
            edge.grants.remove(grant);
        }
    }
}

impl DataPlane for Plane {
    fn order(&self, order: Order) {
        let Some(grant) = self.grant.upgrade() else { return };
        let is_silent = match order.what {
            What::Standing(SetStanding::Grant) => true,
            What::Standing(SetStanding::Suspend { .. }) => grant.fence(),
            What::Hush => {
                self.hush(&grant);
                grant.fence()
            }
            What::Standing(SetStanding::Revoke(_)) | What::Close(_) => {
                let is_silent = grant.fence();
                self.leave(&grant);
                is_silent
            }
        };
        if is_silent {
            // An error says that the actor is gone: nothing waits any more.
            let _ = order.done.send(());
        }
    }

    fn kill(&self) -> bool {
        let Some(grant) = self.grant.upgrade() else { return session::tcp::can_reset() };
        let is_silent = grant.fence();
        self.leave(&grant);
        // An order may have ended before, and have left nothing for this fence to see.
        is_silent && session::tcp::can_reset()
    }
}
