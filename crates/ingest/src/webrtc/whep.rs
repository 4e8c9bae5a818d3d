//! Playing by WHEP: the player offers, and there is no connection beside its
//! media.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use contract::registry::PlayRefused;
use contract::{Action, Protocol};
use session::Request;

use super::Core;
use super::command::{Busy, Source};
use super::http::{self, Refusal};
use super::peer::Shares;
use super::resources::{Resource, ResourceId};
use super::sdp;

pub(super) async fn post(webrtc: web::Data<Core>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    http::respond(play(&webrtc.into_inner(), &request, body).await)
}

async fn play(
    webrtc: &Arc<Core>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let mut posted = http::read(webrtc, request, body).await?;
    let asks = Request {
        action: Action::Play,
        stream: posted.stream.clone(),
        credentials: posted.credentials.clone(),
        peer: posted.peer,
        protocol: Protocol::Whep,
    };
    let entry = webrtc.enter(posted.peer, &posted.stream.app, Action::Play)?;
    let pass = webrtc.admission().ask(asks).await?;
    let reserved = webrtc.shard().reserve();
    let player = pass.attach(reserved.plane(None)).await?.play().await?;
    if player.live.borrow().is_none() {
        return Err(session::Refused::from(PlayRefused::NotLive).into());
    }
    let (offer, candidates) = (std::mem::take(&mut posted.offer), webrtc.shard().candidates());
    let now = webrtc.now();
    let made = webrtc.parsers().run(move || sdp::answer_player(&offer, candidates, now)).await?;
    let answer = made.sdp.clone();
    let (standing, traffic) = (player.link.standing.clone(), player.link.traffic.clone());
    let shares = Shares { standing, traffic, owner: None };
    let source = Source { stream: posted.stream.clone(), live: player.live };
    let peer = reserved.play(made, shares, entry, source, Box::new(player.link))?;
    let id = ResourceId::random().ok_or(Busy)?;
    webrtc.resources().add(id.clone(), request.path().to_owned(), Resource::Player(peer));
    Ok(http::created(&posted, &id, answer))
}
