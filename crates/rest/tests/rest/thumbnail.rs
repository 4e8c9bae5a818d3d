//! Thumbnails. The pictures themselves are transcode's affair.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use contract::Protocol;
use contract::accounts::Role;
use contract::registry::{KeyframesOnly, Live};
use media::{BusWriter, Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack};

use crate::world::{Reply, World};

const PATH: &str = "/rest/v2/panel/streams/LiveApp/cam/thumbnail";

/// A track of one colour, and a key frame of it.
fn picture(colour: &str) -> (VideoTrack, Frame) {
    let args = format!(
        "-nostdin -v error -f lavfi -i color=c={colour}:size=640x360 -frames:v 1 -pix_fmt yuv420p \
         -c:v libx264 -f flv -flvflags no_duration_filesize pipe:1"
    );
    let flv = Command::new("ffmpeg").args(args.split_whitespace()).output().unwrap().stdout;
    let (mut config, mut data, mut rest) = (None, None, &flv[13..]);
    while rest.len() > 11 {
        let length = rest[1..4].iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
        let body = &rest[11..11 + length];
        match (rest[0], body.get(1)) {
            (9, Some(0)) => config = Some(body[5..].to_vec()),
            (9, Some(1)) => data = Some(body[5..].to_vec()),
            _ => {}
        }
        rest = &rest[11 + length + 4..];
    }
    let codec = VideoCodec::H264;
    let track =
        VideoTrack { codec, config: config.unwrap().into(), width: 640, height: 360, reordered: true };
    let at = MediaTime::from_millis(0);
    let frame =
        Frame { track: TrackKind::Video, pts: at, dts: at, keyframe: true, data: data.unwrap().into() };
    (track, frame)
}

/// A live stream, and its publisher's pen.
fn live(generation: u64, tracks: Tracks) -> (BusWriter, Arc<Live>) {
    let writer = media::bus(tracks);
    let live = Live {
        generation,
        protocol: Protocol::Rtmp,
        frames: writer.ring(),
        packets: None,
        keyframes_only: KeyframesOnly::default(),
    };
    (writer, Arc::new(live))
}

fn live_of(generation: u64, colour: &str) -> (BusWriter, Arc<Live>) {
    let (track, frame) = picture(colour);
    let (mut writer, live) = live(generation, Tracks { video: Some(track), audio: None });
    writer.push(frame);
    (writer, live)
}

async fn get(world: &World, cookie: &str) -> Reply {
    world.remote(TestRequest::get(), PATH, cookie).await
}

#[actix_web::test]
async fn a_live_stream_has_a_picture_that_is_kept_for_a_moment() {
    let world = World::new();
    let cookie = world.log_in(Role::ReadOnly).await;
    let (mut writer, live) = live_of(1, "red");
    world.script().get_live = Some(live);
    let first = get(&world, &cookie).await;
    assert_eq!((first.status, first.header("content-type")), (StatusCode::OK, "image/jpeg"));
    assert_eq!(first.header("cache-control"), "no-store");
    let (track, blue) = picture("blue");
    writer.set_tracks(Tracks { video: Some(track), audio: None });
    writer.push(blue);
    assert_eq!(get(&world, &cookie).await.text, first.text, "still the one that was made");
    world.clock.advance(Duration::from_secs(5));
    assert_ne!(get(&world, &cookie).await.text, first.text);
}

#[actix_web::test]
async fn a_silenced_stream_has_none_at_once_and_the_next_publish_its_own() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let (_writer, live) = live_of(1, "red");
    world.script().get_live = Some(live.clone());
    let red = get(&world, &cookie).await;
    assert_eq!(red.status, StatusCode::OK);
    // The registry may have answered just before.
    live.frames.silence();
    assert_eq!(get(&world, &cookie).await.status, StatusCode::NOT_FOUND);
    world.script().get_live = None;
    assert_eq!(get(&world, &cookie).await.status, StatusCode::NOT_FOUND);
    let (_writer, live) = live_of(2, "blue");
    world.script().get_live = Some(live);
    let blue = get(&world, &cookie).await;
    assert_eq!(blue.status, StatusCode::OK);
    assert_ne!(blue.text, red.text);
}

#[actix_web::test]
async fn sound_alone_no_key_frame_yet_and_nonsense_have_none() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let sound = Tracks { video: None, audio: crate::panel::tracks().audio };
    let (track, frame) = picture("red");
    let (_sound, only_sound) = live(1, sound);
    let (_early, too_early) = live(2, Tracks { video: Some(track.clone()), audio: None });
    let (mut nonsense, broken) = live(3, Tracks { video: Some(track), audio: None });
    nonsense.push(Frame { data: vec![0xFF; 100].into(), ..frame });
    for live in [only_sound, too_early, broken] {
        world.script().get_live = Some(live);
        assert_eq!(get(&world, &cookie).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(get(&world, "").await.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn who_ask_at_once_get_the_same_picture() {
    let world = World::new();
    let cookie = world.log_in(Role::Admin).await;
    let (_writer, live) = live_of(1, "red");
    world.script().get_live = Some(live);
    let replies = futures_util::future::join_all((0..20).map(|_| get(&world, &cookie))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK && reply.text == replies[0].text));
}
