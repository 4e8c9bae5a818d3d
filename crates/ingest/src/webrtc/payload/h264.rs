//! H.264 in RTP payloads (RFC 6184), packetisation mode 1: single NAL units,
//! STAP-A and FU-A. Mode 0 is the first of the three and needs nothing more.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// NAL unit type of a picture that a decoder can start at (ITU-T H.264 table 7-1).
pub const NAL_IDR: u8 = 5;
/// NAL unit type of a sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// NAL unit type of a picture parameter set.
pub const NAL_PPS: u8 = 8;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const TYPE: u8 = 0x1f;

/// An access unit above this size is not a picture any browser sends; it equals
/// the cap on one RTMP message.
const MAX_UNIT: usize = 8 << 20;
/// Slices of one picture; level 5.2 allows fewer.
const MAX_NALS: usize = 1024;

/// Why a payload was refused. The peer's fault; the access unit is lost.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum H264Error {
    /// The payload ends before what it announces.
    #[error("truncated payload")]
    Truncated,
    /// An interleaved or reserved packet type (RFC 6184 table 1).
    #[error("packet type {0} does not belong to mode 1")]
    Type(u8),
    /// A fragment without its start, or a start inside another fragment.
    #[error("fragment out of order")]
    Fragment,
    /// More bytes or NAL units than a picture may have.
    #[error("access unit too large")]
    TooLarge,
}

/// Cuts one access unit into RTP payloads of at most `mtu` bytes (at least 8).
///
/// Small NAL units share a payload (STAP-A). The fragments of a large one
/// (FU-A) have one size, but for the last, so that a picture leaves as one
/// segmented datagram. Empty NAL units and types that RTP uses for itself are
/// left out.
pub fn packetise(nals: &[Bytes], mtu: usize) -> Vec<Bytes> {
    let mtu = mtu.max(8);
    let mut out = Vec::new();
    let mut together: Vec<&Bytes> = Vec::new();
    let mut size = 1;
    for nal in nals.iter().filter(|nal| is_single(nal)) {
        if size + 2 + nal.len() > mtu || nal.len() > usize::from(u16::MAX) {
            flush(&mut together, &mut size, &mut out);
        }
        if nal.len() > mtu {
            fragment(nal, mtu, &mut out);
        } else {
            size += 2 + nal.len();
            together.push(nal);
        }
    }
    flush(&mut together, &mut size, &mut out);
    out
}

fn is_single(nal: &[u8]) -> bool {
    nal.first().is_some_and(|&head| (1..STAP_A).contains(&(head & TYPE)))
}

fn flush(together: &mut Vec<&Bytes>, size: &mut usize, out: &mut Vec<Bytes>) {
    match together.as_slice() {
        [] => {}
        [one] => out.push(Bytes::clone(one)),
        many => out.push(stap_a(many, *size)),
    }
    together.clear();
    *size = 1;
}

fn stap_a(nals: &[&Bytes], size: usize) -> Bytes {
    let mut buf = BytesMut::with_capacity(size);
    // Its NRI is the highest one inside (RFC 6184 §5.7).
    let nri = nals.iter().filter_map(|nal| nal.first()).map(|head| head & 0x60).max().unwrap_or(0);
    buf.put_u8(nri | STAP_A);
    for nal in nals {
        buf.put_u16(nal.len() as u16);
        buf.put_slice(nal);
    }
    buf.freeze()
}

fn fragment(nal: &Bytes, mtu: usize, out: &mut Vec<Bytes>) {
    let (head, body) = (nal[0], &nal[1..]);
    let count = body.len().div_ceil(mtu - 2);
    let each = body.len().div_ceil(count);
    let last = body.len().div_ceil(each) - 1;
    for (i, part) in body.chunks(each).enumerate() {
        let edge = if i == 0 { FU_START } else { 0 } | if i == last { FU_END } else { 0 };
        let mut buf = BytesMut::with_capacity(2 + part.len());
        buf.put_u8(head & !TYPE | FU_A);
        buf.put_u8(edge | head & TYPE);
        buf.put_slice(part);
        out.push(buf.freeze());
    }
}

/// A NAL unit that begins in a payload.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Begins<'a> {
    /// NAL unit type.
    pub kind: u8,
    /// The NAL unit; only its first bytes when it is fragmented.
    pub bytes: &'a [u8],
}

/// The NAL units that begin in a payload. A malformed payload yields those
/// before the fault.
pub fn begins(payload: &[u8]) -> Vec<Begins<'_>> {
    let mut out = Vec::new();
    // The fault itself is found by the depacketiser; this only looks.
    let _ = visit(payload, |part| {
        match part {
            Part::Whole(bytes) => out.push(Begins { kind: bytes[0] & TYPE, bytes }),
            Part::Fragment { head, first: true, bytes, .. } => out.push(Begins { kind: head & TYPE, bytes }),
            Part::Fragment { .. } => {}
        }
        Ok(())
    });
    out
}

enum Part<'a> {
    Whole(&'a [u8]),
    Fragment { head: u8, first: bool, last: bool, bytes: &'a [u8] },
}

fn visit<'a>(
    payload: &'a [u8],
    mut each: impl FnMut(Part<'a>) -> Result<(), H264Error>,
) -> Result<(), H264Error> {
    let &head = payload.first().ok_or(H264Error::Truncated)?;
    match head & TYPE {
        1..STAP_A => each(Part::Whole(payload)),
        STAP_A => visit_stap(&payload[1..], each),
        FU_A => {
            let &fu = payload.get(1).ok_or(H264Error::Truncated)?;
            let (first, last) = (fu & FU_START != 0, fu & FU_END != 0);
            each(Part::Fragment { head: head & !TYPE | fu & TYPE, first, last, bytes: &payload[2..] })
        }
        other => Err(H264Error::Type(other)),
    }
}

fn visit_stap<'a>(
    mut rest: &'a [u8],
    mut each: impl FnMut(Part<'a>) -> Result<(), H264Error>,
) -> Result<(), H264Error> {
    while let Some((size, tail)) = rest.split_first_chunk::<2>() {
        let size = usize::from(u16::from_be_bytes(*size));
        let nal = tail.get(..size).ok_or(H264Error::Truncated)?;
        if is_single(nal) {
            each(Part::Whole(nal))?;
        }
        rest = &tail[size..];
    }
    if rest.is_empty() { Ok(()) } else { Err(H264Error::Truncated) }
}

/// Puts access units together again. After an error the rest of the access unit
/// is worthless: [`reset`](Self::reset) and go on with the next.
#[derive(Debug, Default)]
pub struct Depacketiser {
    nals: Vec<Bytes>,
    fragment: Option<BytesMut>,
    size: usize,
}

impl Depacketiser {
    /// Takes the next payload, in order.
    pub fn push(&mut self, payload: &Bytes) -> Result<(), H264Error> {
        visit(payload, |part| match part {
            Part::Whole(nal) => self.whole(payload.slice_ref(nal)),
            Part::Fragment { head, first, last, bytes } => self.part(head, first, last, bytes),
        })
    }

    /// The NAL units since the last call; an unfinished fragment is dropped.
    /// Call it behind the packet with the marker.
    pub fn take(&mut self) -> Vec<Bytes> {
        let nals = std::mem::take(&mut self.nals);
        self.reset();
        nals
    }

    /// Forgets the access unit under way.
    pub fn reset(&mut self) {
        self.nals.clear();
        self.fragment = None;
        self.size = 0;
    }

    fn whole(&mut self, nal: Bytes) -> Result<(), H264Error> {
        if self.fragment.is_some() {
            return Err(H264Error::Fragment);
        }
        self.count(nal.len())?;
        self.nals.push(nal);
        Ok(())
    }

    fn part(&mut self, head: u8, first: bool, last: bool, bytes: &[u8]) -> Result<(), H264Error> {
        if first == self.fragment.is_some() {
            return Err(H264Error::Fragment);
        }
        self.count(bytes.len() + 1)?;
        let open = self.fragment.get_or_insert_with(|| BytesMut::from(&[head][..]));
        open.put_slice(bytes);
        if last && let Some(nal) = self.fragment.take().filter(|nal| is_single(nal)) {
            self.nals.push(nal.freeze());
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), H264Error> {
        self.size += more;
        if self.size > MAX_UNIT || self.nals.len() >= MAX_NALS {
            return Err(H264Error::TooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nal() -> impl Strategy<Value = Bytes> {
        (1u8..24, 0u8..4, proptest::collection::vec(any::<u8>(), 0..4000)).prop_map(|(kind, nri, body)| {
            let mut nal = vec![nri << 5 | kind];
            nal.extend(body);
            Bytes::from(nal)
        })
    }

    proptest! {
        #[test]
        fn what_is_packetised_comes_back(nals in proptest::collection::vec(nal(), 1..12), mtu in 20usize..1400) {
            let packets = packetise(&nals, mtu);
            let mut back = Depacketiser::default();
            for packet in &packets {
                prop_assert!(packet.len() <= mtu);
                back.push(packet).unwrap();
            }
            prop_assert_eq!(back.take(), nals);
        }

        #[test]
        fn hostile_payloads_do_not_panic(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..40)) {
            let mut back = Depacketiser::default();
            for payload in payloads {
                let _ = begins(&payload);
                if back.push(&Bytes::from(payload)).is_err() {
                    back.reset();
                }
            }
            prop_assert!(back.take().iter().all(|nal| is_single(nal)));
        }
    }

    #[test]
    fn a_large_picture_leaves_in_equal_fragments() {
        let nal = Bytes::from(vec![0x65; 10_001]);
        let sizes: Vec<_> = packetise(&[nal], 1200).iter().map(Bytes::len).collect();
        let (last, rest) = sizes.split_last().unwrap();
        assert!(rest.iter().all(|size| size == &rest[0]), "{sizes:?}");
        assert!(*last <= rest[0]);
        assert_eq!(sizes.len(), 9);
    }

    #[test]
    fn parameter_sets_share_one_payload() {
        let unit = [
            Bytes::from_static(&[0x67, 1, 2]),
            Bytes::from_static(&[0x68, 3]),
            Bytes::from(vec![0x65; 3000]),
        ];
        let packets = packetise(&unit, 1200);
        assert_eq!(packets[0][0] & TYPE, STAP_A);
        let kinds: Vec<_> = begins(&packets[0]).iter().map(|b| b.kind).collect();
        assert_eq!(kinds, [NAL_SPS, NAL_PPS]);
        assert_eq!(begins(&packets[1])[0].kind, NAL_IDR);
        assert!(begins(&packets[2]).is_empty());
    }

    #[test]
    fn a_lost_start_is_an_error_and_not_half_a_picture() {
        let packets = packetise(&[Bytes::from(vec![0x41; 3000])], 1200);
        let mut back = Depacketiser::default();
        assert_eq!(back.push(&packets[1]), Err(H264Error::Fragment));
        back.reset();
        assert!(back.take().is_empty());
    }

    #[test]
    fn an_endless_fragment_is_cut_off() {
        let mut back = Depacketiser::default();
        back.push(&Bytes::from_static(&[0x7c, 0x85, 0])).unwrap();
        let more = Bytes::from([&[0x7c, 0x05][..], &[0; 60_000]].concat());
        let refused = (0..1000).find_map(|_| back.push(&more).err());
        assert_eq!(refused, Some(H264Error::TooLarge));
    }
}
