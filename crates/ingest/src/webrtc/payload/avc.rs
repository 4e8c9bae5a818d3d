//! H.264 as [`media`] carries it: NAL units behind 4-byte lengths, and the
//! decoder configuration record (ISO/IEC 14496-15 §5.3.3.1).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Joins NAL units into one access unit.
pub fn join(nals: &[Bytes]) -> Bytes {
    let size = nals.iter().map(|nal| nal.len() + 4).sum();
    let mut buf = BytesMut::with_capacity(size);
    for nal in nals {
        buf.put_u32(nal.len() as u32);
        buf.put_slice(nal);
    }
    buf.freeze()
}

/// The NAL units of an access unit, without copying; what follows a wrong
/// length is left out.
pub fn split(unit: &Bytes) -> Vec<Bytes> {
    let mut rest = unit.clone();
    let mut nals = Vec::new();
    while rest.len() > 4 {
        let size = rest.get_u32() as usize;
        if size > rest.len() {
            break;
        }
        nals.push(rest.split_to(size));
    }
    nals
}

/// The record that holds one SPS and one PPS. None when the SPS is too short to
/// name its profile, or one of the two is longer than its field.
pub fn configuration(sps: &[u8], pps: &[u8]) -> Option<Bytes> {
    let profile = sps.get(1..4)?;
    let mut buf = BytesMut::with_capacity(16 + sps.len() + pps.len());
    buf.put_u8(1);
    buf.put_slice(profile);
    buf.put_slice(&[0xff, 0xe1]);
    buf.put_u16(u16::try_from(sps.len()).ok()?);
    buf.put_slice(sps);
    buf.put_u8(1);
    buf.put_u16(u16::try_from(pps.len()).ok()?);
    buf.put_slice(pps);
    if matches!(profile[0], 100 | 110 | 122 | 144) {
        // 4:2:0, 8 bits: what browsers send and decode.
        buf.put_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Some(buf.freeze())
}

/// The parameter sets of a record: every SPS, then every PPS. Empty when it is
/// malformed.
pub fn parameter_sets(config: &Bytes) -> Vec<Bytes> {
    read_sets(config).unwrap_or_default()
}

fn read_sets(config: &Bytes) -> Option<Vec<Bytes>> {
    let mut rest = config.clone();
    if rest.len() < 6 {
        return None;
    }
    rest.advance(5);
    let mut sets = Vec::new();
    for mask in [0x1f, 0xff] {
        let count = (!rest.is_empty()).then(|| rest.get_u8() & mask)?;
        for _ in 0..count {
            let size = (rest.len() >= 2).then(|| usize::from(rest.get_u16()))?;
            sets.push((rest.len() >= size).then(|| rest.split_to(size))?);
        }
    }
    Some(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn joined_units_split_again(nals in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..100), 0..8)) {
            let nals: Vec<Bytes> = nals.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(split(&join(&nals)), nals);
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let bytes = Bytes::from(bytes);
            let _ = split(&bytes);
            let _ = parameter_sets(&bytes);
        }
    }

    #[test]
    fn a_record_gives_its_parameter_sets_back() {
        let sps = [0x67, 0x64, 0, 0x1e, 9, 9];
        let record = configuration(&sps, &[0x68, 1]).unwrap();
        assert_eq!(parameter_sets(&record), [Bytes::copy_from_slice(&sps), Bytes::from_static(&[0x68, 1])]);
    }
}
