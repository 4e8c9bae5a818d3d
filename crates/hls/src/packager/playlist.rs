//! Playlists (RFC 8216).

use std::fmt::Write as _;
use std::time::Duration;

use contract::WallMs;
use media::Tracks;

use super::window::{Entry, Window};
use crate::name;

/// How files are named in a playlist.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The stream's id.
    pub id: &'a str,
    /// What follows `?` in each URL, already encoded; empty: nothing.
    pub query: &'a str,
}

impl Names<'_> {
    /// A URL relative to the playlist's.
    pub fn url(&self, name: &str) -> String {
        if self.query.is_empty() { name.to_owned() } else { format!("{name}?{}", self.query) }
    }
}

/// The media playlist of what is listed; `None` when nothing is.
pub(super) fn media(window: &Window, wanted: Duration, names: &Names<'_>) -> Option<String> {
    let first = window.listed().next()?;
    let mut out = String::with_capacity(256 + 160 * window.listed().len());
    let target = rounded(window.longest()).max(rounded(wanted)).max(1);
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        first.number, first.run
    );
    if window.listed().all(|e| e.segment.independent) {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    let mut before: Option<&Entry> = None;
    for entry in window.listed() {
        segment(&mut out, before, entry, names);
        before = Some(entry);
    }
    Some(out)
}

fn segment(out: &mut String, before: Option<&Entry>, entry: &Entry, names: &Names<'_>) {
    // The first run's number is the playlist's DISCONTINUITY-SEQUENCE.
    if before.is_some_and(|b| b.run != entry.run) {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if before.is_none_or(|b| b.init != entry.init) {
        let url = names.url(&name::init(names.id, entry.init));
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{url}\"");
    }
    let (secs, micros) = (entry.segment.duration.as_secs(), entry.segment.duration.subsec_micros());
    let url = names.url(&name::segment(names.id, entry.number));
    let wall = Rfc3339(entry.wall);
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{wall}\n#EXTINF:{secs}.{micros:06},\n{url}");
}

/// §4.3.3.1: durations, rounded to whole seconds, are at most the target.
fn rounded(d: Duration) -> u64 {
    (d + Duration::from_millis(500)).as_secs()
}

/// What `EXT-X-STREAM-INF` says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Peak bit rate of a segment, in bit/s.
    pub bandwidth: u64,
    /// Bit rate of all that is listed, in bit/s.
    pub average_bandwidth: u64,
    /// RFC 6381.
    pub codecs: String,
    /// Width and height in pixels; `None` without pictures.
    pub resolution: Option<(u32, u32)>,
}

pub(super) fn variant(window: &Window, tracks: &Tracks) -> Option<Variant> {
    let peak = window.listed().map(|e| rate(e.segment.bytes.len(), e.segment.duration)).max()?;
    let bytes = window.listed().map(|e| e.segment.bytes.len()).sum();
    let duration = window.listed().map(|e| e.segment.duration).sum();
    Some(Variant {
        bandwidth: peak,
        average_bandwidth: rate(bytes, duration),
        codecs: mux::codec_string(tracks),
        resolution: tracks.video.as_ref().map(|v| (v.width, v.height)),
    })
}

/// Bit/s. A last segment of one frame would give an absurd peak, so less than a
/// quarter of a second counts as that.
fn rate(bytes: usize, duration: Duration) -> u64 {
    let ms = duration.as_millis().max(250);
    u64::try_from(bytes as u128 * 8000 / ms).unwrap_or(u64::MAX).max(1)
}

impl Variant {
    /// The multivariant playlist whose one variant is at `url`.
    pub fn playlist(&self, url: &str) -> String {
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={}",
            self.bandwidth, self.average_bandwidth
        );
        if !self.codecs.is_empty() {
            let _ = write!(out, ",CODECS=\"{}\"", self.codecs);
        }
        if let Some((width, height)) = self.resolution {
            let _ = write!(out, ",RESOLUTION={width}x{height}");
        }
        let _ = writeln!(out, "\n{url}");
        out
    }
}

/// `2026-11-24T08:42:45.123Z`.
struct Rfc3339(WallMs);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (secs, ms) = (self.0.0 / 1000, self.0.0 % 1000);
        let (year, month, day) = civil(secs / 86_400);
        let (h, m, s) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// Gregorian date of a day since 1970-01-01. Years are counted from March, so
/// that the leap day is the last one; 719,468 days lie before the first.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) };
    (year, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_written_as_a_date() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_509_765_123, "2026-11-24T08:42:45.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(Rfc3339(WallMs(ms)).to_string(), text);
        }
    }
}
