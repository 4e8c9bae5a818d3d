//! RTMP players on narrow links.

use std::net::SocketAddr;

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
