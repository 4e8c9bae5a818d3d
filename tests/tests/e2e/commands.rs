//! The operator's commands, beside a running server and without one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sluice_tests::http;
use sluice_tests::machine;
use sluice_tests::rest::{EMAIL, Rest, broadcasts};
use sluice_tests::server::{self, Home, Server};
use sluice_tests::tls::Identity;
use sluice_tests::wait::eventually;

const STREAM: &str = "saved";
const ALICE: &str = "alice";
const SECOND: &str = "second@example.org";

/// Runs the server's binary on a home; gives how it ended and what it said.
fn sluice(home: &Home, words: &[&str], input: &str) -> Result<Output> {
    let mut command = Command::new(server::binary()?);
    command.current_dir(machine::root()).args(words).env("SLUICE__STORE__PATH", home.data());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn good(home: &Home, words: &[&str], input: &str) -> String {
    let output = sluice(home, words, input).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn refused(home: &Home, words: &[&str], why: &str) {
    let output = sluice(home, words, "").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(why), "{words:?}: {said}");
}

fn logs_in(rest: &Rest, email: &str, password: &str) -> bool {
    let user = json!({"email": email, "password": password});
    let answer = rest.call("POST", "/rest/v2/users/authenticate", Some(&user)).unwrap();
    answer.json().unwrap()["success"] == true
}

#[test]
fn accounts_are_made_and_mended_while_the_server_runs_and_while_it_does_not() {
    let server = Server::start().unwrap();
    let (home, rest) = (server.home.clone(), server.rest());
    good(&home, &["user", "add", SECOND], "first password\n");
    assert!(logs_in(&rest, SECOND, "first password"));
    refused(&home, &["user", "add", SECOND, "--generate"], "the account exists");
    refused(&home, &["user", "reset", "nobody@example.org", "--generate"], "no such account");
    refused(&home, &["user", "reset", SECOND], "no password");
    let said = good(&home, &["user", "reset", SECOND, "--generate"], "");
    let password = said.lines().find_map(|line| line.strip_prefix("Password: ")).unwrap();
    assert!(logs_in(&rest, SECOND, password) && !logs_in(&rest, SECOND, "first password"));
    server.check_log(&[password, "first password"]).unwrap();
    let home = server.stop().unwrap();

    good(&home, &["user", "reset", SECOND], "last password\n");
    let server = Server::start_on(home).unwrap();
    let rest = server.rest();
    rest.login_as(SECOND, "last password").unwrap();
    let log = rest.must("GET", "/rest/v2/panel/audit?search=by+command&size=9", None).unwrap();
    let told: Vec<_> = log["entries"].as_array().unwrap().iter().map(|e| e["what"].clone()).collect();
    assert_eq!(told, ["change_account", "change_account", "add_account"], "newest first");
    server.stop().unwrap();
}

#[test]
fn a_login_ends_with_its_account_and_with_its_server_whoever_has_the_name_then() {
    let server = Server::start().unwrap();
    let rest = server.rest();
    rest.login().unwrap();
    let user = json!({"email": SECOND, "password": "their own", "userType": "ADMIN"});
    let add = || rest.succeed("POST", "/rest/v2/users", Some(&user)).unwrap();
    let log_in =
        || server.rest().succeed("POST", "/rest/v2/users/authenticate", Some(&user)).unwrap().cookies();
    let is_known = |server: &Server, cookie: &str| {
        let asked = http::ask(server.http, "GET", "/rest/v2/panel/me", &[("Cookie", cookie)], b"");
        asked.unwrap().status == 200
    };
    add();
    let first = log_in();
    assert!(is_known(&server, &first));
    rest.succeed("DELETE", &format!("/rest/v2/users/{SECOND}"), None).unwrap();
    add();
    assert!(!is_known(&server, &first));
    let second = log_in();
    assert!(is_known(&server, &second));
    let server = Server::start_on(server.stop().unwrap()).unwrap();
    assert!(!is_known(&server, &second));
    server.stop().unwrap();
}

#[test]
fn another_password_ends_all_logins_but_the_one_that_set_it() {
    let server = Server::start().unwrap();
    let (here, elsewhere) = (server.rest(), server.rest());
    here.login().unwrap();
    elsewhere.login().unwrap();
    let changed = json!({"email": EMAIL, "newPassword": "another one", "userType": "ADMIN"});
    here.succeed("PUT", "/rest/v2/users", Some(&changed)).unwrap();
    here.settings().unwrap();
    assert!(elsewhere.settings().is_err());
    assert!(logs_in(&elsewhere, EMAIL, "another one"));
    server.stop().unwrap();
}

#[test]
fn only_the_servers_own_user_may_open_its_socket() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start().unwrap();
    let socket = std::fs::metadata(server.home.data().join("control.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    // What a dead server left is in nobody's way.
    let home = server.kill().unwrap();
    Server::start_on(home).unwrap().stop().unwrap();
}

#[test]
fn a_backup_of_a_running_server_brings_everything_back_on_another() {
    let server = Server::start().unwrap();
    let rest = server.rest();
    rest.require_codes().unwrap();
    rest.add(STREAM, ALICE, "play").unwrap();
    rest.block(STREAM, ALICE, 3600, "play").unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (bare, whole) = (path("bare"), path("whole"));
    good(&server.home, &["backup", &bare], "");
    good(&server.home, &["backup", "--with-key", &whole], "");
    assert!(!holds(&bare, sluice_tests::rest::SUBSCRIBER_SECRET), "a secret is readable");
    // What comes later is not in it.
    rest.add(STREAM, "later", "play").unwrap();
    refused(&server.home, &["restore", "--force", &whole], "another server uses this data folder");
    let old = server.stop().unwrap();
    refused(&old, &["restore", &whole], "--force");

    let new = Home::new().unwrap();
    good(&new, &["restore", &whole], "");
    check(Server::start_on(new).unwrap());
    let new = Home::new().unwrap();
    assert!(good(&new, &["restore", &bare], "").contains("secrets.key"));
    std::fs::copy(old.data().join("secrets.key"), new.data().join("secrets.key")).unwrap();
    check(Server::start_on(new).unwrap());
    good(&old, &["restore", "--force", &bare], "");
    check(Server::start_on(old.clone()).unwrap());
    good(&old, &["backup", &bare], "");
    refused(&old, &["backup", &path("missing/bare")], "missing/bare: no folder ");

    let mut cut = std::fs::read(&whole).unwrap();
    cut.pop();
    std::fs::write(&whole, cut).unwrap();
    refused(&Home::new().unwrap(), &["restore", &whole], "damaged or incomplete");
    refused(&Home::new().unwrap(), &["restore", "README.md"], "not a backup");
    refused(&Home::new().unwrap(), &["backup", &bare], "holds no data");
}

/// Backups that are made while guests come.
const BACKUPS: usize = 3;

/// Says, also when a test fails, that it is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_backup_while_somebody_writes_is_one_moment_of_it() {
    let server = Server::start().unwrap();
    let files = tempfile::tempdir().unwrap();
    let (there, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let backups: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let rest = server.rest();
            for n in (0..).take_while(|_| !over.load(Ordering::SeqCst)) {
                rest.add(STREAM, &guest(n), "play").unwrap();
                rest.block(STREAM, &guest(n), 3600, "play").unwrap();
                there.store(n + 1, Ordering::SeqCst);
            }
        });
        let _over = Over(&over);
        let backup = |n: usize| {
            let earlier = there.load(Ordering::SeqCst);
            eventually("another guest", || (there.load(Ordering::SeqCst) > earlier).then_some(())).unwrap();
            let before = there.load(Ordering::SeqCst);
            let file = files.path().join(n.to_string()).to_str().unwrap().to_owned();
            good(&server.home, &["backup", "--with-key", &file], "");
            // One more may be there whose block was not answered.
            (file, before..=there.load(Ordering::SeqCst) + 1)
        };
        (0..BACKUPS).map(backup).collect()
    });
    server.stop().unwrap();
    for (file, range) in &backups {
        let home = Home::new().unwrap();
        good(&home, &["restore", file], "");
        let server = Server::start_on(home).unwrap();
        let guests = guests(&server.rest());
        assert!(range.contains(&guests.len()), "{} of {range:?}", guests.len());
        for (n, one) in guests.iter().enumerate() {
            assert_eq!(one["subscriberId"], guest(n), "somebody is missing");
            let blocked = one["blockedType"] == "play";
            assert!(blocked || n + 1 == guests.len(), "{one} came before the last and is not blocked");
        }
        server.stop().unwrap();
    }
}

fn guest(n: usize) -> String {
    format!("guest{n:04}")
}

/// All of them, in the order of their names.
fn guests(rest: &Rest) -> Vec<Value> {
    let page = |at: usize| {
        let path = broadcasts(&format!("{STREAM}/subscribers/list/{at}/50"));
        rest.must("GET", &path, None).unwrap().as_array().unwrap().clone()
    };
    (0..).step_by(50).map(page).take_while(|page| !page.is_empty()).flatten().collect()
}

/// The server knows who was there when the backup was made, and nobody else.
fn check(server: Server) {
    let rest = server.rest();
    rest.login().unwrap();
    let subscribers = rest.subscribers(STREAM).unwrap();
    assert_eq!(subscribers.len(), 1, "{subscribers:?}");
    assert_eq!(subscribers[0]["blockedType"], "play");
    rest.code(STREAM, ALICE, "play").expect("her secret opens");
    server.stop().unwrap();
}

fn holds(file: &str, word: &str) -> bool {
    std::fs::read(file).unwrap().windows(word.len()).any(|window| window == word.as_bytes())
}

#[test]
fn a_check_finds_what_a_start_would_stumble_over() {
    let home = Home::new().unwrap();
    assert!(good(&home, &["--check-config"], "").contains("would start"));
    assert!(!home.data().exists(), "a check leaves nothing behind");
    let check = |text: &str, why: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        refused(&home, &["--config", path, "check"], &format!("{path}:{why}"));
    };
    check("[rtmp]\nlisten = '192.0.2.1:1935'", "2: rtmp.listen: not an address of this machine");
    check("[tls]\ncertificate = '/nowhere'\nkey = '/nowhere'", "2: tls.certificate: cannot read");
    check("[http]\nlisten = '0.0.0.0:1935'", " rtmp.listen: ");
    check("[http]\nport = 1", "2: http.port: unknown field");
    std::fs::write(home.data(), "a file").unwrap();
    refused(&home, &["check"], "is no directory");
}

#[test]
fn the_doctor_knows_a_running_server_from_a_port_that_somebody_took() {
    let server = Server::start().unwrap();
    let doctor = |http: &str| {
        let mut command = Command::new(server::binary().unwrap());
        command.current_dir(machine::root()).arg("doctor").env("SLUICE__STORE__PATH", server.home.data());
        command.env("SLUICE__HTTP__LISTEN", http).env("SLUICE__RTMP__LISTEN", server.rtmp.to_string());
        command.env("SLUICE__WEBRTC__LISTEN", server.webrtc.to_string());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (well, said) = doctor(&server.http.to_string());
    assert!(well && said.contains("in use, by a Sluice that answers"), "{said}");
    for what in ["addresses", "clock", "disk", "descriptors", "UDP", "certificate", "panel"] {
        assert!(said.lines().any(|line| line.contains(what)), "{what} is missing: {said}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (well, said) = doctor(&taken.local_addr().unwrap().to_string());
    assert!(!well && said.contains("BAD"), "{said}");
    assert!(Path::new(&server.home.data()).exists());
    server.stop().unwrap();
}

/// Runs the doctor on a configuration that is good but for `settings`, under limits that a
/// shell sets; gives whether all is well, and what it said.
fn doctor(home: &Home, limits: &str, settings: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} exec \"$0\" doctor")]).arg(server::binary().unwrap());
    command.current_dir(machine::root()).env("SLUICE__STORE__PATH", home.data());
    for listen in ["HTTP__LISTEN", "HTTPS__LISTEN", "RTMP__LISTEN", "RTMP__TLS_LISTEN", "WEBRTC__LISTEN"] {
        command.env(format!("SLUICE__{listen}"), "127.0.0.1:0");
    }
    let output = command.envs(settings.iter().copied()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_doctor_says_what_is_wrong_with_a_machine_and_whether_it_is_bad() {
    let home = Home::new().unwrap();
    let (well, said) = doctor(&home, "", &[]);
    assert!(well && !said.contains("BAD"), "{said}");
    let finds = |limits: &str, settings: &[(&str, &str)], word: &str, what: &str, why: &str| {
        let (well, said) = doctor(&home, limits, settings);
        let told = |line: &str| line.starts_with(&format!("{word:<8} {what} ")) && line.contains(why);
        assert!(said.lines().any(told), "{word} {what} {why}: {said}");
        assert_eq!(well, word != "BAD", "{said}");
    };

    let (ours, other, old) = (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
    old.expire().unwrap();
    let path = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let tls = |certificate: &str, key: &str, word: &str, what: &str, why: &str| {
        finds("", &[("SLUICE__TLS__CERTIFICATE", certificate), ("SLUICE__TLS__KEY", key)], word, what, why);
    };
    tls(&path(ours.certificate()), &path(ours.key()), "ok", "certificate", "valid for");
    tls("/nowhere", &path(ours.key()), "BAD", "configuration", "tls.certificate: cannot read");
    tls(&path(ours.certificate()), &path(other.key()), "BAD", "configuration", "tls.");
    tls(&path(old.certificate()), &path(old.key()), "BAD", "certificate", "has expired");

    let announced = "SLUICE__WEBRTC__ANNOUNCED";
    finds("", &[(announced, "['10.1.2.3']")], "warning", "addresses", "webrtc.announced");
    finds("", &[(announced, "['8.8.8.8']")], "ok", "addresses", "8.8.8.8");

    // Root may write where others may not, so both folders are such that nobody can.
    finds("", &[("SLUICE__STORE__PATH", "/proc/sluice")], "BAD", "disk", "/proc");
    let file = path(ours.certificate());
    finds("", &[("SLUICE__STORE__PATH", &file)], "BAD", "configuration", "is no directory");
    // As on a full disk: files are made, and not a byte goes into them.
    finds("trap '' XFSZ; ulimit -f 0;", &[], "BAD", "disk", "File too large");
    finds("ulimit -n 300;", &[], "warning", "descriptors", "300");
}
