//! Who may call at all (C§5.6, C§16.3).
//!
//! Three attackers are meant here: a stranger on the network, a stranger behind a
//! reverse proxy on this very machine, and a web page in the browser of somebody
//! who may call. The page can reach us by DNS rebinding (it then names itself in
//! `Host`) or directly (its browser then says so in `Origin`).

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, rt};
use contract::{AppName, AppSettings, TrustedProxies, UNKNOWN_PEER, is_over_tls};
use ipnet::IpNet;

use crate::api::Shared;
use crate::dialect::Refused;
use crate::gate::{Area, Author};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Headers by which a proxy shows that it speaks for somebody else.
const FORWARDING: [&str; 6] =
    [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, "x-real-ip", "forwarded", "via"];

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its address in canonical form. Loopback only if it is known that the caller
    /// sits at this machine; [`UNKNOWN_PEER`] where that is only claimed.
    pub(crate) ip: IpAddr,
}

impl Caller {
    /// From the connection and what its headers may add.
    pub(crate) fn of(req: &HttpRequest, trusted: &TrustedProxies) -> Self {
        let Some(peer) = req.peer_addr().map(|a| a.ip()) else { return Self { ip: UNKNOWN_PEER } };
        Self::from_parts(peer, req.headers(), trusted)
    }

    fn from_parts(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let ip = trusted.origin(peer, headers.get_all(FORWARDED_FOR));
        let vouched = trusted.contains(peer) || !FORWARDING.iter().any(|name| headers.contains_key(*name));
        let local = vouched && only(headers, &HOST).is_some_and(names_a_machine);
        Self { ip: if ip.is_loopback() && !local { UNKNOWN_PEER } else { ip } }
    }

    /// Whether the caller sits at this machine.
    pub(crate) fn at_the_machine(self) -> bool {
        self.ip.is_loopback()
    }

    pub(crate) fn is_within(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|net| net.contains(&self.ip))
    }
}

/// A header's value, if it is there exactly once and readable.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The host without its port.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    }
}

/// Whether a `Host` is one that no foreign DNS server can point at us.
fn names_a_machine(host: &str) -> bool {
    let host = without_port(host);
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

/// Refuses what a page of another site sends: `Origin`, if there is one, must be
/// the host that was called. Only browsers send it.
fn check_origin(req: &HttpRequest, trusted: &TrustedProxies) -> Result<(), Refused> {
    let headers = req.headers();
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let site = only(headers, &ORIGIN).and_then(|o| o.split_once("://")).map(|(_, site)| site);
    let Some(site) = site else { return Err(Refused::ForeignOrigin) };
    let proxied = req.peer_addr().is_some_and(|peer| trusted.contains(peer.ip()));
    let forwarded = proxied.then(|| only(headers, &HeaderName::from_static(FORWARDED_HOST))).flatten();
    let ours = [only(headers, &HOST), forwarded];
    let same = ours.into_iter().flatten().any(|host| host.eq_ignore_ascii_case(site));
    if same { Ok(()) } else { Err(Refused::ForeignOrigin) }
}

/// Whether it came over TLS.
pub(crate) fn is_secure(req: &HttpRequest) -> bool {
    is_over_tls(req.app_config().secure(), req.headers().get_all(FORWARDED_PROTO))
}

/// In front of the console: every address, but no foreign page.
pub(crate) async fn own_pages_only(
    shared: Data<Shared>,
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    check_origin(req.request(), &shared.options.trusted_proxies)?;
    to_the_end(req, next).await
}

/// In front of every application's API: the application exists, the page is ours,
/// and either somebody is logged in whose role allows this, or the address is
/// allowed.
pub(crate) async fn allowed_only(
    shared: Data<Shared>,
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let trusted = &shared.options.trusted_proxies;
    let app = req.match_info().get("app").and_then(|app| AppName::parse(app).ok());
    let settings = app.and_then(|app| shared.settings.app(&app)).ok_or(Refused::NotFound)?;
    let author = match Author::logged_in(&shared, req.request()) {
        Some(author) => author,
        None => allowed_address(&settings, Caller::of(req.request(), trusted))?,
    };
    check_origin(req.request(), trusted)?;
    author.enter(req.method(), Area::Streams)?;
    req.extensions_mut().insert(author);
    to_the_end(req, next).await
}

/// Calls what was asked for. A change is carried through by a task of its own: who
/// hangs up in the middle of one must not keep it out of the audit log.
async fn to_the_end<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let changes = !matches!(*req.method(), Method::GET | Method::HEAD);
    let answered = next.call(req);
    if changes { rt::spawn(answered).await.map_err(|_| Refused::Unavailable)? } else { answered.await }
}

fn allowed_address(settings: &AppSettings, caller: Caller) -> Result<Author, Refused> {
    match &settings.security.rest_networks {
        Some(networks) if !caller.is_within(networks) => Err(Refused::Address),
        _ => Ok(Author { account: None, from: caller.ip }),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use contract::canonical;

    use super::*;

    fn caller(peer: &str, headers: &[(&str, &str)], trusted: &[&str]) -> IpAddr {
        let trusted = TrustedProxies::new(trusted.iter().map(|n| n.parse().unwrap()).collect());
        let peer = format!("{peer}:4000").parse().unwrap();
        let mut req = TestRequest::default().peer_addr(peer);
        for &(name, value) in headers {
            req = req.append_header((name, value));
        }
        Caller::of(&req.to_http_request(), &trusted).ip
    }

    fn ip(text: &str) -> IpAddr {
        canonical(text.parse().unwrap())
    }

    #[test]
    fn somebody_at_the_machine_is_known_by_a_host_that_no_dns_can_forge() {
        for host in ["127.0.0.1:5080", "localhost", "LOCALHOST:5080", "[::1]:5080", "::1", "192.168.1.2"] {
            assert_eq!(caller("127.0.0.1", &[("host", host)], &[]), ip("127.0.0.1"), "{host}");
        }
        assert_eq!(caller("[::1]", &[("host", "localhost")], &[]), ip("127.0.0.1"));
        assert_eq!(caller("[::ffff:127.0.0.1]", &[("host", "localhost")], &[]), ip("127.0.0.1"));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "127.0.0.1@evil"] {
            assert_eq!(caller("127.0.0.1", &[("host", host)], &[]), UNKNOWN_PEER, "{host}");
        }
        assert_eq!(caller("127.0.0.1", &[], &[]), UNKNOWN_PEER);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(caller("127.0.0.1", &twice, &[]), UNKNOWN_PEER);
    }

    #[test]
    fn a_proxy_at_the_machine_does_not_lend_its_place() {
        for name in FORWARDING {
            let headers = [("host", "127.0.0.1"), (name, "127.0.0.1")];
            assert_eq!(caller("127.0.0.1", &headers, &[]), UNKNOWN_PEER, "{name}");
        }
        let headers = [("host", "127.0.0.1"), (FORWARDED_FOR, "203.0.113.7")];
        assert_eq!(caller("127.0.0.1", &headers, &["127.0.0.1/32"]), ip("203.0.113.7"));
        assert_eq!(caller("203.0.113.1", &headers, &["127.0.0.1/32"]), ip("203.0.113.1"));
        let unreadable = [("host", "127.0.0.1"), (FORWARDED_FOR, "?")];
        assert_eq!(caller("127.0.0.1", &unreadable, &["127.0.0.1/32"]), UNKNOWN_PEER);
    }

    #[test]
    fn the_port_is_cut_off_and_nothing_else() {
        for (authority, host) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b", "a:b"),
            ("::1", "::1"),
        ] {
            assert_eq!(without_port(authority), host);
        }
    }
}
