//! What rings hold, against their own bounds and against a budget.

use super::*;
use crate::{AudioTrack, Losses};

const LIMITS: Limits = Limits { bytes: 1 << 20, items: 1000 };

/// A picture with bytes of its own.
fn picture(n: i64, keyframe: bool, size: usize) -> Frame {
    Frame { data: vec![7; size].into(), ..video(n, keyframe) }
}

/// Tracks whose configuration has so many bytes.
fn configured(bytes: usize) -> Tracks {
    let codec = crate::AudioCodec::Aac;
    let audio = AudioTrack { codec, config: vec![1; bytes].into(), sample_rate: 48_000, channels: 2 };
    Tracks { audio: Some(audio), ..tracks(1) }
}

/// Bytes that a ring's entries keep in memory, each allocation once.
fn held(ring: &Ring<Frame>) -> usize {
    let state = lock(&ring.shared);
    let mut configurations: Vec<_> = state.entries.iter().map(|entry| &entry.tracks).collect();
    configurations.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let media: usize = state.entries.iter().map(|entry| entry.item.data.len()).sum();
    media + configurations.iter().map(|tracks| tracks.config_bytes()).sum::<usize>()
}

#[test]
fn what_is_beside_an_items_media_is_counted() {
    use std::mem::size_of;
    let counts = 2 * size_of::<usize>();
    let frame = size_of::<Entry<Frame>>() + counts + size_of::<Frame>();
    let packet = size_of::<Entry<crate::Packet>>() + counts + size_of::<crate::Packet>();
    // Its own buffer's head, the charge's, and the head of each allocation.
    let buffers = 2 * size_of::<Bytes>() + size_of::<Charge>() + counts + 3 * 16;
    // RTP padding of a packet (RFC 3550 §5.1); RTMP leaves less of a message unused (`rtmp`,
    // `flv::SLACK`).
    let unused = 255;
    assert!(frame.max(packet) + buffers + unused <= BESIDE, "{}", frame.max(packet) + buffers + unused);
}

#[test]
fn a_ring_of_a_budget_keeps_to_its_part_when_memory_is_tight() {
    let memory = Memory::new(100_000);
    let mut rings = [(); 2].map(|()| ring_in(tracks(1), LIMITS, &memory));
    let counts = |rings: &[Writer<Frame>; 2]| rings.each_ref().map(|ring| lock(&ring.shared).entries.len());
    // Each takes 1000.
    (0..75).for_each(|n| rings[0].push(picture(n, true, 488)));
    (0..3).for_each(|n| rings[1].push(picture(n, true, 488)));
    assert!(memory.is_tight());
    assert_eq!(counts(&rings), [75, 3], "who has little loses nothing");
    rings[0].push(picture(75, true, 488));
    assert_eq!(counts(&rings), [37, 3], "half of three quarters");
    assert!(memory.losses().cut > 0 && memory.losses().lost == 0);
    drop(rings);
    assert_eq!(memory.used(), 0);
}

#[test]
fn rings_give_way_to_what_is_held_elsewhere_but_for_a_quarter() {
    let memory = Memory::new(100_000);
    let mut rings = [(); 2].map(|()| ring_in(tracks(1), LIMITS, &memory));
    let mut others = memory.nothing();
    let mut counts = |bytes: usize| {
        others.resize(bytes).unwrap();
        // Each takes 1000.
        for n in 0..200 {
            rings.iter_mut().for_each(|ring| ring.push(picture(n, true, 488)));
        }
        rings.each_ref().map(|ring| lock(&ring.shared).entries.len())
    };
    // One more each, since they are cut when there is more than three quarters.
    assert_eq!((counts(30_000), memory.used()), ([23, 23], 76_000), "half of 45,000");
    counts(45_000);
    assert_eq!((counts(55_000), memory.used()), ([12, 12], 79_000), "half of 25,000");
    counts(65_000);
    let [one, other] = counts(75_000);
    assert_eq!((one + other, memory.used()), (18, 93_000), "up to fifteen sixteenths of all");
    assert_eq!(memory.losses().lost, 0);
    // A ring that is emptied, or gone, holds nothing.
    others.resize(30_000).unwrap();
    rings[0].ring().silence();
    assert_eq!(memory.part(), 22_500);
    drop(rings);
    assert_eq!((memory.used(), memory.part()), (30_000, 45_000));
}

#[test]
fn what_no_memory_is_left_for_is_a_gap_up_to_a_key_frame() {
    let memory = Memory::new(10_000);
    let mut writer = ring_in(tracks(1), LIMITS, &memory);
    let mut reader = writer.ring().reader();
    writer.push(picture(0, true, 100));
    let other = memory.charge_media(memory.limit() / 16 * 15 - memory.used()).unwrap();
    writer.push(picture(1, false, 2000));
    writer.push(picture(2, false, 10));
    drop(other);
    writer.push(picture(3, false, 10));
    writer.push(picture(4, true, 10));
    let lost = Losses { cut: 1, lost: 1, ..Losses::default() };
    assert_eq!(memory.losses(), lost, "the third had the memory of the first");
    assert_eq!(drain(&mut reader), ["gap 4", "tracks 1", "4"]);
    assert_eq!(drain(&mut writer.ring().reader()), ["tracks 1", "4"]);
}

#[test]
fn what_a_reader_still_holds_is_counted_when_the_ring_has_dropped_it() {
    let memory = Memory::new(1 << 20);
    let mut writer = ring_in(tracks(1), LIMITS, &memory);
    let mut reader = writer.ring().reader();
    writer.push(picture(0, true, 5000));
    reader.try_next();
    let Some(Event::Item(frame)) = reader.try_next() else { panic!("no frame") };
    let queued = frame.data.slice(1000..);
    drop(frame);
    writer.ring().silence();
    assert!(memory.used() >= 5000);
    drop(queued);
    assert_eq!(memory.used(), 0);
}

proptest! {
    /// Whatever a publisher sends: pictures and configurations of any size, in any order.
    #[test]
    fn no_ring_holds_more_than_it_counts(
        acts in proptest::collection::vec((0..4u8, 0..40_000usize), 1..200), limit in 10_000..400_000usize
    ) {
        let memory = Memory::new(limit);
        let limits = Limits { bytes: 100_000, items: 50 };
        let mut writers = [ring_in(tracks(1), limits, &memory), ring_in(tracks(1), limits, &memory)];
        let rings = writers.each_ref().map(Writer::ring);
        for (n, (act, size)) in acts.into_iter().enumerate() {
            let writer = &mut writers[n % 2];
            match act {
                0 => writer.set_tracks(configured(size)),
                _ => writer.push(picture(n as i64, act == 1, size)),
            }
            for ring in &rings {
                prop_assert!(held(ring) <= lock(&ring.shared).bytes, "counted less than held");
                prop_assert!(held(ring) <= limits.bytes);
            }
            let latest = 2 * 40_000;
            prop_assert!(rings.iter().map(held).sum::<usize>() <= memory.used() + latest);
            prop_assert!(memory.used() <= limit);
        }
        drop((writers, rings));
        prop_assert_eq!(memory.used(), 0);
    }
}
