//! Settings that are well-formed and cannot be meant.

use std::net::SocketAddr;

use super::origin::Problem;
use super::{Amount, Config, log_filter, memory};

/// No machine has so many cores; somebody meant another setting.
const MOST_THREADS: usize = 1024;

/// Nobody waits an hour for a restart.
const LONGEST_DRAIN: u64 = 3600;

/// All of them.
pub(super) fn of(config: &Config) -> Vec<Problem> {
    [amounts(config), names(config), tls(config), ports_used_twice(config)].concat()
}

fn amounts(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |wrong: bool, key, text: String| {
        if wrong {
            problems.push(Problem::new(key, text));
        }
    };
    let threads = || format!("more than {MOST_THREADS} threads");
    say(config.http.workers > MOST_THREADS, "http.workers", threads());
    say(config.rtmp.threads > MOST_THREADS, "rtmp.threads", threads());
    say(config.webrtc.transcodes > MOST_THREADS, "webrtc.transcodes", threads());
    let nobody = || "nobody could connect".to_owned();
    say(config.http.max_connections == 0, "http.max_connections", nobody());
    say(config.webrtc.max_peers == 0, "webrtc.max_peers", nobody());
    say(config.rtmp.max_connections == 0, "rtmp.max_connections", nobody());
    let least = || format!("less than {} MiB", memory::LEAST >> 20);
    say(matches!(config.media.memory, Amount::Bytes(..memory::LEAST)), "media.memory", least());
    say(config.drain_seconds > LONGEST_DRAIN, "drain_seconds", format!("more than {LONGEST_DRAIN}"));
    problems
}

fn names(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |wrong: bool, key, text: &str| {
        if wrong {
            problems.push(Problem::new(key, text));
        }
    };
    let apps = &config.applications;
    let twice = |at: usize| apps[..at].contains(&apps[at]);
    say(apps.is_empty(), "applications", "there must be at least one");
    say((0..apps.len()).any(twice), "applications", "one is named twice");
    let unreachable = config.webrtc.announced.iter().any(|ip| ip.is_unspecified() || ip.is_multicast());
    say(unreachable, "webrtc.announced", "browsers cannot send to 0.0.0.0, :: or a multicast address");
    say(config.store.path.as_os_str().is_empty(), "store.path", "a directory is needed");
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/?#@".contains(c);
    say(config.http.host.contains(strange), "http.host", "a name or an address, without scheme or path");
    if let Err(error) = log_filter(config) {
        problems.push(Problem::new("log.level", format!("{error:#}")));
    }
    problems
}

fn tls(config: &Config) -> Vec<Problem> {
    let missing = match (config.tls.certificate.as_os_str().is_empty(), config.tls.key.as_os_str().is_empty())
    {
        (true, false) => Some("tls.certificate"),
        (false, true) => Some("tls.key"),
        _ => None,
    };
    missing.map(|key| Problem::new(key, "certificate and key belong together")).into_iter().collect()
}

/// TCP only: WebRTC's port is of UDP, and may have the same number.
fn ports_used_twice(config: &Config) -> Vec<Problem> {
    let listens = config.tcp_listens();
    let clash = |at: usize| {
        let (key, address) = listens[at];
        let (other, _) = listens[..at].iter().find(|(_, other)| clashes(address, *other))?;
        Some(Problem::new(key, format!("{address} is also that of {other}")))
    };
    (0..listens.len()).filter_map(clash).collect()
}

fn clashes(a: SocketAddr, b: SocketAddr) -> bool {
    let everywhere = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (everywhere || a.ip() == b.ip())
}
