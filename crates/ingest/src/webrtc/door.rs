//! The front door: what of a peer's datagrams its ICE agent and its DTLS ever see.
//!
//! The agent (str0m's) keeps every remote address that it has met for as long as the
//! connection lives and walks over all of them for each check, so a peer that sends
//! checks from ever new addresses makes each next one dearer, on the one thread that
//! moves all media. So addresses and rates are bounded here, by a look at a
//! few bytes and before anything is parsed. What is dropped is counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Remote addresses that a peer may show before it has connected. A browser checks
/// from each of its interfaces, and behind a symmetric translator from another port
/// for each address of ours: a dozen is much. One of them that works is enough.
const BEFORE: usize = 16;
/// Remote addresses of one connection in all: the agent forgets none. A peer that
/// changes its network more often falls silent and connects anew.
const IN_ALL: usize = 256;
/// Addresses that media may come from at a time; those that checked last.
const ROUTES: usize = BEFORE;
/// New addresses of a connected peer: a change of the network (WLAN to mobile) brings
/// a handful at once, a translator that forgets brings one.
const NEW: Rate = Rate { burst: 8, every: Duration::from_secs(10) };
/// Checks from addresses that have passed one: each is answered, which costs some 20 us.
/// Browsers pace all their checks at one in 20 to 50 ms (RFC 8445 §14.2) while they
/// connect, and send a few per second later.
const CHECKS: Rate = Rate { burst: 200, every: Duration::from_millis(20) };
/// Checks from addresses that have not: each is verified by its password, and there is
/// no more than one right one per address. Apart from [`CHECKS`], so that a flood of
/// them does not silence the address that is in use.
const FIRST_CHECKS: Rate = Rate { burst: 64, every: Duration::from_millis(50) };
/// All else before it has connected: a DTLS handshake is a dozen datagrams, sent again
/// after a second; some media that was sent early.
const EARLY: Rate = Rate { burst: 128, every: Duration::from_millis(20) };

/// The fixed part of a STUN message (RFC 8489 §5).
const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_INDICATION: u16 = 0x0011;
const USERNAME: u16 = 0x0006;
/// Attributes that are looked at for a name; browsers send up to nine.
const ATTRIBUTES: usize = 16;

/// What a datagram is, by its first bytes (RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A check, and our name in it (RFC 8445 §7.2.2).
    Check { ufrag: &'a str },
    /// STUN that expects no answer and keeps a translation alive.
    KeepAlive,
    /// DTLS, RTP or RTCP.
    Other,
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// It is nothing that a peer has to send.
    Malformed,
    /// It names no peer, and comes from no peer's address.
    NoPeer,
    /// Its name is right and its password is not.
    Password,
    /// It comes from where another peer is talking.
    Taken,
    /// Its peer has shown as many addresses as it may.
    Addresses,
    /// Its peer sends more than it may.
    Rate,
}

impl Dropped {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Malformed, "malformed"),
        (Self::NoPeer, "no_peer"),
        (Self::Password, "password"),
        (Self::Taken, "taken"),
        (Self::Addresses, "addresses"),
        (Self::Rate, "rate"),
    ];
}

/// Datagrams that were dropped, by reason.
#[derive(Debug, Default)]
pub(super) struct Drops([AtomicU64; Dropped::ALL.len()]);

impl Drops {
    /// One more.
    pub(super) fn count(&self, why: Dropped) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many, and why.
    pub(super) fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Dropped::ALL.map(|(why, name)| (name, self.0[why as usize].load(Ordering::Relaxed))).into_iter()
    }
}

/// Looks at a datagram's first bytes; none when a peer has no reason to send it. Of STUN
/// only checks and keep-alives are for us: ICE-lite asks nothing, and so is answered
/// nothing.
pub(super) fn look(bytes: &[u8]) -> Option<Kind<'_>> {
    match bytes.first()? {
        0..=3 => stun(bytes),
        20..=63 | 128..=191 => Some(Kind::Other),
        _ => None,
    }
}

fn stun(bytes: &[u8]) -> Option<Kind<'_>> {
    let length = usize::from(word(bytes, 2)?);
    let whole = length.is_multiple_of(4) && HEADER + length == bytes.len();
    if !whole || bytes.get(4..8)? != COOKIE {
        return None;
    }
    match word(bytes, 0)? {
        BINDING_REQUEST => ufrag(&bytes[HEADER..]).map(|ufrag| Kind::Check { ufrag }),
        BINDING_INDICATION => Some(Kind::KeepAlive),
        _ => None,
    }
}

/// What is before the colon in USERNAME.
fn ufrag(mut attributes: &[u8]) -> Option<&str> {
    for _ in 0..ATTRIBUTES {
        let length = usize::from(word(attributes, 2)?);
        if word(attributes, 0)? == USERNAME {
            let name = std::str::from_utf8(attributes.get(4..4 + length)?).ok()?;
            return name.split_once(':').map(|(ours, _)| ours);
        }
        attributes = attributes.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// So many at once, and one more after each `every`.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// Lets through what a [`Rate`] allows: the moment at which it would be full again says
/// how much it holds.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    full: Option<Instant>,
}

impl Bucket {
    const fn new(rate: Rate) -> Self {
        Self { rate, full: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let full = self.full.map_or(now, |full| full.max(now)) + self.rate.every;
        let lets = full.saturating_duration_since(now) <= self.rate.every * self.rate.burst;
        if lets {
            self.full = Some(full);
        }
        lets
    }
}

/// Whether an address has to show the peer's password first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// It has shown it.
    Known,
    /// Verify the check, then [`FrontDoor::admit`] the address.
    Unverified,
}

/// One peer's door.
#[derive(Debug)]
pub(super) struct FrontDoor {
    /// Every address that its agent knows.
    known: Vec<SocketAddr>,
    /// Those that media may come from; what checked last is last.
    routes: Vec<SocketAddr>,
    new: Bucket,
    checks: Bucket,
    first_checks: Bucket,
    early: Bucket,
}

impl FrontDoor {
    /// A door to which nothing has come.
    pub(super) const fn new() -> Self {
        Self {
            known: Vec::new(),
            routes: Vec::new(),
            new: Bucket::new(NEW),
            checks: Bucket::new(CHECKS),
            first_checks: Bucket::new(FIRST_CHECKS),
            early: Bucket::new(EARLY),
        }
    }

    /// Whether a datagram may be parsed, for this peer. `routed`: its address leads here.
    pub(super) fn pass(
        &mut self,
        kind: Kind<'_>,
        from: SocketAddr,
        routed: bool,
        connected: bool,
        now: Instant,
    ) -> Result<Pass, Dropped> {
        let within = |bucket: &mut Bucket| if bucket.take(now) { Ok(()) } else { Err(Dropped::Rate) };
        match kind {
            Kind::Other if routed && connected => Ok(Pass::Known),
            Kind::Other if routed => within(&mut self.early).map(|()| Pass::Known),
            Kind::KeepAlive if routed => within(&mut self.checks).map(|()| Pass::Known),
            Kind::Check { .. } if routed => {
                within(&mut self.checks)?;
                self.refresh(from);
                Ok(Pass::Known)
            }
            Kind::Check { .. } => {
                if !self.has_room(from, connected) {
                    return Err(Dropped::Addresses);
                }
                within(&mut self.first_checks).map(|()| Pass::Unverified)
            }
            // Only a check can say to which peer an address belongs.
            Kind::Other | Kind::KeepAlive => Err(Dropped::NoPeer),
        }
    }

    /// Whether there is room for an address; a guess for one that must wait for its rate.
    fn has_room(&self, from: SocketAddr, connected: bool) -> bool {
        let most = if connected { IN_ALL } else { BEFORE };
        self.known.contains(&from) || self.known.len() < most
    }

    /// Lets media come from an address whose check was verified. The address that no
    /// longer leads here for it, if any.
    pub(super) fn admit(
        &mut self,
        from: SocketAddr,
        connected: bool,
        now: Instant,
    ) -> Result<Option<SocketAddr>, Dropped> {
        if !self.known.contains(&from) {
            if !self.has_room(from, connected) || (connected && !self.new.take(now)) {
                return Err(Dropped::Addresses);
            }
            self.known.push(from);
        }
        self.routes.retain(|route| *route != from);
        self.routes.push(from);
        Ok((self.routes.len() > ROUTES).then(|| self.routes.remove(0)))
    }

    /// Addresses that media may come from.
    pub(super) fn routes(&self) -> &[SocketAddr] {
        &self.routes
    }

    fn refresh(&mut self, from: SocketAddr) {
        if let Some(at) = self.routes.iter().position(|route| *route == from) {
            self.routes[at..].rotate_left(1);
        }
    }
}

#[cfg(any(fuzzing, test))]
pub(super) mod fuzzing;
#[cfg(test)]
mod tests;
