//! No credential reaches the log, even at its most verbose level: every door is tried with
//! right ones, wrong ones and broken ones, and then the log is looked through.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg;
use sluice_tests::http;
use sluice_tests::machine;
use sluice_tests::peer::Peer;
use sluice_tests::rest::{Rest, broadcasts};
use sluice_tests::rtmp_client::RtmpClient;
use sluice_tests::server::{Home, SETUP_TOKEN, Server};
use sluice_tests::wait::eventually;
use sluice_tests::websocket::WebSocket;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const SDP: (&str, &str) = ("Content-Type", "application/sdp");
/// Where the banner shows the set-up token on purpose (C§16.3a).
const SHOWN: [&str; 2] = [SETUP_TOKEN, "  Web panel"];
const STREAM: &str = "cam";
/// Twenty bytes in base32 that no other test uses.
const B32: &str = "NNSWK4DUN5SWK4DUN5SWK4DUN5SWK4DU";
/// Wrong codes of the right form; nobody else in the log says these digits.
const WRONG: [&str; 2] = ["907153", "648207"];

/// A server that logs all that it can, and the secrets that it was told.
struct Scene {
    server: Server,
    secrets: Vec<String>,
    cookie: String,
}

impl Scene {
    fn set() -> Result<Self> {
        let server = Server::try_start(&Home::new()?, |command| {
            command.env("SLUICE__LOG__LEVEL", "trace");
        })?;
        let secrets = WRONG.iter().map(|code| (*code).to_owned()).collect();
        Ok(Self { server, secrets, cookie: String::new() })
    }

    /// A secret that says where it leaked from.
    fn secret(&mut self, door: &str) -> String {
        let secret = format!("hush-{door}-{}", self.secrets.len());
        self.secrets.push(secret.clone());
        secret
    }

    fn host(&self) -> SocketAddr {
        self.server.http
    }

    fn rest(&self) -> Rest {
        self.server.rest()
    }

    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Result<http::Answer> {
        let cookie = ("Cookie", self.cookie.as_str());
        http::ask(self.host(), "POST", path, &[headers, &[cookie]].concat(), body.as_bytes())
    }

    /// The subscriber's code of now, which is a secret from now on.
    fn code(&mut self, subscriber: &str, role: &str) -> Result<String> {
        let code = self.rest().code(STREAM, subscriber, role)?;
        self.secrets.push(code.clone());
        Ok(code)
    }

    /// First user, login, and the cookie; wrong and broken ones before.
    fn console(&mut self) -> Result<()> {
        let token = self.server.setup_token();
        let token = token.context("the banner shows a set-up token")?;
        self.secrets.push(token.clone());
        let (password, wrong) = (self.secret("password"), self.secret("wrong-password"));
        let bad_token = self.secret("setup-token");
        let user = |password: &str| json!({"email": "a@example.org", "password": password, "firstName": "A", "lastName": "B"});
        let first = "/rest/v2/users/initial";
        for header in [bad_token.as_str(), "", &token] {
            let elsewhere = [JSON, ("X-Setup-Token", header), ("X-Forwarded-For", "203.0.113.7")];
            self.post(first, &elsewhere, &user(&password).to_string())?;
        }
        let login = "/rest/v2/users/authenticate";
        let broken = self.secret("broken-login");
        for body in [format!(r#"{{"email":"a@example.org","password":"{broken}"#), user(&wrong).to_string()] {
            self.post(login, &[JSON], &body)?;
        }
        self.post(login, &[JSON], &json!({"email": "a", "password": [broken]}).to_string())?;
        let answer = self.post(login, &[JSON], &user(&password).to_string())?;
        self.cookie = answer.cookies();
        let (_, value) = self.cookie.split_once('=').context("a login is a cookie")?;
        self.secrets.push(value.to_owned());
        Ok(())
    }

    /// Settings: good, of the wrong type, broken, contradictory, of nobody.
    fn settings(&mut self) -> Result<()> {
        let path = "/rest/v2/applications/settings/live";
        let (publish, play) = (self.secret("publish"), self.secret("play"));
        let on = json!({
            "enableTimeTokenForPublish": true, "enableTimeTokenForPlay": true,
            "timeTokenSecretForPublish": publish, "timeTokenSecretForPlay": play, "timeTokenPeriod": 600,
            "writeSubscriberEventsToDatastore": true,
        });
        let answer = self.post(path, &[JSON], &on.to_string())?;
        ensure!(answer.json()?["success"] == true, "settings: {}", answer.text());
        let bad = self.secret("bad-settings");
        let bodies = [
            format!(r#"{{"timeTokenSecretForPublish":"{bad}""#),
            json!({"timeTokenSecretForPublish": [bad]}).to_string(),
            json!({"timeTokenPeriod": bad}).to_string(),
            json!({"timeTokenSecretForPlay": bad, "hlsTime": "x", "tokenHashSecret": bad}).to_string(),
        ];
        for body in &bodies {
            self.post(path, &[JSON], body)?;
            self.post(path, &[("Content-Type", "text/plain")], body)?;
            http::ask(self.host(), "POST", path, &[JSON, ("Cookie", "sluice_login=x")], body.as_bytes())?;
        }
        Ok(())
    }

    /// Subscribers: good, with a secret that is none, of the wrong type, broken.
    fn subscribers(&mut self) -> Result<()> {
        self.secrets.push(B32.to_owned());
        let path = broadcasts(&format!("{STREAM}/subscribers"));
        for (subscriber, role) in [("alice", "publish"), ("bobby", "play")] {
            let body = json!({"subscriberId": subscriber, "b32Secret": B32, "type": role, "concurrentConnectionsLimit": -1});
            let answer = self.post(&path, &[JSON], &body.to_string())?;
            ensure!(answer.json()?["success"] == true, "subscriber: {}", answer.text());
        }
        let bad = self.secret("bad-b32");
        let bodies = [
            json!({"subscriberId": "carol", "b32Secret": bad}).to_string(),
            json!({"subscriberId": "carol", "b32Secret": {"a": bad}}).to_string(),
            json!({"subscriberId": "carol", "b32Secret": B32, "type": 5}).to_string(),
            format!(r#"{{"subscriberId":"carol","b32Secret":"{bad}""#),
            format!(r#"{{"subscriberId":"carol","b32Secret":"{B32}",}}"#),
        ];
        bodies.iter().try_for_each(|body| self.post(&path, &[JSON], body).map(drop))
    }

    /// RTMP in both URL forms, wrong and right, published and played.
    fn rtmp(&mut self) -> Result<()> {
        let token = self.secret("rtmp-token");
        let wrong = [
            format!("{STREAM}?subscriberId=alice&subscriberCode={}&token={token}", WRONG[0]),
            format!("{STREAM}/{token}/alice/{}", WRONG[1]),
            format!("{STREAM}?token={token}&subscriberCode={token}"),
        ];
        for tail in &wrong {
            let mut refused = ffmpeg::publish(&clips()?.plain, &self.server.rtmp_url(tail))?;
            refused.wait()?;
            let player = RtmpClient::play(self.server.rtmp, tail)?;
            eventually("the player to be refused", || player.is_closed().then_some(()))?;
        }
        let code = self.code("alice", "publish")?;
        for tail in [
            format!("{STREAM}?subscriberId=alice&subscriberCode={code}"),
            format!("{STREAM}/{token}/alice/{code}"),
        ] {
            let _publisher = ffmpeg::publish(&clips()?.plain, &self.server.rtmp_url(&tail))?;
            self.rest().wait_live(STREAM)?;
            let query = format!("subscriberId=bobby&subscriberCode={}", self.code("bobby", "play")?);
            RtmpClient::play(self.server.rtmp, &format!("{STREAM}?{query}"))?.more(10_000)?;
            self.playback(&query)?;
            // The next publisher takes over.
        }
        Ok(())
    }

    /// HLS, WHEP and the WebSocket, while somebody publishes.
    fn playback(&mut self, right: &str) -> Result<()> {
        self.hls(right)?;
        let mut player = Peer::play(&self.server.http_url(&format!("whep/{STREAM}?{right}")))?;
        player.connected()?;
        player.stop()?;
        self.webrtc_refused("whep", "bobby")?;
        self.websocket("play", "bobby", right)
    }

    fn hls(&mut self, right: &str) -> Result<()> {
        let token = self.secret("hls-token");
        let path = |query: &str| format!("/live/streams/{STREAM}.m3u8?{query}");
        for wrong in [
            format!("subscriberId=bobby&subscriberCode={}", WRONG[0]),
            format!("token={token}&subscriberCode={token}"),
            format!("grant={token}"),
        ] {
            ensure!(http::get(self.host(), &path(&wrong))?.status == 403, "let in with {wrong}");
        }
        let master = http::get(self.host(), &path(right))?;
        ensure!(master.status == 200, "HLS: {} {}", master.status, master.text());
        let text = master.text();
        let grant = text.split("grant=").nth(1).and_then(|rest| rest.lines().next());
        let grant = grant.with_context(|| format!("a grant in {text}"))?.to_owned();
        http::get(self.host(), &path(&format!("grant={grant}")))?;
        let cookie = master.cookies();
        http::ask(self.host(), "GET", &path(""), &[("Cookie", &cookie)], b"")?;
        self.secrets.push(grant);
        Ok(())
    }

    /// Wrong credentials in the query, in the bearer token, and in what is no description.
    fn webrtc_refused(&mut self, door: &str, subscriber: &str) -> Result<()> {
        let bearer = self.secret("bearer");
        let query = format!("subscriberId={subscriber}&subscriberCode={}&token={bearer}", WRONG[1]);
        let offer = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-pwd:{bearer}\r\n");
        for path in [format!("/live/{door}/{STREAM}"), format!("/live/{door}/{STREAM}?{query}")] {
            for authorization in
                [format!("Bearer {bearer}"), format!("Bearer {subscriber}:{}", WRONG[0]), bearer.clone()]
            {
                for body in [offer.as_str(), bearer.as_str()] {
                    let answer = self.post(&path, &[SDP, ("Authorization", &authorization)], body)?;
                    ensure!((400..500).contains(&answer.status), "{path}: {}", answer.status);
                }
            }
        }
        Ok(())
    }

    /// Messages with right credentials, with wrong ones in each of their fields, and broken.
    fn websocket(&mut self, command: &str, subscriber: &str, right: &str) -> Result<()> {
        let token = self.secret("websocket");
        let code = right.rsplit('=').next().unwrap_or_default();
        let message = |code: &str| json!({"command": command, "streamId": STREAM, "subscriberId": subscriber, "subscriberCode": code, "token": token, "video": true, "audio": true});
        let positional = json!({"command": command, "streamId": STREAM, "token": token, "room": subscriber, "trackList": WRONG[0]});
        let broken = format!(r#"{{"command":"{command}","streamId":"{STREAM}","subscriberCode":"{token}""#);
        let sdp = json!({"command": "takeConfiguration", "streamId": STREAM, "type": "offer", "sdp": format!("a=ice-pwd:{token}")});
        let candidate = json!({"command": "takeCandidate", "streamId": STREAM, "label": 0, "id": "0", "candidate": token});
        let messages = [
            message(WRONG[0]).to_string(),
            message(&token).to_string(),
            positional.to_string(),
            broken,
            token.clone(),
            message(code).to_string(),
            sdp.to_string(),
            candidate.to_string(),
        ];
        for text in messages {
            let mut socket = WebSocket::connect(self.host(), "/live/websocket")?;
            socket.send(&text)?;
            socket.send(r#"{"command":"ping"}"#)?;
            let pong = |text: Option<String>| text.is_none_or(|text| text.contains("pong"));
            while !pong(socket.receive()?) {}
        }
        Ok(())
    }

    /// WHIP and the WebSocket, wrong and right.
    fn publish(&mut self) -> Result<()> {
        self.rest().wait_not_live(STREAM)?;
        self.webrtc_refused("whip", "alice")?;
        let right = format!("subscriberId=alice&subscriberCode={}", self.code("alice", "publish")?);
        self.websocket("publish", "alice", &right)?;
        self.ice(&right)?;
        let mut publisher = Peer::publish(&self.server.http_url(&format!("whip/{STREAM}?{right}")))?;
        publisher.connected()?;
        self.rest().wait_live(STREAM)?;
        publisher.stop()?;
        Ok(())
    }

    /// The passwords that ICE agreed on, on both sides.
    fn ice(&mut self, right: &str) -> Result<()> {
        let password = format!("{}-and-long-enough", self.secret("ice"));
        let answer = self.post(&format!("/live/whip/{STREAM}?{right}"), &[SDP], &offer(&password))?;
        let text = answer.text();
        ensure!(answer.status == 201, "WHIP: {} {text}", answer.status);
        let ours = text.lines().find_map(|line| line.strip_prefix("a=ice-pwd:"));
        self.secrets.push(ours.with_context(|| format!("a password in {text}"))?.trim().to_owned());
        Ok(())
    }

    /// Ends the server and fails at the first line that has a secret in it.
    fn check(mut self) -> Result<()> {
        self.server.process.signal(rustix::process::Signal::TERM);
        self.server.process.wait()?;
        let lines = self.server.process.log.lines();
        ensure!(lines.iter().any(|line| line.contains("TRACE")), "the log is not at its most verbose");
        for line in lines.iter().filter(|line| !SHOWN.iter().any(|start| line.starts_with(start))) {
            let leaked = self.secrets.iter().find(|secret| shows(line, secret));
            ensure!(leaked.is_none(), "{leaked:?} is in the log: {line}");
        }
        Ok(())
    }
}

/// What a client that sends sound offers.
fn offer(password: &str) -> String {
    let fingerprint = ["01"; 32].join(":");
    let lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        &format!("a=ice-pwd:{password}"),
        &format!("a=fingerprint:sha-256 {fingerprint}"),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendonly",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
    ];
    lines.map(|line| format!("{line}\r\n")).concat()
}

/// Whether a line shows a secret. Six digits may be part of a larger number or of the time
/// that the line begins with, and are no code then.
fn shows(line: &str, secret: &str) -> bool {
    if !secret.bytes().all(|b| b.is_ascii_digit()) {
        return line.contains(secret);
    }
    let said = line.split_once("Z ").map_or(line, |(_, said)| said);
    said.split(|c: char| !c.is_ascii_digit()).any(|number| number == secret)
}

#[test]
fn no_credential_reaches_the_most_verbose_log() {
    let _machine = machine::whole();
    let mut scene = Scene::set().unwrap();
    scene.console().unwrap();
    scene.settings().unwrap();
    scene.subscribers().unwrap();
    scene.rtmp().unwrap();
    scene.publish().unwrap();
    scene.check().unwrap();
}

#[test]
fn a_code_is_found_in_a_line_and_a_number_is_no_code() {
    let line = "2026-11-24T14:00:00.123456Z TRACE http: uri=/x?code=654321 length=1234567";
    assert!(shows(line, "654321"));
    assert!(!shows(line, "123456") && !shows(line, "234567"));
}
