//! Who may call at all (C§5.6, C§16.3).
//!
//! Four attackers are meant here: a stranger on the network; a stranger behind a
//! reverse proxy or another relay on this very machine; and a web page in the browser
//! of a person who may call. The page can reach us by DNS rebinding (it then names
//! itself in `Host`) or directly (its browser then says so in `Origin`).

use std::net::{IpAddr, Ipv4Addr};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONNECTION, HOST, HeaderMap, HeaderName, ORIGIN, UPGRADE};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, rt};
use contract::{AppName, AppSettings, TrustedProxies, UNKNOWN_PEER, canonical, is_over_tls};
use ipnet::IpNet;

use crate::api::Shared;
use crate::dialect::Refused;
use crate::gate::{Area, Author};

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// How the names begin of headers by which a proxy shows that it speaks for another
/// peer: `Via` (RFC 9110 §7.6.3), `Forwarded` (RFC 7239), and what proxies and content
/// networks send instead.
const FORWARDING: [&str; 10] = [
    "via",
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-",
    "x-envoy-",
    "cf-connecting-ip",
    "true-client-ip",
];

/// The HTTP listener that a request came in by: application data of an `App`. Without
/// it a listener is public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Open to strangers.
    Public,
    /// A Unix socket or an address of this machine's own: only what is on this machine,
    /// or in its private network, reaches it.
    Control,
}

/// When the address of a request proves something. Everything that is allowed by address
/// (`remoteAllowedCIDR`, `metrics.networks`, the first account) rests on this.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    /// Proxies whose `X-Forwarded-For` counts.
    pub proxies: TrustedProxies,
    /// Loopback proves nothing: a relay that leaves no trace runs on this machine.
    pub distrust_loopback: bool,
    /// There is a control listener, so on the public one no address proves anything.
    pub control: bool,
    /// The name that this machine has in a `Host` header, beside its addresses.
    pub host: Option<String>,
}

impl AddressRules {
    /// What the address of this request proves.
    pub(crate) fn caller(&self, req: &HttpRequest) -> Caller {
        let listener = req.app_data::<Listener>().copied().unwrap_or(Listener::Public);
        // On a Unix socket there is no address, and only this machine.
        let local = (listener == Listener::Control).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let peer = req.peer_addr().map(|address| address.ip()).or(local);
        let Some(peer) = peer else { return Caller { ip: UNKNOWN_PEER, proven: false } };
        let ip = match listener {
            // A proxy of the public listener is no proxy here.
            Listener::Control => canonical(peer),
            Listener::Public => self.proxies.origin(peer, req.headers().get_all(FORWARDED_FOR)),
        };
        let is_proven = match listener {
            Listener::Control => is_direct(req),
            Listener::Public if self.control => false,
            Listener::Public if !self.proxies.is_empty() => {
                // The loopback that a proxy names is the proxy's own machine.
                self.proxies.contains(peer) && !ip.is_loopback()
            }
            Listener::Public => is_direct(req) && !(ip.is_loopback() && self.distrust_loopback),
        };
        Caller { ip, proven: is_proven && self.is_called_by_its_own_name(req.headers()) }
    }

    /// Whether every name in `Host`, and in what a proxy says that it was, is one that no
    /// foreign DNS server can point at us.
    fn is_called_by_its_own_name(&self, headers: &HeaderMap) -> bool {
        let forwarded = headers.get_all(FORWARDED_HOST).map(|host| host.to_str().unwrap_or_default());
        let mut forwarded = forwarded.flat_map(|hosts| hosts.split(',').map(str::trim));
        only(headers, &HOST).is_some_and(|host| self.is_our_name(host))
            && forwarded.all(|h| self.is_our_name(h))
    }

    fn is_our_name(&self, host: &str) -> bool {
        let host = without_port(host);
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let ours = self.host.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host));
        ours || bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
    }
}

/// Whether a request shows no trace of a proxy. Proxies that are not told otherwise speak
/// HTTP/1.0 upstream or add a header; those that are told to pass WebSockets on often ask
/// for an upgrade to nothing. A relay of TCP leaves no trace.
fn is_direct(req: &HttpRequest) -> bool {
    let headers = req.headers();
    let names = |header: &HeaderName| FORWARDING.iter().any(|start| header.as_str().starts_with(start));
    let asks = headers.get_all(CONNECTION).filter_map(|value| value.to_str().ok());
    let upgrades =
        asks.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    let to_nothing = upgrades && !headers.contains_key(UPGRADE);
    req.version() >= Version::HTTP_11 && !to_nothing && !headers.keys().any(names)
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The address that is written down and that failures are counted by, in canonical
    /// form. It may be that of a relay, so nothing is allowed because of it.
    pub(crate) ip: IpAddr,
    proven: bool,
}

impl Caller {
    /// The address, where it proves something, else [`UNKNOWN_PEER`].
    fn proven(self) -> IpAddr {
        if self.proven { self.ip } else { UNKNOWN_PEER }
    }

    /// Whether the caller is on this machine.
    pub(crate) fn is_local(self) -> bool {
        self.proven().is_loopback()
    }

    /// Whether the caller is in one of these networks. A caller of whom nothing is proven
    /// is in "everybody" (`0.0.0.0/0`) only.
    pub(crate) fn is_within(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|net| net.contains(&self.proven()))
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
    check_origin(req.request(), &shared.options.addresses.proxies)?;
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
    let addresses = &shared.options.addresses;
    let app = req.match_info().get("app").and_then(|app| AppName::parse(app).ok());
    let settings = app.and_then(|app| shared.settings.app(&app)).ok_or(Refused::NotFound)?;
    let author = match Author::logged_in(&shared, req.request()) {
        Some(author) => author,
        None => allowed_address(&settings, addresses.caller(req.request()))?,
    };
    check_origin(req.request(), &addresses.proxies)?;
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
    use super::*;
    use actix_web::test::TestRequest;

    fn ip(text: &str) -> IpAddr {
        canonical(text.parse().unwrap())
    }

    fn rules(proxies: &[&str]) -> AddressRules {
        let proxies = TrustedProxies::new(proxies.iter().map(|net| net.parse().unwrap()).collect());
        AddressRules { proxies, host: Some("media.example".to_owned()), ..AddressRules::default() }
    }

    fn request(peer: &str, headers: &[(&str, &str)]) -> TestRequest {
        let req = TestRequest::default().peer_addr(format!("{peer}:4000").parse().unwrap());
        headers.iter().fold(req, |req, header| req.append_header(*header))
    }

    fn proven(rules: &AddressRules, peer: &str, headers: &[(&str, &str)]) -> IpAddr {
        rules.caller(&request(peer, headers).to_http_request()).proven()
    }

    #[test]
    fn an_address_proves_something_to_a_host_that_no_dns_can_forge() {
        let rules = rules(&[]);
        for peer in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "192.0.2.7"] {
            let proven = |headers: &[(&str, &str)]| proven(&rules, peer, headers);
            let address = ip(peer.trim_matches(['[', ']']));
            for host in [
                "127.0.0.1:5080",
                "localhost",
                "LOCALHOST:5080",
                "[::1]:5080",
                "::1",
                "192.168.1.2",
                "Media.example:1",
            ] {
                assert_eq!(proven(&[("host", host)]), address, "{peer} {host}");
            }
            for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "127.0.0.1@evil"] {
                assert_eq!(proven(&[("host", host)]), UNKNOWN_PEER, "{peer} {host}");
            }
            assert_eq!(proven(&[]), UNKNOWN_PEER);
            assert_eq!(proven(&[("host", "localhost"), ("host", "evil.example")]), UNKNOWN_PEER);
        }
    }

    #[test]
    fn a_proxy_does_not_lend_its_address() {
        let rules = rules(&[]);
        for name in FORWARDING.map(|start| start.to_owned() + if start.ends_with('-') { "url" } else { "" }) {
            for peer in ["127.0.0.1", "192.0.2.7"] {
                let headers = [("host", "127.0.0.1"), (name.as_str(), "127.0.0.1")];
                assert_eq!(proven(&rules, peer, &headers), UNKNOWN_PEER, "{name}");
            }
        }
        let upgrade = [("host", "127.0.0.1"), ("connection", "upgrade")];
        assert_eq!(proven(&rules, "127.0.0.1", &upgrade), UNKNOWN_PEER, "an upgrade to nothing");
        let old = request("127.0.0.1", &[("host", "127.0.0.1")]).version(Version::HTTP_10);
        assert_eq!(rules.caller(&old.to_http_request()).proven(), UNKNOWN_PEER);
    }

    #[test]
    fn with_trusted_proxies_only_what_they_say_once_proves_an_address() {
        let rules = rules(&["127.0.0.1/32"]);
        let proven = |peer, headers: &[(&str, &str)]| {
            proven(&rules, peer, &[&[("host", "127.0.0.1")], headers].concat())
        };
        assert_eq!(proven("127.0.0.1", &[(FORWARDED_FOR, "203.0.113.7")]), ip("203.0.113.7"));
        assert_eq!(proven("127.0.0.1", &[]), UNKNOWN_PEER, "a proxy that sends no header");
        assert_eq!(proven("127.0.0.1", &[(FORWARDED_FOR, "?")]), UNKNOWN_PEER);
        assert_eq!(
            proven("127.0.0.1", &[(FORWARDED_FOR, "127.0.0.2")]),
            UNKNOWN_PEER,
            "the proxy's own machine"
        );
        let twice = [(FORWARDED_FOR, "203.0.113.7"), (FORWARDED_FOR, "203.0.113.7")];
        assert_eq!(proven("127.0.0.1", &twice), UNKNOWN_PEER);
        assert_eq!(proven("203.0.113.1", &[]), UNKNOWN_PEER, "beside the proxy");
        assert_eq!(proven("203.0.113.1", &[(FORWARDED_FOR, "203.0.113.7")]), UNKNOWN_PEER);
        let rebound = [(FORWARDED_FOR, "203.0.113.7"), (FORWARDED_HOST, "evil.example")];
        assert_eq!(proven("127.0.0.1", &rebound), UNKNOWN_PEER);
    }

    #[test]
    fn what_proves_nothing_is_still_counted_by_its_address() {
        let rules = rules(&[]);
        let caller = rules.caller(&request("192.0.2.7", &[("host", "evil.example")]).to_http_request());
        assert_eq!((caller.ip, caller.proven()), (ip("192.0.2.7"), UNKNOWN_PEER));
    }

    #[test]
    fn loopback_is_believed_only_where_no_relay_can_be() {
        let host = [("host", "127.0.0.1")];
        let distrusting = AddressRules { distrust_loopback: true, ..rules(&[]) };
        assert_eq!(proven(&distrusting, "127.0.0.1", &host), UNKNOWN_PEER);
        assert_eq!(proven(&distrusting, "192.0.2.7", &host), ip("192.0.2.7"));
        let guarded = AddressRules { control: true, ..rules(&["127.0.0.1/32"]) };
        for peer in ["127.0.0.1", "192.0.2.7"] {
            assert_eq!(proven(&guarded, peer, &host), UNKNOWN_PEER);
            let private = request(peer, &host).app_data(Listener::Control).to_http_request();
            assert_eq!(guarded.caller(&private).proven(), ip(peer));
        }
        let socket = TestRequest::default().append_header(host[0]).app_data(Listener::Control);
        assert!(guarded.caller(&socket.to_http_request()).is_local(), "a Unix socket");
        let proxied = request("127.0.0.1", &[host[0], ("via", "1.1 x")]).app_data(Listener::Control);
        assert_eq!(guarded.caller(&proxied.to_http_request()).proven(), UNKNOWN_PEER);
        let rebound = request("127.0.0.1", &[("host", "evil.example")]).app_data(Listener::Control);
        assert_eq!(guarded.caller(&rebound.to_http_request()).proven(), UNKNOWN_PEER);
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
