//! The one way in, for every protocol and both directions.

use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use contract::auth::{Authorize, Denied, Permit};
use contract::registry::{Form, GetStream, Live, Place, Play, PlayRefused, Publish, PublishRefused, Silence};
use contract::session::{CloseReason, SessionRef, Traffic};
use contract::{
    Action, AppSettings, Credentials, Protocol, SessionId, SettingsView, Standing, StandingCell, StreamKey,
    SubscriberId,
};
use media::{BusWriter, PacketWriter, Tracks};
use tokio::sync::watch;

use crate::actor::{Attach, Guard, Session, WhyEnded};
use crate::census::{Census, Counted};
use crate::plane::DataPlane;

/// Whom admission asks. One method each is all it needs of them.
#[derive(Clone)]
pub struct Links {
    /// Auth.
    pub authorize: Recipient<Authorize>,
    /// The registry.
    pub get_stream: Recipient<GetStream>,
    /// The registry.
    pub publish: Recipient<Publish>,
    /// The registry.
    pub play: Recipient<Play>,
    /// The registry.
    pub silence: Recipient<Silence>,
}

/// The one way in. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Admission {
    links: Links,
    settings: SettingsView,
    /// Where session actors live: the control plane's thread.
    arbiter: ArbiterHandle,
    census: Census,
}

/// Who wants to do what.
#[derive(Debug, Clone)]
pub struct Request {
    /// What.
    pub action: Action,
    /// On which stream.
    pub stream: StreamKey,
    /// Who it says it is.
    pub credentials: Credentials,
    /// From where, in canonical form.
    pub peer: IpAddr,
    /// How.
    pub protocol: Protocol,
}

/// Why not. Each protocol's dialect has its words for these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such application.
    #[error("unknown application")]
    UnknownApp,
    /// Auth said no.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The stream cannot be published now.
    #[error(transparent)]
    Publish(#[from] PublishRefused),
    /// The stream cannot be played now.
    #[error(transparent)]
    Play(#[from] PlayRefused),
    /// It was let in, and ended before it had begun.
    #[error("ended before it had begun: {0:?}")]
    Ended(CloseReason),
    /// The control plane cannot answer.
    #[error("control plane unavailable")]
    Unavailable,
}

impl Admission {
    /// Session actors will live on `arbiter`.
    pub fn new(links: Links, settings: SettingsView, arbiter: ArbiterHandle) -> Self {
        Self { links, settings, arbiter, census: Census::default() }
    }

    /// What all sessions come to.
    pub fn census(&self) -> Census {
        self.census.clone()
    }

    /// An application's settings; `None` if there is no such application.
    pub fn settings(&self, app: &contract::AppName) -> Option<Arc<AppSettings>> {
        self.settings.app(app)
    }

    /// Asks auth. Says nothing about whether the stream is live: strangers learn
    /// that from nobody (C§16.10).
    pub async fn ask(&self, request: Request) -> Result<Pass, Refused> {
        self.settings.app(&request.stream.app).ok_or(Refused::UnknownApp)?;
        let (registered, live) = self.look(&request.stream).await?;
        let (guard, session) = self.start(&request);
        let permit = self
            .links
            .authorize
            .send(Authorize {
                action: request.action,
                stream: request.stream.clone(),
                registered,
                live,
                credentials: request.credentials.clone(),
                peer: request.peer,
                protocol: request.protocol,
                session: session.clone(),
            })
            .await
            .map_err(|_| Refused::Unavailable)??;
        Ok(Pass { links: self.links.clone(), request, permit, session, guard, census: self.census.clone() })
    }

    /// Whether the stream is registered, and whether it is live.
    async fn look(&self, stream: &StreamKey) -> Result<(bool, bool), Refused> {
        let view = self.links.get_stream.send(GetStream { stream: stream.clone() }).await;
        let view = view.map_err(|_| Refused::Unavailable)?;
        Ok(view.map_or((false, false), |stream| (stream.registered, stream.live.is_some())))
    }

    fn start(&self, request: &Request) -> (Guard, SessionRef) {
        let id = SessionId::new();
        let actor = Session {
            id,
            role: request.action,
            stream: request.stream.clone(),
            silence: self.links.silence.clone(),
            plane: None,
            closed: None,
        };
        let addr = Session::start_in_arbiter(&self.arbiter, move |_| actor);
        let session = SessionRef {
            id,
            standing: addr.clone().recipient(),
            hush: addr.clone().recipient(),
            close: addr.clone().recipient(),
            traffic: Arc::new(Traffic::default()),
        };
        (Guard(addr), session)
    }
}

/// Auth's leave, not used yet.
#[derive(Debug)]
pub struct Pass {
    links: Links,
    request: Request,
    permit: Permit,
    session: SessionRef,
    guard: Guard,
    census: Census,
}

impl Pass {
    /// The session's id, for the log.
    pub const fn session(&self) -> SessionId {
        self.session.id
    }

    /// Refuses who could not publish now, because somebody else does whom he will
    /// not take over. A first look, for protocols whose tracks are known only after
    /// media has come: [`go_live`](Entrant::go_live) decides.
    pub async fn look_for_place(&self) -> Result<(), Refused> {
        let look = GetStream { stream: self.request.stream.clone() };
        let view = self.links.get_stream.send(look).await.map_err(|_| Refused::Unavailable)?;
        let taken = self.permit.replaces.is_none() && view.is_some_and(|stream| stream.live.is_some());
        if taken { Err(PublishRefused::AlreadyPublishing.into()) } else { Ok(()) }
    }

    /// Brings what gets the session's orders from now on. Refused when one came
    /// before that ends it.
    pub async fn attach(self, plane: impl DataPlane) -> Result<Entrant, Refused> {
        let attached = self.guard.0.send(Attach(Box::new(plane))).await;
        attached.map_err(|_| Refused::Unavailable)?.map_err(Refused::Ended)?;
        Ok(Entrant(self))
    }

    /// A block between `ask` and now found no data plane to order. It set the
    /// standing first, so it is seen here.
    async fn still_granted(&self) -> Result<(), Refused> {
        match self.permit.standing.get() {
            Standing::Granted => Ok(()),
            Standing::Suspended => Err(Denied::Blocked.into()),
            Standing::Revoked => Err(self.ended().await),
        }
    }

    /// Why it was revoked. The order that says so may not have come yet; then he is
    /// told that he is not allowed, which he is not any more.
    async fn ended(&self) -> Refused {
        let why = self.guard.0.send(WhyEnded).await.ok().flatten();
        why.map_or(Denied::Credentials.into(), Refused::Ended)
    }

    fn link(self, place: Place) -> Link {
        self.permit.connected();
        let Request { action, protocol, .. } = self.request;
        let traffic = self.session.traffic.clone();
        Link {
            id: self.session.id,
            stream: self.request.stream,
            subscriber: self.request.credentials.subscriber,
            standing: self.permit.standing.clone(),
            traffic: self.session.traffic,
            _counted: self.census.enter(protocol, action, self.session.id, traffic),
            _place: place,
            _permit: self.permit,
            _guard: self.guard,
        }
    }
}

/// Somebody who has auth's leave and hears orders, but has no place yet. He may
/// take his time: his media need not have come.
#[derive(Debug)]
pub struct Entrant(Pass);

impl Entrant {
    /// The session's id, for the log.
    pub const fn session(&self) -> SessionId {
        self.0.session()
    }

    /// What holds now.
    pub fn standing(&self) -> Arc<StandingCell> {
        self.0.permit.standing.clone()
    }

    /// Counters to be written by the data plane.
    pub fn traffic(&self) -> Arc<Traffic> {
        self.0.session.traffic.clone()
    }

    /// Takes the stream's one publisher's place.
    pub async fn go_live(self, tracks: Tracks, form: Form) -> Result<Publisher, Refused> {
        let Self(pass) = self;
        let publish = Publish {
            stream: pass.request.stream.clone(),
            tracks,
            form,
            protocol: pass.request.protocol,
            peer: pass.request.peer,
            subscriber: pass.request.credentials.subscriber.clone(),
            session: pass.session.clone(),
            standing: pass.permit.standing.clone(),
            replaces: pass.permit.replaces,
        };
        let lease = pass.links.publish.send(publish).await.map_err(|_| Refused::Unavailable)??;
        pass.still_granted().await?;
        Ok(Publisher { frames: lease.frames, packets: lease.packets, link: pass.link(lease.place) })
    }

    /// Joins a live stream's audience.
    pub async fn play(self) -> Result<Player, Refused> {
        let Self(pass) = self;
        let play = Play {
            stream: pass.request.stream.clone(),
            protocol: pass.request.protocol,
            peer: pass.request.peer,
            subscriber: pass.request.credentials.subscriber.clone(),
            session: pass.session.clone(),
            standing: pass.permit.standing.clone(),
        };
        let lease = pass.links.play.send(play).await.map_err(|_| Refused::Unavailable)??;
        pass.still_granted().await?;
        Ok(Player { live: lease.live, link: pass.link(lease.place) })
    }
}

/// A live publisher. Dropping it ends the stream.
#[derive(Debug)]
pub struct Publisher {
    /// Writes frames. Writing after the stream was silenced does nothing.
    pub frames: BusWriter,
    /// Writes packets, if it said that it brings some.
    pub packets: Option<PacketWriter>,
    /// Its session.
    pub link: Link,
}

/// A player. Dropping it leaves the audience.
#[derive(Debug)]
pub struct Player {
    /// The stream as it is live now; `None` while nobody publishes it. The player
    /// stays, and continues when a publisher returns.
    pub live: watch::Receiver<Option<Arc<Live>>>,
    /// Its session.
    pub link: Link,
}

/// A session's hold on the control plane.
#[derive(Debug)]
pub struct Link {
    /// Which session.
    pub id: SessionId,
    /// On which stream.
    pub stream: StreamKey,
    /// Whose, if he said so.
    pub subscriber: Option<SubscriberId>,
    /// What holds now. Read it before each burst: a block sets it before it
    /// orders anything.
    pub standing: Arc<StandingCell>,
    /// Its counters.
    pub traffic: Arc<Traffic>,
    _counted: Counted,
    // Given back in this order: the place, so that the stream is free; the
    // permit; the actor.
    _place: Place,
    _permit: Permit,
    _guard: Guard,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links")
    }
}
