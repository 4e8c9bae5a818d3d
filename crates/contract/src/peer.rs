//! Addresses of peers.

use std::net::IpAddr;

/// The one form of an address: a v4-mapped v6 address is v4, and `::1` is the
/// v4 loopback (C§16.3), so that one rule covers one peer.
pub fn canonical(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    if ip.is_loopback() { IpAddr::from([127, 0, 0, 1]) } else { ip }
}
