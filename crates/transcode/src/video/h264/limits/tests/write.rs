//! Parameter sets and slice headers as a stream might claim them; there are no
//! pictures behind them.

use bytes::Bytes;

use super::super::Limits;
use crate::video::Refusal;
use crate::video::h264::avcc::{self, ParameterSets, Slices};

/// Writes bits from the most significant on.
#[derive(Default)]
struct Writer {
    bits: Vec<bool>,
}

impl Writer {
    fn u(&mut self, value: u32, count: u32) -> &mut Self {
        self.bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    /// Exp-Golomb, unsigned.
    fn ue(&mut self, value: u32) -> &mut Self {
        let code = u64::from(value) + 1;
        let length = code.ilog2();
        self.bits.extend(std::iter::repeat_n(false, length as usize));
        self.bits.extend((0..=length).rev().map(|bit| code >> bit & 1 == 1));
        self
    }

    /// The NAL unit: with stop bit, and bytes that prevent start codes.
    fn nal(&mut self, head: u8) -> Bytes {
        self.bits.push(true);
        let mut nal = vec![head];
        let mut zeros = 0;
        for bits in self.bits.chunks(8) {
            let byte = (0..8).fold(0, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&false)));
            if zeros >= 2 && byte <= 3 {
                nal.push(3);
                zeros = 0;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            nal.push(byte);
        }
        nal.into()
    }
}

/// A sequence parameter set: High profile, 1280x720 at level 3.1 (5 frames), with 4
/// references.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    pub(super) profile: u32,
    pub(super) constraints: u32,
    pub(super) level: u32,
    pub(super) id: u32,
    pub(super) frame_num_less_4: u32,
    pub(super) order_less_4: u32,
    pub(super) references: u32,
    pub(super) gaps: bool,
    pub(super) mbs: (u32, u32),
    /// `frame_mbs_only_flag` is not set, and `mb_adaptive_frame_field_flag` is this.
    pub(super) interlaced: Option<bool>,
    /// `max_num_reorder_frames` and `max_dec_frame_buffering`.
    pub(super) held: Option<(u32, u32)>,
}

pub(super) const CLAIM: Claim = Claim {
    profile: 100,
    constraints: 0,
    level: 31,
    id: 0,
    frame_num_less_4: 0,
    order_less_4: 0,
    references: 4,
    gaps: false,
    mbs: (80, 45),
    interlaced: None,
    held: None,
};

impl Claim {
    pub(super) fn nal(&self) -> Bytes {
        let mut w = Writer::default();
        w.u(self.profile, 8).u(self.constraints, 8).u(self.level, 8).ue(self.id);
        if self.profile == 100 {
            w.ue(1).ue(0).ue(0).u(0, 2);
        }
        w.ue(self.frame_num_less_4).ue(0).ue(self.order_less_4).ue(self.references);
        w.u(self.gaps.into(), 1).ue(self.mbs.0 - 1);
        match self.interlaced {
            None => w.ue(self.mbs.1 - 1).u(1, 1),
            Some(adaptive) => w.ue(self.mbs.1 / 2 - 1).u(0, 1).u(adaptive.into(), 1),
        };
        // Direct 8x8 inference; no cropping.
        w.u(0b10, 2);
        match self.held {
            None => w.u(0, 1),
            Some((reorder, buffering)) => {
                w.u(1, 1).u(0, 4).u(0, 1).u(0, 2).u(0, 1).u(1, 1).u(1, 1);
                w.ue(0).ue(0).ue(0).ue(0).ue(reorder).ue(buffering)
            }
        };
        w.nal(0x67)
    }
}

/// A picture parameter set.
#[derive(Clone, Copy)]
pub(super) struct Picture {
    pub(super) id: u32,
    pub(super) sps: u32,
    pub(super) groups: u32,
    pub(super) active: u32,
    pub(super) redundant: bool,
}

pub(super) const PICTURE: Picture = Picture { id: 0, sps: 0, groups: 1, active: 1, redundant: false };

impl Picture {
    pub(super) fn nal(&self) -> Bytes {
        let mut w = Writer::default();
        w.ue(self.id).ue(self.sps).u(0, 2).ue(self.groups - 1).ue(self.active - 1).ue(self.active - 1);
        w.u(0, 3).ue(0).ue(0).ue(0).u(0, 2).u(self.redundant.into(), 1);
        w.nal(0x68)
    }
}

/// The header of a P slice, or of an I slice of an IDR picture.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) idr: bool,
    pub(super) reference: bool,
    pub(super) first: u32,
    pub(super) pps: u32,
    pub(super) frame_num: u32,
    /// Bits of `frame_num` and of the order count.
    pub(super) bits: (u32, u32),
    pub(super) field: Option<bool>,
    pub(super) redundant: Option<u32>,
    pub(super) active: u32,
    /// Memory commands with their operands, without the last.
    pub(super) commands: &'a [&'a [u32]],
}

pub(super) const IDR: Head = Head {
    idr: true,
    reference: true,
    first: 0,
    pps: 0,
    frame_num: 0,
    bits: (4, 4),
    field: None,
    redundant: None,
    active: 1,
    commands: &[],
};

pub(super) const P: Head = Head { idr: false, frame_num: 1, ..IDR };

impl Head<'_> {
    pub(super) fn nal(&self) -> Bytes {
        let mut w = Writer::default();
        w.ue(self.first).ue(if self.idr { 7 } else { 5 }).ue(self.pps).u(self.frame_num, self.bits.0);
        if let Some(field) = self.field {
            w.u(field.into(), 1);
            if field {
                w.u(0, 1);
            }
        }
        if self.idr {
            w.ue(0);
        }
        w.u(0, self.bits.1);
        if let Some(count) = self.redundant {
            w.ue(count);
        }
        if !self.idr {
            w.u(1, 1).ue(self.active - 1).u(0, 1);
        }
        match (self.reference, self.idr) {
            (true, true) => drop(w.u(0, 2)),
            (true, false) => self.mark(&mut w),
            (false, _) => {}
        }
        let kind = if self.idr { 5 } else { 1 };
        w.ue(0).nal(if self.reference { 0x60 | kind } else { kind })
    }

    fn mark(&self, w: &mut Writer) {
        w.u((!self.commands.is_empty()).into(), 1);
        for number in self.commands.iter().flat_map(|command| command.iter()) {
            w.ue(*number);
        }
        if !self.commands.is_empty() {
            w.ue(0);
        }
    }

    /// As the only slice of its picture.
    pub(super) fn alone(&self) -> Slices {
        unit(&[self.nal()])
    }
}

/// An access unit of these NAL units.
pub(super) fn unit(nals: &[Bytes]) -> Slices {
    let of = |nal: &Bytes| [&(nal.len() as u32).to_be_bytes()[..], nal].concat();
    avcc::slices(&nals.iter().flat_map(of).collect::<Vec<_>>()).unwrap()
}

/// The limits of a stream with these parameter sets.
pub(super) fn limits(claim: Claim, picture: Picture) -> Result<Limits, Refusal> {
    Limits::of(&ParameterSets { sps: vec![claim.nal()], pps: vec![picture.nal()] })
}
