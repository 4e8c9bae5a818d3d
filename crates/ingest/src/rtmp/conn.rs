//! A connection's life up to the moment its role is known.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use contract::{Action, AppName, Clock, Credentials, Protocol, StreamId, StreamKey};
use media::Memory;
use rtmp::{Event, RequestId, Status, Target, publish_target};
use rustls::ServerConfig;
use session::{Admission, Pass, Request};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::tls::Tls;
use super::wire::{Wire, WireError};
use super::{dialect, play, publish};
use crate::crowd::{Crowd, Member};
use crate::pool::Pool;

/// From the first byte to a finished handshake (C§16.20).
const HANDSHAKE: Duration = Duration::from_secs(5);

/// From the handshake to a request, and from one request to the next.
const IDLE: Duration = Duration::from_secs(20);

/// For a goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a connection needs to know.
pub(super) struct Context {
    pub(super) admission: Admission,
    pub(super) clock: Clock,
    pub(super) peer: IpAddr,
    pub(super) arrivals: Crowd,
    pub(super) players: Pool,
    pub(super) memory: Memory,
    pub(super) stop: CancellationToken,
    /// `None`: it is plain RTMP.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// What becomes of a connection after a request.
pub(super) enum Next {
    /// The peer may ask anew.
    Idle,
    /// It is over; say what is queued, and close.
    Close,
}

/// Serves one connection to its end.
pub(super) async fn run(socket: TcpStream, context: Context, arrival: Member) {
    let mut random = [0; rtmp::HANDSHAKE_LEN];
    if getrandom::fill(&mut random).is_err() {
        return;
    }
    match wire(socket, &context, &random) {
        Ok(wire) => Conn { wire, context, app: None, arrival: Some(arrival) }.serve().await,
        Err(error) => tracing::debug!(%error, "RTMP socket failed"),
    }
}

fn wire(socket: TcpStream, context: &Context, random: &[u8; rtmp::HANDSHAKE_LEN]) -> Result<Wire, WireError> {
    let tls = context.tls.clone().map(Tls::new).transpose()?;
    Ok(Wire::new(socket, tls, random)?.counting(&context.memory))
}

struct Conn {
    wire: Wire,
    context: Context,
    app: Option<String>,
    /// While it neither publishes nor plays.
    arrival: Option<Member>,
}

impl Conn {
    async fn serve(mut self) {
        match self.talk().await {
            Ok(()) => self.wire.flush(GOODBYE).await,
            Err(WireError::Closed) => {}
            Err(error @ WireError::Memory) => {
                self.context.memory.count_ended();
                tracing::warn!(%error, peer = %self.context.peer, "RTMP connection ended");
            }
            Err(error) => tracing::debug!(%error, peer = %self.context.peer, "RTMP connection failed"),
        }
    }

    async fn talk(&mut self) -> Result<(), WireError> {
        let shaken = tokio::select! {
            event = tokio::time::timeout(HANDSHAKE, self.wire.event()) => event,
            () = displaced(self.arrival.as_ref()) => return Err(WireError::Displaced),
        };
        let Ok(event) = shaken else { return Ok(()) };
        drop(event?);
        let stop = self.context.stop.clone();
        loop {
            let event = tokio::select! {
                event = tokio::time::timeout(IDLE, self.wire.event()) => event,
                () = stop.cancelled() => return Ok(()),
                () = displaced(self.arrival.as_ref()) => return Err(WireError::Displaced),
            };
            let Ok(event) = event else { return Ok(()) };
            if let Next::Close = self.on_event(event?).await? {
                return Ok(());
            }
        }
    }

    async fn on_event(&mut self, event: Event) -> Result<Next, WireError> {
        match event {
            Event::Connect(connect) => Ok(self.connect(connect.app)),
            Event::Publish(request) => {
                let next = self.request(Action::Publish, request.id, &request.name).await?;
                Ok(self.come_back(next))
            }
            Event::Play(request) => {
                let next = self.request(Action::Play, request.id, &request.name).await?;
                Ok(self.come_back(next))
            }
            _ => Ok(Next::Idle),
        }
    }

    /// After its role a peer is one that has not spoken yet, if there is room for it.
    fn come_back(&mut self, next: Next) -> Next {
        if self.arrival.is_none() {
            self.arrival = self.context.arrivals.enter_unnamed(self.context.peer);
        }
        if self.arrival.is_some() { next } else { Next::Close }
    }

    fn connect(&mut self, app: String) -> Next {
        let name = AppName::parse(&publish_target(&app, "").app);
        if name.is_ok_and(|name| self.context.admission.settings(&name).is_some()) {
            self.app = Some(app);
            self.wire.engine.accept_connect(&dialect::CONNECTED);
            Next::Idle
        } else {
            self.wire.engine.reject_connect(&dialect::UNKNOWN_APP);
            Next::Close
        }
    }

    async fn request(&mut self, action: Action, id: RequestId, name: &str) -> Result<Next, WireError> {
        // Held to the end of the role.
        let place = (action == Action::Play).then(|| self.context.players.enter(self.context.peer, 0));
        if let Some(None) = place {
            tracing::debug!(peer = %self.context.peer, "RTMP player refused: too many, or too many of this network");
            return Ok(self.refuse(id, &dialect::NO_PLACE));
        }
        let target = publish_target(self.app.as_deref().unwrap_or_default(), name);
        let Asked { request, pass } = match self.ask(action, &target).await {
            Ok(asked) => asked,
            Err(refusal) => return Ok(self.refuse(id, &refusal.status())),
        };
        let (session, stream, peer) = (pass.session(), request.stream.clone(), self.context.peer);
        let role = Role { id, request, pass, arrival: &mut self.arrival };
        match action {
            Action::Publish => {
                let span = tracing::info_span!("publish", %session, %stream, %peer);
                publish::run(&mut self.wire, &self.context, role).instrument(span).await
            }
            // No span: a player would enter and leave it for each picture.
            Action::Play => {
                tracing::debug!(%session, %stream, %peer, "asked to play");
                play::run(&mut self.wire, &self.context, role).await
            }
        }
    }

    fn refuse(&mut self, id: RequestId, status: &Status<'_>) -> Next {
        // A request that was withdrawn needs no answer.
        let _ = self.wire.engine.refuse(id, status);
        Next::Close
    }

    async fn ask(&self, action: Action, target: &Target) -> Result<Asked, Refusal> {
        let words = |status: Status<'_>| Refusal {
            code: status.code.to_owned(),
            description: status.description.to_owned(),
        };
        let app = AppName::parse(&target.app).map_err(|_| words(dialect::UNKNOWN_APP))?;
        let settings = self.context.admission.settings(&app).ok_or_else(|| words(dialect::UNKNOWN_APP))?;
        let id = StreamId::parse(&target.id).map_err(|error| words(dialect::bad_id(error)))?;
        if action == Action::Play && !settings.rtmp.playback {
            return Err(words(dialect::PLAYBACK_DISABLED));
        }
        let request = Request {
            action,
            stream: StreamKey { app, id },
            credentials: credentials(target),
            peer: self.context.peer,
            protocol: Protocol::Rtmp,
        };
        match self.context.admission.ask(request.clone()).await {
            Ok(pass) => Ok(Asked { request, pass }),
            Err(why) => {
                tracing::debug!(stream = %request.stream, %action, %why, "refused");
                let blocked = blocked_text(&request);
                Err(words(dialect::refused(action, why, &target.id, &blocked)))
            }
        }
    }
}

struct Asked {
    request: Request,
    pass: Pass,
}

/// A refusal in the dialect's words.
struct Refusal {
    code: String,
    description: String,
}

impl Refusal {
    fn status(&self) -> Status<'_> {
        Status::error(&self.code, &self.description)
    }
}

/// A request that auth has allowed.
pub(super) struct Role<'a> {
    pub(super) id: RequestId,
    pub(super) request: Request,
    pub(super) pass: Pass,
    /// To be given back when the role begins: a stranger no longer.
    pub(super) arrival: &'a mut Option<Member>,
}

/// Resolves when this place was given to another; never, if there is none to lose.
pub(super) async fn displaced(arrival: Option<&Member>) {
    match arrival {
        Some(arrival) => arrival.displaced().await,
        None => std::future::pending().await,
    }
}

/// What the dialect says to this subscriber when he is blocked.
pub(super) fn blocked_text(request: &Request) -> String {
    let subscriber = request.credentials.subscriber.as_ref().map_or("", contract::SubscriberId::as_str);
    dialect::blocked_text(request.action, subscriber)
}

/// Placeholders of the path form ("-" or "token" for no token) are harmless:
/// nothing asks for a token where none is configured.
fn credentials(target: &Target) -> Credentials {
    Credentials::from_texts(
        target.param("subscriberId"),
        target.param("subscriberCode"),
        target.param("token"),
    )
}
