//! What one peer sends in one burst, gathered into as few system calls as the
//! sizes allow.

use std::net::SocketAddr;

use super::addresses::Addresses;
use super::command::Leave;
use super::udp::Udp;

/// The kernel takes no more in one call.
const MAX_RUN: usize = 65_000;

/// Datagrams to one peer, in order. A run is datagrams of one size, one destination
/// and one class; a shorter one may end it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    open: bool,
    max_segments: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    source: SocketAddr,
    to: SocketAddr,
    media: bool,
    segment: usize,
    start: usize,
    end: usize,
}

impl Outbox {
    /// `max_segments` is how many datagrams one call may hold, at least 1.
    pub(crate) fn new(max_segments: usize) -> Self {
        Self { max_segments: max_segments.max(1), ..Self::default() }
    }

    /// Adds a datagram.
    pub(crate) fn push(&mut self, source: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        let end = self.bytes.len();
        let (max, media) = (self.max_segments, is_media(datagram));
        let fits = |run: &&mut Run| {
            (run.source, run.to, run.media) == (source, to, media)
                && datagram.len() <= run.segment
                && end - run.start <= MAX_RUN
                && end - run.start <= run.segment * max
        };
        match self.runs.last_mut().filter(fits) {
            Some(run) if self.open => {
                run.end = end;
                self.open = datagram.len() == run.segment;
            }
            _ => {
                self.runs.push(Run { source, to, media, segment: datagram.len(), start, end });
                self.open = true;
            }
        }
    }

    /// Hands what may leave to the socket, and forgets the rest.
    pub(crate) fn flush(&mut self, udp: &Udp, addresses: &Addresses, leave: Leave) {
        for run in self.runs.drain(..).filter(|run| !run.media || leave == Leave::All) {
            let bytes = &self.bytes[run.start..run.end];
            udp.send(addresses.source(run.source.ip()), run.to, bytes, run.segment);
        }
        self.clear();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
        self.open = false;
    }
}

/// RTP and RTCP by their first byte (RFC 7983 §7). What the fence stops.
pub(crate) fn is_media(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (128..192).contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[usize]) -> Vec<(usize, usize)> {
        let here: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let mut outbox = Outbox::new(64);
        lengths.iter().for_each(|&n| outbox.push(here, here, &vec![0; n]));
        outbox.runs.iter().map(|run| (run.segment, run.end - run.start)).collect()
    }

    #[test]
    fn equal_datagrams_and_a_shorter_last_one_are_one_run() {
        assert_eq!(sizes(&[1200, 1200, 1200, 300]), [(1200, 3900)]);
    }

    #[test]
    fn a_shorter_one_ends_the_run() {
        assert_eq!(sizes(&[1200, 1199, 1199, 1200]), [(1200, 2399), (1199, 1199), (1200, 1200)]);
    }

    #[test]
    fn a_run_is_bounded() {
        assert_eq!(sizes(&[1200; 100]).iter().map(|run| run.1).max(), Some(1200 * 54));
    }

    #[test]
    fn what_is_no_media_leaves_also_when_media_may_not() {
        let udp = Udp::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let addresses = Addresses::new(udp.local(), &[], Vec::new());
        let there = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = there.local_addr().unwrap();
        let mut outbox = Outbox::new(64);
        for datagram in [[128, 0], [22, 1], [191, 2], [0, 3]] {
            outbox.push(udp.local(), to, &datagram);
        }
        outbox.flush(&udp, &addresses, Leave::NoMedia);
        outbox.push(udp.local(), to, &[128, 4]);
        outbox.flush(&udp, &addresses, Leave::All);
        let mut buffer = [0; 4];
        let heard: Vec<u8> = (0..3).map(|_| there.recv(&mut buffer).map(|_| buffer[1]).unwrap()).collect();
        assert_eq!(heard, [1, 3, 4]);
    }
}
