//! Who may call the API of an application (C§5.6, C§16.3).

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::{AppSettings, TrustedProxies};
use sluice_rest::{AddressRules, Options};

use crate::world::{World, local};

const PATH: &str = "/LiveApp/rest/v2/broadcasts/count";

fn from(peer: &str, host: &str) -> TestRequest {
    TestRequest::get().uri(PATH).peer_addr(peer.parse().unwrap()).append_header(("host", host))
}

fn with_networks(networks: Option<&[&str]>, proxies: &[&str]) -> World {
    let mut settings = AppSettings::default();
    settings.security.rest_networks = networks.map(|n| n.iter().map(|n| n.parse().unwrap()).collect());
    let proxies = TrustedProxies::new(proxies.iter().map(|net| net.parse().unwrap()).collect());
    let addresses = AddressRules { proxies, ..AddressRules::default() };
    World::with(settings, Options { addresses, ..Options::default() })
}

#[actix_web::test]
async fn by_default_only_this_machine_may_call() {
    let world = World::new();
    assert_eq!(world.get(PATH).await.text, r#"{"number":7}"#);
    assert_eq!(world.call(from("[::1]:1", "localhost:5080")).await.status, StatusCode::OK);
    let stranger = world.call(from("203.0.113.5:1", "127.0.0.1")).await;
    assert_eq!((stranger.status, stranger.text.as_str()), (StatusCode::FORBIDDEN, "Not allowed IP"));
    for refused in [
        from("127.0.0.1:1", "rebound.example:5080"),
        from("127.0.0.1:1", "127.0.0.1").append_header(("x-forwarded-for", "127.0.0.1")),
        from("127.0.0.1:1", "127.0.0.1").append_header(("forwarded", "for=127.0.0.1")),
        TestRequest::get().uri(PATH).peer_addr("127.0.0.1:1".parse().unwrap()),
        TestRequest::get().uri(PATH).append_header(("host", "127.0.0.1")),
    ] {
        let reply = world.call(refused).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::FORBIDDEN, "Not allowed IP"));
    }
    assert_eq!(world.asked().len(), 2);
}

#[actix_web::test]
async fn networks_are_those_of_the_real_caller() {
    let allowed: Option<&[&str]> = Some(&["198.51.100.0/24"]);
    let status = async |world: &World, req: TestRequest| world.call(req).await.status;
    let world = with_networks(allowed, &[]);
    assert_eq!(status(&world, from("198.51.100.7:1", "192.0.2.1")).await, StatusCode::OK);
    assert_eq!(status(&world, from("[::ffff:198.51.100.7]:1", "192.0.2.1:5080")).await, StatusCode::OK);
    assert_eq!(status(&world, from("127.0.0.1:1", "localhost")).await, StatusCode::FORBIDDEN);
    let rebound = from("198.51.100.7:1", "rebound.example");
    assert_eq!(status(&world, rebound).await, StatusCode::FORBIDDEN);

    let claims = |peer, value| from(peer, "192.0.2.1").append_header(("x-forwarded-for", value));
    assert_eq!(status(&world, claims("203.0.113.5:1", "198.51.100.7")).await, StatusCode::FORBIDDEN);
    let world = with_networks(allowed, &["10.0.0.1/32"]);
    assert_eq!(status(&world, claims("203.0.113.5:1", "198.51.100.7")).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&world, claims("10.0.0.1:1", "198.51.100.7")).await, StatusCode::OK);
    assert_eq!(
        status(&world, claims("10.0.0.1:1", "198.51.100.7, 203.0.113.5")).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(status(&world, claims("10.0.0.1:1", "nonsense")).await, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn without_a_filter_everybody_may_call_but_no_foreign_page() {
    for world in [with_networks(None, &[]), with_networks(Some(&["0.0.0.0/0"]), &[])] {
        let proxied = from("127.0.0.1:1", "a.example").append_header(("via", "x"));
        assert_eq!(world.call(proxied).await.status, StatusCode::OK);
        assert_eq!(world.call(from("203.0.113.5:1", "a.example")).await.status, StatusCode::OK);
        for origin in ["https://evil.example", "null", "a.example", "http://a.example:81", ""] {
            let reply =
                world.call(from("203.0.113.5:1", "a.example").append_header(("origin", origin))).await;
            let expected = (StatusCode::FORBIDDEN, "Not allowed origin");
            assert_eq!((reply.status, reply.text.as_str()), expected, "{origin}");
        }
        let own = from("203.0.113.5:1", "a.example").append_header(("origin", "https://A.example"));
        let reply = world.call(own).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(reply.headers.get("access-control-allow-origin").is_none());
    }
}

#[actix_web::test]
async fn a_proxy_tells_the_host_that_a_page_came_from() {
    let world = with_networks(None, &["10.0.0.1/32"]);
    let page = |peer| {
        from(peer, "upstream:5080")
            .append_header(("origin", "https://video.example"))
            .append_header(("x-forwarded-host", "video.example"))
            .append_header(("x-forwarded-for", "203.0.113.5"))
    };
    assert_eq!(world.call(page("10.0.0.1:1")).await.status, StatusCode::OK);
    assert_eq!(world.call(page("203.0.113.9:1")).await.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn a_page_on_another_site_cannot_stop_a_stream_through_somebodys_browser() {
    let world = World::new();
    let stop = local(TestRequest::post(), "/LiveApp/rest/v2/broadcasts/cam/stop")
        .append_header(("origin", "https://evil.example"));
    assert_eq!(world.call(stop).await.status, StatusCode::FORBIDDEN);
    assert!(world.asked().is_empty());
}

#[actix_web::test]
async fn an_unknown_application_is_not_found() {
    let world = World::new();
    for app in ["nothing", "live%20app", "..", "%2e%2e"] {
        let reply = world.get(&format!("/{app}/rest/v2/broadcasts/count")).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NOT_FOUND, ""), "{app}");
    }
}
