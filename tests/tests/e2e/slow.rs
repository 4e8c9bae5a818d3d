//! RTMP players on narrow links.

use std::net::SocketAddr;

use rustix::process::Signal;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::machine;
use sluice_tests::proc::Process;
use sluice_tests::rest::{Rest, broadcasts};
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::Server;
use sluice_tests::wait::eventually;

const STREAM: &str = "narrow";
/// The clip has 130 kB a second.
const ENOUGH: usize = 165_000;
const TOO_LITTLE: usize = 50_000;
/// A message with pictures (RTMP 1.0, section 7.1.5).
const PICTURE: u8 = 9;
/// More than any buffer on the way holds.
const MUCH_MS: u64 = 1000;
/// A picture that was begun, and the sound beside it.
const NEAR_MS: u64 = 100;

fn stage() -> (Server, Rest, Process) {
    let server = Server::start().unwrap();
    let rest = server.rest();
    let publisher = ffmpeg::publish(&clips().unwrap().plain, &server.rtmp_url(STREAM)).unwrap();
    rest.wait_live(STREAM).unwrap();
    (server, rest, publisher)
}

fn play(host: SocketAddr, speed: usize) -> RtmpClient {
    RtmpClient::play_slowly(host, &format!("{STREAM}?subscriberId=alice"), speed).unwrap()
}

/// A picture fills such a link for many milliseconds, so a block comes in the middle of one
/// more often than not.
#[test]
fn a_block_in_the_middle_of_a_picture_keeps_the_connection() {
    let _machine = machine::whole();
    let (server, rest, _publisher) = stage();
    let player = play(server.rtmp, ENOUGH);
    let fast = RtmpClient::play(server.rtmp, STREAM).unwrap();
    for round in 0..6 {
        // Not a multiple of what comes in a second, so that each round is at another place.
        player.more(140_000 + 11_000 * round).unwrap();
        rest.block(STREAM, "alice", 60, "play").unwrap();
        // What the player's own side still holds comes; then nothing, for as long as ten
        // pictures take.
        let still = || {
            let before = player.media().ok()?;
            fast.more(43_000).ok()?;
            (player.media().ok()? == before).then_some(())
        };
        eventually("silence", still).unwrap();
        fast.more(43_000).unwrap();
        still().expect("it stays silent");
        assert!(!player.is_closed(), "round {round}");
        rest.block(STREAM, "alice", 0, "play").unwrap();
    }
    player.more(100_000).unwrap();
    let resumed = player.statuses().unwrap().iter().filter(|s| s.code == "NetStream.Unpause.Notify").count();
    assert_eq!(resumed, 6, "the connection can be read after each block");
    server.stop().unwrap();
}

#[test]
fn a_player_that_is_too_slow_skips_and_is_counted_and_costs_nobody_else_anything() {
    let _machine = machine::whole();
    let (server, rest, _publisher) = stage();
    let fast = RtmpClient::play(server.rtmp, STREAM).unwrap();
    let slow = play(server.rtmp, TOO_LITTLE);
    let skips = || {
        let statistics =
            rest.must("GET", &broadcasts(&format!("{STREAM}/broadcast-statistics")), None).ok()?;
        (statistics["slowPlayerSkips"].as_u64()? > 0).then_some(())
    };
    eventually("a skip of the slow player", skips).unwrap();
    let at = slow.media().unwrap();
    fast.more(500_000).unwrap();
    slow.more(50_000).unwrap();
    assert!(!slow.is_closed() && !fast.is_closed() && slow.media().unwrap() > at);
    server.stop().unwrap();
}

#[test]
fn the_lag_in_the_list_is_the_media_that_the_player_was_not_given() {
    let _machine = machine::whole();
    let (server, rest, publisher) = stage();
    rest.login().unwrap();
    let fast = RtmpClient::play(server.rtmp, STREAM).unwrap();
    fast.more(50_000).unwrap();
    let slow = play(server.rtmp, ENOUGH);
    slow.more(50_000).unwrap();
    let detail = format!("/rest/v2/panel/streams/live/{STREAM}");
    let listed = || {
        let detail = rest.must("GET", &detail, None).ok()?;
        let mut all = detail["sessions"].as_array()?.clone().into_iter();
        all.find(|session| session["subscriber"] == "alice")
    };

    let held = slow.hold();
    fast.more(400_000).unwrap();
    publisher.signal(Signal::STOP);
    // Both stand when neither has moved for twenty looks.
    let (mut before, mut looks) = (None, 0);
    let stands = || {
        let now = (fast.media().ok()?, listed()?["lag"].as_u64()?);
        looks = if before == Some(now) { looks + 1 } else { 0 };
        before = Some(now);
        (looks == 20).then_some(now.1)
    };
    let lag = eventually("a lag that stands", stands).unwrap();

    // What the kernels hold of it is all that the player gets once his session is stopped.
    let id = listed().unwrap()["id"].as_str().unwrap().to_owned();
    rest.succeed("DELETE", &format!("{detail}/sessions/{id}"), None).unwrap();
    drop(held);
    eventually("the connection to end", || slow.is_closed().then_some(())).unwrap();
    let pictures = |player: &RtmpClient| {
        let all = player.messages().unwrap().into_iter();
        all.filter(|message| message.kind == PICTURE).collect::<Vec<_>>()
    };
    let (given, all) = (pictures(&slow).pop().unwrap(), pictures(&fast));
    // Each player has a clock of its own, so it is found by what is in it.
    let reached = all.iter().rev().find(|picture| picture.body == given.body).unwrap().at;
    let missing = u64::from(all.last().unwrap().at - reached);
    assert!(missing > MUCH_MS, "{missing} ms: nothing was held back");
    assert!(lag.abs_diff(missing) < NEAR_MS, "{lag} ms are told, {missing} ms are missing");
    publisher.signal(Signal::CONT);
    server.stop().unwrap();
}
