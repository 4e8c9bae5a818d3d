//! The routes of the pages. The pages themselves may or may not have been built into
//! this binary; both answers are right, each in its own words.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;

use crate::world::{Reply, World, local};

const PAGES: [&str; 3] = ["/", "/LiveApp/play.html?id=cam&subscriberCode=123456", "/LiveApp/publish.html"];

/// Whether the panel is in this binary. Where it is not, the answer says how to get it.
fn is_built(reply: &Reply) -> bool {
    if reply.status == StatusCode::SERVICE_UNAVAILABLE {
        assert!(reply.text.contains("scripts/run") && reply.text.contains("npm ci"), "{}", reply.text);
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    reply.status == StatusCode::OK
}

#[actix_web::test]
async fn a_page_and_its_files_are_ours_alone() {
    let world = World::new();
    for path in PAGES {
        let reply = world.get(path).await;
        if !is_built(&reply) {
            continue;
        }
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cache-control"), "no-cache");
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("script-src 'self';") && policy.contains("style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!reply.text.contains("http://") && !reply.text.contains("https://"));
        let files = reply.text.split('"').filter(|text| text.starts_with("/assets/")).collect::<Vec<_>>();
        assert!(files.len() >= 2, "a style and a script: {files:?}");
        for file in files {
            let file = world.get(file).await;
            assert_eq!((file.status, file.text.is_empty()), (StatusCode::OK, false));
            assert!(file.header("cache-control").contains("immutable"));
        }
    }
}

/// Three quarters of a megabyte is much for a phone; codes are in no file, so compressing
/// tells nobody anything.
#[actix_web::test]
async fn scripts_are_sent_compressed_to_whom_that_is_welcome() {
    let world = World::new();
    let page = world.get(PAGES[0]).await;
    let Some(script) = page.text.split('"').find(|text| text.ends_with(".js") && is_built(&page)) else {
        return;
    };
    let welcome = local(TestRequest::get(), script).append_header(("accept-encoding", "gzip, deflate, br"));
    assert_eq!(world.call(welcome).await.header("content-encoding"), "gzip");
    assert_eq!(world.get(script).await.header("content-encoding"), "");
}

#[actix_web::test]
async fn the_panel_may_not_be_framed_and_the_pages_of_an_application_may() {
    let world = World::new();
    for (path, unframed) in PAGES.into_iter().zip([true, false, false]) {
        let reply = world.get(path).await;
        let policy = if is_built(&reply) { reply.header("content-security-policy") } else { continue };
        assert_eq!(policy.ends_with("; frame-ancestors 'none'"), unframed, "{path}: {policy}");
        assert_eq!(policy.contains("frame-ancestors"), unframed, "{path}: {policy}");
    }
}

#[actix_web::test]
async fn there_is_nothing_else() {
    let world = World::new();
    let paths =
        ["/nothing/play.html", "/assets/none.js", "/assets/../index.html", "/assets/%2e%2e%2findex.html"];
    for path in paths {
        assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
