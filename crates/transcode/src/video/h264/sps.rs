//! What must be known of a sequence parameter set before a decoder sees it.

use super::bits::{Bits, unescape};

/// Facts of an SPS (ITU-T H.264 §7.3.2.1.1 and Annex E).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    /// Luma samples after cropping.
    pub(super) width: u32,
    /// Luma samples after cropping.
    pub(super) height: u32,
    /// Luma samples of a picture before cropping: what a decoder allocates.
    pub(super) coded_samples: u64,
    /// 8 bits, 4:2:0.
    pub(super) plain: bool,
    /// How many pictures may come earlier in decoding order and later in display
    /// order than another: the depth of the reordering buffer, at most 16.
    pub(super) reorder: usize,
    /// How to show the samples, if it says.
    pub(super) colour: Option<Colour>,
    /// `profile_idc`.
    pub(super) profile: u8,
    /// `level_idc`.
    pub(super) level: u8,
    /// `constraint_set3_flag`, which makes level 1.1 of some profiles level 1b.
    pub(super) constraint_set3: bool,
    /// `seq_parameter_set_id`.
    pub(super) id: u32,
    /// Macroblocks in a row and in a column of a frame.
    pub(super) mbs: (u32, u32),
    /// Bits of `frame_num`.
    pub(super) frame_num_bits: u32,
    /// How slices say their picture order.
    pub(super) order: Order,
    /// `max_num_ref_frames`.
    pub(super) references: u32,
    /// `gaps_in_frame_num_value_allowed_flag`.
    pub(super) gaps_allowed: bool,
    /// Slices may be those of fields, or of frames that mix fields and frames.
    pub(super) interlace: Interlace,
    /// `max_num_reorder_frames`, if it says.
    pub(super) told_reorder: Option<u32>,
    /// `max_dec_frame_buffering`, if it says.
    pub(super) buffering: Option<u32>,
}

/// What stands in a slice header for the picture order count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Type 0: so many bits of the count.
    Bits(u32),
    /// Type 1: differences, unless they are always zero.
    Cycle { always_zero: bool },
    /// Type 2: nothing, because it is decoding order.
    Decoding,
}

/// How far a sequence may be interlaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interlace {
    /// Frames only.
    No,
    /// Pictures may be fields (PAFF).
    Fields,
    /// Macroblocks of frames may be fields, too (MBAFF).
    Macroblocks,
}

/// Colour description (ITU-T H.264 §E.2.1); the numbers are those of the tables
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) full_range: bool,
    pub(super) primaries: u8,
    pub(super) transfer: u8,
    pub(super) matrix: u8,
}

/// `max_dec_frame_buffering` has no larger value.
const MAX_REORDER: u32 = 16;

/// Profiles that carry the chroma format (ITU-T H.264 §7.3.2.1.1).
const WITH_FORMAT: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

impl Sps {
    /// Reads an SPS NAL unit with its header byte. `None` when it is malformed, or
    /// has a number that the syntax forbids.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(1..)?);
        let mut bits = Bits::new(&rbsp);
        let profile = bits.take(8)? as u8;
        let constraints = bits.take(8)?;
        let level = bits.take(8)? as u8;
        let id = bits.ue()?;
        let plain = if WITH_FORMAT.contains(&profile) { format(&mut bits)? } else { true };
        let frame_num_bits = four_to_sixteen(&mut bits)?;
        let order = picture_order(&mut bits)?;
        let references = bits.ue()?;
        let gaps_allowed = bits.flag()?;
        let Size { width, height, mbs, interlace } = size(&mut bits)?;
        let vui = if bits.flag()? { vui(&mut bits)? } else { Vui::default() };
        let unsaid = if order == Order::Decoding || profile == 66 { 0 } else { MAX_REORDER };
        let reorder = vui.reorder.unwrap_or(unsaid).min(MAX_REORDER) as usize;
        Some(Self {
            width,
            height,
            coded_samples: u64::from(mbs.0) * u64::from(mbs.1) * 256,
            plain,
            reorder,
            colour: vui.colour,
            profile,
            level,
            constraint_set3: constraints & 0x10 != 0,
            id,
            mbs,
            frame_num_bits,
            order,
            references,
            gaps_allowed,
            interlace,
            told_reorder: vui.reorder,
            buffering: vui.buffering,
        })
    }
}

/// A number of bits that is told less 4: 16 at most (ITU-T H.264 §7.4.2.1.1).
fn four_to_sixteen(bits: &mut Bits<'_>) -> Option<u32> {
    bits.ue().filter(|&less| less <= 12).map(|less| less + 4)
}

/// Whether samples are 8-bit 4:2:0; skips the scaling matrices.
fn format(bits: &mut Bits<'_>) -> Option<bool> {
    let chroma = bits.ue()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    let (luma_depth, chroma_depth) = (bits.ue()?, bits.ue()?);
    bits.skip(1)?;
    if bits.take(1)? == 1 {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.take(1)? == 1 {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma == 1 && luma_depth == 0 && chroma_depth == 0)
}

/// ITU-T H.264 §7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, entries: usize) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..entries {
        if next != 0 {
            next = (last + i64::from(bits.se()?)).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn picture_order(bits: &mut Bits<'_>) -> Option<Order> {
    Some(match bits.ue()? {
        0 => Order::Bits(four_to_sixteen(bits)?),
        1 => {
            let always_zero = bits.flag()?;
            bits.ue()?;
            bits.ue()?;
            for _ in 0..bits.ue().filter(|&n| n <= 255)? {
                bits.ue()?;
            }
            Order::Cycle { always_zero }
        }
        2 => Order::Decoding,
        _ => return None,
    })
}

struct Size {
    width: u32,
    height: u32,
    mbs: (u32, u32),
    interlace: Interlace,
}

fn size(bits: &mut Bits<'_>) -> Option<Size> {
    // 16,384 macroblocks are four times the widest that any level allows.
    let side = |n: u32| (n < 16_384).then_some(n + 1);
    let (width_mbs, map_height) = (side(bits.ue()?)?, side(bits.ue()?)?);
    let frames_only = bits.take(1)?;
    let interlace = match frames_only {
        1 => Interlace::No,
        _ if bits.flag()? => Interlace::Macroblocks,
        _ => Interlace::Fields,
    };
    bits.skip(1)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.ue()?;
        }
    }
    let mbs = (width_mbs, map_height * (2 - frames_only));
    // Crop units of 4:2:0; other formats are refused anyway.
    let cropped = |full: u32, a: u32, b: u32, unit: u32| {
        full.checked_sub(a.checked_add(b)?.checked_mul(unit)?).filter(|&left| left > 0)
    };
    Some(Size {
        width: cropped(mbs.0 * 16, crop[0], crop[1], 2)?,
        height: cropped(mbs.1 * 16, crop[2], crop[3], 2 * (2 - frames_only))?,
        mbs,
        interlace,
    })
}

#[derive(Default)]
struct Vui {
    colour: Option<Colour>,
    reorder: Option<u32>,
    buffering: Option<u32>,
}

/// ITU-T H.264 §E.1.1.
fn vui(bits: &mut Bits<'_>) -> Option<Vui> {
    const EXTENDED_SAR: u32 = 255;
    if bits.take(1)? == 1 && bits.take(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.take(1)? == 1 {
        bits.skip(1)?;
    }
    let colour = if bits.take(1)? == 1 { colour(bits)? } else { None };
    if bits.take(1)? == 1 {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.take(1)? == 1 {
        bits.skip(65)?;
    }
    let hrd = skip_hrd(bits)? | skip_hrd(bits)?;
    bits.skip(usize::from(hrd) + 1)?;
    if bits.take(1)? == 0 {
        return Some(Vui { colour, reorder: None, buffering: None });
    }
    bits.skip(1)?;
    for _ in 0..4 {
        bits.ue()?;
    }
    Some(Vui { colour, reorder: Some(bits.ue()?), buffering: Some(bits.ue()?) })
}

fn colour(bits: &mut Bits<'_>) -> Option<Option<Colour>> {
    bits.skip(3)?;
    let full_range = bits.take(1)? == 1;
    if bits.take(1)? == 0 {
        return Some(None);
    }
    let (primaries, transfer, matrix) = (bits.take(8)? as u8, bits.take(8)? as u8, bits.take(8)? as u8);
    Some(Some(Colour { full_range, primaries, transfer, matrix }))
}

/// Whether there was one (ITU-T H.264 §E.1.2).
fn skip_hrd(bits: &mut Bits<'_>) -> Option<bool> {
    if bits.take(1)? == 0 {
        return Some(false);
    }
    let count = bits.ue().filter(|&n| n < 32)? + 1;
    bits.skip(8)?;
    for _ in 0..count {
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    bits.skip(20)?;
    Some(true)
}
