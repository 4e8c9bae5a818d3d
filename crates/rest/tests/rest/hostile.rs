//! Whatever a peer sends, the answer is never that the server failed.

use actix_web::http::{Method, StatusCode, Uri};
use actix_web::test::TestRequest;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{World, idle, local};

/// Parts of real paths, so that made-up ones reach the routes behind them.
const WORDS: &[&str] = &[
    "subscribers",
    "list",
    "0",
    "10",
    "-1",
    "block",
    "play",
    "publish_play",
    "totp",
    "subscriber-stats",
    "connection-events",
    "create",
    "count",
    "stop",
    "start",
    "cam",
    "alice",
    "%2F",
    "%00",
    "%FF",
    "a%7Cb",
    "%0D%0A",
    "999999999999999999999999",
    "broadcast-statistics",
    "stream-info",
    "%20",
    "..",
    "",
    "users",
    "initial",
    "authenticate",
    "applications",
    "settings",
    "LiveApp",
    "version",
];

fn path() -> impl Strategy<Value = String> {
    let base = prop::sample::select(vec!["/LiveApp/rest/v2/broadcasts", "/rest/v2", "/LiveApp/rest/v2", ""]);
    let segment = prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => "[!-~&&[^?#]]{0,12}",
    ];
    let query = prop_oneof![Just(String::new()), "\\?[a-z_]{1,8}=[!-~&&[^#]]{0,16}"];
    (base, vec(segment, 0..7), query)
        .prop_map(|(base, segments, query)| format!("{base}/{}{query}", segments.join("/")))
}

/// A value of any type, not too deep.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has no NaN", |n| n.is_finite()).prop_map(|n| n.to_string()),
        "[ -~&&[^\"\\\\]]{0,20}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 8, 4, |inner| vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))))
}

const FIELDS: &[&str] = &[
    "subscriberId",
    "b32Secret",
    "type",
    "concurrentConnectionsLimit",
    "totpExpiryPeriodSeconds",
    "subscriberName",
    "streamId",
    "name",
    "plannedStartDate",
    "endPointList",
    "hlsParameters",
    "subFolder",
    "email",
    "password",
    "setupToken",
    "x",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    let object = vec((prop::sample::select(FIELDS), value()), 0..5).prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    });
    prop_oneof![3 => object, 1 => vec(any::<u8>(), 0..200)]
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
    ])
}

async fn call(requests: &[(Method, String, Vec<u8>)]) {
    let world = World::new();
    world.script().get_stream = Some(idle("cam"));
    for (method, path, body) in requests {
        if path.parse::<Uri>().is_err() {
            continue;
        }
        let req = local(TestRequest::default(), path)
            .method(method.clone())
            .append_header(("content-type", "application/json"))
            .set_payload(body.clone());
        let reply = world.call(req).await;
        // Pages say so where they were not built in.
        let not_built =
            reply.status == StatusCode::SERVICE_UNAVAILABLE && panel::asset("index.html").is_none();
        let failed = reply.status >= StatusCode::INTERNAL_SERVER_ERROR && !not_built;
        assert!(!failed, "{method} {path}: {}", reply.status);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_is_answered_with_a_failure(requests in vec((method(), path(), body()), 1..24)) {
        actix_web::rt::System::new().block_on(call(&requests));
    }
}
