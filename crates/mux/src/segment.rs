//! The media segment: `styp`, `moof`, `mdat`.

use bytes::Bytes;
use media::TrackKind;

use crate::boxes::{Boxes, size32};
use crate::init::{NON_SYNC, SYNC, track_id};

/// One access unit with its place in time, in ticks of its track.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) duration: u32,
    /// Presentation minus decode time.
    pub(crate) composition: u32,
    pub(crate) sync: bool,
    pub(crate) data: Bytes,
}

/// The samples of one track in one segment.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) kind: TrackKind,
    /// Decode time of the first sample, in ticks.
    pub(crate) start: u64,
    pub(crate) samples: Vec<Sample>,
}

impl Fragment {
    fn payload(&self) -> usize {
        self.samples.iter().map(|s| s.data.len()).sum()
    }
}

/// Writes a segment. Each track's samples lie together in `mdat`, in the order
/// of `fragments`.
pub(crate) fn media_segment(sequence: u32, fragments: &[Fragment]) -> Bytes {
    let samples: usize = fragments.iter().map(|f| f.samples.len()).sum();
    let payload: usize = fragments.iter().map(Fragment::payload).sum();
    let mut b = Boxes::with_capacity(256 + 16 * samples + payload);
    b.boxed(b"styp", |b| {
        b.bytes(b"msdh");
        b.u32(0);
        b.bytes(b"msdhmsix");
    });
    let moof = b.len();
    let mut offsets = Vec::with_capacity(fragments.len());
    b.boxed(b"moof", |b| {
        b.full(b"mfhd", 0, 0, |b| b.u32(sequence));
        offsets.extend(fragments.iter().map(|f| track_fragment(b, f)));
    });
    let mut at = b.len() - moof + 8;
    for (field, fragment) in offsets.into_iter().zip(fragments) {
        b.patch_u32(field, size32(at));
        at += fragment.payload();
    }
    b.boxed(b"mdat", |b| {
        fragments.iter().flat_map(|f| &f.samples).for_each(|s| b.bytes(&s.data));
    });
    b.into_vec().into()
}

/// Writes a `traf` and says where its data offset, from the start of `moof`, is
/// to be filled in.
fn track_fragment(b: &mut Boxes, fragment: &Fragment) -> usize {
    let mut offset = 0;
    b.boxed(b"traf", |b| {
        b.full(b"tfhd", 0, 0x02_0000, |b| b.u32(track_id(fragment.kind))); // default-base-is-moof
        b.full(b"tfdt", 1, 0, |b| b.u64(fragment.start));
        offset = match fragment.kind {
            TrackKind::Video => video_run(b, &fragment.samples),
            TrackKind::Audio => audio_run(b, &fragment.samples),
        };
    });
    offset
}

/// `trun` flags (ISO/IEC 14496-12 §8.8.8.1): data offset, and per sample
/// duration and size; then flags and composition offset.
const OFFSET_DURATION_SIZE: u32 = 0x301;
const FLAGS_COMPOSITION: u32 = 0xc00;

fn video_run(b: &mut Boxes, samples: &[Sample]) -> usize {
    run(b, OFFSET_DURATION_SIZE | FLAGS_COMPOSITION, samples, |b, s| {
        b.u32(if s.sync { SYNC } else { NON_SYNC });
        b.u32(s.composition);
    })
}

fn audio_run(b: &mut Boxes, samples: &[Sample]) -> usize {
    run(b, OFFSET_DURATION_SIZE, samples, |_, _| {})
}

fn run(b: &mut Boxes, flags: u32, samples: &[Sample], rest: impl Fn(&mut Boxes, &Sample)) -> usize {
    let mut offset = 0;
    b.full(b"trun", 0, flags, |b| {
        b.u32(size32(samples.len()));
        offset = b.len();
        b.u32(0);
        for sample in samples {
            b.u32(sample.duration);
            b.u32(size32(sample.data.len()));
            rest(b, sample);
        }
    });
    offset
}
