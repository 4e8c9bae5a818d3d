//! Bits of an H.264 RBSP.

/// Reads bits from a raw byte sequence payload. Past the end it answers none.
pub(super) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// From the bytes behind the NAL header; emulation prevention bytes
    /// (ITU-T H.264 §7.4.1) are taken out.
    pub(super) fn of_rbsp(nal: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(nal.len());
        let mut zeros = 0;
        for &b in nal {
            if zeros >= 2 && b == 3 {
                zeros = 0;
                continue;
            }
            zeros = if b == 0 { zeros + 1 } else { 0 };
            bytes.push(b);
        }
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// `n` bits, at most 32, most significant first.
    pub(super) fn bits(&mut self, n: u32) -> Option<u32> {
        (0..n).try_fold(0u32, |v, _| Some(v << 1 | u32::from(self.bit()?)))
    }

    /// Unsigned Exp-Golomb (§9.1), below 2^31.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 30 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// Signed Exp-Golomb (§9.1.1).
    pub(super) fn se(&mut self) -> Option<i32> {
        let k = self.ue()?;
        let half = (k.div_ceil(2)) as i32;
        Some(if k % 2 == 1 { half } else { -half })
    }
}
