//! A crate uses lower floors only, never its own (ARCHITECTURE.md, "Floors").
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use cargo_metadata::{DependencyKind, MetadataCommand};

const FLOORS: [&[&str]; 5] = [
    &["media"],
    &["contract", "rtmp", "mux", "transcode", "store", "panel"],
    &["audit", "auth", "registry", "settings", "session"],
    &["ingest", "hls", "rest"],
    &["server"],
];

fn floor(name: &str) -> Option<usize> {
    let name = name.strip_prefix("sluice-")?;
    FLOORS.iter().position(|floor| floor.contains(&name))
}

#[test]
fn no_crate_depends_on_its_own_floor_or_a_higher_one() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let mut edges = 0;
    for package in &metadata.packages {
        let Some(own) = floor(&package.name) else { continue };
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            let Some(other) = floor(&dependency.name) else { continue };
            assert!(other < own, "{} (floor {own}) uses {} (floor {other})", package.name, dependency.name);
            edges += 1;
        }
    }
    assert!(edges > 20, "only {edges} edges were seen");
}

#[test]
fn only_one_place_knows_each_foreign_library() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for (library, owners) in [("sled", ["store"]), ("str0m", ["ingest"]), ("totp-rs", ["auth"])] {
        for package in &metadata.packages {
            let uses =
                package.dependencies.iter().any(|d| d.name == library && d.kind == DependencyKind::Normal);
            let owner = package.name.strip_prefix("sluice-").is_some_and(|name| owners.contains(&name));
            assert!(!uses || owner, "{} uses {library}", package.name);
        }
    }
}
