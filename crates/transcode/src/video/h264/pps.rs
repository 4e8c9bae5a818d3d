//! What must be known of a picture parameter set to read a slice header.

use super::bits::{Bits, unescape};

/// Facts of a PPS (ITU-T H.264 §7.3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pps {
    /// `pic_parameter_set_id`.
    pub(super) id: u32,
    /// `seq_parameter_set_id`: the SPS that it belongs to.
    pub(super) sps: u32,
    /// `bottom_field_pic_order_in_frame_present_flag`.
    pub(super) bottom_order: bool,
    /// `num_slice_groups_minus1` is not 0 (FMO).
    pub(super) slice_groups: bool,
    /// How many references P and B slices may choose from, unless they say.
    pub(super) active: [u32; 2],
    /// `weighted_pred_flag`.
    pub(super) weighted: bool,
    /// `weighted_bipred_idc`.
    pub(super) weighted_bi: u32,
    /// `redundant_pic_cnt_present_flag`.
    pub(super) redundant: bool,
}

impl Pps {
    /// Reads a PPS NAL unit with its header byte, without what follows the flags.
    /// `None` when it is malformed. What follows slice groups is not read: they are
    /// refused.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = unescape(nal.get(1..)?);
        let mut bits = Bits::new(&rbsp);
        let (id, sps) = (bits.ue()?, bits.ue()?);
        bits.skip(1)?;
        let bottom_order = bits.flag()?;
        let slice_groups = bits.ue()? != 0;
        if slice_groups {
            let (weighted, redundant) = (false, false);
            let pps = Self {
                id,
                sps,
                bottom_order,
                slice_groups,
                active: [1; 2],
                weighted,
                weighted_bi: 0,
                redundant,
            };
            return Some(pps);
        }
        let active = [bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?];
        let weighted = bits.flag()?;
        let weighted_bi = bits.take(2)?;
        for _ in 0..3 {
            bits.se()?;
        }
        bits.skip(2)?;
        let redundant = bits.flag()?;
        Some(Self { id, sps, bottom_order, slice_groups, active, weighted, weighted_bi, redundant })
    }
}
