//! What `scripts/fuzz` calls.
#![allow(clippy::missing_panics_doc, reason = "a panic is a finding")]

use std::time::{Duration, Instant};

use super::{BEFORE, FrontDoor, IN_ALL, Pass, ROUTES, look};

/// Datagrams at one peer's door: each is a byte for its port, one for what else is so, two
/// for its length, and its bytes.
pub fn door(bytes: &[u8]) {
    let (mut door, mut now, mut connected) = (FrontDoor::new(), Instant::now(), false);
    let mut rest = bytes;
    while let Some(([port, how, l1, l0], after)) = rest.split_first_chunk() {
        let (datagram, after) = after.split_at(usize::from(u16::from_be_bytes([*l1, *l0])).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(how >> 2) * 100);
        connected |= how & 1 != 0;
        let from = ([192, 0, 2, 1], u16::from(*port) << 2 | u16::from(how & 3)).into();
        let routed = door.routes().contains(&from);
        let Some(kind) = look(datagram) else { continue };
        let known = door.known.len();
        let pass = door.pass(kind, from, routed, connected, now);
        assert_eq!(door.known.len(), known, "an address is kept before its password was seen");
        if pass == Ok(Pass::Unverified) && how & 2 != 0 {
            let _left = door.admit(from, connected, now);
        }
        assert!(door.routes().len() <= ROUTES, "too many routes");
        assert!(door.known.len() <= if connected { IN_ALL } else { BEFORE }, "too many addresses");
    }
}
