//! The pages to try a stream with.

use actix_web::http::StatusCode;
use contract::AppSettings;
use sluice_rest::Options;

use crate::world::World;

#[actix_web::test]
async fn every_application_has_both_pages_and_their_files() {
    let world = World::new();
    for page in ["play", "publish"] {
        let reply = world.get(&format!("/LiveApp/{page}.html?id=cam&subscriberCode=123456")).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (StatusCode::OK, "text/html; charset=utf-8")
        );
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert!(reply.header("content-security-policy").contains("script-src 'self'"));
        let own = reply.text.split('"').filter_map(|text| text.strip_prefix("..")).collect::<Vec<_>>();
        assert_eq!(own.len(), 3, "a style and two scripts");
        for path in own {
            let file = world.get(path).await;
            assert_eq!((file.status, file.text.is_empty()), (StatusCode::OK, false), "{path}");
        }
        assert_eq!(world.get(&format!("/nothing/{page}.html")).await.status, StatusCode::NOT_FOUND);
        assert!(!reply.text.contains("http://") && !reply.text.contains("https://"));
    }
}

#[actix_web::test]
async fn only_the_play_page_may_be_framed() {
    let world = World::new();
    let play = world.get("/LiveApp/play.html").await;
    let publish = world.get("/LiveApp/publish.html").await;
    assert!(!play.header("content-security-policy").contains("frame-ancestors"));
    assert!(publish.header("content-security-policy").contains("frame-ancestors 'none'"));
}

#[actix_web::test]
async fn hls_js_comes_from_the_operators_directory_and_nothing_else_does() {
    let assets = tempfile::tempdir().unwrap();
    let options = Options { assets: Some(assets.path().to_owned()), ..Options::default() };
    let world = World::with(AppSettings::default(), options);
    assert_eq!(world.get("/assets/hls.js").await.status, StatusCode::NOT_FOUND);
    std::fs::write(assets.path().join("hls.min.js"), "min").unwrap();
    std::fs::write(assets.path().join("other.js"), "x").unwrap();
    assert_eq!(world.get("/assets/hls.js").await.text, "min");
    std::fs::write(assets.path().join("hls.js"), "full").unwrap();
    let reply = world.get("/assets/hls.js").await;
    assert_eq!(
        (reply.text.as_str(), reply.header("content-type")),
        ("full", "text/javascript; charset=utf-8")
    );
    for path in ["/assets/other.js", "/assets/../other.js", "/assets/%2e%2e/other.js"] {
        assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(World::new().get("/assets/hls.js").await.status, StatusCode::NOT_FOUND);
}
