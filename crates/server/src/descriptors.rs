//! File descriptors: every connection is one, and a process gets few by default.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// The store, the log, listeners, epolls and wakers of all threads.
const BESIDES: u64 = 256;

/// Raises the soft limit to the hard one. The soft one is usually 1024, for
/// programs that `select`; nothing here does. Warns if connections within the
/// configured limits could still use up all descriptors.
pub(crate) fn raise(config: &Config) {
    let hard = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }) {
        tracing::warn!(%error, "cannot raise the limit on file descriptors");
    }
    let (limit, needed) = (getrlimit(Resource::Nofile).current, needed(config));
    if limit.is_some_and(|limit| limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "too few file descriptors for max_connections of [rtmp] and [http]; raise `ulimit -Hn` or LimitNOFILE"
        );
    }
}

/// How many this process may have when it has raised its limit; `None`: any number.
pub(crate) fn most() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// HLS duplicates the descriptor of each HTTP connection, for fences to reach, and
/// keeps that of some that are closed. Connections in their TLS handshake come on top, and
/// a child that decodes has two pipes.
pub(crate) fn needed(config: &Config) -> u64 {
    let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
    let http = count(config.http.max_connections);
    let handshakes = if config.tls.is_on() { http } else { 0 };
    let parts = [
        http.saturating_mul(2),
        handshakes,
        count(hls::MOST_LINGERING),
        count(config.rtmp.max_connections),
        count(config.webrtc.transcodes).saturating_mul(2),
        BESIDES,
    ];
    parts.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum }).unwrap();
        raise(&Config::default());
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: maximum, maximum });
    }

    #[test]
    fn an_http_connection_needs_two() {
        let mut config = Config::default();
        (config.rtmp.max_connections, config.http.max_connections) = (100, 10);
        let pipes = 2 * config.webrtc.transcodes as u64;
        assert_eq!(needed(&config), 120 + hls::MOST_LINGERING as u64 + pipes + BESIDES);
        config.tls.certificate = "certificate".into();
        assert_eq!(needed(&config), 130 + hls::MOST_LINGERING as u64 + pipes + BESIDES);
        config.http.max_connections = usize::MAX;
        assert_eq!(needed(&config), u64::MAX);
    }
}
