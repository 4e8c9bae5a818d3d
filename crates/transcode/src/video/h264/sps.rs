//! What must be known of a sequence parameter set before a decoder sees it.

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
    /// Reads an SPS NAL unit with its header byte. `None` when it is malformed.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(1..)?);
        let mut bits = Bits { bytes: &rbsp, at: 0 };
        let profile = bits.take(8)? as u8;
        bits.skip(16)?;
        bits.ue()?;
        let plain = if WITH_FORMAT.contains(&profile) { format(&mut bits)? } else { true };
        bits.ue()?;
        let in_order = picture_order(&mut bits)? || profile == 66;
        bits.ue()?;
        bits.skip(1)?;
        let (width, height, coded_samples) = size(&mut bits)?;
        let vui = if bits.take(1)? == 1 { vui(&mut bits)? } else { Vui::default() };
        let unsaid = if in_order { 0 } else { MAX_REORDER };
        let reorder = vui.reorder.unwrap_or(unsaid).min(MAX_REORDER) as usize;
        Some(Self { width, height, coded_samples, plain, reorder, colour: vui.colour })
    }
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

/// Skips to the picture order count's end; true when output order is decoding
/// order (type 2).
fn picture_order(bits: &mut Bits<'_>) -> Option<bool> {
    let kind = bits.ue()?;
    match kind {
        0 => drop(bits.ue()?),
        1 => {
            bits.skip(1)?;
            bits.ue()?;
            bits.ue()?;
            for _ in 0..bits.ue().filter(|&n| n <= 255)? {
                bits.ue()?;
            }
        }
        2 => {}
        _ => return None,
    }
    Some(kind == 2)
}

fn size(bits: &mut Bits<'_>) -> Option<(u32, u32, u64)> {
    // 16,384 macroblocks are four times the widest that any level allows.
    let side = |n: u32| (n < 16_384).then_some((n + 1) * 16);
    let (width, map_height) = (side(bits.ue()?)?, side(bits.ue()?)?);
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.ue()?;
        }
    }
    let height = map_height * (2 - frames_only);
    // Crop units of 4:2:0; other formats are refused anyway.
    let cropped = |full: u32, a: u32, b: u32, unit: u32| {
        full.checked_sub(a.checked_add(b)?.checked_mul(unit)?).filter(|&left| left > 0)
    };
    Some((
        cropped(width, crop[0], crop[1], 2)?,
        cropped(height, crop[2], crop[3], 2 * (2 - frames_only))?,
        u64::from(width) * u64::from(height),
    ))
}

#[derive(Default)]
struct Vui {
    colour: Option<Colour>,
    reorder: Option<u32>,
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
        return Some(Vui { colour, reorder: None });
    }
    bits.skip(1)?;
    for _ in 0..4 {
        bits.ue()?;
    }
    Some(Vui { colour, reorder: Some(bits.ue()?) })
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

/// Takes out emulation prevention bytes (ITU-T H.264 §7.4.1.1).
fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// Up to 32 bits.
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | self.bit()?))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.bytes.len() * 8)?;
        Some(())
    }

    /// Exp-Golomb, unsigned (ITU-T H.264 §9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// Exp-Golomb, signed (ITU-T H.264 §9.1.1).
    fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let half = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { half } else { -half })
    }
}
