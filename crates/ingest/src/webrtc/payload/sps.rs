//! The few fields of an H.264 sequence parameter set that a track needs
//! (ITU-T H.264 §7.3.2.1.1 and annex E).

use super::bits::Bits;

/// Larger pictures than these are not decoded by anyone here, and their sums
/// would overflow.
const MAX_SIDE: u32 = 16_384;

/// Longest cycle of picture orders (§7.4.2.1.1). What follows a longer one cannot be found.
const MAX_CYCLE: u32 = 255;

/// What a sequence parameter set says about the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Width in luma samples, cropping applied.
    pub width: u32,
    /// Height in luma samples, cropping applied.
    pub height: u32,
    /// Pictures may be shown in another order than they are decoded in. True
    /// also when the set does not say and its profile allows it.
    pub reordered: bool,
}

/// Reads a sequence parameter set NAL unit, header byte included; none when it
/// is malformed or absurd.
pub fn parse(nal: &[u8]) -> Option<Sps> {
    if nal.first()? & 0x1f != super::h264::NAL_SPS {
        return None;
    }
    let mut r = Bits::of_rbsp(&nal[1..]);
    let profile = r.bits(8)?;
    r.bits(16)?;
    r.ue()?;
    let chroma = if has_chroma_format(profile) { chroma_format(&mut r)? } else { 1 };
    let poc_type = picture_order(&mut r)?;
    r.ue()?;
    r.bit()?;
    let size = picture_size(&mut r, chroma)?;
    let reordered = poc_type != 2 && profile != 66 && reorder_frames(&mut r).unwrap_or(1) > 0;
    Some(Sps { width: size.0, height: size.1, reordered })
}

fn has_chroma_format(profile: u32) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn chroma_format(r: &mut Bits) -> Option<u32> {
    let chroma = r.ue()?;
    if chroma == 3 {
        r.bit()?;
    }
    r.ue()?;
    r.ue()?;
    r.bit()?;
    if r.bit()? {
        let lists = if chroma == 3 { 12 } else { 8 };
        for list in 0..lists {
            if r.bit()? {
                skip_scaling_list(r, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    (chroma <= 3).then_some(chroma)
}

fn skip_scaling_list(r: &mut Bits, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + i64::from(r.se()?)).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn picture_order(r: &mut Bits) -> Option<u32> {
    r.ue()?;
    let kind = r.ue()?;
    match kind {
        0 => {
            r.ue()?;
        }
        1 => {
            r.bit()?;
            r.se()?;
            r.se()?;
            let cycle = r.ue().filter(|&cycle| cycle <= MAX_CYCLE)?;
            for _ in 0..cycle {
                r.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    Some(kind)
}

fn picture_size(r: &mut Bits, chroma: u32) -> Option<(u32, u32)> {
    let width = r.ue()?.checked_add(1)?.checked_mul(16)?;
    let map_units = r.ue()?.checked_add(1)?;
    let frames_only = r.bit()?;
    if !frames_only {
        r.bit()?;
    }
    r.bit()?;
    let fields = if frames_only { 1 } else { 2 };
    let height = map_units.checked_mul(16 * fields)?;
    let crop = if r.bit()? { [r.ue()?, r.ue()?, r.ue()?, r.ue()?] } else { [0; 4] };
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = fields * if chroma == 1 { 2 } else { 1 };
    let width = width.checked_sub(crop[0].checked_add(crop[1])?.checked_mul(unit_x)?)?;
    let height = height.checked_sub(crop[2].checked_add(crop[3])?.checked_mul(unit_y)?)?;
    let sane = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
    sane.then_some((width, height))
}

/// `max_num_reorder_frames` of the VUI; none when it is not said.
fn reorder_frames(r: &mut Bits) -> Option<u32> {
    if !r.bit()? {
        return None;
    }
    skip_picture_description(r)?;
    let nal_hrd = r.bit()?;
    if nal_hrd {
        skip_hrd(r)?;
    }
    let vcl_hrd = r.bit()?;
    if vcl_hrd {
        skip_hrd(r)?;
    }
    if nal_hrd || vcl_hrd {
        r.bit()?;
    }
    r.bit()?;
    if !r.bit()? {
        return None;
    }
    r.bit()?;
    for _ in 0..4 {
        r.ue()?;
    }
    r.ue()
}

/// Everything of the VUI up to the HRD parameters.
fn skip_picture_description(r: &mut Bits) -> Option<()> {
    if r.bit()? && r.bits(8)? == 255 {
        r.bits(32)?;
    }
    if r.bit()? {
        r.bit()?;
    }
    if r.bit()? {
        r.bits(4)?;
        if r.bit()? {
            r.bits(24)?;
        }
    }
    if r.bit()? {
        r.ue()?;
        r.ue()?;
    }
    if r.bit()? {
        r.bits(32)?;
        r.bits(32)?;
        r.bit()?;
    }
    Some(())
}

fn skip_hrd(r: &mut Bits) -> Option<()> {
    let count = r.ue()?.checked_add(1)?;
    r.bits(8)?;
    for _ in 0..count.min(32) {
        r.ue()?;
        r.ue()?;
        r.bit()?;
    }
    r.bits(20)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// x264, High 3.0, 640x360, three B-frames with pyramid.
    const HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
        0x00, 0x00, 0x03, 0x00, 0x3c, 0x0f, 0x16, 0x2d, 0x96,
    ];
    /// Chromium's OpenH264, Constrained Baseline 3.1, 640x480.
    const BASELINE: &[u8] =
        &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];

    #[test]
    fn cropping_is_applied_and_reordering_is_seen() {
        assert_eq!(parse(HIGH), Some(Sps { width: 640, height: 360, reordered: true }));
    }

    #[test]
    fn constrained_baseline_never_reorders() {
        assert_eq!(parse(BASELINE), Some(Sps { width: 640, height: 480, reordered: false }));
    }

    /// The bits as a set of Main profile, level 3, of 640x480.
    fn with_order(order: &str) -> Vec<u8> {
        let (references, width, height) = ("0100", "00000101000", "000011110");
        let bits = format!("{:0<512}", format!("11{order}{references}{width}{height}1100"));
        let bytes = (0..64).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap());
        [0x67, 77, 0, 30].into_iter().chain(bytes).collect()
    }

    #[test]
    fn a_cycle_of_picture_orders_is_read_whole_or_refused() {
        // The count is 255 and 256 in Exp-Golomb.
        let cycle = |count: &str, ones: usize| with_order(&format!("010011{count}{}", "1".repeat(ones)));
        let read = parse(&cycle("00000000100000000", 255));
        assert_eq!(read.map(|sps| (sps.width, sps.height)), Some((640, 480)));
        assert_eq!(parse(&cycle("00000000100000001", 256)), None);
    }

    proptest! {
        #[test]
        fn hostile_sets_do_not_panic(mut nal in proptest::collection::vec(any::<u8>(), 1..80)) {
            nal[0] = 0x67;
            if let Some(sps) = parse(&nal) {
                prop_assert!(sps.width <= MAX_SIDE && sps.height <= MAX_SIDE);
            }
        }
    }
}
