//! Publishing by WHIP (RFC 9725).

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use contract::registry::Form;
use contract::{Action, Protocol};
use media::Tracks;
use session::{Entrant, Request};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::command::{Busy, GoneLive, PeerHandle};
use super::http::{self, Posted, Refusal};
use super::peer::{PeerEvent, Shares};
use super::resources::{Resource, ResourceId};
use super::sdp;

/// A publisher has a few events in its life.
const MAX_EVENTS: usize = 16;

pub(super) async fn post(webrtc: web::Data<Core>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    http::respond(publish(webrtc.into_inner(), &request, body).await)
}

async fn publish(
    webrtc: Arc<Core>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let mut posted = http::read(&webrtc, request, body).await?;
    // Before auth is asked: leave to publish fences the subscriber's own live
    // stream, which a broken description must not cost it. It is not parsed yet: that
    // takes as long as its lines say, and is done for peers that may publish.
    sdp::look(&posted.offer)?;
    let entry = webrtc.enter(posted.peer, &posted.stream.app, Action::Publish)?;
    let pass = webrtc.admission().ask(asks(&posted)).await?;
    // Whether it goes live is decided when its media comes; a stream that is
    // taken now is refused now (C§16.11).
    pass.look_for_place().await?;
    let (offer, candidates) = (std::mem::take(&mut posted.offer), webrtc.shard().candidates());
    let now = webrtc.now();
    let made = webrtc.parsers().run(move || sdp::answer_publisher(&offer, candidates, now)).await?;
    let answer = made.sdp.clone();
    let (owner, events) = mpsc::channel(MAX_EVENTS);
    let reserved = webrtc.shard().reserve();
    // From here on an order ends it, connected or not.
    let entrant = pass.attach(reserved.plane(Some(owner.clone()))).await?;
    let (standing, traffic) = (entrant.standing(), entrant.traffic());
    let shares = Shares { standing, traffic, owner: Some(owner.clone()) };
    let peer = reserved.publish(made, shares, entry)?;
    let ended = webrtc.stopping().child_token();
    let id = ResourceId::random().ok_or(Busy)?;
    let resource = Resource::Publisher(ended.clone());
    webrtc.resources().add(id.clone(), request.path().to_owned(), resource);
    let limit = posted.settings.webrtc.start_timeout;
    let life = Life { peer, owner, events, ended };
    actix_web::rt::spawn(life.run(entrant, limit));
    Ok(http::created(&posted, &id, answer))
}

fn asks(posted: &Posted) -> Request {
    Request {
        action: Action::Publish,
        stream: posted.stream.clone(),
        credentials: posted.credentials.clone(),
        peer: posted.peer,
        protocol: Protocol::Whip,
    }
}

/// A WHIP publisher: started by its POST, ends with its connection, by DELETE or
/// by order. Dropping the handle closes the connection.
struct Life {
    peer: PeerHandle,
    owner: super::command::Events,
    events: mpsc::Receiver<(super::peer::PeerId, PeerEvent)>,
    ended: CancellationToken,
}

impl Life {
    async fn run(mut self, entrant: Entrant, limit: Duration) {
        let tracks = tokio::time::timeout(limit, self.tracks()).await;
        if let Ok(Some(tracks)) = tracks
            && self.go_live(entrant, tracks).await
        {
            while self.next().await.is_some() {}
        }
        self.ended.cancel();
    }

    /// What it sends, when that is known.
    async fn tracks(&mut self) -> Option<Tracks> {
        loop {
            if let PeerEvent::Tracks(tracks) = self.next().await? {
                return Some(tracks);
            }
        }
    }

    async fn go_live(&self, entrant: Entrant, tracks: Tracks) -> bool {
        let session = entrant.session();
        let publisher = match entrant.go_live(tracks, Form::FramesAndPackets).await {
            Ok(publisher) => publisher,
            Err(refused) => {
                tracing::info!(%session, %refused, "WHIP publisher was refused when its media came");
                return false;
            }
        };
        let standing = publisher.link.standing.clone();
        let traffic = publisher.link.traffic.clone();
        let shares = Shares { standing, traffic, owner: Some(self.owner.clone()) };
        GoneLive::new(publisher, shares).is_some_and(|live| self.peer.go_live(live).is_ok())
    }

    /// The next event; none when it is over.
    async fn next(&mut self) -> Option<PeerEvent> {
        let event = tokio::select! {
            event = self.events.recv() => event.map(|(_, event)| event),
            () = self.ended.cancelled() => None,
        };
        event.filter(|event| !is_end(event))
    }
}

fn is_end(event: &PeerEvent) -> bool {
    match event {
        PeerEvent::Closed(_) => true,
        PeerEvent::Ordered(what) => what.ends().is_some(),
        _ => false,
    }
}
