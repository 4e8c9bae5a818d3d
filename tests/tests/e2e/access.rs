//! What a request is allowed because of where it comes from: nothing that a relay on this
//! machine, which leaves no trace, would lend to strangers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::json;
use sluice_tests::http::{self, Answer};
use sluice_tests::machine;
use sluice_tests::server::{Home, Server};
use sluice_tests::wait::eventually;

const COUNT: &str = "/live/rest/v2/broadcasts/count";
const FIRST: &str = "/rest/v2/users/initial";
const REFUSED: &str = "sluice_http_connections_refused_total ";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn start(adjust: impl FnOnce(&mut Command)) -> Server {
    Server::try_start(&Home::new().unwrap(), adjust).unwrap()
}

/// Asks as a program on this machine does, or as a stranger behind a relay of TCP on it: the
/// server cannot tell one from the other.
fn ask(host: SocketAddr, path: &str) -> u16 {
    http::get(host, path).unwrap().status
}

fn make_first_account(server: &Server, token: Option<&str>) -> Answer {
    let account = json!({"email": "a@example.org", "password": "hunter2hunter2", "setupToken": token});
    http::ask(server.http, "POST", FIRST, &[JSON], account.to_string().as_bytes()).unwrap()
}

#[test]
fn the_first_account_takes_the_token_on_this_machine_too() {
    let server = start(|_| ());
    assert_eq!(make_first_account(&server, None).status, 403);
    assert_eq!(make_first_account(&server, Some("WRONG")).status, 403);
    let token = server.setup_token().expect("the server prints a set-up token");
    let answer = make_first_account(&server, Some(&token));
    assert_eq!((answer.status, answer.json().unwrap()["success"].as_bool()), (200, Some(true)));
    server.stop().unwrap();

    let open = start(|command| {
        command.env("SLUICE__HTTP__SETUP_FROM_LOOPBACK", "true");
    });
    assert_eq!(make_first_account(&open, None).status, 200);
    open.stop().unwrap();
}

#[test]
fn without_local_trust_this_machine_is_a_stranger() {
    let server = start(|_| ());
    assert_eq!([COUNT, "/metrics"].map(|path| ask(server.http, path)), [200, 200]);
    server.stop().unwrap();
    let server = start(|command| {
        command.env("SLUICE__HTTP__LOCAL_TRUST", "false");
    });
    assert_eq!([COUNT, "/metrics"].map(|path| ask(server.http, path)), [403, 403]);
    server.stop().unwrap();
}

#[test]
fn beside_a_control_listener_no_address_is_worth_anything() {
    let control = SocketAddr::from(([127, 0, 0, 1], machine::free_tcp_port().unwrap()));
    let server = start(|command| {
        command.env("SLUICE__CONTROL__LISTEN", control.to_string());
    });
    for path in [COUNT, "/metrics"] {
        assert_eq!([server.http, control].map(|host| ask(host, path)), [403, 200], "{path}");
    }
    assert_eq!(ask(control, "/live/streams/x.m3u8"), 404, "media is for the public port");
    server.rest().login().unwrap();
    server.stop().unwrap();
}

#[test]
fn the_control_listener_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let on_socket = |command: &mut Command| {
        command.env("SLUICE__CONTROL__LISTEN", &path);
    };
    let server = start(on_socket);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .write_all(format!("GET {COUNT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"number":0}"#), "{answer}");
    assert_eq!(ask(server.http, COUNT), 403);
    // The socket of a server that was killed is no obstacle.
    server.kill().unwrap();
    start(on_socket).stop().unwrap();
}

/// Idle connections, and not WebSockets: those have a bound of their own.
#[test]
fn strangers_that_take_all_places_do_not_keep_the_operator_out() {
    let control = SocketAddr::from(([127, 0, 0, 1], machine::free_tcp_port().unwrap()));
    let most = 64;
    let server = start(|command| {
        command.env("SLUICE__CONTROL__LISTEN", control.to_string());
        command.env("SLUICE__HTTP__MAX_CONNECTIONS", most.to_string());
    });
    let idle: Vec<_> = (0..2 * most).map(|_| TcpStream::connect(server.http).unwrap()).collect();
    let refused = eventually("connections to be refused", || {
        assert_eq!([COUNT, "/health"].map(|path| ask(control, path)), [200; 2]);
        let metrics = http::get(control, "/metrics").unwrap().text();
        let refused = metrics.lines().find_map(|line| line.strip_prefix(REFUSED))?;
        refused.trim().parse::<usize>().ok().filter(|refused| *refused > 0)
    });
    assert!(refused.unwrap() <= 2 * most);
    drop(idle);
    eventually("a place", || http::get(server.http, "/health").ok()).unwrap();
    server.stop().unwrap();
}
