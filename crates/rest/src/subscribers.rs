//! `/{id}/subscribers` and what belongs to it (C§2.1).

use std::time::Duration;

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use contract::audit::{About, Deed};
use contract::auth::{
    Block, Blocked, CodeKind, ConnectionEvent, IssueCode, ListEvents, ListSubscribers, NotStored,
    PutSubscriber, RemoveSubscriber, Unblock,
};
use contract::registry::Order;
use contract::{Action, Actions, AppName, InvalidId, Secret, StreamKey, SubscriberId};
use futures_util::future::join;
use serde::Deserialize;

use crate::api::Shared;
use crate::body::{Body, Fields};
use crate::dialect::{self, BadBlock, Incomplete, Refused};
use crate::dto::{Answer, Event, Stats, Subscriber};
use crate::gate::{Area, Author};
use crate::path::{BadName, OfStream, OfSubscriber, Page, Query, names, parse_subscriber, public_host, read};

/// AMS's text says 3, its code wants 4.
pub(crate) const MIN_SUBSCRIBER_ID: usize = 4;

/// Over three thousand years. Beyond it the deadline in milliseconds no longer fits
/// the numbers of JavaScript.
const MAX_BLOCK_SECONDS: u64 = 100_000_000_000;

/// A block of more than five years was meant to hold until it is taken back.
const FOR_GOOD_SECONDS: u64 = 5 * 365 * 24 * 3600;

/// Of one subscriber, in his statistics; all of them are in `connection-events`.
const EVENTS_PER_SUBSCRIBER: usize = 200;

/// How many there are in all: AMS's lists do not say it, and a panel must know.
const TOTAL: &str = "x-total-count";

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    let subscribers = "/{id}/subscribers";
    cfg.service(web::resource(subscribers).route(web::post().to(put)).route(web::delete().to(remove_all)))
        .service(web::resource([subscribers, "/list/{offset}/{size}"].concat()).route(read().to(list)))
        .service(web::resource("/{id}/subscriber-stats/list/{offset}/{size}").route(read().to(stats)))
        .service(web::resource("/{id}/connection-events/{offset}/{size}").route(read().to(events)))
        .service(web::resource([subscribers, "/{sid}"].concat()).route(web::delete().to(remove)))
        .service(web::resource([subscribers, "/{sid}/totp"].concat()).route(read().to(totp)))
        .service(
            web::resource([subscribers, "/{sid}/block/{seconds}/{type}"].concat())
                .route(web::put().to(block)),
        );
}

async fn put(shared: Data<Shared>, author: Author, path: Path<OfStream>, body: Body) -> Answered {
    let wanted = match body.0 {
        Some(fields) => wanted(&path, &fields)?,
        None => Err(Incomplete::Missing),
    };
    let put = match wanted {
        Ok(put) => put,
        Err(why) => return Ok(dialect::ok(&dialect::subscriber_incomplete(why))),
    };
    let about = About::from(&put.stream).subscriber(&put.subscriber);
    let detail = match put.kind {
        Some(Action::Publish) => "may publish and play",
        Some(Action::Play) => "may play",
        None => "",
    };
    let outcome = shared.ask(&shared.links.put_subscriber, put).await?;
    if outcome.is_ok() {
        shared.note(&author, Deed::PutSubscriber, about, detail.to_owned()).await;
    }
    Ok(dialect::ok(&dialect::subscriber_put(outcome)))
}

/// What the body asks for. Fields of blocks and connections are not read, so nobody
/// lifts a block by adding a subscriber again (C§16.17).
fn wanted(path: &OfStream, fields: &Fields) -> Result<Result<PutSubscriber, Incomplete>, Refused> {
    let id = fields.text("subscriberId")?.unwrap_or_default();
    let secret = fields.short_text("b32Secret")?.filter(|s| !s.trim().is_empty());
    let name = fields.short_text("subscriberName")?;
    let kind = fields.text("type")?;
    let limit = fields.int("concurrentConnectionsLimit")?.unwrap_or(1);
    let period = fields.long("totpExpiryPeriodSeconds")?;
    Ok(names_to_put(path, &id).map(|(stream, subscriber)| PutSubscriber {
        stream,
        subscriber,
        name,
        secret: secret.map(Secret::new),
        kind: kind.as_deref().and_then(action),
        limit,
        period,
    }))
}

/// A stream and a subscriber who can be added to it.
pub(crate) fn names_to_put(path: &OfStream, id: &str) -> Result<(StreamKey, SubscriberId), Incomplete> {
    if id.encode_utf16().count() < MIN_SUBSCRIBER_ID {
        return Err(Incomplete::Missing);
    }
    names(&path.app, &path.id, id).map_err(|bad| match bad {
        BadName::Blank => Incomplete::Missing,
        bad => Incomplete::Name(bad),
    })
}

/// AMS's word for what a subscriber may do.
pub(crate) fn action(text: &str) -> Option<Action> {
    match text {
        "publish" => Some(Action::Publish),
        "play" => Some(Action::Play),
        _ => None,
    }
}

async fn remove_all(shared: Data<Shared>, author: Author, path: Path<OfStream>) -> Answered {
    let answer = match path.key() {
        Ok(stream) => remove_from(&shared, &author, stream, None).await?,
        Err(InvalidId::Empty) => dialect::no_such_name(BadName::Blank),
        Err(_) => dialect::no_such_name(BadName::Stream),
    };
    Ok(dialect::ok(&answer))
}

async fn remove(shared: Data<Shared>, author: Author, path: Path<OfSubscriber>) -> Answered {
    let answer = match path.names() {
        Ok((stream, subscriber)) => remove_from(&shared, &author, stream, Some(subscriber)).await?,
        Err(bad) => dialect::no_such_name(bad),
    };
    Ok(dialect::ok(&answer))
}

async fn remove_from(
    shared: &Shared,
    author: &Author,
    stream: StreamKey,
    subscriber: Option<SubscriberId>,
) -> Result<Answer, Refused> {
    let about = About { subscriber: subscriber.clone(), ..About::from(&stream) };
    let removed =
        shared.ask(&shared.links.remove_subscriber, RemoveSubscriber { stream, subscriber }).await?;
    if let Ok(count @ 1..) = removed {
        let detail = if about.subscriber.is_some() { String::new() } else { format!("all {count}") };
        shared.note(author, Deed::RemoveSubscriber, about, detail).await;
    }
    Ok(dialect::subscribers_removed(removed))
}

async fn list(shared: Data<Shared>, path: Path<OfStream>, page: Path<Page>, req: HttpRequest) -> Answered {
    let Some(stream) = listed(&path)? else { return Ok(dialect::ok(&[(); 0])) };
    let search = Query::of(&req).search()?;
    let list = ListSubscribers { stream, search, offset: page.offset(), size: page.size() };
    let found = shared.ask(&shared.links.list_subscribers, list).await?;
    let shown = found.subscribers.into_iter().map(Subscriber::from).collect::<Vec<_>>();
    Ok(dialect::respond().insert_header((TOTAL, found.matching)).json(shown))
}

/// The stream of a list; `None` has an empty one.
fn listed(path: &OfStream) -> Result<Option<StreamKey>, Refused> {
    match path.key() {
        Ok(stream) => Ok(Some(stream)),
        Err(InvalidId::Empty) => Ok(None),
        Err(_) => Err(Refused::Name(BadName::Stream)),
    }
}

async fn stats(shared: Data<Shared>, path: Path<OfStream>, page: Path<Page>, req: HttpRequest) -> Answered {
    let Some(stream) = listed(&path)? else { return Ok(dialect::ok(&[(); 0])) };
    let list =
        ListSubscribers { stream: stream.clone(), search: None, offset: page.offset(), size: page.size() };
    let node = public_host(&req, &shared.options);
    let mut stats = Vec::new();
    for subscriber in shared.ask(&shared.links.list_subscribers, list).await?.subscribers {
        let events = ListEvents {
            stream: stream.clone(),
            subscriber: Some(subscriber.id.clone()),
            search: None,
            order: Order::Ascending,
            offset: 0,
            size: EVENTS_PER_SUBSCRIBER,
        };
        let events = shown(shared.ask(&shared.links.list_events, events).await?.events, &node);
        stats.push(Stats::new(subscriber.id, stream.id.clone(), events));
    }
    Ok(dialect::ok(&stats))
}

fn shown(events: Vec<ConnectionEvent>, node: &str) -> Vec<Event> {
    events.into_iter().map(|event| Event::new(event, node)).collect()
}

async fn events(shared: Data<Shared>, path: Path<OfStream>, page: Path<Page>, req: HttpRequest) -> Answered {
    let Some(stream) = listed(&path)? else { return Ok(dialect::ok(&[(); 0])) };
    let query = Query::of(&req);
    let subscriber = match query.get("subscriberId").filter(|sid| !sid.trim().is_empty()) {
        Some(sid) => Some(parse_subscriber(sid).map_err(|_| Refused::Name(BadName::Subscriber))?),
        None => None,
    };
    let order = if query.get("order_by") == Some("desc") { Order::Descending } else { Order::Ascending };
    let search = query.search()?;
    let list = ListEvents { stream, subscriber, search, order, offset: page.offset(), size: page.size() };
    let found = shared.ask(&shared.links.list_events, list).await?;
    let shown = shown(found.events, &public_host(&req, &shared.options));
    Ok(dialect::respond().insert_header((TOTAL, found.matching)).json(shown))
}

async fn totp(shared: Data<Shared>, author: Author, path: Path<OfSubscriber>, req: HttpRequest) -> Answered {
    author.enter(req.method(), Area::Codes)?;
    let answer = match path.names() {
        Ok((stream, subscriber)) => {
            let kind = code_kind(Query::of(&req).get("type"));
            dialect::code(
                shared.ask(&shared.links.issue_code, IssueCode { stream, subscriber, kind }).await?,
            )?
        }
        Err(bad) => dialect::no_such_name(bad).with(""),
    };
    Ok(dialect::ok(&answer))
}

/// The seed's curls lack a space, so their `type` reads `publish-H` (C§16.5).
fn code_kind(text: Option<&str>) -> CodeKind {
    let text = text.unwrap_or_default();
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(text.len());
    match action(&text[..end]) {
        Some(action) => CodeKind::For(action),
        None if text.is_empty() => CodeKind::Unsaid,
        None => CodeKind::Unknown,
    }
}

/// What the path of a block says. Not a number: no such path.
#[derive(Deserialize)]
struct OfBlock {
    app: AppName,
    id: String,
    sid: String,
    seconds: String,
    r#type: String,
}

async fn block(shared: Data<Shared>, author: Author, path: Path<OfBlock>) -> Answered {
    let seconds = seconds(&path.seconds)?;
    let (stream, subscriber) = match names(&path.app, &path.id, &path.sid) {
        Ok(names) => names,
        Err(bad) => return Ok(dialect::ok(&dialect::no_such_name(bad))),
    };
    let answer = match (actions(&path.r#type), seconds) {
        (None, _) => dialect::bad_block(BadBlock::Kind),
        (_, None) => dialect::bad_block(BadBlock::Seconds),
        (Some(actions), Some(0)) => {
            let unblock = Unblock { stream, subscriber, actions };
            dialect::unblocked(unblocked(&shared, &author, unblock).await?)
        }
        (Some(actions), Some(seconds)) => {
            let duration = Duration::from_secs(seconds);
            let block = Block { stream, subscriber, actions, duration };
            dialect::blocked(blocked(&shared, &author, block).await?)
        }
    };
    Ok(dialect::ok(&answer))
}

async fn blocked(
    shared: &Shared,
    author: &Author,
    block: Block,
) -> Result<Result<Blocked, NotStored>, Refused> {
    let about = About::from(&block.stream).subscriber(&block.subscriber);
    let detail = format!("{}, {}", doing(block.actions), how_long(block.duration.as_secs()));
    // On its way first, so that both are on disk with the same sync.
    let noted = shared.note(author, Deed::Block, about, detail);
    let (blocked, ()) = join(shared.ask(&shared.links.block, block), noted).await;
    blocked
}

async fn unblocked(
    shared: &Shared,
    author: &Author,
    unblock: Unblock,
) -> Result<Result<(), NotStored>, Refused> {
    let about = About::from(&unblock.stream).subscriber(&unblock.subscriber);
    let noted = shared.note(author, Deed::Unblock, about, doing(unblock.actions).to_owned());
    let (unblocked, ()) = join(shared.ask(&shared.links.unblock, unblock), noted).await;
    unblocked
}

/// For people.
fn doing(actions: Actions) -> &'static str {
    match actions {
        Actions::Both => "watching and publishing",
        Actions::Only(Action::Play) => "watching",
        Actions::Only(Action::Publish) => "publishing",
    }
}

/// For people, and exact.
fn how_long(seconds: u64) -> String {
    let units = [(24 * 3600, "d"), (3600, "h"), (60, "min")];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let text =
        whole.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit));
    if seconds > FOR_GOOD_SECONDS { format!("until unblocked ({text})") } else { text }
}

fn actions(text: &str) -> Option<Actions> {
    match text {
        "publish_play" => Some(Actions::Both),
        one => action(one).map(Actions::Only),
    }
}

/// A duration in seconds; `None` if it is a number but no duration (C§16.14).
fn seconds(text: &str) -> Result<Option<u64>, Refused> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refused::NotFound);
    }
    let positive = !text.starts_with('-') || digits.bytes().all(|b| b == b'0');
    Ok(digits.parse().ok().filter(|&seconds| positive && seconds <= MAX_BLOCK_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_up_to_the_first_foreign_character() {
        assert_eq!(code_kind(None), CodeKind::Unsaid);
        assert_eq!(code_kind(Some("")), CodeKind::Unsaid);
        assert_eq!(code_kind(Some("publish-H")), CodeKind::For(Action::Publish));
        assert_eq!(code_kind(Some("play-H 'accept")), CodeKind::For(Action::Play));
        for unknown in ["Publish", "publish_play", "foo", "-", "ä"] {
            assert_eq!(code_kind(Some(unknown)), CodeKind::Unknown, "{unknown}");
        }
    }

    #[test]
    fn seconds_are_a_number_or_no_path() {
        assert_eq!(seconds("120"), Ok(Some(120)));
        assert_eq!(seconds("0"), Ok(Some(0)));
        assert_eq!(seconds("-0"), Ok(Some(0)));
        assert_eq!(seconds("4294967296"), Ok(Some(1 << 32)));
        for absurd in ["-1", "-99999999999999999999999", "100000000001", "99999999999999999999999"] {
            assert_eq!(seconds(absurd), Ok(None), "{absurd}");
        }
        for foreign in ["", "-", "abc", "1.5", "1e3", "1s", "٣", " 1"] {
            assert_eq!(seconds(foreign), Err(Refused::NotFound), "{foreign}");
        }
    }

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_it_is_whole_in() {
        for (seconds, text) in [
            (90, "90 s"),
            (300, "5 min"),
            (7200, "2 h"),
            (86_400, "1 d"),
            (315_360_000, "until unblocked (3650 d)"),
            (999_999_999, "until unblocked (999999999 s)"),
        ] {
            assert_eq!(how_long(seconds), text);
        }
    }
}
