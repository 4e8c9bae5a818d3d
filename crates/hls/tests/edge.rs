//! HLS over real sockets.
#![expect(clippy::unwrap_used, reason = "a test binary")]

#[allow(dead_code, unreachable_pub)]
mod world;

use std::time::Duration;

use contract::WallMs;
use contract::session::{CloseReason, SetStanding};
use contract::settings::Security;
use world::{CODE, Do, Server};

const LIST: &str = "/live/streams/cam.m3u8";

fn with_code() -> String {
    format!("{LIST}?subscriberId=alice&subscriberCode={CODE}")
}

#[actix_rt::test]
async fn an_open_stream_is_played_without_a_grant() {
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(1000).await;
    let list = publisher.until(server.get(LIST)).await;
    assert_eq!((list.status, list.header("content-type")), (200, Some("application/vnd.apple.mpegurl")));
    assert_eq!(list.header("access-control-allow-origin"), Some("*"));
    assert_eq!(list.header("access-control-allow-credentials"), None);
    assert_eq!((list.header("cache-control"), list.header("set-cookie")), (Some("no-cache"), None));
    let segment = server.get(&list.url()).await;
    assert_eq!((segment.status, segment.header("content-type")), (200, Some("video/iso.segment")));
    assert_eq!(&segment.body[4..8], b"styp");
    let map = list.text().split("URI=\"").nth(1).unwrap().split('"').next().unwrap();
    let init = server.get(&format!("/live/streams/{map}")).await;
    assert_eq!(
        (init.status, init.header("content-type"), &init.body[4..8]),
        (200, Some("video/mp4"), &b"ftyp"[..])
    );
    assert_eq!(server.act(Do::Count).await, 1, "one address is one player");
    let adaptive = server.get("/live/streams/cam_adaptive.m3u8").await;
    assert!(adaptive.text().contains("RESOLUTION=320x180\ncam.m3u8\n"), "{}", adaptive.text());
    let variant = server.get(&adaptive.url()).await;
    assert!(variant.text().contains("#EXTINF"), "{}", variant.text());
}

#[actix_rt::test]
async fn a_player_is_behind_from_the_end_of_the_segment_that_he_fetched_last() {
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(1000).await;
    let list = publisher.until(server.get(LIST)).await;
    assert_eq!(server.act(Do::Lag).await, 0, "a playlist is no media");
    assert_eq!(server.get(&list.url()).await.status, 200);
    // Whole seconds: a segment ends where the next picture is.
    let lag = server.act(Do::Lag).await - 1;
    assert!(lag % 1000 == 0 && lag < publisher.newest() as usize * 1000, "{lag}");
    publisher.second();
    assert_eq!(server.act(Do::Lag).await - 1, lag + 1000);
}

#[actix_rt::test]
async fn a_request_waits_for_the_first_segment() {
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(1000).await;
    publisher.second();
    let mut client = server.connect().await;
    client.send("GET", LIST, "").await;
    // Another request is answered meanwhile, and shows that the first one waits.
    assert_eq!(server.get("/live/streams/cam~1.m4s").await.status, 404);
    assert_eq!(publisher.until(client.read(true)).await.unwrap().status, 200);
}

#[actix_rt::test]
async fn refusals_say_what_ant_media_says_and_can_be_read_by_any_page() {
    let mut server = Server::start(true).await;
    let _publisher = server.publish(1000).await;
    let cases = [
        ("GET", LIST.to_owned(), 403, "Time Based subscriber id or code is invalid"),
        (
            "GET",
            format!("{LIST}?subscriberId=alice&subscriberCode=000000"),
            403,
            "Time Based subscriber id or code is invalid",
        ),
        ("GET", "/live/streams/cam.u8".to_owned(), 403, "Cannot specified the stream id from the url"),
        ("GET", "/live/streams/idle.m3u8".to_owned(), 403, "Time Based subscriber id or code is invalid"),
        ("GET", "/other/streams/cam.m3u8".to_owned(), 404, "Not Found"),
        ("GET", format!("{LIST}?grant=1.AAAA"), 403, "Time Based subscriber id or code is invalid"),
        ("POST", with_code(), 403, "Invalid Request Type"),
    ];
    for (method, path, status, text) in cases {
        let mut client = server.connect().await;
        client.send(method, &path, "").await;
        let answer = client.read(true).await.unwrap();
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    }
    let mut client = server.connect().await;
    client.send("OPTIONS", LIST, "").await;
    let preflight = client.read(true).await.unwrap();
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")));
    server.act(Do::Over).await;
    assert_eq!(server.get(&with_code()).await.status, 404, "not live, after authentication");
}

#[actix_rt::test]
async fn a_grant_outlives_the_code_by_url_or_by_cookie() {
    let mut server = Server::start(true).await;
    let mut publisher = server.publish(1000).await;
    let first = publisher.until(server.get(&with_code())).await;
    assert!(first.text().contains("#EXT-X-STREAM-INF") && !first.text().contains(CODE), "{}", first.text());
    assert_eq!(first.header("cache-control"), Some("private, no-store"));
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();

    // By URL alone.
    let list = server.get(&first.url()).await;
    assert_eq!((list.status, list.header("set-cookie")), (200, None));
    assert!(
        list.text().lines().filter(|l| l.contains("cam~")).all(|l| l.contains("?grant=")),
        "{}",
        list.text()
    );
    assert!(!list.text().contains(CODE));
    assert_eq!(server.get(&list.url()).await.status, 200);
    let bare = list.url().split('?').next().unwrap().to_owned();
    assert_eq!(server.get(&bare).await.status, 403);

    // By cookie alone, and with a code that has run out.
    for path in [LIST.to_owned(), bare, format!("{LIST}?subscriberId=alice&subscriberCode=000000")] {
        let answer = server.connect().await.get(&path, &format!("Cookie: a=b; {cookie}\r\n")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    // Of no use for another stream, nor for another subscriber.
    let other = first.url().replace("cam.m3u8", "idle.m3u8");
    assert_eq!(server.get(&other).await.status, 403);
    let other = format!("{}&subscriberId=bob", first.url());
    assert_eq!(server.get(&other).await.status, 403);
    assert_eq!(server.act(Do::Count).await, 1);
}

#[actix_rt::test]
async fn a_grant_may_be_bound_to_its_address() {
    let security = Security { totp_play: true, hls_grant_bound_to_address: true, ..Security::default() };
    let mut server = Server::with(security).await;
    let mut publisher = server.publish(1000).await;
    let from = |ip: &str| format!("X-Forwarded-For: {ip}\r\n");
    let mut client = server.connect().await;
    let first = publisher.until(client.get(&with_code(), &from("192.0.2.1"))).await;
    assert_eq!(server.connect().await.get(&first.url(), &from("192.0.2.1")).await.status, 200);
    assert_eq!(server.connect().await.get(&first.url(), &from("192.0.2.2")).await.status, 403);
}

#[actix_rt::test]
async fn head_says_the_length_and_sends_nothing() {
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(1000).await;
    let list = publisher.until(server.get(LIST)).await;
    let mut client = server.connect().await;
    client.send("HEAD", &list.url(), "").await;
    let head = client.read(false).await.unwrap();
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 1000);
    // The next answer follows at once on the same connection.
    assert_eq!(client.get(LIST, "").await.status, 200);
}

#[actix_rt::test]
async fn a_blocked_player_gets_not_one_more_byte_and_lives_again() {
    let mut server = Server::start(true).await;
    let mut publisher = server.publish(1000).await;
    let first = publisher.until(server.get(&with_code())).await;
    let cookie = format!("Cookie: {}\r\n", first.header("set-cookie").unwrap().split(';').next().unwrap());
    let list = server.get(&first.url()).await;
    server.act(Do::Stand(SetStanding::Suspend { until: WallMs(0) })).await;
    for (method, path, headers) in [
        ("GET", first.url(), ""),
        ("GET", list.url(), ""),
        ("HEAD", list.url(), ""),
        ("GET", LIST.to_owned(), cookie.as_str()),
        ("HEAD", LIST.to_owned(), cookie.as_str()),
    ] {
        let mut client = server.connect().await;
        client.send(method, &path, headers).await;
        let answer = client.read(method == "GET").await.unwrap();
        assert_eq!(answer.status, 401, "{method} {path}");
        if method == "GET" {
            assert_eq!(answer.text(), "Subscriber is blocked");
        }
    }
    server.act(Do::Stand(SetStanding::Grant)).await;
    assert_eq!(server.get(&list.url()).await.status, 200);
    assert_eq!(server.connect().await.get(LIST, &cookie).await.status, 200);
    server.act(Do::Stand(SetStanding::Revoke(CloseReason::Withdrawn))).await;
    assert_eq!(server.get(&list.url()).await.status, 403, "withdrawn for good");
}

/// A segment larger than all buffers between us and a player that does not read.
const LARGE: usize = 8 << 20;

#[actix_rt::test]
async fn a_block_cuts_a_response_that_is_under_way() {
    let mut server = Server::start(true).await;
    let mut publisher = server.publish(LARGE).await;
    let first = publisher.until(server.get(&with_code())).await;
    let list = server.get(&first.url()).await;
    let mut slow = server.connect().await;
    slow.send("GET", &list.url(), "").await;
    assert_eq!(slow.read_head().await.unwrap().0, 200);
    server.act(Do::Stand(SetStanding::Suspend { until: WallMs(0) })).await;
    let (got, end) = slow.rest().await;
    assert!(got < 2 * LARGE, "{got}");
    assert!(end.is_err(), "reset, so what the kernel still held was not sent; got {got}, {end:?}");
}

#[actix_rt::test]
async fn a_block_resets_a_connection_whose_body_has_just_ended() {
    let mut server = Server::start(true).await;
    let mut publisher = server.publish(1000).await;
    let first = publisher.until(server.get(&with_code())).await;
    let mut client = server.connect().await;
    assert_eq!(client.get(&first.url(), "").await.status, 200);
    server.act(Do::Stand(SetStanding::Suspend { until: WallMs(0) })).await;
    assert!(client.rest().await.1.is_err());
}

#[actix_rt::test]
async fn a_blocked_publisher_leaves_nothing_to_fetch_and_may_come_back() {
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(LARGE).await;
    let list = publisher.until(server.get(LIST)).await;
    let mut slow = server.connect().await;
    slow.send("GET", &list.url(), "").await;
    assert_eq!(slow.read_head().await.unwrap().0, 200);
    server.act(Do::Silence).await;
    assert!(slow.rest().await.1.is_err());
    assert_eq!(server.get(&list.url()).await.status, 404);
    assert_eq!(server.get(LIST).await.status, 404);
    drop(publisher);
    let mut publisher = server.publish(1000).await;
    let again = publisher.until(server.get(LIST)).await;
    assert_eq!(again.status, 200);
    let sequence = |text: &str| -> u64 {
        let value = text.split("MEDIA-SEQUENCE:").nth(1).unwrap();
        value.lines().next().unwrap().parse().unwrap()
    };
    assert!(sequence(again.text()) > sequence(list.text()));
}

#[actix_rt::test]
async fn what_a_publisher_left_goes_when_he_is_silenced_though_another_publishes() {
    let mut server = Server::start(false).await;
    let mut first = server.publish(1000).await;
    let his = first.until(server.get(LIST)).await;
    let ring = first.writer.ring();
    server.act(Do::Over).await;
    drop(first);
    let mut second = server.publish(1000).await;
    let mut both = String::new();
    while !both.contains("#EXT-X-DISCONTINUITY\n") {
        both = second.until(server.get(LIST)).await.text().to_owned();
    }
    assert_eq!(server.get(&his.url()).await.status, 200);
    ring.silence();
    assert_eq!(server.get(&his.url()).await.status, 404, "his segment");
    let left = server.get(LIST).await;
    assert_eq!((left.status, left.text().contains("#EXTINF")), (200, true), "the other's stay");
    assert!(!left.text().contains("#EXT-X-DISCONTINUITY\n"), "{}", left.text());
}

#[actix_rt::test]
async fn a_publisher_who_returns_continues_the_playlist() {
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(1000).await;
    let before = publisher.until(server.get(LIST)).await;
    server.act(Do::Over).await;
    drop(publisher);
    assert_eq!(server.get(LIST).await.status, 200, "the playlist stays");
    assert_eq!(server.get(&before.url()).await.status, 200);
    let mut publisher = server.publish(1000).await;
    let mut text = String::new();
    while !text.contains("#EXT-X-DISCONTINUITY\n") {
        text = publisher.until(server.get(LIST)).await.text().to_owned();
    }
    assert!(text.contains("cam~"), "{text}");
}

#[actix_rt::test]
async fn a_silent_player_is_forgotten_one_with_a_code_later() {
    for (totp, patience) in [(false, 20), (true, 300)] {
        let mut server = Server::start(totp).await;
        let mut publisher = server.publish(1000).await;
        let first = publisher.until(server.get(&with_code())).await;
        server.clock.advance(Duration::from_secs(patience - 1));
        server.hls.sweep();
        assert_eq!(server.act(Do::Count).await, 1, "totp {totp}");
        assert_eq!(server.get(&first.url()).await.status, 200);
        server.clock.advance(Duration::from_secs(patience + 1));
        server.hls.sweep();
        assert_eq!(server.act(Do::Count).await, 0, "totp {totp}");
    }
}

#[actix_rt::test]
async fn a_player_who_shows_his_code_again_keeps_the_session_that_he_has() {
    let mut server = Server::start(true).await;
    let mut publisher = server.publish(1000).await;
    let first = publisher.until(server.get(&with_code())).await;
    let again = server.get(&with_code()).await;
    assert_eq!(first.url(), again.url());
    assert_eq!(server.act(Do::Connected).await, 1);
}

#[actix_rt::test]
async fn a_player_who_is_stopped_while_he_comes_in_gets_no_seat() {
    let mut server = Server::start(true).await;
    let mut publisher = server.publish(1000).await;
    server.act(Do::StopNext).await;
    assert_eq!(server.get(&with_code()).await.status, 403);
    assert_eq!(server.act(Do::Count).await, 0, "the place is given back");
    let again = publisher.until(server.get(&with_code())).await;
    assert_eq!(again.status, 200);
}

/// Sockets of this process: all tests' and clients'.
fn sockets() -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let names = all.filter_map(|one| std::fs::read_link(one.path()).ok());
    names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
}

#[actix_rt::test]
async fn closed_connections_keep_no_descriptors() {
    const ROUNDS: usize = 400;
    let mut server = Server::start(false).await;
    let mut publisher = server.publish(1000).await;
    let list = publisher.until(server.get(LIST)).await;
    let before = sockets();
    for _ in 0..ROUNDS {
        assert_eq!(server.get(&list.url()).await.status, 200);
    }
    // The clock stands, so nothing goes because of its age. Other tests have sockets, too.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while sockets() > before + ROUNDS / 4 {
        assert!(std::time::Instant::now() < deadline, "{} sockets, {before} before", sockets());
        tokio::task::yield_now().await;
    }
}
