//! What the Debian package, the unit and the image say of the tree, of each other and of the
//! binary is so. The package is built and installed by the tests of the guides
//! (tests/tests/e2e/tour.rs); the image takes too long for each run, and its compose file says how.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use toml::{Table, Value};

const IMAGE: &str = "config/docker/Dockerfile";
const COMPOSE: &str = "config/docker/compose.yaml";
const UNIT: &str = "config/sluice.service";
const INSTALLED: &str = "config/installed.toml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn table(file: &str) -> Table {
    text(file).parse().unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What follows a word at the beginning of a line, for each such line.
fn after(file: &str, word: &str) -> Vec<String> {
    let lines = text(file);
    let rests = lines.lines().filter_map(|line| line.trim().strip_prefix(word));
    let found: Vec<_> = rests.map(|rest| rest.trim().to_owned()).collect();
    assert!(!found.is_empty(), "{file} has no {word}");
    found
}

fn deb() -> Table {
    let manifest = table("crates/server/Cargo.toml");
    manifest["package"]["metadata"]["deb"].as_table().unwrap().clone()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// A file, or a folder with something in it where the path ends in stars.
fn is_there(path: &Path) -> bool {
    let fixed: PathBuf = path.iter().take_while(|part| !part.to_string_lossy().contains('*')).collect();
    if fixed == path {
        path.exists()
    } else {
        std::fs::read_dir(fixed).is_ok_and(|mut all| all.next().is_some())
    }
}

#[test]
fn the_debian_package_takes_only_what_is_there() {
    let (deb, here) = (deb(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let assets: Vec<_> = deb["assets"].as_array().unwrap().iter().map(strings).collect();
    for asset in &assets {
        let built = asset[0] == "target/release/sluice";
        assert!(built || is_there(&here.join(asset[0])), "{}", asset[0]);
    }
    for file in strings(&deb["conf-files"]) {
        assert!(assets.iter().any(|asset| format!("/{}", asset[1]) == file), "{file} is not put there");
    }
    let units = &deb["systemd-units"];
    let unit = format!("{}.service", units["unit-name"].as_str().unwrap());
    assert!(here.join(units["unit-scripts"].as_str().unwrap()).join(unit).exists());
    for script in ["postinst", "postrm"] {
        let path = here.join(deb["maintainer-scripts"].as_str().unwrap()).join(script);
        assert!(Command::new("sh").arg("-n").arg(&path).status().unwrap().success(), "{script}");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.lines().any(|line| line == "#DEBHELPER#"), "{script} leaves the unit alone");
    }
}

#[test]
fn the_image_copies_only_what_is_there_and_left_in() {
    let kept_out = text(".dockerignore");
    for line in after(IMAGE, "COPY ").iter().filter(|line| !line.starts_with("--from=")) {
        let (source, _) = line.rsplit_once(' ').unwrap();
        assert!(root().join(source).exists(), "{source}");
        let folder = source.split('/').next().unwrap();
        assert!(!kept_out.lines().any(|out| out == folder), "{source} is in .dockerignore");
    }
    let built = after(COMPOSE, "dockerfile:");
    assert_eq!(built, [IMAGE], "and the context is the checkout");
    assert_eq!(
        root().join("config/docker").join(&after(COMPOSE, "context:")[0]).canonicalize().unwrap(),
        root().canonicalize().unwrap()
    );
}

/// Every port of the default configuration, as the image names it.
fn ports() -> BTreeSet<String> {
    let config = table("config/sluice.toml");
    let listens = [
        ("http", "listen"),
        ("https", "listen"),
        ("rtmp", "listen"),
        ("rtmp", "tls_listen"),
        ("webrtc", "listen"),
    ];
    let port = |(section, key): (&str, &str)| {
        let address = config[section][key].as_str().unwrap();
        let (_, port) = address.rsplit_once(':').unwrap();
        format!("{port}/{}", if section == "webrtc" { "udp" } else { "tcp" })
    };
    listens.into_iter().map(port).collect()
}

#[test]
fn the_image_and_the_compose_file_open_every_port() {
    let exposed = after(IMAGE, "EXPOSE ").join(" ");
    assert_eq!(exposed.split(' ').map(str::to_owned).collect::<BTreeSet<_>>(), ports());
    let lines = text(COMPOSE);
    let published = lines.lines().filter_map(|line| {
        let (outside, inside) = line.trim().strip_prefix("- \"")?.strip_suffix('"')?.split_once(':')?;
        let inside = if inside.contains('/') { inside.to_owned() } else { format!("{inside}/tcp") };
        assert_eq!(Some(outside), inside.split('/').next());
        Some(inside)
    });
    assert_eq!(published.collect::<BTreeSet<_>>(), ports());
}

#[test]
fn everybody_means_the_same_folder_of_data() {
    let config = table(INSTALLED);
    let path = config["store"]["path"].as_str().unwrap();
    assert_eq!(after(UNIT, "StateDirectory="), [path.strip_prefix("/var/lib/").unwrap()]);
    assert_eq!(after(UNIT, "WorkingDirectory="), [path]);
    assert_eq!(after(IMAGE, "VOLUME "), [path]);
    assert_eq!(after(COMPOSE, "- data:"), [path]);
    for script in ["config/debian/postinst", "config/debian/postrm"] {
        assert!(text(script).contains(&format!(" {path}\n")), "{script}");
    }
    for assets in deb()["assets"].as_array().unwrap().iter().map(strings) {
        assert!(assets[1] != "etc/sluice/sluice.toml" || assets[0].ends_with(INSTALLED));
    }
    assert_eq!(after(IMAGE, "COPY config/"), ["installed.toml /etc/sluice/sluice.toml"]);
}

#[test]
fn nobody_is_cut_off_before_the_drain_has_ended() {
    let drain = table("config/sluice.toml")["drain_seconds"].as_integer().unwrap();
    let unit: i64 = after(UNIT, "TimeoutStopSec=")[0].parse().unwrap();
    let compose: i64 = after(COMPOSE, "stop_grace_period:")[0].trim_end_matches('s').parse().unwrap();
    assert!(unit > drain && compose > drain, "{unit} {compose} {drain}");
}

/// Whether the binary takes these words and variables; it starts nothing.
fn would_start(words: &[&str], variables: &[(String, String)]) {
    let data = tempfile::tempdir().unwrap();
    let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let here = root().join(INSTALLED);
    let here = here.to_str().unwrap();
    sluice.args(words.iter().map(|word| if *word == "/etc/sluice/sluice.toml" { here } else { word }));
    sluice.envs(variables.iter().map(|(name, value)| (name, value))).env("SLUICE__STORE__PATH", data.path());
    let output = sluice.arg("--check-config").output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_unit_says_what_the_binary_knows() {
    let lines = [after(UNIT, "ExecStart="), after(UNIT, "ExecReload=")].concat();
    let ours: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("/usr/bin/sluice ")).collect();
    assert_eq!(ours.len(), 2, "{lines:?}");
    // A small Debian has no /bin/kill.
    assert!(lines.iter().all(|line| line.starts_with("/usr/bin/sluice ") || line.starts_with("/bin/sh ")));
    for line in ours {
        would_start(&line.split(' ').filter(|word| *word != "check").collect::<Vec<_>>(), &[]);
    }
}

#[test]
fn systemd_is_told_what_the_unit_lets_it_wait_for() {
    assert_eq!(after(UNIT, "Type="), ["notify"]);
    // Processes that decode are ended by the server, which drains first.
    assert_eq!(after(UNIT, "KillMode="), ["mixed"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // For a test that fails; it is not waited for otherwise.
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut datagram = [0; 64];
        let length = socket.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    };
    let mut sluice = Command::new(env!("CARGO_BIN_EXE_sluice"));
    sluice.arg("--config").arg(root().join("config/sluice.toml")).env("NOTIFY_SOCKET", &path);
    for listen in ["HTTP__LISTEN", "RTMP__LISTEN", "WEBRTC__LISTEN"] {
        sluice.env(format!("SLUICE__{listen}"), "127.0.0.1:0");
    }
    sluice.env("SLUICE__STORE__PATH", folder.path().join("data")).stdout(Stdio::null());
    let mut server = Running(sluice.spawn().unwrap());
    assert_eq!(told(), "READY=1");
    assert!(server.0.try_wait().unwrap().is_none(), "it has ended already");
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    assert_eq!(told(), "STOPPING=1");
    assert!(server.0.wait().unwrap().success());
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn the_image_and_the_compose_file_say_what_the_binary_knows() {
    let entry: Value =
        format!("entry = {}", after(IMAGE, "ENTRYPOINT ")[0]).parse::<Table>().unwrap()["entry"].clone();
    let words = strings(&entry);
    assert_eq!(words[0], "sluice");
    let lines = text(COMPOSE);
    let variables: Vec<_> = lines
        .lines()
        .filter_map(|line| {
            let (name, value) = line.trim().trim_start_matches("# ").split_once(": ")?;
            let value = value.trim_matches('"').replace("${SLUICE_ADDRESS:-", "").replace('}', "");
            name.starts_with("SLUICE__").then(|| (name.to_owned(), value))
        })
        .collect();
    assert!(!variables.is_empty());
    would_start(&words[1..], &variables);
}
