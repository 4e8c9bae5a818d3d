//! What the kernel counts of this process, under the names that Prometheus's own
//! clients give it. What cannot be read is left out.

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::text::{Kind, Text};

pub(super) fn write(text: &mut Text) {
    if let Some(open) = std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        text.single(Kind::Gauge, "process_open_fds", "Open file descriptors.", open);
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        text.single(Kind::Gauge, "process_max_fds", "Most file descriptors that may be open.", max);
    }
    if let Some(stat) = Stat::read() {
        stat.write(text);
    }
}

struct Stat {
    cpu_seconds: f64,
    threads: u64,
    started_seconds: f64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
        Self::parse(&stat, booted)
    }

    /// proc(5); `booted` in Unix seconds.
    fn parse(stat: &str, booted: f64) -> Option<Self> {
        // The name in brackets may hold anything, so fields count from behind it,
        // where the third one is.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            threads: field(20)?,
            started_seconds: booted + seconds(field(22)?),
            resident_bytes: field(24)? * page_size() as u64,
        })
    }

    fn write(&self, text: &mut Text) {
        let help = "Processor time used.";
        text.single(Kind::Counter, "process_cpu_seconds_total", help, self.cpu_seconds);
        text.single(Kind::Gauge, "process_threads", "Threads.", self.threads);
        let help = "When the process started, in Unix seconds.";
        text.single(Kind::Gauge, "process_start_time_seconds", help, self.started_seconds);
        text.single(Kind::Gauge, "process_resident_memory_bytes", "Resident memory.", self.resident_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let rest: Vec<String> = (4..=52).map(|n| (n * 100).to_string()).collect();
        let stat = Stat::parse(&format!("7 (a) b (c)) S {}", rest.join(" ")), 1000.0).unwrap();
        assert_eq!((stat.threads, stat.resident_bytes), (2000, 2400 * page_size() as u64));
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!((stat.cpu_seconds, stat.started_seconds), (2900.0 / ticks, 1000.0 + 2200.0 / ticks));
    }

    #[test]
    fn this_process_has_memory_and_a_start() {
        let stat = Stat::read().unwrap();
        assert!(stat.resident_bytes > 1 << 20 && stat.started_seconds > 1.6e9);
    }
}
