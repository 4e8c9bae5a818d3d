//! Sequence parameter sets of H.264 (§7.3.2.1.1 and annex E): picture size and order.

use super::FlvError;
use super::bits::Bits;

/// What a sequence parameter set says that we need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    /// Luma samples, cropping applied.
    pub(super) width: u32,
    /// Luma samples, cropping applied.
    pub(super) height: u32,
    /// How many pictures may precede one in decoding and follow it in showing;
    /// `None` when the set does not say, and there is no telling.
    pub(super) reorder_frames: Option<u32>,
}

/// Widest and tallest picture believed: level 6.2 ends at 16,888 samples.
const MAX_SIDE: u32 = 16_888;
/// Longest set read. Real ones are below 100 bytes.
const MAX_SPS: usize = 4096;
/// Longest cycle of picture orders (§7.4.2.1.1). What follows a longer one cannot be found.
const MAX_CYCLE: u32 = 255;
const EXTENDED_SAR: u32 = 255;

/// Baseline, which has no B pictures.
const BASELINE: u32 = 66;
/// pic_order_cnt_type whose pictures are shown as they are decoded (§8.2.1.3).
const OUTPUT_ORDER: u32 = 2;

impl Sps {
    /// Reads a set, NAL unit header included.
    pub(super) fn parse(nal: &[u8]) -> Result<Self, FlvError> {
        let rbsp = unescape(nal.get(1..).ok_or(FlvError::Truncated)?);
        let bits = &mut Bits::new(&rbsp);
        let profile = bits.bits(8)?;
        bits.bits(16)?; // constraint flags, level_idc
        bits.ue()?; // seq_parameter_set_id
        let chroma_format = if has_chroma_fields(profile) { chroma_fields(bits)? } else { 1 };
        bits.ue()?; // log2_max_frame_num_minus4
        let order_type = picture_order(bits)?;
        bits.ue()?; // max_num_ref_frames
        bits.bit()?; // gaps_in_frame_num_value_allowed_flag
        let (width, height) = picture_size(bits, chroma_format)?;
        let stated = if bits.bit()? { reorder_frames(bits) } else { None };
        let in_order = profile == BASELINE || order_type == OUTPUT_ORDER;
        let reorder_frames = if in_order { Some(0) } else { stated };
        Ok(Self { width, height, reorder_frames })
    }

    /// Whether pictures may be shown in another order than decoded.
    pub(super) fn reordered(&self) -> bool {
        self.reorder_frames != Some(0)
    }
}

fn has_chroma_fields(profile: u32) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// Takes the emulation prevention bytes out (§7.4.1).
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len().min(MAX_SPS));
    let mut zeros = 0;
    for &byte in nal.iter().take(MAX_SPS) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// chroma_format_idc, 0 when the colour planes are coded apart.
fn chroma_fields(bits: &mut Bits<'_>) -> Result<u32, FlvError> {
    let format = bits.ue()?;
    let separate_planes = format == 3 && bits.bit()?;
    bits.ue()?; // bit_depth_luma_minus8
    bits.ue()?; // bit_depth_chroma_minus8
    bits.bit()?; // qpprime_y_zero_transform_bypass_flag
    if bits.bit()? {
        for list in 0..if format == 3 { 12 } else { 8 } {
            if bits.bit()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(if separate_planes { 0 } else { format })
}

/// §7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Result<(), FlvError> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

/// pic_order_cnt_type, with the fields that hang on it read over.
fn picture_order(bits: &mut Bits<'_>) -> Result<u32, FlvError> {
    let order_type = bits.ue()?;
    match order_type {
        0 => {
            bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.bit()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            let cycle = bits.ue()?; // num_ref_frames_in_pic_order_cnt_cycle
            if cycle > MAX_CYCLE {
                return Err(FlvError::Config);
            }
            for _ in 0..cycle {
                bits.se()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Ok(order_type)
}

fn picture_size(bits: &mut Bits<'_>, chroma_format: u32) -> Result<(u32, u32), FlvError> {
    let width_in_mbs = bits.ue()?.saturating_add(1);
    let height_in_units = bits.ue()?.saturating_add(1);
    let fields = if bits.bit()? { 1 } else { 2 }; // frame_mbs_only_flag
    if fields == 2 {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    bits.bit()?; // direct_8x8_inference_flag
    let crop = if bits.bit()? { [bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?] } else { [0; 4] };
    let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
    let unit_y = fields * if chroma_format == 1 { 2 } else { 1 };
    let width = side(width_in_mbs, 16, crop[0].saturating_add(crop[1]), unit_x)?;
    let height = side(height_in_units, 16 * fields, crop[2].saturating_add(crop[3]), unit_y)?;
    Ok((width, height))
}

fn side(count: u32, size: u32, crop: u32, unit: u32) -> Result<u32, FlvError> {
    let full = count.saturating_mul(size);
    let side = full.saturating_sub(crop.saturating_mul(unit));
    if full > MAX_SIDE || side == 0 { Err(FlvError::Config) } else { Ok(side) }
}

/// max_num_reorder_frames of the VUI (annex E.1.1). `None` when it is absent or
/// cut off: encoders get the end of this structure wrong, the size is still good.
fn reorder_frames(bits: &mut Bits<'_>) -> Option<u32> {
    if bits.bit().ok()? && bits.bits(8).ok()? == EXTENDED_SAR {
        bits.skip(32).ok()?;
    }
    if bits.bit().ok()? {
        bits.bit().ok()?; // overscan_appropriate_flag
    }
    if bits.bit().ok()? {
        bits.skip(4).ok()?; // video_format, video_full_range_flag
        if bits.bit().ok()? {
            bits.skip(24).ok()?; // colour description
        }
    }
    if bits.bit().ok()? {
        bits.ue().ok()?; // chroma sample location, top
        bits.ue().ok()?; // and bottom
    }
    if bits.bit().ok()? {
        bits.skip(65).ok()?; // timing
    }
    let nal_hrd = skip_hrd(bits)?;
    if skip_hrd(bits)? || nal_hrd {
        bits.bit().ok()?; // low_delay_hrd_flag
    }
    bits.bit().ok()?; // pic_struct_present_flag
    if !bits.bit().ok()? {
        return None;
    }
    bits.bit().ok()?; // motion_vectors_over_pic_boundaries_flag
    for _ in 0..4 {
        bits.ue().ok()?;
    }
    bits.ue().ok()
}

/// Reads over HRD parameters (annex E.1.2) and says whether there were any.
fn skip_hrd(bits: &mut Bits<'_>) -> Option<bool> {
    if !bits.bit().ok()? {
        return Some(false);
    }
    let count = bits.ue().ok()?.min(31) + 1;
    bits.skip(8).ok()?;
    for _ in 0..count {
        bits.ue().ok()?;
        bits.ue().ok()?;
        bits.bit().ok()?;
    }
    bits.skip(20).ok()?;
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// Sets that x264 (FFmpeg 5.1) wrote: width, height, frames reordered. Those
    /// without B pictures say so by their order type.
    const SETS: [(&str, &str, (u32, u32, u32)); 10] = [
        ("High with B", "67640028acd940780227e5c044000003000400000300f03c60c658", (1920, 1080, 2)),
        ("Baseline", "6742c01ed900a02ff970110000030001000003003c0f162e48", (640, 360, 0)),
        ("Main without B", "674d401ed900a02ff970110000030001000003003c0f162e48", (640, 360, 0)),
        ("High, zero latency", "6764001facb200a00b760220000003002000000791e30649", (1280, 720, 0)),
        ("interlaced", "67640028acd94078044fde0220000003002000000643e2c5b2c0", (1920, 1080, 2)),
        ("High 4:4:4", "67f40015919b28363fcfe022000003000200000300781e2c5b2c", (426, 240, 2)),
        ("High 4:2:2", "677a000dbcd941519e222f0110000003001000000303c0f1429960", (322, 182, 2)),
        ("HRD", "6764001eacb201405ff2e02200000300020000030078c04003d08000f427261803c58b92", (640, 360, 0)),
        ("scaling lists", "6764001eacd940a02ff970110000030001000003003c0f162d96", (640, 360, 2)),
        ("monochrome", "6764001ef3650280bfe27016c8000003000800000301e078b16cb0", (640, 360, 2)),
    ];

    #[test]
    fn sets_of_a_real_encoder_are_read() {
        for (name, set, expected) in SETS {
            let sps = Sps::parse(&unhex(set)).unwrap();
            assert_eq!(
                (sps.width, sps.height, sps.reorder_frames),
                (expected.0, expected.1, Some(expected.2)),
                "{name}"
            );
        }
    }

    /// Main profile, level 3, 1280x720, with this picture order and VUI.
    fn set(order: &str, vui: &str) -> Vec<u8> {
        let size = "0000001010000 00000101101 1 1 0".replace(' ', "");
        let bits = format!("11{order}0100{size}{vui}1");
        let bits = format!("{bits:0<512}");
        let bytes = (0..64).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap());
        [0x67, 77, 0, 30].into_iter().chain(bytes).collect()
    }

    #[test]
    fn what_is_not_stated_counts_as_reordered() {
        let by_lsb = "11"; // order type 0
        let sps = Sps::parse(&set(by_lsb, "0")).unwrap();
        assert_eq!((sps.width, sps.height, sps.reorder_frames), (1280, 720, None));
        assert!(sps.reordered());
        assert!(!Sps::parse(&set("011", "0")).unwrap().reordered(), "order type 2 forbids it");
    }

    #[test]
    fn the_restriction_at_the_end_of_the_vui_decides() {
        // A Sample aspect ratio of its own, overscan, video signal, chroma location,
        // timing, both HRDs, then the restriction.
        let ones = |count| "1".repeat(count);
        let hrd = format!("1 1{}111{}", ones(8), ones(20));
        let vui = |reorder: &str| {
            format!(
                "1 1{}{} 11 1{}1{} 111 1{} {hrd} {hrd} 1 1 1 1 1111 {reorder} 1",
                ones(8),
                ones(32),
                ones(4),
                ones(24),
                ones(65)
            )
            .replace(' ', "")
        };
        assert_eq!(Sps::parse(&set("11", &vui("1"))).unwrap().reorder_frames, Some(0));
        assert_eq!(Sps::parse(&set("11", &vui("011"))).unwrap().reorder_frames, Some(2));
    }

    /// 1 and so many zeros before it, by which Exp-Golomb says `count`.
    fn golomb(count: u32) -> String {
        let bits = format!("{:b}", count + 1);
        "0".repeat(bits.len() - 1) + &bits
    }

    #[test]
    fn a_cycle_of_picture_orders_is_read_whole_or_refused() {
        let cycle = |count: u32| {
            let ones = "1".repeat(count as usize);
            set(&format!("010011{}{ones}", golomb(count)), "0")
        };
        assert_eq!(Sps::parse(&cycle(255)).map(|sps| (sps.width, sps.height)), Ok((1280, 720)));
        assert_eq!(Sps::parse(&cycle(256)), Err(FlvError::Config));
    }

    #[test]
    fn a_picture_of_no_believable_size_is_refused() {
        assert_eq!(side(2000, 16, 0, 1), Err(FlvError::Config));
        assert_eq!(side(1, 16, 8, 2), Err(FlvError::Config));
        assert_eq!(side(u32::MAX, 32, u32::MAX, 4), Err(FlvError::Config));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sps::parse(&bytes);
        }

        #[test]
        fn a_damaged_set_never_panics(which in 0..SETS.len(), at in 1usize..24, value: u8) {
            let mut set = unhex(SETS[which].1);
            set[at] = value;
            let _ = Sps::parse(&set);
        }
    }
}
