//! Which addresses players and publishers are told to send to.

use std::net::{IpAddr, SocketAddr};

use str0m::Candidate;

/// The addresses that offers and answers announce, and how datagrams' local
/// addresses relate to them.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    announced: Vec<SocketAddr>,
    /// Addresses of this machine's interfaces; others cannot be sent from.
    local: Vec<IpAddr>,
}

impl Addresses {
    /// `configured` as they are; without any, what a socket bound to `bound`
    /// can be reached at: that address, or all of this machine's, loopback last.
    pub(crate) fn new(bound: SocketAddr, configured: &[IpAddr], interfaces: Vec<IpAddr>) -> Self {
        let ips = match configured {
            [] if bound.ip().is_unspecified() => reachable(bound.ip(), &interfaces),
            [] => vec![bound.ip()],
            some => some.to_vec(),
        };
        let announced = ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect();
        Self { announced, local: interfaces }
    }

    /// Host candidates (RFC 8445 §5.1.1) for an offer or answer.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        self.announced.iter().filter_map(|&addr| Candidate::host(addr, "udp").ok()).collect()
    }

    /// The announced address that a datagram to the local address `to` was meant
    /// for: the same, or behind address translation the first of its family.
    pub(crate) fn meant(&self, to: SocketAddr) -> SocketAddr {
        let same = |addr: &&SocketAddr| addr.ip() == to.ip();
        let family = |addr: &&SocketAddr| addr.is_ipv4() == to.is_ipv4() && !addr.ip().is_loopback();
        let found = self.announced.iter().find(same).or_else(|| self.announced.iter().find(family));
        found.copied().unwrap_or(to)
    }

    /// The source address to ask the kernel for; none when `from` is announced
    /// for an address translator.
    pub(crate) fn source(&self, from: IpAddr) -> Option<IpAddr> {
        self.local.contains(&from).then_some(from)
    }
}

fn reachable(bound: IpAddr, interfaces: &[IpAddr]) -> Vec<IpAddr> {
    // A v6 wildcard takes v4 too, as mapped addresses.
    let family = |ip: &&IpAddr| bound.is_ipv6() || ip.is_ipv4();
    let usable = |ip: &&IpAddr| !ip.is_multicast() && !is_link_local(**ip);
    let mut ips: Vec<IpAddr> = interfaces.iter().filter(family).filter(usable).copied().collect();
    ips.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    ips.dedup();
    ips
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        // Of no use without a scope, which candidates cannot carry.
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_wildcard_announces_every_interface_and_loopback_last() {
        let all = vec![ip("127.0.0.1"), ip("10.0.0.5"), ip("169.254.1.1"), ip("::1"), ip("fe80::1")];
        let addresses = Addresses::new(addr("0.0.0.0:5000"), &[], all);
        assert_eq!(addresses.announced, [addr("10.0.0.5:5000"), addr("127.0.0.1:5000")]);
    }

    #[test]
    fn behind_translation_the_private_address_stands_for_the_public_one() {
        let addresses = Addresses::new(addr("0.0.0.0:5000"), &[ip("203.0.113.7")], vec![ip("10.0.0.5")]);
        assert_eq!(addresses.meant(addr("10.0.0.5:5000")), addr("203.0.113.7:5000"));
        assert_eq!(addresses.source(ip("203.0.113.7")), None);
        assert_eq!(addresses.source(ip("10.0.0.5")), Some(ip("10.0.0.5")));
    }
}
