//! What is kept: the newest of each class.
//!
//! Three classes have a bound each, so that whoever can make many entries of one
//! kind pushes out none of another: strangers who guess passwords, programs that
//! call the REST API, and people.

use std::collections::{BTreeMap, VecDeque};

use contract::audit::{AuditEntry, AuditPage, Deed, ListAudit};

/// Longest detail in bytes.
const MAX_DETAIL: usize = 500;

/// Newest entries kept of each class, 10,000 in all; some 5 MiB.
const KEPT: [usize; 3] = [1_000, 4_500, 4_500];

/// Who makes entries.
#[derive(Debug, Clone, Copy)]
enum Class {
    /// Who does not get in.
    Strangers,
    /// Programs, without an account.
    Programs,
    /// People with an account.
    People,
}

impl Class {
    fn of(entry: &AuditEntry) -> Self {
        match (entry.what, &entry.who) {
            (Deed::LogInFailed, _) => Self::Strangers,
            (_, None) => Self::Programs,
            (_, Some(_)) => Self::People,
        }
    }
}

/// Entries by number, which is their order in time.
#[derive(Debug, Default)]
pub(crate) struct Log {
    last: u64,
    entries: BTreeMap<u64, AuditEntry>,
    /// By [`Class`], oldest first.
    numbers: [VecDeque<u64>; 3],
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The new entry's number.
    pub(crate) number: u64,
    /// The entry that goes for it.
    pub(crate) dropped: Option<u64>,
}

impl Log {
    /// From disk, in order of numbers.
    pub(crate) fn load(entries: impl IntoIterator<Item = (u64, AuditEntry)>) -> Self {
        let mut log = Self::default();
        for (number, entry) in entries {
            log.last = number;
            log.insert(number, entry);
        }
        log
    }

    /// Adds an entry, cut to size.
    pub(crate) fn add(&mut self, mut entry: AuditEntry) -> Change {
        cut(&mut entry.detail);
        self.last += 1;
        Change { number: self.last, dropped: self.insert(self.last, entry) }
    }

    fn insert(&mut self, number: u64, entry: AuditEntry) -> Option<u64> {
        let class = Class::of(&entry) as usize;
        self.entries.insert(number, entry);
        let numbers = &mut self.numbers[class];
        numbers.push_back(number);
        let dropped = if numbers.len() > KEPT[class] { numbers.pop_front() } else { None };
        dropped.inspect(|number| _ = self.entries.remove(number))
    }

    /// An entry that is kept.
    pub(crate) fn get(&self, number: u64) -> Option<&AuditEntry> {
        self.entries.get(&number)
    }

    /// Entries, newest first.
    pub(crate) fn list(&self, ask: &ListAudit) -> AuditPage {
        let needle = ask.search.as_deref().unwrap_or_default().as_bytes();
        let mut page = AuditPage::default();
        for entry in self.entries.values().rev().filter(|entry| matches(entry, needle)) {
            if (ask.offset..ask.offset.saturating_add(ask.size)).contains(&page.matching) {
                page.entries.push(entry.clone());
            }
            page.matching += 1;
        }
        page
    }
}

fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(MAX_DETAIL));
}

fn matches(entry: &AuditEntry, needle: &[u8]) -> bool {
    if needle.is_empty() {
        return true;
    }
    let about = &entry.about;
    let parts = [
        Some(entry.what.as_str()),
        Some(entry.what.title()),
        entry.who.as_deref(),
        about.app.as_ref().map(|app| app.as_str()),
        about.stream.as_ref().map(|stream| stream.as_str()),
        about.subscriber.as_ref().map(|subscriber| subscriber.as_str()),
        Some(entry.detail.as_str()),
    ];
    let place = about.app.as_ref().zip(about.stream.as_ref()).map(|(app, stream)| format!("{app}/{stream}"));
    place.is_some_and(|place| holds(&place, needle))
        || parts.into_iter().flatten().any(|part| holds(part, needle))
        || holds(&entry.from.to_string(), needle)
}

fn holds(text: &str, needle: &[u8]) -> bool {
    text.as_bytes().windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use contract::audit::About;
    use contract::{AppName, StreamId, StreamKey, SubscriberId, WallMs};

    use super::*;

    fn entry(at: u64, who: Option<&str>, what: Deed) -> AuditEntry {
        let stream = StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("Cam").unwrap() };
        AuditEntry {
            at: WallMs(at),
            who: who.map(str::to_owned),
            from: IpAddr::from([192, 0, 2, 1]),
            what,
            about: About::from(&stream).subscriber(&SubscriberId::parse("ällice").unwrap()),
            detail: "60 s".to_owned(),
        }
    }

    fn list(log: &Log, search: &str, offset: usize, size: usize) -> (Vec<u64>, usize) {
        let search = Some(search.to_owned()).filter(|s| !s.is_empty());
        let page = log.list(&ListAudit { search, offset, size });
        (page.entries.iter().map(|entry| entry.at.0).collect(), page.matching)
    }

    #[test]
    fn the_newest_come_first_and_pages_follow_one_another() {
        let mut log = Log::default();
        for at in 0..5 {
            log.add(entry(at, Some("a@b"), Deed::Block));
        }
        assert_eq!(list(&log, "", 0, 2), (vec![4, 3], 5));
        assert_eq!(list(&log, "", 4, 2), (vec![0], 5));
        assert_eq!(list(&log, "", 9, usize::MAX), (vec![], 5));
    }

    #[test]
    fn every_part_can_be_searched_for() {
        let mut log = Log::default();
        log.add(entry(1, Some("Admin@example.org"), Deed::Block));
        log.add(entry(2, None, Deed::StopStream));
        for (needle, found) in [
            ("admin@", vec![1]),
            ("BLOCK", vec![1]),
            ("Stopped stream", vec![2]),
            ("live/cam", vec![2, 1]),
            ("stop", vec![2]),
            ("cam", vec![2, 1]),
            ("älli", vec![2, 1]),
            ("60 S", vec![2, 1]),
            ("192.0.2", vec![2, 1]),
            ("nobody", vec![]),
        ] {
            assert_eq!(list(&log, needle, 0, 9).0, found, "{needle}");
        }
    }

    #[test]
    fn a_class_is_bounded_and_pushes_out_no_other() {
        let mut log = Log::default();
        let first = log.add(entry(0, Some("a@b"), Deed::Block));
        assert_eq!(first.dropped, None);
        for at in 0..KEPT[0] as u64 {
            assert_eq!(log.add(entry(at, None, Deed::LogInFailed)).dropped, None);
        }
        let failed = log.add(entry(0, Some("a@b"), Deed::LogInFailed));
        assert_eq!(failed.dropped, Some(first.number + 1), "the oldest failure");
        assert!(log.get(first.number).is_some());
        for at in 0..20_000 {
            log.add(entry(at, None, Deed::PutSubscriber));
        }
        assert_eq!(log.entries.len(), 1 + KEPT[0] + KEPT[1]);
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let mut log = Log::default();
        let number = log.add(AuditEntry { detail: "ä".repeat(400), ..entry(1, None, Deed::Block) }).number;
        assert_eq!(log.get(number).unwrap().detail, "ä".repeat(250));
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let log = Log::load([(7, entry(1, None, Deed::Block)), (9, entry(2, None, Deed::Block))]);
        let mut log = Log::load(log.entries);
        assert_eq!(log.add(entry(3, None, Deed::Block)), Change { number: 10, dropped: None });
        assert_eq!(list(&log, "", 0, 9).0, [3, 2, 1]);
    }
}
