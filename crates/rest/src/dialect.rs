//! AMS's words: typed answer in, exact text out (C§14).
//!
//! With `dto/` the only place that holds them. Sic marks words that look wrong
//! and are AMS's own.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use contract::accounts::{AccountError, FirstAccountError, LoginError, Role};
use contract::auth::{Blocked, IssueCodeError, NotStored, PutSubscriberError};
use contract::registry::Removed;
use contract::session::Fenced;
use contract::settings::PatchError;
use contract::{StreamKey, TotpCode};
use serde::Serialize;

use crate::dto::Answer;
use crate::path::BadName;

const NOT_STORED: &str = "The change could not be stored; nothing was changed";
const BLOCK_NOT_STORED: &str = "The block could not be stored; it holds only until the server restarts";
const NOT_FENCED: &str =
    "The block holds, but this system resets no connection: media that was under way may still arrive";
const BLANK: &str = "streamId or subscriberId is blank";
const BAD_STREAM: &str = "Stream id is not valid.";
const BAD_SUBSCRIBER: &str = "Subscriber id is not valid. It must not contain '/', '|' or control characters, nor be longer than 255 bytes";

/// Why a request gets no answer of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// No such path, application or stream, or a path part of the wrong kind.
    #[error("")]
    NotFound,
    /// The caller's address may not use the API.
    #[error("Not allowed IP")]
    Address,
    /// A page of another site sent this.
    #[error("Not allowed origin")]
    ForeignOrigin,
    /// Not logged in.
    #[error("Not authenticated user")]
    NotAuthenticated,
    /// Logged in, as somebody who may not do this.
    #[error("Not allowed to access this resource. Contact system admin")]
    Role,
    /// A body without the JSON content type.
    #[error("Content-Type must be application/json")]
    NotJson,
    /// A file without the content type of comma-separated values.
    #[error("Content-Type must be text/csv")]
    NotCsv,
    /// A file that cannot be read.
    #[error("{0}")]
    File(String),
    /// More bytes than this.
    #[error("Request body is larger than {0} bytes")]
    TooLarge(usize),
    /// What would be kept of a stream is longer than the store takes.
    #[error("The stream's fields are larger than {0} bytes together")]
    RecordTooLarge(usize),
    /// The body did not arrive in time.
    #[error("Request body did not arrive in time")]
    Slow,
    /// Not a JSON object.
    #[error("Request body is not a JSON object")]
    NoObject,
    /// A field of the wrong type or size.
    #[error("{name} must be {expected}")]
    Field {
        /// Which.
        name: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// A stream or subscriber that cannot exist, where the answer is a list.
    #[error("{}", bad_name(*.0))]
    Name(BadName),
    /// `POST /create` of something that cannot be.
    #[error("{0}")]
    Create(#[from] CannotCreate),
    /// `If-Match` is not of the current revision.
    #[error("Settings have changed meanwhile; read them again")]
    Stale,
    /// Settings with a value of the wrong type or out of range.
    #[error("{message}")]
    Setting {
        /// Which.
        field: String,
        /// What is wrong with it, by name.
        message: String,
    },
    /// An account that was not changed.
    #[error("{}", bad_account(*.why))]
    Account {
        /// Why.
        why: AccountError,
        /// What a new password is called where this was asked.
        password: &'static str,
    },
    /// As many look at the panel at once as may.
    #[error("Too many pages are watching; close some")]
    Crowded,
    /// The owner of the table does not answer, or cannot write.
    #[error("Server is not available; try again")]
    Unavailable,
}

/// Why there is no new stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CannotCreate {
    /// The id is taken.
    #[error("Stream id is already being used. Please change stream id or keep it empty")]
    Taken,
    /// The id is none.
    #[error("Stream id is not valid.")]
    Id,
    /// Its folder leads elsewhere. Sic, the space.
    #[error("Subfolder is not valid. ")]
    Subfolder,
    /// Sluice pulls nothing, so these would never be live.
    #[error("Broadcast type is not supported. It can be liveStream")]
    Kind,
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Address | Self::ForeignOrigin | Self::NotAuthenticated | Self::Role => {
                StatusCode::FORBIDDEN
            }
            Self::NotJson | Self::NotCsv => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) | Self::RecordTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NoObject
            | Self::File(_)
            | Self::Field { .. }
            | Self::Name(_)
            | Self::Create(_)
            | Self::Setting { .. } => StatusCode::BAD_REQUEST,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::Account { why, .. } => account_status(*why),
            Self::Unavailable | Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Refused {
    /// The field of the body that is to be mended.
    fn field(&self) -> Option<&str> {
        match self {
            Self::Field { name, .. } => Some(name),
            Self::Setting { field, .. } => Some(field),
            Self::Account { why, password } => match why {
                AccountError::Email | AccountError::Taken => Some("email"),
                AccountError::Password => Some(password),
                AccountError::Wrong => Some("password"),
                AccountError::LastAdmin => Some("userType"),
                _ => None,
            },
            _ => None,
        }
    }
}

const fn bad_account(why: AccountError) -> &'static str {
    match why {
        AccountError::Email => "E-mail must be 1 to 254 bytes without white space",
        AccountError::Password => "Password must not be blank",
        AccountError::Taken => "There is already a user with this e-mail",
        AccountError::Unknown => "There is no such user",
        AccountError::LastAdmin => "The last administrator must stay one",
        AccountError::TooMany => "There are as many users as there may be",
        AccountError::Wrong => "Password is wrong",
        AccountError::Locked => "Too many login attempts. User is blocked for 300 secs",
        AccountError::NotStored(_) => NOT_STORED,
    }
}

const fn account_status(why: AccountError) -> StatusCode {
    match why {
        AccountError::Email | AccountError::Password | AccountError::Wrong => StatusCode::BAD_REQUEST,
        AccountError::Unknown => StatusCode::NOT_FOUND,
        AccountError::Taken | AccountError::LastAdmin | AccountError::TooMany => StatusCode::CONFLICT,
        AccountError::Locked => StatusCode::TOO_MANY_REQUESTS,
        AccountError::NotStored(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    /// AMS's filters answer with text, its methods with a `Result`.
    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = plain(self.status());
        match self {
            Self::NotFound => response.finish(),
            Self::Address | Self::ForeignOrigin | Self::NotAuthenticated | Self::Role => {
                response.content_type("text/plain; charset=utf-8").body(self.to_string())
            }
            _ => response.json(Answer::no(self.to_string()).about(self.field())),
        }
    }
}

/// Answers are the moment's, and some hold codes: nobody keeps or sniffs them.
fn plain(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponseBuilder::new(status);
    response.insert_header((CACHE_CONTROL, "no-store")).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}

/// 200 with a value.
pub(crate) fn ok(value: &impl Serialize) -> HttpResponse {
    respond().json(value)
}

/// The beginning of a 200, for answers that carry a header.
pub(crate) fn respond() -> HttpResponseBuilder {
    plain(StatusCode::OK)
}

const fn bad_name(name: BadName) -> &'static str {
    match name {
        BadName::Blank => BLANK,
        BadName::Stream => BAD_STREAM,
        BadName::Subscriber => BAD_SUBSCRIBER,
    }
}

/// For a stream or subscriber that cannot exist, where the answer is a `Result`.
pub(crate) fn no_such_name(name: BadName) -> Answer {
    Answer::no(bad_name(name))
}

/// Why a subscriber is not even looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// No object, no id, or one of under four characters. AMS says "at least 3".
    Missing,
    /// An id that is none.
    Name(BadName),
}

/// To `POST …/subscribers`.
pub(crate) fn subscriber_put(outcome: Result<(), PutSubscriberError>) -> Answer {
    outcome.map_or_else(|why| Answer::no(not_put(why)), |()| Answer::yes(""))
}

/// Why a subscriber was not added.
pub(crate) const fn not_put(why: PutSubscriberError) -> &'static str {
    match why {
        PutSubscriberError::Secret => {
            "Secret code is not multiple of 8 bytes length. Use b32Secret which is a string and its lenght is \
             multiple of 8 bytes and allowed characters A-Z, 2-7"
        }
        PutSubscriberError::Period => "Custom TOTP expiry period must be between 10 and 2147483647",
        PutSubscriberError::NotStored(_) => NOT_STORED,
    }
}

/// To `POST …/subscribers` with too little in it.
pub(crate) fn subscriber_incomplete(why: Incomplete) -> Answer {
    Answer::no(incomplete(why))
}

/// Why a subscriber is not even looked at.
pub(crate) const fn incomplete(why: Incomplete) -> &'static str {
    match why {
        Incomplete::Missing => {
            "Missing parameter: Make sure you set subscriber object correctly and make subscriberId's length at \
             least 3"
        }
        Incomplete::Name(name) => bad_name(name),
    }
}

/// To `DELETE …/subscribers` and `…/{sid}`: whether there was anybody (C§16.12).
pub(crate) fn subscribers_removed(outcome: Result<usize, NotStored>) -> Answer {
    match outcome {
        Ok(0) => Answer::silent_no(),
        Ok(_) => Answer::silent_yes(),
        Err(NotStored) => Answer::no(NOT_STORED),
    }
}

/// To `GET …/totp`. The code is in `dataId`.
pub(crate) fn code(outcome: Result<TotpCode, IssueCodeError>) -> Result<Answer, Refused> {
    match outcome {
        Ok(code) => Ok(Answer::yes("").with(code.reveal())),
        Err(IssueCodeError::NoSecret) => {
            Ok(Answer::no("Secret is not set in AppSettings. Please set timetokensecret publish or play in Application settings")
                .with(""))
        }
        Err(IssueCodeError::Kind) => {
            Ok(Answer::no("Invalid type. Supported types are 'play' and 'publish'").with(""))
        }
        Err(IssueCodeError::Unavailable) => Err(Refused::Unavailable),
    }
}

/// Why a block is not even asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBlock {
    /// Neither publish, nor play, nor both.
    Kind,
    /// Less than none, or longer than any stream.
    Seconds,
}

/// To `PUT …/block/{seconds}/{type}` with nonsense in it (C§16.14).
pub(crate) fn bad_block(why: BadBlock) -> Answer {
    Answer::no(match why {
        BadBlock::Kind => "Block type is not valid. Supported types are 'publish', 'play' and 'publish_play'",
        BadBlock::Seconds => "Block duration must be a number of seconds, 0 or more",
    })
}

/// To `PUT …/block/{seconds}/{type}`.
pub(crate) fn blocked(outcome: Result<Blocked, NotStored>) -> Answer {
    match outcome {
        Ok(Blocked { fenced: Fenced::Uncertain, .. }) => Answer::no(NOT_FENCED),
        Ok(_) => Answer::yes(""),
        Err(NotStored) => Answer::no(BLOCK_NOT_STORED),
    }
}

/// To `PUT …/block/0/{type}`.
pub(crate) fn unblocked(outcome: Result<(), NotStored>) -> Answer {
    outcome.map_or_else(|NotStored| Answer::no(NOT_STORED), |()| Answer::yes(""))
}

/// To `PUT /broadcasts/{id}`.
pub(crate) fn stream_updated(id: &str, outcome: Result<bool, NotStored>) -> Answer {
    match outcome {
        Ok(true) => Answer::silent_yes(),
        Ok(false) => Answer::no(format!("Broadcast with streamId: {id} does not exist")),
        Err(NotStored) => Answer::no(NOT_STORED),
    }
}

/// To `DELETE /broadcasts/{id}`. Sic, the space and "could not stopped".
pub(crate) fn stream_removed(outcome: Result<Removed, NotStored>) -> Answer {
    match outcome {
        Ok(Removed::Nothing) => Answer::silent_no(),
        Ok(Removed::Live) => Answer::yes("broadcast is deleted and stopped successfully"),
        Ok(Removed::Record) => Answer::yes("broadcast is deleted but could not stopped "),
        Err(NotStored) => Answer::no(NOT_STORED),
    }
}

/// To `DELETE /broadcasts` that names none.
pub(crate) fn no_ids() -> Answer {
    Answer::no("ids parameter is blank")
}

/// To `POST /broadcasts/{id}/stop`.
pub(crate) const fn stream_stopped(was_live: bool) -> Answer {
    if was_live { Answer::silent_yes() } else { Answer::silent_no() }
}

/// To `POST /broadcasts/{id}/start`: nothing that we know can be started by us.
pub(crate) fn not_startable(id: &str, known: Option<&StreamKey>) -> Answer {
    Answer::no(match known {
        Some(_) => {
            "Broadcast type is not supported. It can be StreamSource, IP Camera, VOD, Playlist".to_owned()
        }
        None => format!("No Stream Exists with id:{id}"),
    })
}

/// To `POST /create?autoStart=true`, which is for streams that a server pulls.
pub(crate) fn no_auto_start(has_body: bool) -> Answer {
    Answer::no(if has_body {
        "Auto start query needs an IP camera or stream source."
    } else {
        "unexpected parameters received"
    })
}

/// To `POST /users/initial`; refused with 403 where the caller may not.
pub(crate) fn first_account(outcome: Result<(), FirstAccountError>) -> (StatusCode, Answer) {
    let refused = |status, message: &'static str| (status, Answer::no(message));
    match outcome {
        Ok(()) => (StatusCode::OK, Answer::silent_yes()),
        Err(FirstAccountError::Exists) => refused(StatusCode::OK, "There is already a user"),
        Err(FirstAccountError::Blank) => refused(StatusCode::OK, "E-mail or password is blank"),
        Err(FirstAccountError::NotAllowed) => refused(
            StatusCode::FORBIDDEN,
            "The first user is created with the set-up token that the server printed at its start, or by \
             `sluice user add` on its machine",
        ),
        Err(FirstAccountError::NotStored(_)) => refused(StatusCode::OK, NOT_STORED),
    }
}

/// `first_account`'s answer as a response.
pub(crate) fn with_status((status, answer): (StatusCode, Answer)) -> HttpResponse {
    plain(status).json(answer)
}

/// To `POST /users/authenticate`: the role that he has in every application.
pub(crate) fn logged_in(role: Role) -> Answer {
    Answer::yes(format!(r#"{{"system":"{}"}}"#, user_type(role)))
}

/// AMS's word for a role.
pub(crate) const fn user_type(role: Role) -> &'static str {
    match role {
        Role::Admin => "ADMIN",
        Role::User => "USER",
        Role::ReadOnly => "READ_ONLY",
    }
}

/// To `POST /users/authenticate` of anybody else.
pub(crate) fn not_logged_in(why: LoginError) -> Result<Answer, Refused> {
    match why {
        LoginError::Wrong => Ok(Answer::silent_no()),
        LoginError::Locked => Ok(Answer::no("Too many login attempts. User is blocked for 300 secs")),
        LoginError::Unavailable => Err(Refused::Unavailable),
    }
}

/// Why settings were not changed, for `POST /applications/settings/{app}`.
pub(crate) fn settings_refused(why: &PatchError) -> Result<String, Refused> {
    match why {
        PatchError::UnknownApp => Err(Refused::NotFound),
        PatchError::Stale { .. } => Err(Refused::Stale),
        PatchError::Invalid { field, .. } => {
            Err(Refused::Setting { field: field.clone(), message: why.to_string() })
        }
        PatchError::Conflict { .. } => Ok(why.to_string()),
        PatchError::NotStored(_) => Ok(NOT_STORED.to_owned()),
    }
}
