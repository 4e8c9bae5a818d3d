//! Many subscribers at once: from a file, and into one.

use std::collections::HashSet;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::{self, Bytes, Data, Path, Payload, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use contract::audit::{About, Deed};
use contract::auth::{GetSubscriber, ListSubscribers, PutSubscriber, SubscriberView};
use contract::{Secret, StreamKey};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::csv::{self, Record};
use super::streams::key;
use crate::api::Shared;
use crate::body::{self, MAX_TEXT};
use crate::dialect::{self, Incomplete, Refused};
use crate::gate::{Leave, Streams};
use crate::path::{OfStream, read};
use crate::subscribers::{MIN_SUBSCRIBER_ID, action, names_to_put};

/// Longest file in bytes.
const MAX_FILE: usize = 2 << 20;

/// Most subscribers in a file.
const MAX_LINES: usize = 10_000;

/// Subscribers that are written at a time: enough to share syncs of the disk, few
/// enough to leave its queue to others.
const AT_ONCE: usize = 64;

/// Subscribers that are read at a time.
const PAGE: usize = 500;

/// What a file may say of a subscriber.
const COLUMNS: [&str; 6] = [
    "subscriberId",
    "subscriberName",
    "type",
    "b32Secret",
    "concurrentConnectionsLimit",
    "totpExpiryPeriodSeconds",
];

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(super) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/streams/{app}/{id}/subscribers/import").route(web::post().to(import)))
        .service(web::resource("/streams/{app}/{id}/subscribers.csv").route(read().to(export)));
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Imported {
    added: usize,
    refused: Vec<Refusal>,
}

/// A line that was not taken.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    line: usize,
    subscriber_id: String,
    message: String,
}

async fn import(
    shared: Data<Shared>,
    leave: Leave<Streams>,
    path: Path<OfStream>,
    req: HttpRequest,
    payload: Payload,
) -> Answered {
    let stream = key(&path)?;
    let text = body::csv(&req, payload, MAX_FILE).await?;
    let lines = lines(&path, &text)?;
    let outcomes = stream::iter(lines).map(|line| put(&shared, line)).buffer_unordered(AT_ONCE);
    let mut imported = Imported { added: 0, refused: Vec::new() };
    for outcome in outcomes.collect::<Vec<_>>().await {
        match outcome {
            None => imported.added += 1,
            Some(refusal) => imported.refused.push(refusal),
        }
    }
    imported.refused.sort_by_key(|refusal| refusal.line);
    if imported.added > 0 {
        let detail = format!("{} added, {} refused", imported.added, imported.refused.len());
        shared.note(&leave.author(), Deed::ImportSubscribers, About::from(&stream), detail).await;
    }
    Ok(dialect::ok(&imported))
}

/// A line of the file: whom it adds, or why nobody.
struct Line {
    number: usize,
    id: String,
    wanted: Result<PutSubscriber, String>,
}

impl Line {
    fn refused(self, message: impl Into<String>) -> Refusal {
        Refusal { line: self.number, subscriber_id: self.id, message: message.into() }
    }
}

/// All lines of a file. One that cannot be read as a file is refused whole.
fn lines(path: &OfStream, text: &str) -> Result<Vec<Line>, Refused> {
    let records = csv::records(text)
        .map_err(|bad| Refused::File(format!("Line {}: a quote is not closed", bad.line)))?;
    let mut records = records.into_iter();
    let head = records.next().ok_or_else(|| Refused::File("The file is empty".to_owned()))?;
    let columns = columns(&head)?;
    if records.len() > MAX_LINES {
        return Err(Refused::File(format!("The file has more than {MAX_LINES} lines")));
    }
    let mut seen = HashSet::new();
    Ok(records
        .map(|record| {
            let mut line = line(path, &columns, &record);
            if line.wanted.is_ok() && !seen.insert(line.id.clone()) {
                line.wanted = Err("subscriberId is in the file twice; the first counts".to_owned());
            }
            line
        })
        .collect())
}

/// Which column holds what.
fn columns(head: &Record) -> Result<Vec<&'static str>, Refused> {
    let name = |text: &String| {
        let known = COLUMNS.into_iter().find(|name| name.eq_ignore_ascii_case(text.trim()));
        known.ok_or_else(|| {
            Refused::File(format!("There is no column {:?}; there are {}", text.trim(), COLUMNS.join(", ")))
        })
    };
    let columns: Vec<_> = head.fields.iter().map(name).collect::<Result<_, _>>()?;
    let unique: HashSet<_> = columns.iter().collect();
    if unique.len() < columns.len() {
        return Err(Refused::File("A column is there twice".to_owned()));
    }
    if !columns.contains(&COLUMNS[0]) {
        return Err(Refused::File("The first line must name the column subscriberId".to_owned()));
    }
    Ok(columns)
}

fn line(path: &OfStream, columns: &[&'static str], record: &Record) -> Line {
    let field = |name: &str| {
        let at = columns.iter().position(|column| *column == name);
        at.and_then(|at| record.fields.get(at)).map(|text| text.trim()).filter(|text| !text.is_empty())
    };
    let id = csv::revived(field("subscriberId").unwrap_or_default()).to_owned();
    let wanted = if record.fields.len() > columns.len() {
        Err("more fields than columns".to_owned())
    } else {
        wanted(path, &id, field)
    };
    Line { number: record.line, id, wanted }
}

/// Ant Media's words for an id that is too short are about an object, which a line is not.
fn unusable(why: Incomplete) -> String {
    match why {
        Incomplete::Missing => format!("subscriberId must have {MIN_SUBSCRIBER_ID} characters or more"),
        Incomplete::Name(_) => dialect::incomplete(why).to_owned(),
    }
}

fn wanted<'a>(
    path: &OfStream,
    id: &str,
    field: impl Fn(&str) -> Option<&'a str>,
) -> Result<PutSubscriber, String> {
    let (stream, subscriber) = names_to_put(path, id).map_err(unusable)?;
    let text = |name: &str| match field(name) {
        Some(text) if text.len() > MAX_TEXT => Err(format!("{name} is too long")),
        text => Ok(text.map(str::to_owned)),
    };
    let kind = match field("type") {
        None => None,
        Some(word) => Some(action(word).ok_or("type must be publish or play")?),
    };
    Ok(PutSubscriber {
        stream,
        subscriber,
        name: text("subscriberName")?.map(|name| csv::revived(&name).to_owned()),
        secret: text("b32Secret")?.map(Secret::new),
        kind,
        limit: number(field("concurrentConnectionsLimit"), "concurrentConnectionsLimit")?.unwrap_or(1),
        period: number(field("totpExpiryPeriodSeconds"), "totpExpiryPeriodSeconds")?,
    })
}

fn number<T: std::str::FromStr>(text: Option<&str>, name: &str) -> Result<Option<T>, String> {
    text.map(|text| text.parse().map_err(|_| format!("{name} must be a whole number"))).transpose()
}

/// Why a line adds nobody. An owner who does not answer refuses that line alone: others
/// are added already, and whoever sent them must hear which.
async fn put(shared: &Shared, line: Line) -> Option<Refusal> {
    let added = match &line.wanted {
        Ok(wanted) => add(shared, wanted.clone()).await,
        Err(message) => Err(message.clone()),
    };
    added.err().map(|message| line.refused(message))
}

/// Exports hold no secrets, so one that is sent back must not take those away that
/// there are.
async fn add(shared: &Shared, wanted: PutSubscriber) -> Result<(), String> {
    let unavailable = |_: Refused| "the server could not add this one now".to_owned();
    if wanted.secret.is_none() {
        let ask = GetSubscriber { stream: wanted.stream.clone(), subscriber: wanted.subscriber.clone() };
        let there = shared.ask(&shared.links.get_subscriber, ask).await.map_err(unavailable)?;
        if there.is_some_and(|view| view.has_secret) {
            return Err(
                "has a secret, which a line without one would remove; remove the subscriber first".to_owned()
            );
        }
    }
    let outcome = shared.ask(&shared.links.put_subscriber, wanted).await.map_err(unavailable)?;
    outcome.map_err(|why| dialect::not_put(why).to_owned())
}

/// All subscribers, page by page, so that memory does not grow with them.
async fn export(shared: Data<Shared>, _leave: Leave<Streams>, path: Path<OfStream>) -> Answered {
    let stream = key(&path)?;
    let name = format!("attachment; filename=\"{}-subscribers.csv\"", stream.id);
    let head = COLUMNS.into_iter().filter(|column| *column != "b32Secret");
    let head = stream::iter([Ok::<_, Error>(Bytes::from(csv::write(head)))]);
    let pages = stream::unfold(Some(0), move |offset| page(shared.clone(), stream.clone(), offset));
    Ok(dialect::respond()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(head.chain(pages)))
}

type Paged = (Result<Bytes, Error>, Option<usize>);

/// One page from an offset; with the last one there is no next.
async fn page(shared: Data<Shared>, stream: StreamKey, offset: Option<usize>) -> Option<Paged> {
    let offset = offset?;
    let ask = ListSubscribers { stream, search: None, offset, size: PAGE };
    let found = match shared.ask(&shared.links.list_subscribers, ask).await {
        Ok(found) => found.subscribers,
        // The connection breaks off, so nobody takes a part for the whole.
        Err(error) => return Some((Err(error.into()), None)),
    };
    let next = (found.len() == PAGE).then_some(offset + PAGE);
    let text: String = found.iter().map(written).collect();
    Some((Ok(Bytes::from(text)), next))
}

fn written(view: &SubscriberView) -> String {
    let kind = view.kind.map(|kind| kind.to_string()).unwrap_or_default();
    let period = view.period.map(|period| period.to_string()).unwrap_or_default();
    csv::write([
        &*csv::inert(view.id.as_str()),
        &*csv::inert(view.name.as_deref().unwrap_or_default()),
        &kind,
        &view.limit.to_string(),
        &period,
    ])
}
