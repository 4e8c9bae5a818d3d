//! Ant Media's words for HLS (C§5.4, C§14), and headers that all answers carry.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, RETRY_AFTER,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use contract::auth::Denied;
use contract::registry::PlayRefused;
use contract::session::CloseReason;
use session::Refused;

/// MIME type of both kinds of playlist.
pub(crate) const PLAYLIST: &str = "application/vnd.apple.mpegurl";
/// MIME type of an init segment.
pub(crate) const INIT: &str = "video/mp4";
/// MIME type of a media segment.
pub(crate) const SEGMENT: &str = "video/iso.segment";

/// Why a request gets no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Neither GET, HEAD nor OPTIONS.
    Method,
    /// Codes are needed, and the path names no stream.
    NoStreamId,
    /// The folder itself.
    Listing,
    /// Subscriber or code missing or wrong.
    Credentials,
    /// The subscriber is blocked, and has proved to be himself.
    Blocked,
    /// Too many players, of the stream or of the subscriber.
    Limit,
    /// No such application, file or live stream.
    NotFound,
    /// Live, but there is nothing to play yet.
    NotYet,
    /// The control plane cannot answer.
    Unavailable,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::Method | Self::NoStreamId | Self::Listing | Self::Credentials | Self::Limit => {
                StatusCode::FORBIDDEN
            }
            Self::Blocked => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotYet | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Method => "Invalid Request Type",
            Self::NoStreamId => "Cannot specified the stream id from the url",
            Self::Listing => "Forbidden",
            Self::Credentials => "Time Based subscriber id or code is invalid",
            Self::Blocked => "Subscriber is blocked",
            Self::Limit => "Viewer Limit Reached",
            Self::NotFound => "Not Found",
            Self::NotYet => "Stream is starting",
            Self::Unavailable => "Server is getting initialized.",
        }
    }

    /// The whole answer; never kept by a cache.
    pub(crate) fn response(self) -> HttpResponse {
        let mut answer = answer(self.status());
        answer.insert_header((CACHE_CONTROL, "private, no-store")).content_type("text/plain; charset=utf-8");
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, "1"));
        }
        answer.body(self.text())
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::UnknownApp
            | Refused::Play(PlayRefused::NotLive)
            | Refused::Ended(CloseReason::Stopped) => Self::NotFound,
            Refused::Denied(Denied::Blocked) | Refused::Ended(CloseReason::Blocked) => Self::Blocked,
            // A subscriber or stream that is not registered is told what a wrong
            // code is told.
            Refused::Denied(Denied::Credentials | Denied::UnknownStream | Denied::Ip)
            | Refused::Ended(CloseReason::Withdrawn) => Self::Credentials,
            // Who was taken over has as many sessions as he may without this one.
            Refused::Denied(Denied::Limit)
            | Refused::Play(PlayRefused::Limit)
            | Refused::Ended(CloseReason::TakenOver) => Self::Limit,
            Refused::Denied(Denied::Unavailable)
            | Refused::Play(PlayRefused::Unavailable)
            | Refused::Publish(_)
            | Refused::Unavailable => Self::Unavailable,
        }
    }
}

/// An answer that any page may read, but never with the browser's credentials
/// (C§16.3).
pub(crate) fn answer(status: StatusCode) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer.insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
    answer
}

/// The answer to a preflight.
pub(crate) fn preflight() -> HttpResponse {
    answer(StatusCode::NO_CONTENT)
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}
