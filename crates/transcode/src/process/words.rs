//! Reasons, as four numbers.

use bytes::BufMut;

use super::wire::{Fields, Malformed};
use crate::video::{Bound, Refusal, VideoUnsupported};

/// Each bound's number is its place here.
const BOUNDS: [Bound; 15] = [
    Bound::Frame,
    Bound::Side,
    Bound::References,
    Bound::Buffering,
    Bound::Reorder,
    Bound::SequenceId,
    Bound::PictureId,
    Bound::Sets,
    Bound::Active,
    Bound::Kept,
    Bound::LongTerm,
    Bound::Slices,
    Bound::AccessUnit,
    Bound::Rate,
    Bound::Gap,
];

/// The number of the first bound; those of other reasons are below.
const FIRST_BOUND: u8 = 32;

/// Writes a reason.
pub(super) fn put(out: &mut Vec<u8>, cause: VideoUnsupported) {
    let (kind, first, second) = match cause {
        VideoUnsupported::NotBuilt => (0, 0, 0),
        VideoUnsupported::Config => (1, 0, 0),
        VideoUnsupported::Format => (2, 0, 0),
        VideoUnsupported::Size { width, height } => (3, width, height),
        VideoUnsupported::Tools => (4, 0, 0),
        VideoUnsupported::Encoder => (5, 0, 0),
        VideoUnsupported::Ended => (6, 0, 0),
        VideoUnsupported::Limits(Refusal::Set) => (7, 0, 0),
        VideoUnsupported::Limits(Refusal::Slice) => (8, 0, 0),
        VideoUnsupported::Limits(Refusal::Level(level)) => (9, level.into(), 0),
        VideoUnsupported::Limits(Refusal::Interlaced) => (10, 0, 0),
        VideoUnsupported::Limits(Refusal::Profile) => (11, 0, 0),
        VideoUnsupported::Limits(Refusal::Past { bound, found, most }) => (number(bound), found, most),
    };
    out.put_u8(kind);
    out.put_u32(first);
    out.put_u32(second);
}

fn number(bound: Bound) -> u8 {
    let place = BOUNDS.iter().position(|&one| one == bound).unwrap_or(BOUNDS.len());
    FIRST_BOUND + u8::try_from(place).unwrap_or(u8::MAX - FIRST_BOUND)
}

/// Reads a reason.
pub(super) fn take(fields: &mut Fields) -> Result<VideoUnsupported, Malformed> {
    let (kind, first, second) = (fields.u8()?, fields.u32()?, fields.u32()?);
    Ok(match kind {
        0 => VideoUnsupported::NotBuilt,
        1 => VideoUnsupported::Config,
        2 => VideoUnsupported::Format,
        3 => VideoUnsupported::Size { width: first, height: second },
        4 => VideoUnsupported::Tools,
        5 => VideoUnsupported::Encoder,
        6 => VideoUnsupported::Ended,
        7 => Refusal::Set.into(),
        8 => Refusal::Slice.into(),
        9 => Refusal::Level(u8::try_from(first).map_err(|_| Malformed)?).into(),
        10 => Refusal::Interlaced.into(),
        11 => Refusal::Profile.into(),
        kind => {
            let place = kind.checked_sub(FIRST_BOUND).ok_or(Malformed)?;
            let bound = *BOUNDS.get(usize::from(place)).ok_or(Malformed)?;
            Refusal::Past { bound, found: first, most: second }.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_read_as_it_was_written() {
        let size = VideoUnsupported::Size { width: 7, height: 9 };
        let mut all = vec![
            VideoUnsupported::NotBuilt,
            VideoUnsupported::Config,
            VideoUnsupported::Format,
            size,
            VideoUnsupported::Tools,
            VideoUnsupported::Encoder,
            VideoUnsupported::Ended,
        ];
        let refusals =
            [Refusal::Set, Refusal::Slice, Refusal::Level(33), Refusal::Interlaced, Refusal::Profile];
        all.extend(refusals.map(VideoUnsupported::from));
        let past = |bound| VideoUnsupported::from(Refusal::Past { bound, found: 5, most: 4 });
        all.extend(BOUNDS.map(past));
        for cause in all {
            let mut out = Vec::new();
            put(&mut out, cause);
            assert_eq!(take(&mut Fields::of(&out)), Ok(cause));
        }
        let beyond = FIRST_BOUND + BOUNDS.len() as u8;
        for kind in [12, FIRST_BOUND - 1, beyond, 255] {
            assert_eq!(take(&mut Fields::of(&[kind, 0, 0, 0, 0, 0, 0, 0, 0])), Err(Malformed), "{kind}");
        }
        let level = [9, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(take(&mut Fields::of(&level)), Err(Malformed), "256 is no byte");
    }
}
