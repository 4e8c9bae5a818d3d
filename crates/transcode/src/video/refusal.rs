//! Why a stream's pictures reach no decoder.

/// What a stream claims, or does, past the limits of its level or of our own
/// (ITU-T H.264 Annex A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A sequence or picture parameter set that the syntax does not allow.
    #[error("a malformed parameter set")]
    Set,
    /// A slice that the syntax does not allow, or that does not fit to the one
    /// before. The next IDR picture may be whole.
    #[error("a malformed slice")]
    Slice,
    /// `level_idc` is not in table A-1.
    #[error("level_idc {0} is no level")]
    Level(u8),
    /// Fields, or frames that mix fields and frames.
    #[error("interlaced coding")]
    Interlaced,
    /// Slice groups (FMO) or redundant pictures, which only profiles have that are
    /// not decoded.
    #[error("slice groups or redundant pictures")]
    Profile,
    /// More than a bound.
    #[error("{bound}: {found}, and {most} is the most")]
    Past {
        /// Which one.
        bound: Bound,
        /// What the stream has.
        found: u32,
        /// What it may have.
        most: u32,
    },
}

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bound {
    /// `MaxFS`.
    #[error("macroblocks in a frame")]
    Frame,
    /// The root of 8 `MaxFS`.
    #[error("macroblocks in a row or a column")]
    Side,
    /// `max_num_ref_frames` against `MaxDpbFrames`.
    #[error("reference frames")]
    References,
    /// `max_dec_frame_buffering` against `MaxDpbFrames`.
    #[error("frames in the decoded picture buffer")]
    Buffering,
    /// `max_num_reorder_frames` against `MaxDpbFrames`.
    #[error("frames out of order")]
    Reorder,
    /// `seq_parameter_set_id`.
    #[error("id of a sequence parameter set")]
    SequenceId,
    /// `pic_parameter_set_id`.
    #[error("id of a picture parameter set")]
    PictureId,
    /// All parameter sets together.
    #[error("bytes of parameter sets")]
    Sets,
    /// `num_ref_idx_l0_active_minus1` and its like, plus 1.
    #[error("entries of a reference list")]
    Active,
    /// Reference frames that a decoder would have to keep after a picture.
    #[error("reference frames kept")]
    Kept,
    /// `LongTermFrameIdx`.
    #[error("index of a long-term frame")]
    LongTerm,
    /// Slices of a picture.
    #[error("slices in a picture")]
    Slices,
    /// Bytes of an access unit, by `MaxCPB`.
    #[error("bytes of a picture")]
    AccessUnit,
    /// `MaxMBPS`, and a quarter of it more. By the next IDR picture there may be time
    /// again.
    #[error("macroblocks in a second")]
    Rate,
    /// Frames missing in `frame_num`. The next IDR picture may be whole.
    #[error("frames missing")]
    Gap,
}

impl Refusal {
    #[cfg(feature = "video")]
    /// Whether a lost frame or a clock can look like this: it costs the pictures until
    /// the next IDR picture, and not the stream.
    pub(crate) const fn is_damage(self) -> bool {
        matches!(self, Self::Slice | Self::Past { bound: Bound::Gap | Bound::Rate, .. })
    }
}
