//! What the documents tell the reader to run does what they say.

use std::path::PathBuf;

use sluice_tests::machine;
use sluice_tests::server::Server;
use sluice_tests::throwaway;
use sluice_tests::tls::Identity;
use sluice_tests::tour::{self, Block, Kind, Tour};

const STREAM: &str = "kept";

/// Every guide as `docs/…`, in the order of their names.
fn guides() -> Vec<(String, String)> {
    let files = std::fs::read_dir(machine::root().join("docs")).unwrap().map(|guide| guide.unwrap().path());
    let guides = files.filter(|file| file.extension().is_some_and(|end| end == "md"));
    let mut guides: Vec<_> =
        guides.map(|file| (file.display().to_string(), std::fs::read_to_string(file).unwrap())).collect();
    guides.sort();
    guides
}

fn blocks() -> Vec<Block> {
    guides().iter().flat_map(|(_, text)| tour::blocks(text)).collect()
}

fn follow(tour: &Tour) {
    let server = Server::start().unwrap();
    let said = tour.beside(&server).unwrap();
    // A refusal of the API is a 200 too.
    assert!(!said.contains("\"success\":false"), "{said}");
    let home = server.stop().unwrap();
    if tour.has(Kind::Stopped) {
        tour.after(&home).unwrap();
    }
}

#[test]
fn every_command_of_the_tour_works() {
    let _machine = machine::whole();
    follow(&Tour::of("README.md").unwrap());
}

#[test]
fn every_command_of_the_guides_works() {
    let _machine = machine::whole();
    let tours: Vec<_> = guides().iter().map(|(guide, _)| Tour::of(guide).unwrap()).collect();
    let (there, none): (Vec<_>, Vec<_>) = tours.iter().partition(|tour| tour.has(Kind::Running));
    assert!(there.len() >= 5, "only {} guides have commands", there.len());
    assert!(none.iter().all(|tour| !tour.has(Kind::Background) && !tour.has(Kind::Stopped)));
    for tour in there {
        follow(tour);
    }
}

#[test]
fn the_guides_show_no_command_that_is_not_run() {
    let run = blocks();
    for (guide, text) in guides() {
        let not_run = tour::not_run(&text, &run);
        assert!(not_run.is_empty(), "{guide}: {not_run:#?}");
    }
}

#[test]
fn what_the_guide_restores_is_what_it_backed_up() {
    let _machine = machine::whole();
    let tour = Tour::of("docs/operations.md").unwrap();
    let server = Server::start().unwrap();
    server.rest().add(STREAM, "before", "play").unwrap();
    tour.beside(&server).unwrap();
    server.rest().add(STREAM, "after", "play").unwrap();
    let home = server.stop().unwrap();
    tour.after(&home).unwrap();
    let server = Server::start_on(home).unwrap();
    let subscribers = server.rest().subscribers(STREAM).unwrap();
    let names: Vec<_> = subscribers.iter().map(|one| &one["subscriberId"]).collect();
    assert_eq!(names, ["before"]);
    server.rest().code(STREAM, "before", "play").expect("the secret opens");
    server.stop().unwrap();
}

/// What must be so after the block with a command, and what is prepared for the next one.
const AFTERWARDS: [(&str, &str); 7] = [
    (
        "apt install",
        "test \"$(stat -c '%U %a' /var/lib/sluice)\" = 'sluice 700'; test -z \"$(pgrep -x sluice)\"",
    ),
    (
        "systemctl enable",
        "curl -sf --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:5080/health
         test -e /etc/systemd/system/multi-user.target.wants/sluice.service
         test \"$(stat -c %U /proc/\"$(pgrep -x sluice)\")\" = sluice",
    ),
    // Somebody is there, so that there is no first login any more.
    (
        "sluice user add",
        "curl -sf http://127.0.0.1:5080/rest/v2/first-login-status | grep '\"success\":false'",
    ),
    (
        "systemctl restart",
        "curl -sf --retry 60 --retry-delay 1 --retry-all-errors --cacert /fullchain.pem https://localhost:5443/health
         test \"$(stat -c '%U %G %a' /etc/sluice/privkey.pem)\" = 'root sluice 640'
         mv renewed.pem fullchain.pem; mv renewed-key.pem privkey.pem",
    ),
    (
        "systemctl reload",
        "curl -sf --retry 60 --retry-delay 1 --retry-all-errors --cacert /fullchain.pem https://localhost:5443/health",
    ),
    (
        "apt remove",
        "test -z \"$(pgrep -x sluice)\"; test ! -e /usr/bin/sluice; ls /etc/sluice/sluice.toml /var/lib/sluice/secrets.key",
    ),
    ("apt purge", "test ! -e /etc/sluice/sluice.toml; test ! -e /var/lib/sluice; id sluice"),
];

/// Writes a certificate and its key.
fn certificate(chain: &str, key: &str) -> String {
    let identity = Identity::new().unwrap();
    let files = [(chain, identity.certificate()), (key, identity.key())];
    let write = |(name, file)| {
        format!("cat >/{name} <<'END'\n{}END\n", std::fs::read_to_string::<PathBuf>(file).unwrap())
    };
    files.map(write).concat()
}

#[test]
fn what_the_guides_install_runs_and_can_be_removed() {
    let _machine = machine::whole();
    let mut script =
        certificate("fullchain.pem", "privkey.pem") + &certificate("renewed.pem", "renewed-key.pem");
    let mut left = AFTERWARDS.to_vec();
    for block in blocks().into_iter().filter(|block| block.kind == Kind::Root) {
        script += &block.text;
        left.retain(|(command, check)| {
            let here = block.text.contains(command);
            script += &if here { format!("{check}\n") } else { String::new() };
            !here
        });
    }
    assert!(left.is_empty(), "no guide has {left:?}");
    throwaway::run(&script).unwrap();
}
