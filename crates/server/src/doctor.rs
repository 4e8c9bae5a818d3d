//! A look at the machine: will it serve well, and if not, why.

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use contract::Clock;
use rustix::fs::statvfs;

use crate::config::{Config, Origin};
use crate::tls::Certificate;
use crate::{check, decoding, descriptors};

/// Less free space than this is soon none.
const LITTLE: u64 = 1 << 30;

/// With less than this nothing can be written soon.
const NEARLY_NONE: u64 = 100 << 20;

/// A block waits for one sync. Above this it is felt.
const SLOW_SYNC: Duration = Duration::from_millis(50);

/// Syncs that are timed.
const SYNCS: usize = 9;

/// A certificate that ends sooner has not been renewed when it should have been.
const RENEW: Duration = Duration::from_secs(14 * 24 * 3600);

/// When this was written; no clock can be before it.
const WRITTEN: Duration = Duration::from_secs(1_790_000_000);

/// Two clocks of one machine that differ by more were not set by the same hand.
const APART: u64 = 5;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Good,
    Doubtful,
    Bad,
}

/// Looks at everything, says each on a line, and gives the worst.
pub(crate) fn examine(config: &Config, origin: &Origin) -> Health {
    let mut report = Report(Health::Good);
    report.configuration(config, origin);
    report.ports(config);
    report.addresses(config);
    report.clock(now(), hardware_clock());
    report.disk(&config.store.path);
    report.descriptors(config);
    report.segmentation(segments());
    report.decoding(decoding::program().probe());
    report.certificate(config);
    report.panel(panel::asset("index.html").as_ref());
    report.0
}

struct Report(Health);

impl Report {
    fn say(&mut self, health: Health, what: &str, text: impl Display) {
        let word = match health {
            Health::Good => "ok",
            Health::Doubtful => "warning",
            Health::Bad => "BAD",
        };
        // Whoever has seen enough may stop reading.
        let _closed = writeln!(std::io::stdout(), "{word:<8} {what:<13} {text}");
        self.0 = self.0.max(health);
    }

    fn configuration(&mut self, config: &Config, origin: &Origin) {
        let problems = check::problems(config);
        for problem in &problems {
            self.say(Health::Bad, "configuration", origin.tell(problem));
        }
        if problems.is_empty() {
            self.say(Health::Good, "configuration", "nothing keeps the server from starting");
        }
    }

    fn ports(&mut self, config: &Config) {
        let ours = answers(config.http.listen);
        let mut look = |kind: &str, address: SocketAddr, free: bool| {
            let (health, text) = match (free, ours) {
                (true, _) => (Health::Good, "free"),
                (false, true) => (Health::Good, "in use, by a Sluice that answers"),
                (false, false) => (Health::Bad, "in use by another program, or not allowed"),
            };
            self.say(health, "port", format!("{kind} {address} {text}"));
        };
        for (_, address) in config.tcp_listens() {
            look("TCP", address, TcpListener::bind(address).is_ok());
        }
        look("UDP", config.webrtc.listen, UdpSocket::bind(config.webrtc.listen).is_ok());
    }

    fn addresses(&mut self, config: &Config) {
        let own: Vec<IpAddr> =
            if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect();
        let announced = if config.webrtc.announced.is_empty() { &own } else { &config.webrtc.announced };
        let list = announced.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("browsers are told to send to {list}");
        if announced.iter().any(|ip| is_public(*ip)) {
            self.say(Health::Good, "addresses", text);
        } else {
            let hint = "none of them is reached from other networks; if they should watch, say the public one in webrtc.announced";
            self.say(Health::Doubtful, "addresses", format!("{text}; {hint}"));
        }
    }

    /// `hardware`: what the machine's other clock says, in seconds of the same age.
    fn clock(&mut self, now: Duration, hardware: Option<u64>) {
        if now < WRITTEN {
            return self.say(Health::Bad, "clock", "in the past: one-time codes will be wrong");
        }
        match hardware.map(|other| other.abs_diff(now.as_secs())) {
            Some(apart) if apart > APART => {
                let text = format!("{apart} s from the hardware clock; is time synchronised?");
                self.say(Health::Doubtful, "clock", text);
            }
            Some(_) => {
                self.say(Health::Good, "clock", "agrees with the hardware clock");
            }
            None => {
                self.say(Health::Good, "clock", "plausible; there is no hardware clock to compare it with");
            }
        }
    }

    fn disk(&mut self, folder: &Path) {
        let there = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
        if let Ok(disk) = statvfs(there) {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            self.say(of_space(free), "disk", format!("{} MiB free at {}", free >> 20, there.display()));
        }
        match sync_time(there) {
            Ok(time) if time > SLOW_SYNC => {
                self.say(Health::Doubtful, "disk", format!("{time:?} to sync; every block waits so long"));
            }
            Ok(time) => {
                self.say(Health::Good, "disk", format!("{time:?} to sync"));
            }
            Err(error) => {
                self.say(Health::Bad, "disk", format!("{}: {error}", there.display()));
            }
        }
    }

    fn descriptors(&mut self, config: &Config) {
        let needed = descriptors::needed(config);
        match descriptors::most() {
            Some(most) if most < needed => {
                let hint = "raise `ulimit -Hn` or LimitNOFILE, or lower max_connections";
                self.say(
                    Health::Doubtful,
                    "descriptors",
                    format!("{most}, and {needed} may be needed; {hint}"),
                );
            }
            Some(most) => {
                self.say(Health::Good, "descriptors", format!("{most}, of which {needed} may be needed"));
            }
            None => {
                self.say(Health::Good, "descriptors", "without limit");
            }
        }
    }

    /// `segments`: how many packets the kernel cuts out of what it is given at once.
    fn segmentation(&mut self, segments: std::io::Result<usize>) {
        match segments {
            Ok(2..) => {
                self.say(Health::Good, "UDP", "the kernel cuts up packets (GSO)");
            }
            Ok(_) => {
                self.say(Health::Doubtful, "UDP", "no GSO: each packet to a WebRTC player is a system call");
            }
            Err(error) => {
                self.say(Health::Bad, "UDP", error);
            }
        }
    }

    /// `answer`: whether a process that decodes starts and answers.
    fn decoding(&mut self, answer: Result<(), transcode::Failed>) {
        match answer {
            Ok(()) => {
                self.say(Health::Good, "pictures", "are decoded in a process of their own, which starts");
            }
            Err(error) => {
                let text = format!("{error}: no thumbnails, and key frames only of streams with B-frames");
                self.say(Health::Bad, "pictures", text);
            }
        }
    }

    /// `page`: the first one of the panel, where this program has it.
    fn panel(&mut self, page: Option<&panel::Asset>) {
        if page.is_some() {
            self.say(Health::Good, "panel", "is in this program");
        } else {
            self.say(Health::Doubtful, "panel", "is not in this program: it was built before the panel was");
        }
    }

    fn certificate(&mut self, config: &Config) {
        let certificate = match Certificate::load(&config.tls) {
            Ok(Some(certificate)) => certificate,
            Ok(None) => {
                let text = "none: browsers on other machines cannot publish";
                return self.say(Health::Doubtful, "certificate", text);
            }
            // The configuration's line has said why.
            Err(_) => return,
        };
        match certificate.expires().map(|end| end.saturating_sub(now())) {
            Some(Duration::ZERO) => {
                self.say(Health::Bad, "certificate", "has expired");
            }
            Some(left) => {
                let health = if left < RENEW { Health::Doubtful } else { Health::Good };
                self.say(health, "certificate", format!("valid for {} days", left.as_secs() / 86400));
            }
            None => {
                self.say(Health::Doubtful, "certificate", "does not say when it expires");
            }
        }
    }
}

fn now() -> Duration {
    Duration::from_millis(Clock::system().now().wall.0)
}

/// Many machines have none that can be read.
fn hardware_clock() -> Option<u64> {
    std::fs::read_to_string("/sys/class/rtc/rtc0/since_epoch").ok()?.trim().parse().ok()
}

fn segments() -> std::io::Result<usize> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    Ok(quinn_udp::UdpSocketState::new((&socket).into())?.max_gso_segments())
}

/// Whether a Sluice answers there.
fn answers(mut http: SocketAddr) -> bool {
    if http.ip().is_unspecified() {
        http.set_ip(IpAddr::from([127, 0, 0, 1]));
    }
    let patience = Duration::from_secs(2);
    let asked = TcpStream::connect_timeout(&http, patience).and_then(|mut stream| {
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"))
}

/// The median time to have 4 KB on disk.
fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// How much is left of a disk, in bytes.
const fn of_space(free: u64) -> Health {
    match free {
        ..NEARLY_NONE => Health::Bad,
        NEARLY_NONE..LITTLE => Health::Doubtful,
        _ => Health::Good,
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared(ip)),
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

/// Behind a provider's address translation (RFC 6598).
const fn is_shared(ip: std::net::Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && b & 0b1100_0000 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_bad_before_it_is_full() {
        for (free, health) in [
            (0, Health::Bad),
            (NEARLY_NONE - 1, Health::Bad),
            (NEARLY_NONE, Health::Doubtful),
            (LITTLE, Health::Good),
        ] {
            assert_eq!(of_space(free), health, "{free}");
        }
    }

    /// The worst of what a look says.
    fn seen(look: impl FnOnce(&mut Report)) -> Health {
        let mut report = Report(Health::Good);
        look(&mut report);
        report.0
    }

    #[test]
    fn a_program_without_the_panel_is_doubtful() {
        assert_eq!(seen(|report| report.panel(None)), Health::Doubtful);
    }

    #[test]
    fn a_process_that_does_not_answer_is_bad() {
        assert_eq!(seen(|report| report.decoding(Ok(()))), Health::Good);
        assert_eq!(seen(|report| report.decoding(Err(transcode::Failed))), Health::Bad);
    }

    #[test]
    fn a_clock_that_is_behind_is_bad_and_one_that_another_contradicts_is_doubtful() {
        let (now, seconds) = (WRITTEN, WRITTEN.as_secs());
        let early = now.saturating_sub(Duration::from_millis(1));
        for (now, hardware, health) in [
            (Duration::ZERO, None, Health::Bad),
            (early, Some(early.as_secs()), Health::Bad),
            (now, None, Health::Good),
            (now, Some(seconds + APART), Health::Good),
            (now, Some(seconds - APART), Health::Good),
            (now, Some(seconds + APART + 1), Health::Doubtful),
            (now, Some(seconds - APART - 1), Health::Doubtful),
        ] {
            assert_eq!(seen(|report| report.clock(now, hardware)), health, "{now:?} {hardware:?}");
        }
    }

    #[test]
    fn a_kernel_that_sends_each_packet_alone_is_doubtful_and_one_without_udp_bad() {
        assert_eq!(seen(|report| report.segmentation(Ok(64))), Health::Good);
        assert_eq!(seen(|report| report.segmentation(Ok(1))), Health::Doubtful);
        let none = std::io::ErrorKind::PermissionDenied.into();
        assert_eq!(seen(|report| report.segmentation(Err(none))), Health::Bad);
    }

    #[test]
    fn only_an_address_that_other_networks_reach_is_public() {
        for near in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.2",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
        ] {
            assert!(!is_public(near.parse().unwrap()), "{near}");
        }
        for far in ["8.8.8.8", "100.128.0.1", "2001:4860::1"] {
            assert!(is_public(far.parse().unwrap()), "{far}");
        }
    }
}
