//! Values at each bound and just past it. Nothing here is decoded.

mod write;

use bytes::Bytes;
use media::MediaTime;

use self::write::{CLAIM, Claim, Head, IDR, P, PICTURE, Picture, limits, unit};
use super::*;
use crate::testing::Clip;

fn past(bound: Bound, found: u32, most: u32) -> Refusal {
    Refusal::Past { bound, found, most }
}

/// What is said of a sequence.
fn claimed(claim: Claim) -> Option<Refusal> {
    limits(claim, PICTURE).err()
}

/// A stream of 1280x720 whose first picture was admitted.
fn begun(claim: Claim) -> Limits {
    let mut limits = limits(claim, PICTURE).unwrap();
    assert_eq!(limits.admit(&head_of(claim, IDR).alone(), None), Ok(()));
    limits
}

fn head_of(claim: Claim, head: Head<'_>) -> Head<'_> {
    Head { bits: (claim.frame_num_less_4 + 4, claim.order_less_4 + 4), ..head }
}

#[test]
fn a_sequence_is_held_to_its_level() {
    for (most, beyond, refusal) in [
        (CLAIM, Claim { references: 6, ..CLAIM }, past(Bound::References, 6, 5)),
        (Claim { mbs: (543, 10), ..CLAIM }, Claim { mbs: (544, 10), ..CLAIM }, past(Bound::Side, 544, 543)),
        (Claim { mbs: (9, 543), ..CLAIM }, Claim { mbs: (9, 544), ..CLAIM }, past(Bound::Side, 544, 543)),
        (
            Claim { held: Some((5, 5)), ..CLAIM },
            Claim { held: Some((5, 6)), ..CLAIM },
            past(Bound::Buffering, 6, 5),
        ),
        (
            Claim { held: Some((4, 5)), ..CLAIM },
            Claim { held: Some((6, 5)), ..CLAIM },
            past(Bound::Reorder, 6, 5),
        ),
        (Claim { id: 31, ..CLAIM }, Claim { id: 32, ..CLAIM }, past(Bound::SequenceId, 32, 31)),
        (
            Claim { frame_num_less_4: 12, order_less_4: 12, ..CLAIM },
            Claim { frame_num_less_4: 13, ..CLAIM },
            Refusal::Set,
        ),
        (CLAIM, Claim { order_less_4: 13, ..CLAIM }, Refusal::Set),
        (
            Claim { interlaced: Some(false), mbs: (80, 44), ..CLAIM },
            Claim { interlaced: Some(true), mbs: (80, 44), ..CLAIM },
            Refusal::Interlaced,
        ),
        (CLAIM, Claim { level: 33, ..CLAIM }, Refusal::Level(33)),
        (CLAIM, Claim { level: 0, ..CLAIM }, Refusal::Level(0)),
        (CLAIM, Claim { level: 63, ..CLAIM }, Refusal::Level(63)),
    ] {
        assert_eq!((claimed(most), claimed(beyond)), (None, Some(refusal)));
    }
}

#[test]
fn no_level_is_above_our_own_ceiling() {
    let large = |level, mbs| Claim { level, mbs, references: 1, ..CLAIM };
    for level in [51, 52, 60, 61, 62] {
        assert_eq!(claimed(large(level, (256, 144))), None, "4096x2304 at {level}");
        assert_eq!(claimed(large(level, (256, 145))), Some(past(Bound::Frame, 37_120, 36_864)), "{level}");
        let small = Claim { level, mbs: (8, 6), ..CLAIM };
        assert_eq!(claimed(Claim { references: 16, ..small }), None);
        assert_eq!(claimed(Claim { references: 17, ..small }), Some(past(Bound::References, 17, 16)));
    }
}

#[test]
fn a_size_past_the_claimed_level_counts_as_the_lowest_level_that_has_it() {
    for (level, mbs, most) in [
        // 1280x720 needs level 3.1, 1920x1088 level 4, 4096x2304 level 5.1.
        (30, (80, 45), 5),
        (31, (120, 68), 4),
        (10, (256, 144), 5),
        // Not by its size but by its side: level 3.2.
        (31, (170, 10), 12),
        // A level higher than the size needs stays what it is.
        (52, (120, 68), 16),
    ] {
        let claim = |references| claimed(Claim { level, mbs, references, ..CLAIM });
        let refused = past(Bound::References, most + 1, most);
        assert_eq!((claim(most), claim(most + 1)), (None, Some(refused)), "{level} {mbs:?}");
    }
    let beyond = Claim { mbs: (256, 145), references: 1, ..CLAIM };
    assert_eq!(claimed(beyond), Some(past(Bound::Frame, 37_120, 36_864)), "our own ceiling");
    assert_eq!(claimed(Claim { level: 33, ..CLAIM }), Some(Refusal::Level(33)), "no level at all");
}

#[test]
fn level_1b_is_said_in_two_ways() {
    let small = Claim { mbs: (11, 9), references: 4, ..CLAIM };
    let beyond = Claim { references: 5, ..small };
    for (claim, refused) in [
        (Claim { level: 9, ..small }, None),
        (Claim { level: 9, ..beyond }, Some(past(Bound::References, 5, 4))),
        (Claim { level: 11, profile: 77, constraints: 0x10, ..beyond }, Some(past(Bound::References, 5, 4))),
        (Claim { level: 11, profile: 77, ..beyond }, None),
        (Claim { level: 11, constraints: 0x10, ..beyond }, None),
    ] {
        assert_eq!(claimed(claim), refused);
    }
}

#[test]
fn parameter_sets_are_bounded_in_number_and_size() {
    let picture = |picture| limits(CLAIM, picture).err();
    for (most, beyond, refusal) in [
        (Picture { id: 255, ..PICTURE }, Picture { id: 256, ..PICTURE }, past(Bound::PictureId, 256, 255)),
        (Picture { sps: 31, ..PICTURE }, Picture { sps: 32, ..PICTURE }, past(Bound::SequenceId, 32, 31)),
        (Picture { active: 32, ..PICTURE }, Picture { active: 33, ..PICTURE }, past(Bound::Active, 33, 32)),
        (PICTURE, Picture { groups: 2, ..PICTURE }, Refusal::Profile),
    ] {
        assert_eq!((picture(most), picture(beyond)), (None, Some(refusal)));
    }
    let longer = |bytes: usize| {
        let mut pps = PICTURE.nal().to_vec();
        pps.resize(pps.len() + bytes, 0xFF);
        Limits::of(&ParameterSets { sps: vec![CLAIM.nal()], pps: vec![pps.into()] }).err()
    };
    let left = MAX_SETS - CLAIM.nal().len() - PICTURE.nal().len() - 8;
    assert_eq!(longer(left), None);
    assert_eq!(longer(left + 1), Some(past(Bound::Sets, MAX_SETS as u32 + 1, MAX_SETS as u32)));
    let torn = ParameterSets { sps: vec![CLAIM.nal()], pps: vec![Bytes::from_static(&[0x68])] };
    assert_eq!(Limits::of(&torn).err(), Some(Refusal::Set));
}

#[test]
fn a_picture_is_whole_and_its_slices_are_bounded() {
    let slices = |firsts: &mut dyn Iterator<Item = u32>| {
        unit(&firsts.map(|first| Head { first, ..IDR }.nal()).collect::<Vec<_>>())
    };
    let mut limits = limits(CLAIM, PICTURE).unwrap();
    let most = MAX_SLICES as u32;
    for (unit, verdict) in [
        (slices(&mut (0..most)), Ok(())),
        (slices(&mut (0..=most)), Err(past(Bound::Slices, most + 1, most))),
        (slices(&mut [0, 3599].into_iter()), Ok(())),
        (slices(&mut [0, 3600].into_iter()), Err(Refusal::Slice)),
        (slices(&mut [1].into_iter()), Err(Refusal::Slice)),
        (slices(&mut [0, 5, 5].into_iter()), Err(Refusal::Slice)),
        (slices(&mut [0, 0].into_iter()), Err(Refusal::Slice)),
        (unit(&[IDR.nal(), Head { first: 9, ..P }.nal()]), Err(Refusal::Slice)),
        (unit(&[IDR.nal(), Head { first: 9, frame_num: 1, ..IDR }.nal()]), Err(Refusal::Slice)),
        (unit(&[IDR.nal(), Head { first: 9, reference: false, ..IDR }.nal()]), Err(Refusal::Slice)),
    ] {
        assert_eq!(limits.admit(&unit, None), verdict);
    }
}

#[test]
fn an_access_unit_has_the_bytes_that_its_level_waits_for_at_most() {
    let sized = |claim: Claim, bytes: usize| {
        let mut nal = IDR.nal().to_vec();
        nal.resize(bytes - 4, 0xFF);
        limits(claim, PICTURE).unwrap().admit(&unit(&[nal.into()]), None)
    };
    // By what its macroblocks can have, and by what is waited for.
    let small = Claim { mbs: (8, 6), ..CLAIM };
    let by_size = 48 * 600 + 4096;
    let waiting = Claim { level: 10, mbs: (11, 9), references: 4, ..CLAIM };
    let by_level = 175 / 8 * 1500;
    for (claim, most) in [(small, by_size), (waiting, by_level)] {
        assert_eq!(sized(claim, most as usize), Ok(()));
        assert_eq!(sized(claim, most as usize + 1), Err(past(Bound::AccessUnit, most + 1, most)));
    }
}

#[test]
fn pictures_come_no_faster_than_the_level_allows() {
    // 3600 macroblocks: level 3.1 has 30 of them a second, and a quarter more passes.
    let run = |tenths: i64, seconds: i64| {
        let mut limits = begun(CLAIM);
        let at = |n| MediaTime::from_micros(n * 10_000_000 / tenths);
        (0..tenths * seconds / 10).find_map(|n| limits.admit(&IDR.alone(), Some(at(n))).err())
    };
    assert_eq!(run(300, 20), None);
    assert_eq!(run(310, 120), None, "a clock that is fast");
    assert_eq!(run(375, 120), None, "fractions of a millisecond count");
    let Some(Refusal::Past { bound: Bound::Rate, found, most: 135_000 }) = run(450, 20) else { panic!() };
    assert!(found > 135_000);
    let mut limits = begun(CLAIM);
    let burst = (0..).take_while(|_| limits.admit(&IDR.alone(), Some(MediaTime::ZERO)).is_ok()).take(100);
    assert_eq!(burst.count(), 75, "two seconds of pictures in no time");
}

#[test]
fn what_is_not_decoded_is_refused_slice_by_slice() {
    let fields = Claim { interlaced: Some(false), mbs: (80, 44), ..CLAIM };
    let mut stream = limits(fields, PICTURE).unwrap();
    assert_eq!(stream.admit(&Head { field: Some(false), ..IDR }.alone(), None), Ok(()));
    let field = Head { field: Some(true), ..IDR }.alone();
    assert_eq!(stream.admit(&field, None), Err(Refusal::Interlaced));
    let mut stream = limits(CLAIM, Picture { redundant: true, ..PICTURE }).unwrap();
    assert_eq!(stream.admit(&Head { redundant: Some(0), ..IDR }.alone(), None), Ok(()));
    let redundant = Head { redundant: Some(1), ..IDR }.alone();
    assert_eq!(stream.admit(&redundant, None), Err(Refusal::Profile));
    let mut stream = begun(CLAIM);
    assert_eq!(stream.admit(&Head { active: 16, ..P }.alone(), None), Ok(()));
    let more = Head { active: 17, frame_num: 2, ..P }.alone();
    assert_eq!(stream.admit(&more, None), Err(past(Bound::Active, 17, 16)));
}

#[test]
fn frames_that_are_missing_are_as_many_as_are_kept_and_only_where_they_may_be() {
    let none = |frame_num| begun(CLAIM).admit(&Head { frame_num, ..P }.alone(), None);
    assert_eq!(none(1), Ok(()));
    assert_eq!(none(2), Err(past(Bound::Gap, 1, 0)));
    let gaps = Claim { gaps: true, ..CLAIM };
    let some = |frame_num| begun(gaps).admit(&Head { frame_num, ..P }.alone(), None);
    assert_eq!((some(1), some(5)), (Ok(()), Ok(())));
    assert_eq!(some(6), Err(past(Bound::Gap, 5, 4)));
    assert_eq!(some(0), Err(past(Bound::Gap, 15, 4)), "a whole round");
    assert!(some(6).unwrap_err().is_damage() && !past(Bound::Kept, 2, 1).is_damage());
}

#[test]
fn a_stream_begins_with_an_idr_picture_of_its_own_sequence() {
    let two = [CLAIM.nal(), Claim { id: 1, ..CLAIM }.nal()];
    let sets = ParameterSets { sps: two.into(), pps: vec![Picture { sps: 1, ..PICTURE }.nal()] };
    let mut stream = Limits::of(&sets).unwrap();
    assert_eq!(stream.admit(&P.alone(), None), Err(Refusal::Slice));
    assert_eq!(stream.admit(&IDR.alone(), None), Ok(()));
    stream.active = Some(0);
    assert_eq!(stream.admit(&P.alone(), None), Err(Refusal::Slice));
    let elsewhere = limits(CLAIM, Picture { id: 1, ..PICTURE }).unwrap().admit(&IDR.alone(), None);
    assert_eq!(elsewhere, Err(Refusal::Slice), "no such picture parameter set");
}

#[test]
fn an_idr_picture_is_a_reference() {
    // The second sequence has fewer frame numbers than the first has used.
    let few = Claim { id: 1, gaps: true, ..CLAIM };
    let many = Claim { frame_num_less_4: 4, ..CLAIM };
    let pictures = [PICTURE, Picture { id: 1, sps: 1, ..PICTURE }];
    let sps = vec![many.nal(), few.nal()];
    let pps = pictures.iter().map(Picture::nal).collect();
    let mut stream = Limits::of(&ParameterSets { sps, pps }).unwrap();
    assert_eq!(stream.admit(&head_of(many, IDR).alone(), None), Ok(()));
    for frame_num in 1..60 {
        let next = Head { frame_num, ..head_of(many, P) };
        assert_eq!(stream.admit(&next.alone(), None), Ok(()), "{frame_num}");
    }
    let other = Head { pps: 1, ..IDR };
    let unkept = Head { reference: false, ..other };
    assert_eq!(stream.admit(&unkept.alone(), None), Err(Refusal::Slice));
    let follows = Head { pps: 1, ..P };
    assert_eq!(stream.admit(&follows.alone(), None), Err(Refusal::Slice), "of a sequence that did not begin");
    assert_eq!(stream.admit(&other.alone(), None), Ok(()));
    assert_eq!(stream.admit(&follows.alone(), None), Ok(()));
}

#[test]
fn missing_frames_are_counted_round_whatever_was_the_newest() {
    for (newest, frame_num, expected) in [(0, 1, 0), (15, 0, 0), (3, 3, 15), (14, 2, 3), (300, 1, 4)] {
        assert_eq!(missing(newest, frame_num, 16, true), expected, "{newest} {frame_num}");
    }
}

#[test]
fn no_command_keeps_more_frames_than_the_sequence_says() {
    // Each picture is kept by a command that drops nothing, so that none makes room.
    let keeps: &[&[u32]] = &[&[1, 14]];
    let mut stream = begun(CLAIM);
    for frame_num in 1..4 {
        let kept = Head { frame_num, commands: keeps, ..P }.alone();
        assert_eq!(stream.admit(&kept, None), Ok(()), "{frame_num}");
    }
    let fifth = Head { frame_num: 4, commands: keeps, ..P }.alone();
    assert_eq!(stream.admit(&fifth, None), Err(past(Bound::Kept, 5, 4)));
    let index = |index| {
        let long: &[&[u32]] = &[&[6, index]];
        begun(CLAIM).admit(&Head { commands: long, ..P }.alone(), None)
    };
    assert_eq!((index(3), index(4)), (Ok(()), Err(past(Bound::LongTerm, 4, 3))));
    let limit = |limit| begun(CLAIM).admit(&Head { commands: &[&[4, limit]], ..P }.alone(), None);
    assert_eq!((limit(4), limit(5)), (Ok(()), Err(past(Bound::LongTerm, 5, 4))));
    let many = |count| {
        let commands = vec![&[1_u32, 14][..]; count];
        begun(CLAIM).admit(&Head { commands: &commands, ..P }.alone(), None)
    };
    let most = slice::MAX_COMMANDS;
    assert_eq!((many(most), many(most + 1)), (Ok(()), Err(Refusal::Slice)));
}

#[test]
fn frames_that_are_missing_find_room_or_are_refused() {
    // Three are long-term as they come, and the fourth makes the first picture so.
    let mut stream = begun(Claim { gaps: true, ..CLAIM });
    let long: [&[&[u32]]; 3] = [&[&[6, 0]], &[&[6, 1]], &[&[3, 2, 3], &[6, 2]]];
    for (frame_num, commands) in (1..).zip(long) {
        assert_eq!(stream.admit(&Head { frame_num, commands, ..P }.alone(), None), Ok(()));
    }
    let shown = |frame_num| Head { frame_num, reference: false, ..P }.alone();
    assert_eq!(stream.admit(&shown(4), None), Ok(()), "nothing is missing, and it is not kept");
    assert_eq!(stream.admit(&shown(5), None), Err(past(Bound::Kept, 5, 4)));
}

#[test]
fn commands_make_room_as_the_standard_says() {
    // Four are kept: 0, 1, 2, 3. Frame 4 drops 3, makes 2 long and stays itself.
    let mut stream = begun(CLAIM);
    for frame_num in 1..4 {
        assert_eq!(stream.admit(&Head { frame_num, ..P }.alone(), None), Ok(()));
    }
    let commands: &[&[u32]] = &[&[1, 0], &[3, 1, 0]];
    assert_eq!(stream.admit(&Head { frame_num: 4, commands, ..P }.alone(), None), Ok(()));
    // The long one goes for another; then all go for the current one.
    for (frame_num, commands) in
        [(5, &[&[2, 0][..]][..]), (6, &[&[1, 0], &[6, 0]]), (7, &[&[4, 0]]), (8, &[&[5]])]
    {
        assert_eq!(stream.admit(&Head { frame_num, commands, ..P }.alone(), None), Ok(()), "{frame_num}");
    }
    assert_eq!(stream.references.newest, 0, "numbers start anew");
    assert_eq!(stream.admit(&P.alone(), None), Ok(()));
}

#[test]
fn what_encoders_send_is_within_its_limits() {
    let source = "-f lavfi -i testsrc2=size=640x360:rate=30 -frames:v 90 -pix_fmt yuv420p -c:v libx264";
    for options in [
        "-preset veryslow -bf 8 -g 30",
        "-preset medium -x264-params slices=8:weightp=2:b-pyramid=strict",
        "-preset fast -bf 3 -x264-params open-gop=1:keyint=20:ref=4",
        "-preset ultrafast -tune zerolatency -x264-params slice-max-size=1000",
        "-preset fast -x264-params fake-interlaced=1:bframes=2",
        "-profile:v baseline -x264-params ref=6",
    ] {
        let clip = Clip::make(&format!("{source} {options}"));
        let config = &clip.tracks.video.as_ref().unwrap().config;
        let mut limits = Limits::of(&ParameterSets::parse(config).unwrap()).unwrap();
        for (n, frame) in clip.frames.iter().enumerate() {
            let unit = super::super::avcc::slices(&frame.data).unwrap();
            assert_eq!(limits.admit(&unit, Some(frame.dts)), Ok(()), "{options}: picture {n}");
        }
    }
}
