//! rusty_h264-decoder, the only file that names it.

use media::MediaTime;
use rusty_h264_decoder::Decoder;

use super::avcc::{ParameterSets, Slices};
use super::limits::Limits;
use crate::guard::guard;
use crate::video::{Refusal, VideoUnsupported};

/// Planes of one picture, 8-bit 4:2:0, without padding, cropping applied.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) y: Vec<u8>,
    pub(super) u: Vec<u8>,
    pub(super) v: Vec<u8>,
    /// Picture order count.
    pub(super) order: i32,
}

/// The access unit did not decode. Later pictures that refer to it would be
/// wrong, so the caller waits for an IDR picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undecodable {
    /// The decoder did not see it.
    Refused(Refusal),
    /// The decoder could not read it.
    Failed,
}

impl Undecodable {
    /// Why the track cannot be decoded: the refusal, or else `failed`.
    pub(super) fn or(self, failed: VideoUnsupported) -> VideoUnsupported {
        match self {
            Self::Refused(refusal) => refusal.into(),
            Self::Failed => failed,
        }
    }
}

/// A decoder that survives its own panics, behind the limits of its stream.
pub(super) struct Pictures {
    limits: Limits,
    decoder: Decoder,
    sets: Vec<u8>,
}

impl Pictures {
    /// For streams with these parameter sets.
    pub(super) fn new(sets: &ParameterSets) -> Result<Self, Undecodable> {
        let limits = Limits::of(sets).map_err(Undecodable::Refused)?;
        let sets = sets.annex_b();
        let decoder = open(&sets)?;
        Ok(Self { limits, decoder, sets })
    }

    /// How many pictures may overtake another.
    pub(super) fn reorder(&self) -> usize {
        self.limits.reorder()
    }

    /// Decodes the slices of one access unit. `None` when they are not a whole
    /// picture. Without a decode time its rate is not looked at.
    pub(super) fn decode(
        &mut self,
        unit: &Slices,
        at: Option<MediaTime>,
    ) -> Result<Option<Picture>, Undecodable> {
        self.limits.admit(unit, at).map_err(Undecodable::Refused)?;
        let decoder = &mut self.decoder;
        let decoded =
            guard(|| decoder.decode(&unit.annex_b).map(|frame| frame.map(|f| (f, decoder.last_poc()))));
        match decoded {
            Ok(Ok(frame)) => Ok(frame.map(|(frame, order)| Picture {
                width: frame.width,
                height: frame.height,
                y: frame.y,
                u: frame.u,
                v: frame.v,
                order,
            })),
            Ok(Err(_)) | Err(_) => {
                self.restart()?;
                Err(Undecodable::Failed)
            }
        }
    }

    /// Forgets all pictures; the next access unit must be an IDR picture.
    fn restart(&mut self) -> Result<(), Undecodable> {
        self.decoder = open(&self.sets)?;
        Ok(())
    }
}

fn open(sets: &[u8]) -> Result<Decoder, Undecodable> {
    let fed = guard(|| {
        let mut decoder = Decoder::new();
        decoder.decode(sets).map(|_| decoder)
    });
    fed.map_err(|_| Undecodable::Failed)?.map_err(|_| Undecodable::Failed)
}
