//! Bits, most significant first.

use super::FlvError;

pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    pub(super) fn bit(&mut self) -> Result<bool, FlvError> {
        let byte = *self.bytes.get(self.at / 8).ok_or(FlvError::Truncated)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(bit == 1)
    }

    /// `count` bits, at most 32.
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, FlvError> {
        (0..count).try_fold(0u32, |sum, _| Ok(sum << 1 | u32::from(self.bit()?)))
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), FlvError> {
        if count > self.left() {
            return Err(FlvError::Truncated);
        }
        self.at += count;
        Ok(())
    }

    /// An unsigned Exp-Golomb code, ue(v) (H.264 §9.1), of at most 32 bits.
    pub(super) fn ue(&mut self) -> Result<u32, FlvError> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return Err(FlvError::Config);
            }
        }
        Ok((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// A signed Exp-Golomb code, se(v) (H.264 §9.1.1).
    pub(super) fn se(&mut self) -> Result<i64, FlvError> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}
