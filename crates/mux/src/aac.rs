//! What `AudioSpecificConfig` says about time (ISO/IEC 14496-3 §1.6.2.1).

/// Sampling rates by index (ISO/IEC 14496-3, table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Spectral band replication, and the same with parametric stereo: the two
/// object types that wrap another one and double its rate.
const SBR: u8 = 5;
const PS: u8 = 29;

/// The timing half of an `AudioSpecificConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacConfig {
    /// Audio object type as signalled: 2 is AAC-LC, 5 HE-AAC, 29 HE-AAC v2.
    pub object_type: u8,
    /// Samples per second of the AAC core; HE-AAC decodes to twice as many.
    pub core_rate: u32,
    /// Core samples in one access unit: 1024, or 960.
    pub frame_samples: u32,
}

/// Why an `AudioSpecificConfig` is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// It ends inside a field.
    #[error("AudioSpecificConfig is cut short")]
    Short,
    /// A reserved sampling rate index, or a rate outside the table's range.
    #[error("AudioSpecificConfig names no sampling rate")]
    Rate,
}

impl AacConfig {
    /// Reads the leading fields; what follows them is not needed for timing.
    pub fn parse(config: &[u8]) -> Result<Self, AacError> {
        let mut bits = Bits { bytes: config, at: 0 };
        let object_type = bits.object_type()?;
        let core_rate = bits.rate()?;
        bits.take(4)?; // channel configuration
        if matches!(object_type, SBR | PS) {
            bits.rate()?; // of the decoded sound
            bits.object_type()?;
        }
        // A config that stops here is accepted: the flag's default is 1024.
        let short = bits.take(1).unwrap_or(0) == 1;
        Ok(Self { object_type, core_rate, frame_samples: if short { 960 } else { 1024 } })
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, n: usize) -> Result<u32, AacError> {
        let mut value = 0;
        for at in self.at..self.at + n {
            let byte = self.bytes.get(at / 8).ok_or(AacError::Short)?;
            value = value << 1 | u32::from(byte >> (7 - at % 8) & 1);
        }
        self.at += n;
        Ok(value)
    }

    fn object_type(&mut self) -> Result<u8, AacError> {
        let short = self.take(5)?;
        let full = if short == 31 { 32 + self.take(6)? } else { short };
        Ok(full as u8) // at most 32 + 63
    }

    fn rate(&mut self) -> Result<u32, AacError> {
        let index = self.take(4)?;
        let rate =
            if index == 15 { self.take(24)? } else { *RATES.get(index as usize).ok_or(AacError::Rate)? };
        if (RATES[12]..=RATES[0]).contains(&rate) { Ok(rate) } else { Err(AacError::Rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lc_he_and_odd_rates() {
        let lc = AacConfig::parse(&[0x12, 0x10]).unwrap();
        assert_eq!(lc, AacConfig { object_type: 2, core_rate: 44_100, frame_samples: 1024 });
        // AOT 5, core 24 kHz (6), stereo, extension 48 kHz (3), AOT 2.
        let he = AacConfig::parse(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!(he, AacConfig { object_type: 5, core_rate: 24_000, frame_samples: 1024 });
        // AOT 2, index 15, 24-bit rate 37 000, mono, 960 samples.
        let odd = AacConfig::parse(&[0x17, 0x80, 0x48, 0x44, 0x0c]).unwrap();
        assert_eq!(odd, AacConfig { object_type: 2, core_rate: 37_000, frame_samples: 960 });
    }

    #[test]
    fn refuses_what_has_no_rate() {
        assert_eq!(AacConfig::parse(&[]), Err(AacError::Short));
        assert_eq!(AacConfig::parse(&[0x12]), Err(AacError::Short));
        assert_eq!(AacConfig::parse(&[0x17, 0x00, 0x00]), Err(AacError::Rate));
        assert_eq!(AacConfig::parse(&[0x17, 0x80, 0x00, 0x00, 0x08]), Err(AacError::Rate));
    }
}
