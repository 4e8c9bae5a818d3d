//! Names of files under `/{app}/streams/`.
//!
//! `~` cannot be in a stream id and needs no escape in a URL (RFC 3986 §2.3), so
//! our own names say where the id ends; nothing is guessed.

use contract::StreamId;

/// What a file name asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// Of which stream.
    pub id: StreamId,
    /// What of it.
    pub file: File,
}

/// What a file name asks for, of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// `{id}.m3u8`.
    Playlist,
    /// `{id}_adaptive.m3u8`. As in AMS (C§1.3, rule 4 before 7), this is never the
    /// playlist of a stream whose id ends so.
    Multivariant,
    /// `{id}~{number}.mp4`.
    Init(u64),
    /// `{id}~{number}.m4s`.
    Segment(u64),
}

impl FileName {
    /// Reads exactly our own names; `None` for everything else.
    pub fn parse(name: &str) -> Option<Self> {
        let (id, file) = if let Some(id) = name.strip_suffix("_adaptive.m3u8") {
            (id, File::Multivariant)
        } else if let Some(id) = name.strip_suffix(".m3u8") {
            (id, File::Playlist)
        } else if let Some((id, number)) = numbered(name, ".m4s") {
            (id, File::Segment(number))
        } else {
            let (id, number) = numbered(name, ".mp4")?;
            (id, File::Init(number))
        };
        Some(Self { id: StreamId::parse(id).ok()?, file })
    }
}

fn numbered<'a>(name: &'a str, extension: &str) -> Option<(&'a str, u64)> {
    let (id, digits) = name.strip_suffix(extension)?.split_once('~')?;
    // One text per number: no sign, no leading zero.
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some((id, number))
}

/// File name of a media playlist.
pub fn playlist(id: &str) -> String {
    format!("{id}.m3u8")
}

/// File name of an init segment.
pub fn init(id: &str, number: u64) -> String {
    format!("{id}~{number}.mp4")
}

/// File name of a media segment.
pub fn segment(id: &str, number: u64) -> String {
    format!("{id}~{number}.m4s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_exactly() {
        let cases = [
            ("stream_Id.m3u8", "stream_Id", File::Playlist),
            ("stream_Id_adaptive.m3u8", "stream_Id", File::Multivariant),
            ("cam_01.m3u8", "cam_01", File::Playlist),
            ("a.m3u8.m3u8", "a.m3u8", File::Playlist),
            ("a_480p300kbps.m3u8", "a_480p300kbps", File::Playlist),
            ("cam_01~7.m4s", "cam_01", File::Segment(7)),
            ("cam~0.mp4", "cam", File::Init(0)),
        ];
        for (name, id, file) in cases {
            assert_eq!(
                FileName::parse(name),
                Some(FileName { id: StreamId::parse(id).unwrap(), file }),
                "{name}"
            );
        }
        assert_eq!(FileName::parse(&segment("a", 9)).unwrap().file, File::Segment(9));
        assert_eq!(FileName::parse(&init("a", 9)).unwrap().file, File::Init(9));
        assert_eq!(FileName::parse(&playlist("a")).unwrap().file, File::Playlist);
    }

    #[test]
    fn other_names_name_nothing() {
        for name in [
            "",
            ".m3u8",
            "_adaptive.m3u8",
            "a.u8",
            "a",
            "a.mp4",
            "a~.m4s",
            "~1.m4s",
            "a~01.m4s",
            "a~+1.m4s",
            "a~1~1.m4s",
            "a~99999999999999999999.m4s",
            "a b.m3u8",
            "a/b.m3u8",
            "..m3u8",
            "a%7E1.m4s",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}
