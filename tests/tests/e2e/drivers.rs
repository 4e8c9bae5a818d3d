//! The drivers against each other: what cannot fail here cannot fail a test of the server.

use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{Player, Sound};
use sluice_tests::machine;

#[test]
fn the_clip_is_read_frame_by_frame() {
    let _machine = machine::whole();
    let clip = clips().unwrap().bframes.to_str().unwrap().to_owned();
    let player = Player::start(&clip, Sound::Decode).unwrap();
    let seen = player.plays(300, Sound::Decode).unwrap();
    assert_eq!(seen.jumps(), 0);
    assert_eq!(seen.numbers().count(), seen.pictures.len());
}
