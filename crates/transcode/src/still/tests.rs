use super::*;
use crate::testing::{Clip, Dice, ffmpeg};

/// A still picture of one colour by a matrix, which the stream names if `said`.
fn clip(colour: &str, size: &str, matrix: &str, said: &str) -> Clip {
    Clip::make(&format!(
        "-f lavfi -i color=c={colour}:size={size}:rate=25 -frames:v 10 -vf scale=out_color_matrix={matrix} \
         -pix_fmt yuv420p {said} -c:v libx264 -bf 3 -g 10"
    ))
}

/// Matrices as streams have them: by the size, and against what the size suggests.
const CASES: [(&str, (usize, usize), &str, &str); 4] = [
    ("1280x720", (320, 180), "bt709", ""),
    ("200x100", (200, 100), "bt601", ""),
    ("1280x720", (320, 180), "bt601", "-colorspace bt470bg"),
    ("200x100", (200, 100), "bt709", "-colorspace bt709"),
];

fn keyframe(clip: &Clip) -> &Frame {
    clip.frames.iter().find(|frame| frame.keyframe).unwrap()
}

/// Red, green and blue of each pixel, as ffmpeg reads the JPEG.
fn pixels(jpeg: &[u8]) -> Vec<u8> {
    let file = tempfile::Builder::new().suffix(".jpg").tempfile().unwrap();
    std::fs::write(file.path(), jpeg).unwrap();
    ffmpeg(&format!("-i {} -f rawvideo -pix_fmt rgb24 pipe:1", file.path().display()))
}

#[test]
fn a_key_frame_becomes_a_small_jpeg_of_its_colours() {
    for (colour, expected) in [("red", [255, 0, 0]), ("blue", [0, 0, 255]), ("white", [255; 3])] {
        for (size, small, matrix, said) in CASES {
            let clip = clip(colour, size, matrix, said);
            let jpeg = make(clip.tracks.video.as_ref().unwrap(), keyframe(&clip), 320).unwrap();
            let pixels = pixels(&jpeg);
            assert_eq!(pixels.len(), small.0 * small.1 * 3, "{colour} {size}");
            for (at, (got, wanted)) in pixels[..3].iter().zip(expected).enumerate() {
                assert!(got.abs_diff(wanted) < 8, "{colour} {size} {matrix} {said}: {at} is {got}");
            }
        }
    }
}

#[test]
fn what_is_no_key_frame_or_damaged_is_refused_and_harms_nobody() {
    let clip = Clip::moving("320x240", 12, 12);
    let track = clip.tracks.video.as_ref().unwrap();
    let other = clip.frames.iter().find(|frame| !frame.keyframe).unwrap();
    assert_eq!(make(track, other, 320), Err(StillError::Unsupported(VideoUnsupported::Tools)));
    let mut dice = Dice(7);
    let whole = keyframe(&clip);
    for _ in 0..60 {
        // Whatever comes of it, it is an answer.
        let frame = Frame { data: dice.mutate(&whole.data), ..whole.clone() };
        let track = VideoTrack { config: dice.mutate(&track.config), ..track.clone() };
        let _ = make(&track, &frame, 320);
    }
    let large = Clip::make(
        "-f lavfi -i color=size=4096x2304 -frames:v 1 -pix_fmt yuv420p -c:v libx264 -preset ultrafast",
    );
    let refused = make(large.tracks.video.as_ref().unwrap(), keyframe(&large), 320);
    assert!(matches!(refused, Err(StillError::Unsupported(VideoUnsupported::Size { .. }))), "{refused:?}");
}

#[test]
fn a_key_frame_past_its_level_is_refused_with_the_reason() {
    let clip = clip("red", "200x100", "bt601", "");
    let track = clip.tracks.video.as_ref().unwrap();
    let mut config = track.config.to_vec();
    config[8 + 3] = 99;
    let track = VideoTrack { config: config.into(), ..track.clone() };
    let refused = StillError::Unsupported(VideoUnsupported::Limits(crate::Refusal::Level(99)));
    assert_eq!(make(&track, keyframe(&clip), 320), Err(refused));
}
