//! Addresses of peers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

/// The one form of an address: a v4-mapped v6 address is v4, and `::1` is the
/// v4 loopback (C§16.3), so that one rule covers one peer.
pub fn canonical(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    if ip.is_loopback() { IpAddr::from([127, 0, 0, 1]) } else { ip }
}

/// What counts as one peer where peers are counted: a v4 address; of a v6 address
/// its /64, which whoever has one has whole (RFC 4291 §2.5.4).
pub fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

/// The networks around one that are often in one hand, or one organisation's: of a v6
/// address its /48, which is what a site is given (RFC 6177 §2), of a v4 address its
/// /24, the smallest that is routed by itself. There one hand has many networks at
/// next to no cost.
pub fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() >> 8 << 8).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 80 << 80).into()),
    }
}

/// Whether a request came over TLS, and cookies of its answer may be `Secure`: the connection is TLS, or a proxy says
/// once in `X-Forwarded-Proto` that its own is. Who claims it falsely gets a cookie that
/// his browser will not send back.
pub fn is_over_tls(own: bool, forwarded_proto: impl IntoIterator<Item = impl AsRef<[u8]>>) -> bool {
    let mut said = forwarded_proto.into_iter();
    let forwarded = said.next().is_some_and(|proto| proto.as_ref().eq_ignore_ascii_case(b"https"));
    own || (forwarded && said.next().is_none())
}

/// Stands for a peer whose address is not known: no rule but "everybody" contains it.
pub const UNKNOWN_PEER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Proxies whose word about a peer's address counts (C§16.3). None by default.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Trusts whoever connects from one of `networks`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    /// Whether `peer` is such a proxy.
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&peer.to_canonical()) || net.contains(&canonical(peer)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a request really comes from, in canonical form: the nearest address in a
    /// trusted proxy's `X-Forwarded-For` that is not itself a trusted proxy.
    ///
    /// The header of any other peer is ignored. A trusted proxy must send exactly one,
    /// because what it leaves as it came is the sender's word; with none, two or an
    /// unreadable one, and where it names no address but proxies, the origin is
    /// [`UNKNOWN_PEER`].
    pub fn origin(&self, peer: IpAddr, forwarded_for: impl IntoIterator<Item = impl AsRef<[u8]>>) -> IpAddr {
        if !self.contains(peer) {
            return canonical(peer);
        }
        let mut values = forwarded_for.into_iter();
        let (Some(value), None) = (values.next(), values.next()) else { return UNKNOWN_PEER };
        self.nearest(value.as_ref()).map_or(UNKNOWN_PEER, canonical)
    }

    /// The last hop of a header that is no trusted proxy; `None` if a hop behind it is unreadable.
    fn nearest(&self, value: &[u8]) -> Option<IpAddr> {
        let hops = std::str::from_utf8(value).ok()?.rsplit(',').map(|hop| hop_address(hop.trim()));
        hops.take_while(Option::is_some).flatten().find(|hop| !self.contains(*hop))
    }
}

/// An address with or without a port, as proxies write it.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No header.
    const NONE: [&str; 0] = [];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_proxy_says_once_that_its_connection_is_tls() {
        assert!(is_over_tls(true, NONE) && is_over_tls(false, ["HTTPS"]));
        assert!(
            !is_over_tls(false, NONE)
                && !is_over_tls(false, ["http"])
                && !is_over_tls(false, ["https", "http"])
        );
    }

    #[test]
    fn a_v6_network_is_one_peer_and_a_v4_address_is_one() {
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_ne!(network(ip("2001:db8:1:3::1")), ip("2001:db8:1:2::"));
        assert_eq!(network(ip("192.0.2.7")), ip("192.0.2.7"));
    }

    #[test]
    fn a_site_is_a_v6_48_and_a_v4_24() {
        assert_eq!(site(ip("2001:db8:1:ffff::1")), ip("2001:db8:1::"));
        assert_ne!(site(ip("2001:db8:2::1")), ip("2001:db8:1::"));
        assert_eq!(site(ip("192.0.2.7")), ip("192.0.2.0"));
        assert_ne!(site(ip("192.0.3.7")), ip("192.0.2.0"));
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(proxies.origin(ip("198.51.100.1"), ["127.0.0.1"]), ip("198.51.100.1"));
        assert_eq!(proxies.origin(ip("::ffff:10.0.0.1"), ["203.0.113.9"]), ip("203.0.113.9"));
        assert_eq!(TrustedProxies::default().origin(ip("::1"), ["8.8.8.8"]), ip("127.0.0.1"));
    }

    #[test]
    fn the_nearest_untrusted_hop_counts_and_what_it_claims_does_not() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let hops = ["127.0.0.1, 203.0.113.9:4711, 10.0.0.2 "];
        assert_eq!(proxies.origin(ip("10.0.0.1"), hops), ip("203.0.113.9"));
        assert_eq!(proxies.origin(ip("10.0.0.1"), ["[2001:db8::1]:443"]), ip("2001:db8::1"));
    }

    #[test]
    fn a_proxy_that_does_not_say_once_where_a_request_comes_from_says_nothing() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let unknown = |values: &[&[u8]]| assert_eq!(proxies.origin(ip("10.0.0.1"), values), UNKNOWN_PEER);
        unknown(&[]);
        unknown(&[b"203.0.113.9", b"203.0.113.9"]);
        unknown(&[b"unknown"]);
        unknown(&[b""]);
        unknown(&[b"203.0.113.9, unknown"]);
        unknown(&[b"203.0.113.9\xff"]);
        unknown(&[b"10.0.0.2"]);
    }
}
