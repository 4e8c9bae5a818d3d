//! The one place through which everything passes before a decoder sees it.
//!
//! What a stream claims about itself decides how much memory a decoder takes. So
//! each claim is held to what the stream's level allows (ITU-T H.264 Annex A), and
//! to a ceiling of our own below that. What is past it never reaches a decoder.

use media::MediaTime;

use super::avcc::{ParameterSets, Slices};
use super::level::Level;
use super::marking::{Crowded, References};
use super::pps::Pps;
use super::slice::{self, Command, MAX_ACTIVE, Marking, Slice};
use super::sps::{Interlace, Sps};
use crate::video::{Bound, Refusal};

/// Most slices of a picture: a key frame of 600 KB in packets of a network, which
/// is more than encoders make. Each costs a decoder its reference lists.
pub(super) const MAX_SLICES: usize = 512;

/// Ids of sequence and picture parameter sets are below (ITU-T H.264 §7.4.2.1.1 and
/// §7.4.2.2), which bounds how many a decoder keeps.
const SEQUENCE_IDS: u32 = 32;
const PICTURE_IDS: u32 = 256;

/// Most bytes of all parameter sets. Usual ones have 50; with every scaling matrix
/// each has some 700.
pub(super) const MAX_SETS: usize = 64 << 10;

/// Seconds of pictures at the level's rate that may come at once: timestamps are
/// rounded, and encoders catch up.
const BURST: u64 = 2;

/// What a stream may have of its level's rate, as a fraction: encoders claim a level
/// whose rate is exactly theirs (1280x720 at 30 fps is level 3.1), and their clocks
/// and frame rates are not exact. Memory does not depend on it.
const TOLERANCE: (u64, u64) = (5, 4);

/// Bounds of one stream, and what it has used of them.
#[derive(Debug)]
pub(super) struct Limits {
    sequences: Vec<(Sps, Level)>,
    pictures: Vec<Pps>,
    /// The sequence of the newest IDR picture.
    active: Option<u32>,
    references: References,
    rate: Rate,
}

impl Limits {
    /// Those of a stream with these parameter sets, all of which must be within
    /// bounds, since a slice may choose any.
    pub(super) fn of(sets: &ParameterSets) -> Result<Self, Refusal> {
        let bytes = sets.sps.iter().chain(&sets.pps).map(|set| set.len() + 4).sum();
        within(Bound::Sets, count(bytes), count(MAX_SETS))?;
        let mut limits = Self {
            sequences: Vec::new(),
            pictures: Vec::new(),
            active: None,
            references: References::default(),
            rate: Rate::default(),
        };
        for nal in &sets.sps {
            let sps = Sps::parse(nal).ok_or(Refusal::Set)?;
            limits.sequences.push((sps, sequence(&sps)?));
        }
        for nal in &sets.pps {
            limits.pictures.push(picture(Pps::parse(nal).ok_or(Refusal::Set)?)?);
        }
        Ok(limits)
    }

    /// How many pictures may overtake another: what the first sequence says, and no
    /// more than its decoded picture buffer holds.
    pub(super) fn reorder(&self) -> usize {
        let depth = |(sps, level): &(Sps, Level)| sps.reorder.min(level.frames(sps.mbs) as usize);
        self.sequences.first().map_or(0, depth)
    }

    /// How many references a decoder keeps.
    #[cfg(any(fuzzing, test))]
    pub(super) fn kept(&self) -> usize {
        self.references.count()
    }

    /// Whether a decoder may see the slices of an access unit of this decode time;
    /// without one, its rate is not looked at.
    pub(super) fn admit(&mut self, unit: &Slices, at: Option<MediaTime>) -> Result<(), Refusal> {
        let head = unit.nals().next().ok_or(Refusal::Slice)?;
        let (sps, level, pps) = self.sets(head)?;
        within(Bound::AccessUnit, count(unit.annex_b.len()), level.access_unit(sps.mbs))?;
        within(Bound::Slices, count(unit.nals().count()), count(MAX_SLICES))?;
        if let Some(at) = at {
            self.rate.take(sps.mbs.0 * sps.mbs.1, level.rate, at)?;
        }
        let head = header(head, &sps, &pps)?;
        if head.first != 0 || !head.idr && self.active != Some(sps.id) {
            return Err(Refusal::Slice);
        }
        let mut last = head.first;
        for nal in unit.nals().skip(1) {
            let (other, _, pps) = self.sets(nal)?;
            let next = header(nal, &other, &pps)?;
            if other.id != sps.id || !continues(&head, &next) || next.first <= last {
                return Err(Refusal::Slice);
            }
            last = next.first;
        }
        if last >= sps.mbs.0 * sps.mbs.1 {
            return Err(Refusal::Slice);
        }
        self.keep(&head, &sps)
    }

    /// The parameter sets that a slice names; of several with one id a decoder has
    /// the last.
    fn sets(&self, nal: &[u8]) -> Result<(Sps, Level, Pps), Refusal> {
        let id = slice::pps_id(nal).ok_or(Refusal::Slice)?;
        let pps = self.pictures.iter().rev().find(|pps| pps.id == id).ok_or(Refusal::Slice)?;
        let named = self.sequences.iter().rev().find(|(sps, _)| sps.id == pps.sps);
        let (sps, level) = named.ok_or(Refusal::Slice)?;
        Ok((*sps, *level, *pps))
    }

    /// Follows what a decoder keeps after a picture.
    fn keep(&mut self, head: &Slice, sps: &Sps) -> Result<(), Refusal> {
        let (modulus, most) = (1 << sps.frame_num_bits, sps.references.max(1));
        let kept = |Crowded(found)| Refusal::Past { bound: Bound::Kept, found, most };
        if head.idr {
            self.active = Some(sps.id);
        } else {
            let missing = missing(self.references.newest, head.frame_num, modulus, sps.gaps_allowed);
            within(Bound::Gap, missing, if sps.gaps_allowed { most } else { 0 })?;
            self.references.fill(missing, head.frame_num, modulus, most).map_err(kept)?;
        }
        if !head.reference {
            return Ok(());
        }
        long_terms(&head.marking, most)?;
        self.references.mark(&head.marking, head.frame_num, modulus, most).map_err(kept)
    }
}

/// A sequence within its level, and which that is.
fn sequence(sps: &Sps) -> Result<Level, Refusal> {
    let level = Level::of(sps).ok_or(Refusal::Level(sps.level))?;
    let (width, height) = sps.mbs;
    within(Bound::SequenceId, sps.id, SEQUENCE_IDS - 1)?;
    within(Bound::Side, width.max(height), level.side())?;
    within(Bound::Frame, width * height, level.frame)?;
    let frames = level.frames(sps.mbs);
    within(Bound::References, sps.references, frames)?;
    within(Bound::Buffering, sps.buffering.unwrap_or(0), frames)?;
    within(Bound::Reorder, sps.told_reorder.unwrap_or(0), frames)?;
    if sps.interlace == Interlace::Macroblocks { Err(Refusal::Interlaced) } else { Ok(level) }
}

fn picture(pps: Pps) -> Result<Pps, Refusal> {
    within(Bound::PictureId, pps.id, PICTURE_IDS - 1)?;
    within(Bound::SequenceId, pps.sps, SEQUENCE_IDS - 1)?;
    if pps.slice_groups {
        return Err(Refusal::Profile);
    }
    within(Bound::Active, pps.active[0].max(pps.active[1]), MAX_ACTIVE)?;
    Ok(pps)
}

/// A slice of a frame, and of the primary coded picture.
fn header(nal: &[u8], sps: &Sps, pps: &Pps) -> Result<Slice, Refusal> {
    let slice = Slice::parse(nal, sps, pps).ok_or(Refusal::Slice)?;
    if slice.field {
        return Err(Refusal::Interlaced);
    }
    if slice.redundant {
        return Err(Refusal::Profile);
    }
    // An IDR picture is a reference (ITU-T H.264 §7.4.1): what is counted of its
    // sequence begins with it.
    if slice.idr && !slice.reference {
        return Err(Refusal::Slice);
    }
    // A frame has half of what a field may have.
    within(Bound::Active, slice.active[0].max(slice.active[1]), MAX_ACTIVE / 2)?;
    Ok(slice)
}

/// Whether slices are of one picture (ITU-T H.264 §7.4.1.2.4).
fn continues(head: &Slice, next: &Slice) -> bool {
    let picture = |slice: &Slice| (slice.idr, slice.reference, slice.frame_num);
    picture(head) == picture(next) && head.marking == next.marking
}

/// Frames missing before `frame_num` (ITU-T H.264 §7.4.3). One that repeats that of
/// the newest reference is a round further only where gaps are allowed: a decoder
/// that allows none looks at none. `modulus` is a power of two.
fn missing(newest: u32, frame_num: u32, modulus: u32, gaps_allowed: bool) -> u32 {
    if frame_num == newest && !gaps_allowed {
        return 0;
    }
    frame_num.wrapping_sub(newest).wrapping_sub(1) % modulus
}

/// Long-term indices are below the number of references.
fn long_terms(marking: &Marking, most: u32) -> Result<(), Refusal> {
    let Marking::Adaptive(commands) = marking else { return Ok(()) };
    for command in commands {
        match *command {
            Command::MakeLong { index, .. } | Command::KeepCurrentLong { index } => {
                within(Bound::LongTerm, index, most - 1)?;
            }
            Command::LimitLong { limit } => within(Bound::LongTerm, limit, most)?,
            Command::Drop { .. } | Command::DropLong { .. } | Command::DropAll => {}
        }
    }
    Ok(())
}

fn within(bound: Bound, found: u32, most: u32) -> Result<(), Refusal> {
    if found > most { Err(Refusal::Past { bound, found, most }) } else { Ok(()) }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Macroblocks in the stream's own time.
#[derive(Debug, Default)]
struct Rate {
    /// Macroblocks of the burst that are used.
    used: u64,
    last: Option<MediaTime>,
}

impl Rate {
    /// Takes a picture's macroblocks at its decode time, of a level with so many in a
    /// second. A picture that is refused uses none.
    fn take(&mut self, macroblocks: u32, level: u32, at: MediaTime) -> Result<(), Refusal> {
        const SECOND: u64 = 1_000_000;
        let per_second = u64::from(level) * TOLERANCE.0 / TOLERANCE.1;
        let passed = self.last.map_or(0, |last| at.since(last).as_micros().min((BURST * SECOND).into()));
        self.last = Some(at);
        self.used = self.used.saturating_sub(per_second * passed as u64 / SECOND);
        let used = self.used + u64::from(macroblocks);
        if used > BURST * per_second {
            // As if the burst had come in its own time.
            let saturated = |rate: u64| u32::try_from(rate).unwrap_or(u32::MAX);
            let found = saturated((used / BURST).max(per_second + 1));
            return Err(Refusal::Past { bound: Bound::Rate, found, most: saturated(per_second) });
        }
        self.used = used;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
