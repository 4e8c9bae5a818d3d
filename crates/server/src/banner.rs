//! What the operator reads when the server is ready.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use contract::{AppName, Secret};

use crate::config::Listen;

/// Where everything listens.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    /// `None` without a certificate, as is the next.
    pub(crate) https: Option<SocketAddr>,
    pub(crate) control: Listen,
    pub(crate) rtmp: SocketAddr,
    pub(crate) rtmps: Option<SocketAddr>,
    pub(crate) webrtc: SocketAddr,
}

/// The panel and the pages that play and publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    BuiltIn,
    /// Their addresses answer with how to build them, and nothing else.
    Missing,
}

impl Pages {
    /// Of this program.
    pub(crate) fn ours() -> Self {
        if panel::asset("index.html").is_some() { Self::BuiltIn } else { Self::Missing }
    }
}

/// A server that is ready.
pub(crate) struct Ready<'a> {
    pub(crate) addresses: Addresses,
    pub(crate) app: &'a AppName,
    pub(crate) pages: Pages,
    /// Present while there is no account.
    pub(crate) setup_token: Option<Secret<String>>,
}

impl Ready<'_> {
    /// The addresses, one line to paste into OBS, and the set-up token, which is
    /// shown here and nowhere else.
    pub(crate) fn text(&self) -> String {
        let (http, rtmp, app) = (reachable(self.addresses.http), reachable(self.addresses.rtmp), self.app);
        format!(
            "\nSluice {version} is ready.\n\n\
             {panel}\
             \x20 OBS                 Settings > Stream > Custom:  Server rtmp://{rtmp}/{app}  Stream key stream1\n\
             \x20 RTMP                rtmp://{rtmp}/{app}/stream1\n\
             {pages}\
             \x20 HLS                 http://{http}/{app}/streams/stream1.m3u8\n\
             \x20 WHIP, WHEP          http://{http}/{app}/whip/stream1   http://{http}/{app}/whep/stream1\n\
             \x20 SDK WebSocket       ws://{http}/{app}/websocket\n\
             {control}\
             {tls}\
             \x20 WebRTC media        UDP {webrtc}\n{token}",
            version = env!("CARGO_PKG_VERSION"),
            panel = self.panel(),
            pages = self.pages(),
            control = self.control(),
            tls = self.tls(),
            webrtc = self.addresses.webrtc,
            token = self.token(),
        )
    }

    /// While there is no account, the panel's address makes the first one: what follows the
    /// `#` stays in the browser.
    fn panel(&self) -> String {
        let token = self.setup_token.as_ref().map(|token| format!("#/setup/{}", token.reveal()));
        let there = match self.pages {
            Pages::BuiltIn => {
                format!("http://{}/{}", reachable(self.addresses.http), token.unwrap_or_default())
            }
            Pages::Missing => "not in this program: scripts/run builds it, and starts the server".to_owned(),
        };
        line("Web panel", there)
    }

    fn pages(&self) -> String {
        let (http, app) = (reachable(self.addresses.http), self.app);
        let page = |name, file| line(name, format!("http://{http}/{app}/{file}?id=stream1"));
        match self.pages {
            Pages::BuiltIn => {
                page("Watch in a browser", "play.html") + &page("Publish from one", "publish.html")
            }
            Pages::Missing => String::new(),
        }
    }

    fn control(&self) -> String {
        let path = format!("/{}/rest/v2/broadcasts", self.app);
        let there = match &self.addresses.control {
            Listen::Off => format!("http://{}{path}", reachable(self.addresses.http)),
            Listen::Tcp(address) => format!("http://{}{path}", reachable(*address)),
            Listen::Unix(socket) => format!("{}, http://localhost{path}", socket.display()),
        };
        line("Control API", there)
    }

    /// The same again over TLS, in two lines.
    fn tls(&self) -> String {
        let app = self.app;
        let first = match self.pages {
            Pages::BuiltIn => "publish.html?id=stream1",
            Pages::Missing => "streams/stream1.m3u8",
        };
        let https = self.addresses.https.map(reachable);
        let https = https
            .map(|at| line("HTTPS and WSS", format!("https://{at}/{app}/{first}   and all of the above")));
        let rtmps = self.addresses.rtmps.map(reachable);
        let rtmps = rtmps.map(|at| line("RTMPS", format!("rtmps://{at}/{app}/stream1")));
        https.into_iter().chain(rtmps).collect()
    }

    fn token(&self) -> String {
        self.setup_token.as_ref().map_or_else(String::new, |token| {
            format!(
                "\n  Set-up token        {}\n                      for the first account; the panel's address above \
                 has it already\n",
                token.reveal()
            )
        })
    }
}

fn line(name: &str, text: String) -> String {
    format!("  {name:<20}{text}\n")
}

/// An address that works when pasted: "everywhere" is reached at loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_be_pasted_and_the_token_is_shown_while_there_is_no_account() {
        let app = AppName::parse("live").unwrap();
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let addresses = Addresses {
            http: any(5080),
            https: None,
            control: Listen::Off,
            rtmp: any(1935),
            rtmps: None,
            webrtc: any(5000),
        };
        let setup_token = Some(Secret::new("t0ken".to_owned()));
        let mut ready = Ready { addresses, app: &app, pages: Pages::BuiltIn, setup_token };
        let text = ready.text();
        assert!(text.contains("http://127.0.0.1:5080/#/setup/t0ken\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:5080/live/rest/v2/broadcasts\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:5080/live/streams/stream1.m3u8"), "{text}");
        assert!(text.contains("rtmp://127.0.0.1:1935/live/stream1") && text.contains("t0ken"), "{text}");
        assert!(!text.contains("https"), "{text}");
        ready.setup_token = None;
        (ready.addresses.https, ready.addresses.rtmps) = (Some(any(5443)), Some(any(1936)));
        let text = ready.text();
        assert!(text.contains("https://127.0.0.1:5443/live/"), "{text}");
        assert!(text.contains("rtmps://127.0.0.1:1936/live/stream1\n"), "{text}");
        assert!(text.contains("/publish.html") && text.contains("/play.html"), "{text}");
        assert!(!text.contains("token") && text.contains("http://127.0.0.1:5080/\n"), "{text}");
        ready.addresses.control = Listen::Tcp(([127, 0, 0, 1], 5081).into());
        assert!(ready.text().contains("http://127.0.0.1:5081/live/rest/v2/broadcasts\n"));
        ready.addresses.control = Listen::Unix("/run/sluice/api.sock".into());
        assert!(ready.text().contains("/run/sluice/api.sock, http://localhost/live/rest/v2/broadcasts\n"));
        ready.pages = Pages::Missing;
        let text = ready.text();
        assert!(text.contains("Web panel           not in this program: scripts/run "), "{text}");
        assert!(!text.contains(".html") && text.contains("https://127.0.0.1:5443/live/"), "{text}");
    }
}
