//! What a peer's application and stream name say about stream and credentials.

use std::fmt;

/// Names of the positional values that may follow the stream id in a path.
const POSITIONAL: [&str; 3] = ["token", "subscriberId", "subscriberCode"];

/// Application, stream id and parameters of a publish or play request.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Application, not validated.
    pub app: String,
    /// Stream id, not validated; empty when the peer named none.
    pub id: String,
    /// Parameters in the peer's order, values as they came (no URL decoding, as
    /// in AMS): those of the query first, then those of the path under the names
    /// `token`, `subscriberId` and `subscriberCode`. Where a name occurs twice,
    /// the first counts. A parameter without `=` has an empty value.
    pub params: Vec<(String, String)>,
}

impl Target {
    /// The first value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Shows the names of the parameters, never a value.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.params.iter().map(|(name, _)| name).collect();
        f.debug_struct("Target")
            .field("app", &self.app)
            .field("id", &self.id)
            .field("params", &names)
            .finish()
    }
}

/// Reads both URL forms of AMS (C§5.2): `{id}?name=value&…` and
/// `{app}/{id}/{token}/{subscriberId}/{code}`, where `%2F` separates like `/`.
///
/// It does not matter how a client splits the path between the connect request's
/// `app` and the stream `name`; ffmpeg puts `{app}/{id}` into the former when more
/// segments follow.
///
/// ```
/// # use sluice_rtmp as rtmp;
/// let target = rtmp::publish_target("live/cam1", "tok/alice/123456");
/// assert_eq!((target.app.as_str(), target.id.as_str()), ("live", "cam1"));
/// assert_eq!(target.param("subscriberCode"), Some("123456"));
/// ```
pub fn publish_target(app: &str, name: &str) -> Target {
    let (path, query) = join(app, name);
    let path = path.replace("%2F", "/").replace("%2f", "/");
    let mut segments = path.trim_start_matches('/').split('/');
    let app = segments.next().unwrap_or_default().to_owned();
    let id = segments.next().unwrap_or_default().to_owned();
    let mut params: Vec<_> = query.split('&').filter(|part| !part.is_empty()).map(param).collect();
    params.extend(POSITIONAL.iter().zip(segments).map(|(key, value)| ((*key).to_owned(), value.to_owned())));
    Target { app, id, params }
}

/// The whole path, and the whole query.
fn join(app: &str, name: &str) -> (String, String) {
    let name = name.trim_start_matches('/');
    match app.split_once('?') {
        // OBS with a query behind the server address: it belongs to the connection.
        Some((app, query)) if !app.trim_end_matches('/').contains('/') => {
            let (name, own) = name.split_once('?').unwrap_or((name, ""));
            (format!("{}/{name}", app.trim_end_matches('/')), format!("{own}&{query}"))
        }
        // ffmpeg, which took a slash inside a value for the end of the application.
        Some((app, query)) if !name.is_empty() => (app.to_owned(), format!("{query}/{name}")),
        Some((app, query)) => (app.to_owned(), query.to_owned()),
        None => {
            let (name, query) = name.split_once('?').unwrap_or((name, ""));
            (format!("{}/{name}", app.trim_end_matches('/')), query.to_owned())
        }
    }
}

fn param(part: &str) -> (String, String) {
    let (key, value) = part.split_once('=').unwrap_or((part, ""));
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(app: &str, name: &str) -> String {
        let target = publish_target(app, name);
        let params: Vec<_> = target.params.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} {} {}", target.app, target.id, params.join(","))
    }

    #[test]
    fn both_url_forms_name_the_same_things() {
        assert_eq!(parts("live", "cam1"), "live cam1 ");
        assert_eq!(
            parts("live", "cam1?subscriberId=alice&subscriberCode=123456"),
            "live cam1 subscriberId=alice,subscriberCode=123456"
        );
        let path = "live cam1 token=tok,subscriberId=alice,subscriberCode=123456";
        assert_eq!(parts("live", "cam1/tok/alice/123456"), path);
        assert_eq!(parts("live/cam1", "tok/alice/123456"), path);
        assert_eq!(parts("live/cam1/tok/alice/123456", ""), path);
        assert_eq!(parts("live", "cam1%2Ftok%2falice%2F123456"), path);
        assert_eq!(parts("live/", "/cam1/tok/alice/123456"), path);
    }

    #[test]
    fn odd_queries_neither_panic_nor_lose_the_id() {
        assert_eq!(parts("live", "cam1?token"), "live cam1 token=");
        assert_eq!(parts("live", "cam1?&&=x&token=a=b"), "live cam1 =x,token=a=b");
        assert_eq!(parts("live?token=t", "cam1"), "live cam1 token=t");
        assert_eq!(parts("live/cam1?token=a", "b"), "live cam1 token=a/b");
        assert_eq!(parts("live", ""), "live  ");
        assert_eq!(parts("", ""), "  ");
        assert_eq!(parts("live", "cam1/t/s/c/more"), "live cam1 token=t,subscriberId=s,subscriberCode=c");
    }

    #[test]
    fn a_target_never_shows_a_value() {
        let text = format!("{:?}", publish_target("live", "cam1?token=s3cret"));
        assert!(text.contains("token") && !text.contains("s3cret"), "{text}");
    }
}
