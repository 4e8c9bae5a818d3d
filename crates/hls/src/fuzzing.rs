//! What `scripts/fuzz` calls. Compiled for fuzzing and for the test here.
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a panic is a finding")]

use contract::{AppName, Secret, StreamId, StreamKey};

use crate::name::{self, File, FileName};
use crate::routes;
use crate::token::{Signer, Token};

/// A file name and a query, as a player may ask for them.
pub fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, query) = text.split_once('?').unwrap_or((text, ""));
    if let Some(FileName { id, file: what }) = FileName::parse(file) {
        let id = id.as_str();
        let again = match what {
            File::Playlist => name::playlist(id),
            File::Multivariant => format!("{id}_adaptive.m3u8"),
            File::Init(number) => name::init(id, number),
            File::Segment(number) => name::segment(id, number),
        };
        assert_eq!(again, file, "two names for one file");
    }
    if let Some(grant) = routes::read_query(query) {
        token(&grant);
    }
}

/// What was never signed is no grant, whatever it says.
fn token(text: &str) {
    let Some(token) = Token::parse(text) else { return };
    let (app, id) = (AppName::parse("live"), StreamId::parse("cam"));
    let stream = StreamKey { app: app.expect("a name"), id: id.expect("a name") };
    let signer = Signer::new(Secret::new([7; 64]));
    let known = signer.sign(token.id, &stream, None);
    let verified = signer.verify(&token, &stream, None);
    let tag = |text: &str| text.split_once('.').map(|(_, tag)| tag.to_owned());
    assert_eq!(verified, tag(&known) == tag(text), "a grant that was not signed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read() {
        let stream = StreamKey { app: AppName::parse("live").unwrap(), id: StreamId::parse("cam").unwrap() };
        let signed = Signer::new(Secret::new([7; 64])).sign(crate::token::GrantId(3), &stream, None);
        request(format!("cam~7.m4s?subscriberId=alice&subscriberCode=123456&grant={signed}").as_bytes());
        request(b"cam_adaptive.m3u8?grant=3.AAAA");
    }
}
