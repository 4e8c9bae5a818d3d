//! What the documents tell the reader to run does what they say.

use sluice_tests::machine;
use sluice_tests::server::Server;
use sluice_tests::tour;

fn follow(document: &str) {
    let server = Server::start().unwrap();
    let said = tour::run(document, &server).unwrap();
    // A refusal of the API is a 200 too.
    assert!(!said.contains("\"success\":false"), "{document}: {said}");
    server.stop().unwrap();
}

#[test]
fn every_command_of_the_tour_works() {
    let _machine = machine::whole();
    follow("README.md");
}

#[test]
fn every_command_of_the_guides_works() {
    let _machine = machine::whole();
    let guides = std::fs::read_dir(machine::root().join("docs")).unwrap().map(|guide| guide.unwrap().path());
    let marked = guides
        .filter(|guide| std::fs::read_to_string(guide).is_ok_and(|text| !tour::blocks(&text).is_empty()));
    let marked: Vec<_> = marked.collect();
    assert!(marked.len() >= 4, "{marked:?}");
    for guide in marked {
        follow(guide.to_str().unwrap());
    }
}
