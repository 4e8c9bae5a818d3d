//! What paths and queries say, parsed.

use std::net::IpAddr;

use actix_web::guard::{Any, Get, Head};
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, Route, web};
use contract::{AppName, InvalidId, StreamId, StreamKey, SubscriberId};
use serde::Deserialize;

use crate::access::without_port;
use crate::api::Options;
use crate::body::MAX_TEXT;
use crate::dialect::Refused;

/// More entries than this are never in one page, whatever is asked for (C§2).
const MAX_PAGE: i32 = 50;

/// A route for GET, and for HEAD, which is the same without the body.
pub(crate) fn read() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

/// Paths that name an application.
#[derive(Debug, Deserialize)]
pub(crate) struct OfApp {
    pub(crate) app: AppName,
}

/// Paths that name a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct OfStream {
    pub(crate) app: AppName,
    /// As it was sent; may be malformed.
    pub(crate) id: String,
}

impl OfStream {
    /// The stream, if the id is one.
    pub(crate) fn key(&self) -> Result<StreamKey, InvalidId> {
        Ok(StreamKey { app: self.app.clone(), id: StreamId::parse(&self.id)? })
    }
}

/// Paths that name a stream and a subscriber of it.
#[derive(Debug, Deserialize)]
pub(crate) struct OfSubscriber {
    pub(crate) app: AppName,
    /// As it was sent; may be malformed.
    pub(crate) id: String,
    /// As it was sent; may be malformed.
    pub(crate) sid: String,
}

/// Which part of an address names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadName {
    /// One of them is blank.
    Blank,
    /// The stream's.
    Stream,
    /// The subscriber's.
    Subscriber,
}

impl OfSubscriber {
    /// The pair, if both are names.
    pub(crate) fn names(&self) -> Result<(StreamKey, SubscriberId), BadName> {
        names(&self.app, &self.id, &self.sid)
    }
}

/// A stream and a subscriber of it, if both texts are names.
pub(crate) fn names(app: &AppName, id: &str, sid: &str) -> Result<(StreamKey, SubscriberId), BadName> {
    let id = StreamId::parse(id);
    let sid = parse_subscriber(sid);
    if [id.as_ref().err(), sid.as_ref().err()].contains(&Some(&InvalidId::Empty)) {
        return Err(BadName::Blank);
    }
    let id = id.map_err(|_| BadName::Stream)?;
    Ok((StreamKey { app: app.clone(), id }, sid.map_err(|_| BadName::Subscriber)?))
}

/// Bytes that are not UTF-8 arrive as U+FFFD, and two names could meet in it.
pub(crate) fn parse_subscriber(text: &str) -> Result<SubscriberId, InvalidId> {
    if text.contains('\u{fffd}') { Err(InvalidId::Character) } else { SubscriberId::parse(text) }
}

/// The end of a list's path. Anything but two 32-bit integers is no such path.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Page {
    offset: i32,
    size: i32,
}

impl Page {
    /// How many to skip; negative counts as none.
    pub(crate) fn offset(self) -> usize {
        usize::try_from(self.offset).unwrap_or(0)
    }

    /// How many at most: 0 … 50.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.size.min(MAX_PAGE)).unwrap_or(0)
    }
}

/// A query's parameters, decoded.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(req: &HttpRequest) -> Self {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(req.query_string());
        Self(pairs.map(web::Query::into_inner).unwrap_or_default())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// What is searched for. It is compared with every row, each second while a page watches.
    pub(crate) fn search(&self) -> Result<Option<String>, Refused> {
        match self.get("search").map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) if text.len() > MAX_TEXT => {
                Err(Refused::Field { name: "search", expected: "a string of reasonable length" })
            }
            text => Ok(text.map(str::to_owned)),
        }
    }
}

/// The name that the caller reached us by; the operator's word goes first. What a
/// `Host` says goes back to its sender only, and only if it looks like a host.
pub(crate) fn public_host(req: &HttpRequest, options: &Options) -> String {
    if let Some(host) = &options.addresses.host {
        return host.clone();
    }
    let sent = req.headers().get(HOST).and_then(|h| h.to_str().ok()).map(without_port);
    let sane = |host: &&str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !bare.is_empty() && bare.len() < 256 && (bare.chars().all(name) || bare.parse::<IpAddr>().is_ok())
    };
    sent.filter(sane).unwrap_or("localhost").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_clamped() {
        let page = |offset, size| (Page { offset, size }.offset(), Page { offset, size }.size());
        assert_eq!(page(0, 10), (0, 10));
        assert_eq!(page(-5, -1), (0, 0));
        assert_eq!(page(i32::MAX, i32::MAX), (i32::MAX as usize, 50));
    }

    #[test]
    fn a_blank_name_is_told_apart_from_a_bad_one() {
        let app = AppName::parse("live").unwrap();
        let check = |id, sid| names(&app, id, sid).err();
        assert_eq!(check("cam", "alice"), None);
        assert_eq!(check(" ", "a|b"), Some(BadName::Blank));
        assert_eq!(check("a|b", " "), Some(BadName::Blank));
        assert_eq!(check("a/b", "alice"), Some(BadName::Stream));
        for sid in ["a/b", "a|b", "a\rb", "a\nb", "a\u{fffd}b"] {
            assert_eq!(check("cam", sid), Some(BadName::Subscriber), "{sid:?}");
        }
    }
}
