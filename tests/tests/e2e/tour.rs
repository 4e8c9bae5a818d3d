//! The README's tour does what it says.

use sluice_tests::machine;
use sluice_tests::server::Server;
use sluice_tests::tour;

#[test]
fn every_command_of_the_tour_works() {
    let _machine = machine::whole();
    let server = Server::start().unwrap();
    tour::run("README.md", &server).unwrap();
    server.stop().unwrap();
}
