//! What is on the wire, by the kernel's own clock: tcpdump on the loopback interface.
//!
//! A REST answer and the media are in one capture, so "no media byte after the 200" is a
//! comparison of two timestamps of the same clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::machine;
use crate::proc::Process;
use crate::wait::eventually;

/// Microseconds since 1970, the capture's clock.
pub type Time = u64;

/// A running capture.
pub struct Capture {
    process: Process,
    file: PathBuf,
    marker: UdpSocket,
    marker_to: SocketAddr,
    _folder: TempDir,
}

impl Capture {
    /// Captures everything to and from `ports` on loopback, TCP and UDP.
    pub fn start(ports: &[SocketAddr]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("wire.pcap");
        let marker = UdpSocket::bind("127.0.0.1:0")?;
        let marker_to = marker.local_addr()?;
        let wanted = ports.iter().chain([&marker_to]).map(|p| format!("port {}", p.port()));
        let mut command = machine::as_root("tcpdump");
        // -Z root: without it tcpdump gives up its right to our folder before it opens the file.
        command
            .args(["-i", "lo", "-n", "-U", "--immediate-mode", "-B", "65536", "-Z", "root", "-w"])
            .arg(&file);
        command.arg(wanted.collect::<Vec<_>>().join(" or "));
        let mut process = Process::spawn("tcpdump", command)?;
        process.line("listening", |line| line.contains("listening on").then_some(()))?;
        Ok(Self { process, file, marker, marker_to, _folder: folder })
    }

    /// Ends the capture once everything up to now is in it, and reads it.
    pub fn stop(mut self) -> Result<Wire> {
        self.mark()?;
        self.process.signal(Signal::INT);
        self.process.wait()?;
        let text = self.process.log.text();
        ensure!(text.contains("0 packets dropped by kernel"), "the capture has holes: {text}");
        Wire::parse(&std::fs::read(&self.file)?)
    }

    /// A datagram of our own behind all others, awaited in the file.
    fn mark(&self) -> Result<()> {
        let word = b"sluice capture ends here";
        self.marker.send_to(word, self.marker_to)?;
        eventually("the end of the capture", || {
            let bytes = std::fs::read(&self.file).ok()?;
            let tail = &bytes[bytes.len().saturating_sub(1 << 20)..];
            tail.windows(word.len()).any(|w| w == word).then_some(())
        })
    }
}

/// One packet.
#[derive(Debug, Clone)]
pub struct Packet {
    /// When the kernel sent it.
    pub at: Time,
    /// Sender.
    pub from: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// The sequence number of the payload's first byte; `None`: UDP.
    pub tcp_sequence: Option<u32>,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Whether the second byte of a packet on a media port is that of RTCP (RFC 5761, section 4).
pub fn is_rtcp(second: u8) -> bool {
    matches!(second, 192..=223)
}

/// RTP with a whole header, and not RTCP (RFC 7983, section 7, and RFC 3550, section 5.1).
fn is_rtp(payload: &[u8]) -> bool {
    payload.len() >= 12 && matches!(payload[0], 128..=191) && !is_rtcp(payload[1])
}

/// A capture's packets in order.
#[derive(Debug)]
pub struct Wire(pub Vec<Packet>);

impl Wire {
    /// When the answer on the connection of `local` began.
    pub fn answered(&self, local: SocketAddr) -> Result<Time> {
        let answer =
            self.0.iter().find(|p| p.to.port() == local.port() && p.payload.starts_with(b"HTTP/1.1 "));
        answer.map(|p| p.at).with_context(|| format!("no answer to {local} in the capture"))
    }

    /// RTP and RTCP from `server` to `port` after `after`: times and second bytes.
    pub fn rtp(&self, server: SocketAddr, port: u16, after: Time) -> Vec<(Time, u8)> {
        let ours = self
            .0
            .iter()
            .filter(|p| p.tcp_sequence.is_none() && p.from.port() == server.port() && p.to.port() == port);
        // First byte 128 to 191: RTP and RTCP. STUN and DTLS are below (RFC 7983, section 7).
        let media = ours.filter(|p| p.at > after && matches!(p.payload.first(), Some(128..=191)));
        media.map(|p| (p.at, p.payload.get(1).copied().unwrap_or(0))).collect()
    }

    /// The largest step in time between two neighbouring pictures that `server` sent to `port`
    /// after `after`, in ticks of 90 kHz (RFC 6184, section 5.1); `None`: fewer than two.
    pub fn longest_step(&self, server: SocketAddr, port: u16, after: Time) -> Option<u32> {
        let mut sources: BTreeMap<&[u8], (usize, Vec<u32>)> = BTreeMap::new();
        let ours = self.0.iter().filter(|p| {
            p.tcp_sequence.is_none() && p.at > after && p.from.port() == server.port() && p.to.port() == port
        });
        for payload in ours.map(|p| &p.payload).filter(|p| is_rtp(p)) {
            let (size, times) = sources.entry(&payload[8..12]).or_default();
            *size += payload.len();
            times.push(u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]));
        }
        // The picture is what is large. Its times are unordered where something was sent again.
        let (_, mut times) = sources.into_values().max_by_key(|(size, _)| *size)?;
        let first = *times.first()?;
        times.sort_by_key(|time| time.wrapping_sub(first).cast_signed());
        times.windows(2).map(|w| w[1].wrapping_sub(w[0])).max()
    }

    /// The bytes that `from` sent to `to` on one TCP connection.
    pub fn tcp(&self, from: u16, to: u16) -> Stream {
        let mut stream = Stream::default();
        let mut start = None;
        for p in self.0.iter().filter(|p| p.from.port() == from && p.to.port() == to && !p.payload.is_empty())
        {
            let Some(sequence) = p.tcp_sequence else { continue };
            let at = sequence.wrapping_sub(*start.get_or_insert(sequence)) as usize;
            // What was sent again counts when it was first sent.
            if at == stream.bytes.len() {
                stream.times.insert(at, p.at);
                stream.bytes.extend_from_slice(&p.payload);
            }
        }
        stream
    }

    /// The peers that `server` sent to over TCP, by port.
    pub fn tcp_peers(&self, server: SocketAddr) -> Vec<u16> {
        let to = self
            .0
            .iter()
            .filter(|p| p.tcp_sequence.is_some() && p.from.port() == server.port())
            .map(|p| p.to.port());
        let mut ports: Vec<u16> = to.collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.get(..4) == Some(&0xa1b2_c3d4_u32.to_le_bytes()), "not a pcap file of microseconds");
        ensure!(bytes.get(20..24) == Some(&1_u32.to_le_bytes()), "not an Ethernet capture");
        let mut packets = Vec::new();
        let mut rest = &bytes[24..];
        while rest.len() >= 16 {
            let word = |i: usize| u32::from_le_bytes([rest[i], rest[i + 1], rest[i + 2], rest[i + 3]]);
            let (at, length) = (u64::from(word(0)) * 1_000_000 + u64::from(word(4)), word(8) as usize);
            let Some(frame) = rest.get(16..16 + length) else { break };
            packets.extend(packet(at, frame));
            rest = &rest[16 + length..];
        }
        if packets.is_empty() {
            bail!("the capture is empty");
        }
        Ok(Self(packets))
    }
}

fn packet(at: Time, frame: &[u8]) -> Option<Packet> {
    let ip = frame.get(14..)?;
    let short = |bytes: &[u8], i: usize| Some(u16::from_be_bytes([*bytes.get(i)?, *bytes.get(i + 1)?]));
    if ip.first()? >> 4 != 4 {
        return None;
    }
    let header = usize::from(ip[0] & 15) * 4;
    // A length of 0 stands for "longer than 64 KB", which offloading makes on loopback.
    let end = match short(ip, 2)? {
        0 => ip.len(),
        length => usize::from(length),
    };
    let address =
        |i: usize| Some(IpAddr::from([*ip.get(i)?, *ip.get(i + 1)?, *ip.get(i + 2)?, *ip.get(i + 3)?]));
    let inner = ip.get(header..end)?;
    let from = SocketAddr::new(address(12)?, short(inner, 0)?);
    let to = SocketAddr::new(address(16)?, short(inner, 2)?);
    let (tcp_sequence, skip) = match ip.get(9)? {
        6 => (
            Some(u32::from_be_bytes(inner.get(4..8)?.try_into().ok()?)),
            usize::from(inner.get(12)? >> 4) * 4,
        ),
        17 => (None, 8),
        _ => return None,
    };
    Some(Packet { at, from, to, tcp_sequence, payload: inner.get(skip..)?.to_vec() })
}

/// One direction of a TCP connection.
#[derive(Debug, Default)]
pub struct Stream {
    /// Everything, in order.
    pub bytes: Vec<u8>,
    times: BTreeMap<usize, Time>,
}

impl Stream {
    /// How many bytes had been sent by `time`.
    pub fn sent_by(&self, time: Time) -> usize {
        self.times.iter().find(|(_, at)| **at > time).map_or(self.bytes.len(), |(offset, _)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_missing_makes_a_longer_step() {
        let server = SocketAddr::from(([127, 0, 0, 1], 1));
        let to = SocketAddr::from(([127, 0, 0, 1], 2));
        let rtp = |at, source: u8, time: u32, size| {
            let head = [&[128, 96, 0, 0][..], &time.to_be_bytes(), &[0, 0, 0, source]].concat();
            Packet { at, from: server, to, tcp_sequence: None, payload: [head, vec![0; size]].concat() }
        };
        let start = u32::MAX - 4000;
        let picture = |at: Time, n: u32| rtp(at, 1, start.wrapping_add(n * 3000), 1000);
        let sound = |at: Time| rtp(at, 2, at as u32 * 48_000, 80);
        let mut wire =
            Wire(vec![picture(1, 0), sound(2), picture(3, 2), picture(4, 1), sound(5), picture(6, 3)]);
        assert_eq!(wire.longest_step(server, 2, 0), Some(3000));
        wire.0.extend([picture(7, 3), picture(8, 5)]);
        assert_eq!(wire.longest_step(server, 2, 0), Some(6000));
        assert_eq!(wire.longest_step(server, 2, 7), None);
    }
}
