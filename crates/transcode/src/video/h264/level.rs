//! What a level allows (ITU-T H.264 table A-1).

use super::sps::Sps;

/// Limits of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    /// `MaxMBPS`: macroblocks in a second.
    pub(super) rate: u32,
    /// `MaxFS`: macroblocks in a frame.
    pub(super) frame: u32,
    /// `MaxDpbMbs`: macroblocks in the decoded picture buffer.
    pub(super) buffer: u32,
    /// `MaxCPB`: coded bits that are waited for, in units of `cpbBrNalFactor`.
    pub(super) coded: u32,
}

const fn level(rate: u32, frame: u32, buffer: u32, coded: u32) -> Level {
    Level { rate, frame, buffer, coded }
}

const LEVEL_1B: Level = level(1485, 99, 396, 350);

/// The most that is decoded, whatever a stream claims: 4096x2304 at 56 pictures a
/// second. Higher levels are those of 8192x4320, which cost more memory than a
/// picture here is worth.
const CEILING: Level = level(2_073_600, 36_864, 184_320, 240_000);

/// Levels by `level_idc`; none has less of anything than the one before.
const LEVELS: [(u8, Level); 16] = [
    (10, level(1485, 99, 396, 175)),
    (11, level(3000, 396, 900, 500)),
    (12, level(6000, 396, 2376, 1000)),
    (13, level(11_880, 396, 2376, 2000)),
    (20, level(11_880, 396, 2376, 2000)),
    (21, level(19_800, 792, 4752, 4000)),
    (22, level(20_250, 1620, 8100, 4000)),
    (30, level(40_500, 1620, 8100, 10_000)),
    (31, level(108_000, 3600, 18_000, 14_000)),
    (32, level(216_000, 5120, 20_480, 20_000)),
    (40, level(245_760, 8192, 32_768, 25_000)),
    (41, level(245_760, 8192, 32_768, 62_500)),
    (42, level(522_240, 8704, 34_816, 62_500)),
    (50, level(589_824, 22_080, 110_400, 135_000)),
    (51, level(983_040, 36_864, 184_320, 240_000)),
    (52, CEILING),
];

/// `cpbBrNalFactor` of the High profile, the largest of those that are decoded
/// (ITU-T H.264 table A-2).
const NAL_FACTOR: u32 = 1500;

/// Bytes of a macroblock: 3200 bits at most (ITU-T H.264 §A.3.1), and as many as
/// half of that again for bytes that prevent start codes.
const MACROBLOCK: u32 = 600;

/// Bytes for headers of slices beside macroblocks.
const HEADERS: u32 = 4096;

/// `MaxDpbFrames` has no larger value, whatever fits into the buffer.
const MAX_FRAMES: u32 = 16;

impl Level {
    /// That of a sequence, at most our own ceiling; `None` for one that the standard
    /// does not know.
    ///
    /// Encoders claim too low levels: for a size that is past the claimed one it is
    /// the lowest that has the size. A stream could have claimed that one as well, so
    /// it costs no more than one that does.
    pub(super) fn of(sps: &Sps) -> Option<Self> {
        let claimed = Self::claimed(sps)?;
        let lowest = || LEVELS.into_iter().map(|(_, level)| level).find(|level| level.has(sps.mbs));
        Some(if claimed.has(sps.mbs) { claimed } else { lowest().unwrap_or(CEILING) })
    }

    fn claimed(sps: &Sps) -> Option<Self> {
        let before_high = matches!(sps.profile, 66 | 77 | 88);
        match sps.level {
            9 => Some(LEVEL_1B),
            11 if before_high && sps.constraint_set3 => Some(LEVEL_1B),
            60..=62 => Some(CEILING),
            idc => LEVELS.into_iter().find(|(known, _)| *known == idc).map(|(_, level)| level),
        }
    }

    /// Whether it has frames of so many macroblocks.
    const fn has(self, (width, height): (u32, u32)) -> bool {
        let side = self.side();
        width <= side && height <= side && width * height <= self.frame
    }

    /// The longest side of a frame in macroblocks: the root of 8 times its size.
    pub(super) const fn side(self) -> u32 {
        (self.frame * 8).isqrt()
    }

    /// `MaxDpbFrames` for frames of so many macroblocks.
    pub(super) fn frames(self, (width, height): (u32, u32)) -> u32 {
        (self.buffer / width.saturating_mul(height).max(1)).min(MAX_FRAMES)
    }

    /// Bytes of an access unit of so many macroblocks: what is waited for at most,
    /// and no more than its macroblocks can have.
    pub(super) fn access_unit(self, (width, height): (u32, u32)) -> u32 {
        let waited = self.coded / 8 * NAL_FACTOR;
        waited.min(width.saturating_mul(height).saturating_mul(MACROBLOCK).saturating_add(HEADERS))
    }
}
