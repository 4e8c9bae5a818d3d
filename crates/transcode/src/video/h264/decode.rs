//! rusty_h264-decoder, the only file that names it.

use rusty_h264_decoder::Decoder;

use super::avcc::ParameterSets;
use crate::guard::guard;

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
pub(super) struct Undecodable;

/// A decoder that survives its own panics.
pub(super) struct Pictures {
    decoder: Decoder,
    sets: Vec<u8>,
}

impl Pictures {
    /// For streams with these parameter sets.
    pub(super) fn new(sets: &ParameterSets) -> Result<Self, Undecodable> {
        let sets = sets.annex_b();
        let decoder = open(&sets)?;
        Ok(Self { decoder, sets })
    }

    /// Decodes the slices of one access unit. `None` when they are not a whole
    /// picture.
    pub(super) fn decode(&mut self, annex_b: &[u8]) -> Result<Option<Picture>, Undecodable> {
        let decoder = &mut self.decoder;
        let decoded = guard(|| decoder.decode(annex_b).map(|frame| frame.map(|f| (f, decoder.last_poc()))));
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
                Err(Undecodable)
            }
        }
    }

    /// Forgets all pictures; the next access unit must be an IDR picture.
    pub(super) fn restart(&mut self) -> Result<(), Undecodable> {
        self.decoder = open(&self.sets)?;
        Ok(())
    }
}

fn open(sets: &[u8]) -> Result<Decoder, Undecodable> {
    let fed = guard(|| {
        let mut decoder = Decoder::new();
        decoder.decode(sets).map(|_| decoder)
    });
    fed.map_err(|_| Undecodable)?.map_err(|_| Undecodable)
}
