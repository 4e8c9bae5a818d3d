//! How much memory media may take.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Less than this holds no group of pictures of one good stream.
pub(crate) const LEAST: u64 = 16 << 20;

/// A number of bytes, or a part of the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Bytes.
    Bytes(u64),
    /// Hundredths of what there is.
    Percent(u8),
}

impl Amount {
    /// In bytes, on a machine with so many.
    pub(crate) fn of(self, machine: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => machine / 100 * u64::from(percent),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            let percent = percent.trim_end().parse().ok()?;
            return (1..=100).contains(&percent).then_some(Self::Percent(percent));
        }
        let (digits, shift) = match text {
            _ if text.ends_with("GiB") => (&text[..text.len() - 3], 30),
            _ if text.ends_with("MiB") => (&text[..text.len() - 3], 20),
            _ => (text, 0),
        };
        let count: u64 = digits.trim_end().parse().ok()?;
        count.checked_mul(1 << shift).map(Self::Bytes)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes, or a text such as \"512MiB\", \"4GiB\" or \"50%\"")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Amount, E> {
                let bytes = u64::try_from(bytes);
                bytes.map(Amount::Bytes).map_err(|_| E::custom("less than nothing"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                Amount::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        from.deserialize_any(Either)
    }
}

/// Bytes of memory that this process may take: the machine's, or what its container or
/// service is limited to. `None` where the system does not say.
pub(crate) fn of_machine() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let machine = total(&read("/proc/meminfo")?)?;
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    // The group's own limit, and that of its root as a container sees it.
    let own = format!("/sys/fs/cgroup{}/memory.max", unified(&groups));
    let limits = [own.as_str(), "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = limits.into_iter().filter_map(|path| read(path)?.trim().parse::<u64>().ok());
    Some(limits.fold(machine, u64::min))
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// Path of the process's group in the unified hierarchy; empty when there is none.
fn unified(groups: &str) -> &str {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    path.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_bytes_or_a_part() {
        for (text, amount) in [
            ("1048576", Some(Amount::Bytes(1 << 20))),
            ("512MiB", Some(Amount::Bytes(512 << 20))),
            ("4 GiB", Some(Amount::Bytes(4 << 30))),
            ("50%", Some(Amount::Percent(50))),
            ("0%", None),
            ("101%", None),
            ("4GB", None),
            ("-1", None),
            ("18446744073709551615GiB", None),
            ("", None),
        ] {
            assert_eq!(Amount::parse(text), amount, "{text}");
        }
        assert_eq!(Amount::Percent(50).of(8 << 30), (8 << 30) / 100 * 50);
    }

    #[test]
    fn the_machines_memory_is_read_as_the_kernel_says_it() {
        assert_eq!(total("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(unified("1:name=x:/y\n0::/system.slice/sluice.service\n"), "/system.slice/sluice.service");
        assert_eq!((unified("0::/\n"), unified("")), ("", ""));
        assert!(of_machine().is_none_or(|bytes| bytes > LEAST));
    }
}
