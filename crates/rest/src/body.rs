//! Bodies: bounded in size and time, JSON objects only, and a wrong type is told
//! by the name of its field.

use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use crate::dialect::Refused;

/// The largest legitimate body is a stream's, with 64 KiB of attributes that callers
/// keep; settings are at most 24 KiB.
pub(crate) const MAX_BODY: usize = 128 << 10;

/// Longest text where a few dozen bytes are usual: names, e-mail addresses, passwords,
/// secrets.
pub(crate) const MAX_TEXT: usize = 1024;

/// A peer that sends its body more slowly than this holds a connection for nothing.
const BODY_DEADLINE: Duration = Duration::from_secs(20);

/// A request's body; absent if empty or `null`.
pub(crate) struct Body(pub(crate) Option<Fields>);

impl Body {
    /// The body, or one without fields.
    pub(crate) fn or_empty(self) -> Fields {
        self.0.unwrap_or_default()
    }
}

impl FromRequest for Body {
    type Error = Refused;
    type Future = LocalBoxFuture<'static, Result<Self, Refused>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let json = is_json(req);
        let payload = web::Payload::from_request(req, payload);
        Box::pin(async move {
            let payload = payload.await.map_err(|_| Refused::NotFound)?;
            let bytes = read(payload, MAX_BODY).await?;
            if bytes.is_empty() {
                return Ok(Self(None));
            }
            if !json {
                return Err(Refused::NotJson);
            }
            parse(&bytes).map(Self)
        })
    }
}

/// Browsers can send three content types to another site without asking it; JSON
/// and CSV are none of them, so this is also what keeps foreign pages out.
fn is_json(req: &HttpRequest) -> bool {
    is_of(req, "application/json")
}

fn is_of(req: &HttpRequest, kind: &str) -> bool {
    let value = req.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
}

/// A body of comma-separated values of at most `max` bytes.
pub(crate) async fn csv(req: &HttpRequest, payload: web::Payload, max: usize) -> Result<String, Refused> {
    if !is_of(req, "text/csv") {
        return Err(Refused::NotCsv);
    }
    let bytes = read(payload, max).await?;
    String::from_utf8(bytes).map_err(|_| Refused::File("The file is not UTF-8".to_owned()))
}

async fn read(payload: web::Payload, max: usize) -> Result<Vec<u8>, Refused> {
    let read = tokio::time::timeout(BODY_DEADLINE, read_all(payload, max));
    read.await.map_err(|_| Refused::Slow)?
}

async fn read_all(mut payload: web::Payload, max: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refused::NoObject)?;
        if bytes.len() + chunk.len() > max {
            return Err(Refused::TooLarge(max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Option<Fields>, Refused> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(Some(Fields(fields))),
        Ok(Value::Null) => Ok(None),
        _ => Err(Refused::NoObject),
    }
}

/// A JSON object's fields. Absent and `null` are the same (C§1.4).
#[derive(Default)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

/// Names only: values may be passwords, codes and secrets.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Fields {
    fn get<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refused> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or(Refused::Field { name, expected }),
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<String>, Refused> {
        self.get(name, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// A text of at most [`MAX_TEXT`] bytes.
    pub(crate) fn short_text(&self, name: &'static str) -> Result<Option<String>, Refused> {
        let short = |v: &Value| v.as_str().filter(|t| t.len() <= MAX_TEXT).map(str::to_owned);
        self.get(name, "a string of reasonable length", short)
    }

    /// A whole number of 64 bits.
    pub(crate) fn long(&self, name: &'static str) -> Result<Option<i64>, Refused> {
        self.get(name, "a whole number", Value::as_i64)
    }

    /// A whole number of 32 bits.
    pub(crate) fn int(&self, name: &'static str) -> Result<Option<i32>, Refused> {
        self.get(name, "a whole number of 32 bits", |v| v.as_i64().and_then(|n| i32::try_from(n).ok()))
    }

    /// A whole number, 0 or more.
    pub(crate) fn natural(&self, name: &'static str) -> Result<Option<u64>, Refused> {
        self.get(name, "a whole number, 0 or more", Value::as_u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn only_an_object_is_a_body() {
        for bad in ["[]", "1", "\"a\"", "{", "", "{}{}", &"[".repeat(10_000)] {
            assert!(matches!(parse(bad.as_bytes()), Err(Refused::NoObject)), "{bad:?}");
        }
        assert!(parse(b"null").unwrap().is_none());
    }

    #[test]
    fn a_body_in_a_log_shows_no_values() {
        let debug = format!("{:?}", fields(r#"{"password":"open sesame"}"#));
        assert!(debug.contains("password") && !debug.contains("sesame"), "{debug}");
    }

    #[test]
    fn a_wrong_type_names_its_field() {
        let fields = fields(r#"{"a":1,"b":"x","c":null,"d":4294967296,"e":-1,"f":1.5}"#);
        assert_eq!(fields.text("b").unwrap().as_deref(), Some("x"));
        assert_eq!(fields.text("c").unwrap(), None);
        assert_eq!(fields.text("absent").unwrap(), None);
        assert_eq!(fields.long("d").unwrap(), Some(4_294_967_296));
        for refused in [
            fields.text("a").err(),
            fields.int("d").err(),
            fields.natural("e").err(),
            fields.long("f").err(),
            fields.long("b").err(),
        ] {
            assert!(matches!(refused, Some(Refused::Field { .. })), "{refused:?}");
        }
    }
}
