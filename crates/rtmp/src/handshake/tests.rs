//! The digest handshake against a client written here on its own SHA-256.

use super::*;

/// FIPS 180-4, for tests: slow and independent of the crate that we use.
fn sha256(message: &[u8]) -> [u8; 32] {
    let primes = (2u64..).filter(|n| (2..*n).all(|d| n % d != 0)).take(64);
    // The first 32 bits of the fractional parts of the roots, by integer arithmetic.
    let root = |n: u64, power: u32, bits: u32| {
        let target = u128::from(n) << bits;
        (0..128u32).rev().map(|b| 1u128 << b).fold(0u128, |x, bit| {
            let y = x | bit;
            let fits = y.checked_pow(power).is_some_and(|z| z <= target);
            if fits { y } else { x }
        }) as u32
    };
    let k: Vec<u32> = primes.clone().map(|p| root(p, 3, 96)).collect();
    let mut h: Vec<u32> = primes.take(8).map(|p| root(p, 2, 64)).collect();
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 }, 0);
    let end = padded.len();
    padded[end - 8..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|b| u32::from_be_bytes(b.try_into().unwrap())).collect();
        for i in 16..64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ w[i - 15] >> 3;
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ w[i - 2] >> 10;
            w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
        }
        let mut v = h.clone();
        for i in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = v[4] & v[5] ^ !v[4] & v[6];
            let t1 = [s1, choice, k[i], w[i]].iter().fold(v[7], |a, b| a.wrapping_add(*b));
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let majority = v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2];
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(t1);
            v[0] = t1.wrapping_add(s0).wrapping_add(majority);
        }
        h.iter_mut().zip(v).for_each(|(h, v)| *h = h.wrapping_add(v));
    }
    h.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>().try_into().unwrap()
}

/// RFC 2104.
fn own_hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = if key.len() > 64 { sha256(key).to_vec() } else { key.to_vec() };
    block.resize(64, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    sha256(&[pad(0x5c), sha256(&[&pad(0x36)[..], message].concat()).to_vec()].concat())
}

fn without(packet: &[u8], at: usize) -> Vec<u8> {
    [&packet[..at], &packet[at + 32..]].concat()
}

/// Place of the digest for the four bytes at `base`, as the Flash player finds it.
fn place(packet: &[u8], base: usize) -> usize {
    let sum: u32 = packet[base..base + 4].iter().map(|byte| u32::from(*byte)).sum();
    (sum % 728) as usize + base + 4
}

fn answer_to(c1: &[u8]) -> Vec<u8> {
    let random = std::array::from_fn(|at| (at * 31 % 251) as u8);
    let mut server = Server::new(&random);
    let hello = [&[3][..], c1].concat();
    let mut out = Vec::new();
    // One byte at a time.
    for byte in hello {
        server.receive(&mut &[byte][..], &mut out).unwrap();
    }
    let c2 = [0; PACKET];
    server.receive(&mut &c2[..1535], &mut out).unwrap();
    assert!(!server.done());
    let mut last = &c2[..2];
    server.receive(&mut last, &mut out).unwrap();
    assert!(server.done() && last.len() == 1, "what follows the handshake is left");
    out
}

#[test]
fn our_own_hash_is_the_real_one() {
    // FIPS 180-4 example and RFC 4231 test case 2.
    assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    assert_eq!(own_hmac(b"Jefe", b"what do ya want for nothing?")[..4], [0x5b, 0xdc, 0xc1, 0x46]);
}

#[test]
fn a_flash_player_accepts_our_digests_in_both_schemes() {
    for base in [8, 772] {
        let mut c1: Vec<u8> = (0..PACKET).map(|at| (at * 7 % 256) as u8).collect();
        c1[4..8].copy_from_slice(&[0x80, 0, 7, 2]);
        let at = place(&c1, base);
        let digest = own_hmac(b"Genuine Adobe Flash Player 001", &without(&c1, at));
        c1[at..at + 32].copy_from_slice(&digest);

        let out = answer_to(&c1);
        assert_eq!((out[0], out.len()), (3, 1 + 2 * PACKET));
        let (s1, s2) = out[1..].split_at(PACKET);
        assert!(s1[4] >= 3, "older servers have no digests");
        let at = place(s1, base);
        assert_eq!(s1[at..at + 32], own_hmac(b"Genuine Adobe Flash Media Server 001", &without(s1, at)));
        let key = own_hmac(&[&b"Genuine Adobe Flash Media Server 001"[..], &KEY_TAIL].concat(), &digest);
        assert_eq!(s2[PACKET - 32..], own_hmac(&key, &s2[..PACKET - 32]));
    }
}

#[test]
fn a_plain_client_gets_its_echo() {
    let mut c1 = vec![9; PACKET];
    c1[4..8].fill(0);
    let out = answer_to(&c1);
    assert_eq!(out[1..9], [0; 8]);
    assert_eq!(out[1 + PACKET..], c1);
    // A version without a digest that fits counts as plain too.
    c1[4] = 10;
    assert_eq!(answer_to(&c1)[1 + PACKET..], c1);
}

#[test]
fn another_protocol_is_refused_at_its_first_byte() {
    let mut server = Server::new(&[0; PACKET]);
    let mut out = Vec::new();
    assert_eq!(server.receive(&mut &b"GET / HTTP/1.1"[..], &mut out), Err(HandshakeError::Version(b'G')));
    assert_eq!(Server::new(&[0; PACKET]).receive(&mut &[6][..], &mut out), Err(HandshakeError::Version(6)));
    assert!(out.is_empty());
}

#[test]
fn our_client_and_our_server_shake_hands() {
    let (mut client, hello) = Client::new(&[5; PACKET]);
    let mut server = Server::new(&[6; PACKET]);
    let (mut from_server, mut from_client) = (Vec::new(), Vec::new());
    server.receive(&mut &hello[..], &mut from_server).unwrap();
    client.receive(&mut &from_server[..], &mut from_client).unwrap();
    server.receive(&mut &from_client[..], &mut from_server).unwrap();
    assert!(client.done() && server.done());
    assert_eq!(from_client[8..], from_server[9..1 + PACKET], "C2 echoes S1");
}
