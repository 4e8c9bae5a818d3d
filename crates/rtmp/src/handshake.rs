//! The handshake, simple (Adobe's RTMP specification 1.0 §5.2) and with digests.
//!
//! The digest form is what Flash Player 10 and later speak; the specification is
//! silent about it. A C1 whose four version bytes are not zero may carry, at a
//! place that other bytes of C1 name, an HMAC-SHA256 over the rest of C1. Then S1
//! carries one too, and the end of S2 proves that we found the peer's.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

/// Length of C1, S1, C2 and S2, in bytes.
pub const PACKET: usize = 1536;
const VERSION: u8 = 3;
const DIGEST: usize = 32;

/// What a server calls itself in a digest handshake: below 3.0.0.1 peers would
/// take it for one that has no digests.
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

const CLIENT_KEY: &[u8; 30] = b"Genuine Adobe Flash Player 001";
const SERVER_KEY: &[u8; 36] = b"Genuine Adobe Flash Media Server 001";
/// Follows the text in the key that signs S2.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e,
    0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Why a handshake failed. The peer is at fault, or speaks something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The first byte is not RTMP's 3; 6 would be RTMPE, which we do not speak.
    #[error("RTMP version {0} is not supported")]
    Version(u8),
}

/// Where a C1 or S1 keeps its digest: the sum of four bytes at `at`, folded into
/// 728 places after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scheme {
    at: usize,
}

const SCHEMES: [Scheme; 2] = [Scheme { at: 8 }, Scheme { at: 772 }];

impl Scheme {
    /// At most 772 + 4 + 727, so the digest always ends before the packet does.
    fn digest_at(self, packet: &[u8; PACKET]) -> usize {
        let sum: usize = packet[self.at..self.at + 4].iter().map(|&byte| usize::from(byte)).sum();
        self.at + 4 + sum % 728
    }
}

/// The server's half: bytes in, S0 S1 S2 out.
pub(crate) struct Server {
    random: Box<[u8; PACKET]>,
    received: Vec<u8>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Hello,
    Echo,
    Done,
}

impl Server {
    /// `random` fills S1 and S2; whoever makes the engine draws it.
    pub(crate) fn new(random: &[u8; PACKET]) -> Self {
        Self { random: Box::new(*random), received: Vec::new(), stage: Stage::Hello }
    }

    pub(crate) fn done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Takes what belongs to the handshake from the front of `bytes`.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut &[u8],
        out: &mut impl Extend<u8>,
    ) -> Result<(), HandshakeError> {
        if self.stage == Stage::Hello && self.fill(bytes, 1 + PACKET)? {
            out.extend(self.answer());
            self.received = Vec::new();
            self.stage = Stage::Echo;
        }
        // C2 echoes S1. Nothing depends on it, and some encoders send zeros, so
        // it is counted and not compared.
        if self.stage == Stage::Echo && self.fill(bytes, PACKET)? {
            self.received = Vec::new();
            self.stage = Stage::Done;
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut &[u8], wanted: usize) -> Result<bool, HandshakeError> {
        let (head, rest) = bytes.split_at(bytes.len().min(wanted - self.received.len()));
        self.received.extend_from_slice(head);
        *bytes = rest;
        match self.received.first() {
            Some(&version) if self.stage == Stage::Hello && version != VERSION => {
                Err(HandshakeError::Version(version))
            }
            _ => Ok(self.received.len() == wanted),
        }
    }

    fn answer(&self) -> Vec<u8> {
        let mut c1 = [0; PACKET];
        c1.copy_from_slice(&self.received[1..]);
        let digests = find_digest(&c1, CLIENT_KEY)
            .and_then(|(scheme, digest)| Some((self.signed_s1(scheme)?, self.signed_s2(&digest)?)));
        let (s1, s2) = digests.unwrap_or_else(|| (self.plain_s1(), c1));
        [&[VERSION][..], &s1, &s2].concat()
    }

    fn plain_s1(&self) -> [u8; PACKET] {
        let mut s1 = *self.random;
        s1[..8].fill(0);
        s1
    }

    fn signed_s1(&self, scheme: Scheme) -> Option<[u8; PACKET]> {
        let mut s1 = self.plain_s1();
        s1[4..8].copy_from_slice(&SERVER_VERSION);
        sign(&mut s1, scheme, SERVER_KEY)?;
        Some(s1)
    }

    fn signed_s2(&self, c1_digest: &[u8; DIGEST]) -> Option<[u8; PACKET]> {
        let key = hmac(&[SERVER_KEY, &KEY_TAIL[..]].concat(), &[c1_digest])?;
        let mut s2 = *self.random;
        let signature = hmac(&key, &[&s2[..PACKET - DIGEST]])?;
        s2[PACKET - DIGEST..].copy_from_slice(&signature);
        Some(s2)
    }
}

/// The client's half, simple form only: C0 C1 first, C2 after S0 S1 S2.
pub(crate) struct Client {
    received: Vec<u8>,
    done: bool,
}

impl Client {
    /// The half, and the C0 C1 to send.
    pub(crate) fn new(random: &[u8; PACKET]) -> (Self, Vec<u8>) {
        let mut hello = [&[VERSION][..], random].concat();
        hello[1..9].fill(0);
        (Self { received: Vec::new(), done: false }, hello)
    }

    pub(crate) fn done(&self) -> bool {
        self.done
    }

    pub(crate) fn receive(
        &mut self,
        bytes: &mut &[u8],
        out: &mut impl Extend<u8>,
    ) -> Result<(), HandshakeError> {
        let wanted = 1 + 2 * PACKET;
        let (head, rest) = bytes.split_at(bytes.len().min(wanted - self.received.len()));
        self.received.extend_from_slice(head);
        *bytes = rest;
        match self.received.first() {
            Some(&version) if version != VERSION => return Err(HandshakeError::Version(version)),
            _ if self.received.len() < wanted => return Ok(()),
            _ => {}
        }
        out.extend(self.received[1..=PACKET].iter().copied());
        self.received = Vec::new();
        self.done = true;
        Ok(())
    }
}

/// The scheme whose digest in `c1` is right, and that digest.
fn find_digest(c1: &[u8; PACKET], key: &[u8]) -> Option<(Scheme, [u8; DIGEST])> {
    if c1[4..8] == [0; 4] {
        return None;
    }
    SCHEMES.into_iter().find_map(|scheme| {
        let digest = digest_of(c1, scheme, key)?;
        let at = scheme.digest_at(c1);
        (c1[at..at + DIGEST] == digest).then_some((scheme, digest))
    })
}

fn sign(packet: &mut [u8; PACKET], scheme: Scheme, key: &[u8]) -> Option<()> {
    let digest = digest_of(packet, scheme, key)?;
    let at = scheme.digest_at(packet);
    packet[at..at + DIGEST].copy_from_slice(&digest);
    Some(())
}

fn digest_of(packet: &[u8; PACKET], scheme: Scheme, key: &[u8]) -> Option<[u8; DIGEST]> {
    let at = scheme.digest_at(packet);
    hmac(key, &[&packet[..at], &packet[at + DIGEST..]])
}

/// `None` never happens: HMAC takes a key of any length.
fn hmac(key: &[u8], parts: &[&[u8]]) -> Option<[u8; DIGEST]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests;
