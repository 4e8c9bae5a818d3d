//! A slice header, as far as it says what a decoder must hold.

use super::avcc::{IDR, nal_type};
use super::bits::{Bits, unescape};
use super::pps::Pps;
use super::sps::{Interlace, Order, Sps};

/// Bytes of a NAL unit in which its slice header must end. With 32 weights of 2
/// lists, 66 modifications and 64 commands it has less than half of it.
const HEADER: usize = 2048;

/// Most commands of `memory_management_control_operation` in a header: one for each
/// of 16 frames to be dropped, one for each to be made long-term, and few others.
pub(super) const MAX_COMMANDS: usize = 64;

/// Most entries of a reference list (ITU-T H.264 §7.4.3), which only fields reach.
pub(super) const MAX_ACTIVE: u32 = 32;

/// Facts of a slice header (ITU-T H.264 §7.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) idr: bool,
    /// `nal_ref_idc` is not 0.
    pub(super) reference: bool,
    /// `first_mb_in_slice`.
    pub(super) first: u32,
    pub(super) frame_num: u32,
    /// `field_pic_flag`.
    pub(super) field: bool,
    /// `redundant_pic_cnt` is not 0.
    pub(super) redundant: bool,
    /// How many references it may choose from.
    pub(super) active: [u32; 2],
    pub(super) marking: Marking,
}

/// What becomes of references (ITU-T H.264 §7.3.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marking {
    /// An IDR picture: all are dropped.
    Idr { long_term: bool },
    /// The oldest short-term one makes room.
    Window,
    /// As it says.
    Adaptive(Vec<Command>),
}

/// `memory_management_control_operation` (ITU-T H.264 table 7-9). Differences are
/// those of picture numbers, less 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Drop {
        difference: u32,
    },
    DropLong {
        number: u32,
    },
    MakeLong {
        difference: u32,
        index: u32,
    },
    /// Index of the first long-term frame that is dropped.
    LimitLong {
        limit: u32,
    },
    DropAll,
    KeepCurrentLong {
        index: u32,
    },
}

/// Which parameter set a slice NAL unit names.
pub(super) fn pps_id(nal: &[u8]) -> Option<u32> {
    let rbsp = rbsp(nal)?;
    let mut bits = Bits::new(&rbsp);
    bits.ue()?;
    bits.ue()?;
    bits.ue()
}

fn rbsp(nal: &[u8]) -> Option<Vec<u8>> {
    Some(unescape(nal.get(1..nal.len().min(HEADER))?))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    P,
    B,
    I,
}

impl Slice {
    /// Reads a slice NAL unit with its header byte. `None` when it is malformed, or
    /// of a kind (SP, SI) that only the Extended profile has.
    pub(super) fn parse(nal: &[u8], sps: &Sps, pps: &Pps) -> Option<Self> {
        let rbsp = rbsp(nal)?;
        let mut bits = Bits::new(&rbsp);
        let idr = nal_type(nal) == IDR;
        let reference = nal.first()? & 0x60 != 0;
        let first = bits.ue()?;
        let kind = match bits.ue()? {
            0 | 5 => Kind::P,
            1 | 6 => Kind::B,
            2 | 7 => Kind::I,
            _ => return None,
        };
        bits.ue()?;
        let frame_num = bits.take(sps.frame_num_bits as usize)?;
        let field = sps.interlace != Interlace::No && bits.flag()?;
        if field {
            bits.skip(1)?;
        }
        if idr {
            bits.ue()?;
        }
        skip_order(&mut bits, sps, pps, field)?;
        let redundant = pps.redundant && bits.ue()? != 0;
        let active = references(&mut bits, kind, pps)?;
        let weighted = kind == Kind::P && pps.weighted || kind == Kind::B && pps.weighted_bi == 1;
        if weighted {
            skip_weights(&mut bits, kind, active)?;
        }
        let marking = if reference { marking(&mut bits, idr)? } else { Marking::Window };
        Some(Self { idr, reference, first, frame_num, field, redundant, active, marking })
    }
}

fn skip_order(bits: &mut Bits<'_>, sps: &Sps, pps: &Pps, field: bool) -> Option<()> {
    let bottom = pps.bottom_order && !field;
    match sps.order {
        Order::Bits(count) => bits.skip(count as usize)?,
        Order::Cycle { always_zero: false } => drop(bits.se()?),
        Order::Cycle { always_zero: true } | Order::Decoding => return Some(()),
    }
    if bottom {
        bits.se()?;
    }
    Some(())
}

/// How many references it may choose from; skips how it orders them.
fn references(bits: &mut Bits<'_>, kind: Kind, pps: &Pps) -> Option<[u32; 2]> {
    let lists = match kind {
        Kind::I => return Some([0; 2]),
        Kind::P => 1,
        Kind::B => {
            bits.skip(1)?;
            2
        }
    };
    let mut active = [0; 2];
    let overridden = bits.flag()?;
    for (list, active) in active.iter_mut().enumerate().take(lists) {
        *active = if overridden { bits.ue()?.checked_add(1)? } else { pps.active[list] };
    }
    for _ in 0..lists {
        if bits.flag()? {
            skip_modification(bits)?;
        }
    }
    Some(active)
}

/// ITU-T H.264 §7.3.3.1. A list is modified once for each entry at most.
fn skip_modification(bits: &mut Bits<'_>) -> Option<()> {
    for _ in 0..=MAX_ACTIVE {
        match bits.ue()? {
            0..=2 => drop(bits.ue()?),
            3 => return Some(()),
            _ => return None,
        }
    }
    None
}

/// ITU-T H.264 §7.3.3.2, for 4:2:0.
fn skip_weights(bits: &mut Bits<'_>, kind: Kind, active: [u32; 2]) -> Option<()> {
    bits.ue()?;
    bits.ue()?;
    let lists = if kind == Kind::B { 2 } else { 1 };
    for &count in &active[..lists] {
        for _ in 0..Some(count).filter(|&count| count <= MAX_ACTIVE)? {
            // Luma has a weight and an offset, chroma two of each.
            for numbers in [2, 4] {
                if bits.flag()? {
                    for _ in 0..numbers {
                        bits.se()?;
                    }
                }
            }
        }
    }
    Some(())
}

fn marking(bits: &mut Bits<'_>, idr: bool) -> Option<Marking> {
    if idr {
        bits.skip(1)?;
        return Some(Marking::Idr { long_term: bits.flag()? });
    }
    if !bits.flag()? {
        return Some(Marking::Window);
    }
    let mut commands = Vec::new();
    while commands.len() <= MAX_COMMANDS {
        commands.push(match bits.ue()? {
            0 => return Some(Marking::Adaptive(commands)),
            1 => Command::Drop { difference: bits.ue()? },
            2 => Command::DropLong { number: bits.ue()? },
            3 => Command::MakeLong { difference: bits.ue()?, index: bits.ue()? },
            4 => Command::LimitLong { limit: bits.ue()? },
            5 => Command::DropAll,
            6 => Command::KeepCurrentLong { index: bits.ue()? },
            _ => return None,
        });
    }
    None
}
