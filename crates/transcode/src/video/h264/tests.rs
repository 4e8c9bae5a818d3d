use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::sps::Colour;
use super::*;
use crate::testing::{Clip, Dice, ffmpeg};

const SIZE: (usize, usize) = (322, 182);

fn clip() -> Clip {
    Clip::moving("322x182", 60, 30)
}

fn track(clip: &Clip) -> &VideoTrack {
    clip.tracks.video.as_ref().unwrap()
}

fn transcoder(clip: &Clip) -> VideoTranscoder {
    VideoTranscoder::new(track(clip), VideoSettings::default()).unwrap()
}

fn transcode(clip: &Clip) -> (VideoTranscoder, Vec<Frame>) {
    let mut transcoder = transcoder(clip);
    let mut out: Vec<_> = clip.frames.iter().flat_map(|frame| transcoder.push(frame, Effort::Full)).collect();
    out.extend(transcoder.flush());
    (transcoder, out)
}

fn annex_b<'a>(track: &VideoTrack, frames: impl IntoIterator<Item = &'a Frame>) -> Vec<u8> {
    let mut stream = ParameterSets::parse(&track.config).unwrap().annex_b();
    frames.into_iter().for_each(|frame| stream.extend(avcc::slices(&frame.data).unwrap().annex_b));
    stream
}

/// Planes as ffmpeg decodes them, in display order.
fn ffmpeg_pictures(stream: &[u8]) -> Vec<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), stream).unwrap();
    let path = file.path().display();
    let raw = ffmpeg(&format!("-f h264 -i {path} -vsync passthrough -f rawvideo -pix_fmt yuv420p pipe:1"));
    raw.chunks(SIZE.0 * SIZE.1 * 3 / 2).map(<[u8]>::to_vec).collect()
}

fn source_pictures(clip: &Clip) -> Vec<Vec<u8>> {
    ffmpeg_pictures(&annex_b(track(clip), clip.frames.iter().map(|frame| &**frame)))
}

fn difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64
}

#[test]
fn the_decoder_gives_the_pixels_that_ffmpeg_gives() {
    let clip = clip();
    let sets = ParameterSets::parse(&track(&clip).config).unwrap();
    let sps = Sps::parse(&sets.sps[0]).unwrap();
    let (mut pictures, mut reorder) = (Pictures::new(&sets).unwrap(), Reorder::new(sps.reorder));
    let mut shown = Vec::new();
    for frame in &clip.frames {
        let slices = avcc::slices(&frame.data).unwrap();
        let picture = pictures.decode(&slices, None).unwrap().unwrap();
        if slices.idr {
            reorder.start_anew();
        }
        shown.extend(reorder.push(picture.order, frame.pts, frame.dts, picture));
    }
    shown.extend(reorder.flush());
    let ours = shown.into_iter().map(|(_, p)| [p.y, p.u, p.v].concat()).collect::<Vec<_>>();
    assert!(ours == source_pictures(&clip), "every byte of every picture, in the same order");
}

#[test]
fn pictures_come_out_in_display_order_and_all_of_them() {
    let clip = clip();
    assert!(clip.frames.windows(2).any(|w| w[1].pts < w[0].pts), "the clip has B-frames");
    let (transcoder, out) = transcode(&clip);
    assert_eq!((transcoder.corrupt(), transcoder.skipped()), (0, 0));
    let expected: BTreeSet<_> = clip.frames.iter().map(|frame| frame.pts).collect();
    assert_eq!(
        out.iter().map(|frame| frame.pts).collect::<Vec<_>>(),
        expected.into_iter().collect::<Vec<_>>()
    );
    assert!(out.iter().all(|frame| frame.dts == frame.pts && frame.track == TrackKind::Video));
    assert!(out[0].keyframe);
    let (source, ours) = (source_pictures(&clip), ffmpeg_pictures(&annex_b(transcoder.track(), &out)));
    assert_eq!(ours.len(), source.len());
    for (n, (a, b)) in source.iter().zip(&ours).enumerate() {
        let nearest = (0..source.len()).min_by_key(|&m| (difference(&source[m], b) * 1e6) as u64).unwrap();
        assert_eq!(nearest, n, "picture {n} shows what the source shows there");
        assert!(difference(a, b) < 6.0, "picture {n} differs by {}", difference(a, b));
    }
}

#[test]
fn the_output_is_constrained_baseline_and_needs_no_reordering() {
    let clip = clip();
    let (transcoder, _) = transcode(&clip);
    let track = transcoder.track();
    assert_eq!((track.width, track.height, track.reordered), (322, 182, false));
    assert_eq!(track.config[1], 66, "Baseline");
    assert_eq!(track.config[2] & 0x40, 0x40, "constrained");
    let sps = Sps::parse(&ParameterSets::parse(&track.config).unwrap().sps[0]).unwrap();
    assert_eq!((sps.width, sps.height, sps.reorder), (322, 182, 0));
}

#[test]
fn the_track_is_known_before_the_first_picture() {
    let clip = clip();
    let before = transcoder(&clip).track().clone();
    assert_eq!(transcode(&clip).0.track(), &before);
}

#[test]
fn the_delay_is_that_of_the_stream() {
    let clip = clip();
    let mut transcoder = transcoder(&clip);
    let out: Vec<_> = clip.frames.iter().map(|frame| transcoder.push(frame, Effort::Full).len()).collect();
    assert_eq!(out[..8], [0, 0, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_keyframe_on_demand_is_the_next_picture() {
    let clip = Clip::moving("322x182", 60, 250);
    let mut transcoder = transcoder(&clip);
    let mut keyframes = Vec::new();
    let mut count = 0;
    for (n, frame) in clip.frames.iter().enumerate() {
        if n == 30 {
            transcoder.force_keyframe();
        }
        for frame in transcoder.push(frame, Effort::Full) {
            if frame.keyframe {
                keyframes.push((n, count));
            }
            count += 1;
        }
    }
    assert_eq!(keyframes, [(2, 0), (30, 28)]);
}

#[test]
fn keyframes_come_in_time_for_who_joins() {
    let clip = Clip::moving("322x182", 60, 250);
    let settings = VideoSettings { keyframe_every: Duration::from_secs(1), ..VideoSettings::default() };
    let mut transcoder = VideoTranscoder::new(track(&clip), settings).unwrap();
    let out = clip.frames.iter().flat_map(|frame| transcoder.push(frame, Effort::Full));
    let keys: Vec<_> = out.enumerate().filter(|(_, frame)| frame.keyframe).map(|(n, _)| n).collect();
    assert_eq!(keys, [0, 25, 50]);
}

#[test]
fn decoding_alone_keeps_what_follows_whole() {
    let clip = clip();
    let mut transcoder = transcoder(&clip);
    for frame in &clip.frames[..20] {
        assert!(transcoder.push(frame, Effort::DecodeOnly).is_empty());
    }
    let mut out: Vec<_> = clip.frames[20..].iter().flat_map(|f| transcoder.push(f, Effort::Full)).collect();
    out.extend(transcoder.flush());
    assert_eq!((transcoder.corrupt(), out[0].keyframe), (0, true));
    let (source, ours) = (source_pictures(&clip), ffmpeg_pictures(&annex_b(transcoder.track(), &out)));
    let from = source.len() - ours.len();
    assert!(source[from..].iter().zip(&ours).all(|(a, b)| difference(a, b) < 6.0));
}

#[test]
fn after_a_frame_that_does_not_decode_the_next_keyframe_is_awaited() {
    let clip = clip();
    let mut transcoder = transcoder(&clip);
    let mut out = Vec::new();
    for (n, frame) in clip.frames.iter().enumerate() {
        let broken = Frame { data: Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x00]), ..(**frame).clone() };
        out.extend(transcoder.push(if n == 10 { &broken } else { frame }, Effort::Full));
    }
    out.extend(transcoder.flush());
    assert_eq!(transcoder.corrupt(), 20, "10 to 29");
    assert_eq!(out.len(), 40);
    assert!(!transcoder.unreadable());
}

#[test]
fn a_stream_that_never_decodes_is_unreadable() {
    let clip = clip();
    let mut transcoder = transcoder(&clip);
    let broken = Frame { data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x00]), ..(*clip.frames[0]).clone() };
    for _ in 0..UNREADABLE {
        assert!(!transcoder.unreadable());
        transcoder.push(&broken, Effort::Full);
    }
    assert!(transcoder.unreadable());
}

#[test]
fn times_that_contradict_the_order_never_run_backwards() {
    let clip = clip();
    let mut transcoder = transcoder(&clip);
    let mut dice = Dice(3);
    let mut last = None;
    for frame in &clip.frames {
        let pts = frame.dts + Duration::from_millis(dice.below(300) as u64);
        for out in transcoder.push(&Frame { pts, ..(**frame).clone() }, Effort::Full) {
            assert!(last < Some(out.pts));
            last = Some(out.pts);
        }
    }
}

#[test]
fn mutated_streams_do_not_panic() {
    let clip = Clip::moving("128x96", 24, 8);
    let mut dice = Dice(4);
    for _ in 0..150 {
        let mut transcoder = transcoder(&clip);
        for frame in &clip.frames {
            let data = if dice.below(4) == 0 { dice.mutate(&frame.data) } else { frame.data.clone() };
            transcoder.push(&Frame { data, ..(**frame).clone() }, Effort::Full);
        }
        transcoder.flush();
    }
}

#[test]
fn mutated_configurations_do_not_panic() {
    let clip = Clip::moving("128x96", 4, 4);
    let mut dice = Dice(5);
    let mut accepted = 0;
    for _ in 0..3000 {
        let config = dice.mutate(&track(&clip).config);
        let track = VideoTrack { config, ..track(&clip).clone() };
        if let Ok(mut transcoder) = VideoTranscoder::new(&track, VideoSettings::default()) {
            accepted += 1;
            clip.frames.iter().for_each(|frame| drop(transcoder.push(frame, Effort::Full)));
        }
    }
    assert!((1..3000).contains(&accepted));
}

#[test]
fn a_picture_above_the_bound_is_refused_whatever_it_shows_of_itself() {
    let clip = clip();
    let settings = VideoSettings { max_samples: 336 * 192 - 1, ..VideoSettings::default() };
    let refused = VideoTranscoder::new(track(&clip), settings).err();
    assert_eq!(refused, Some(VideoUnsupported::Size { width: 322, height: 182 }), "coded as 336x192");
    let settings = VideoSettings { max_samples: 336 * 192, ..settings };
    assert!(VideoTranscoder::new(track(&clip), settings).is_ok());
}

#[test]
fn parameter_sets_of_many_kinds_are_read() {
    let read = |args: &str| {
        let source = "-f lavfi -i testsrc2=size=322x182:rate=25 -frames:v 2 -c:v libx264 -pix_fmt";
        let clip = Clip::make(&format!("{source} {args}"));
        Sps::parse(&ParameterSets::parse(&track(&clip).config).unwrap().sps[0]).unwrap()
    };
    let size = |sps: Sps| (sps.width, sps.height, sps.plain);
    let high = read(
        "yuv420p -bf 3 -x264-params b-pyramid=normal:cqm=jvt:nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900",
    );
    assert_eq!((size(high), high.reorder), ((322, 182, true), 2));
    let main =
        read("yuv420p -profile:v main -bf 1 -colorspace bt709 -color_primaries bt709 -color_trc bt709");
    assert_eq!((size(main), main.reorder), ((322, 182, true), 1));
    let bt709 = Colour { full_range: false, primaries: 1, transfer: 1, matrix: 1 };
    assert_eq!(main.colour, Some(bt709));
    let baseline = read("yuv420p -profile:v baseline -vf setsar=4/3");
    assert_eq!((size(baseline), baseline.reorder), ((322, 182, true), 0));
    assert!(!read("yuv444p").plain);
    assert!(!read("yuv420p10le").plain);
}

#[test]
fn colours_are_carried_over() {
    let clip = Clip::make(
        "-f lavfi -i testsrc2=size=322x182:rate=25 -frames:v 4 -pix_fmt yuv420p -c:v libx264 -bf 2 \
         -colorspace smpte170m -color_primaries bt470bg -color_trc smpte170m -color_range pc",
    );
    let track = transcoder(&clip).track().clone();
    let sps = Sps::parse(&ParameterSets::parse(&track.config).unwrap().sps[0]).unwrap();
    assert_eq!(sps.colour, Some(Colour { full_range: true, primaries: 5, transfer: 6, matrix: 6 }));
}

#[test]
fn pictures_that_the_encoder_skips_are_counted() {
    let clip = Clip::make(
        "-f lavfi -i testsrc2=size=322x182:rate=25,noise=alls=60:allf=t -frames:v 60 -pix_fmt yuv420p \
         -c:v libx264 -preset veryfast -bf 2 -g 60",
    );
    let settings = VideoSettings { bitrate: Some(50_000), ..VideoSettings::default() };
    let mut transcoder = VideoTranscoder::new(track(&clip), settings).unwrap();
    let mut out: Vec<_> = clip.frames.iter().flat_map(|f| transcoder.push(f, Effort::Full)).collect();
    out.extend(transcoder.flush());
    assert!(transcoder.skipped() > 0, "noise does not fit into 50 kbit/s");
    assert_eq!(out.len() as u64 + transcoder.skipped(), 60);
}
