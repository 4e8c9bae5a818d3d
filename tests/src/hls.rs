//! A player of HLS that plays nothing: it asks for what the playlists name.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::http::{self, Answer};
use crate::wait::eventually;

/// Where the playlists and segments of application `live` are.
pub const FOLDER: &str = "/live/streams/";

/// The first URI of a playlist, as a path.
pub fn first_uri(playlist: &Answer) -> Result<String> {
    let text = playlist.text();
    let uri = text.lines().find(|l| !l.is_empty() && !l.starts_with('#'));
    let uri = uri.with_context(|| format!("no URI in {text}"))?;
    Ok(if uri.starts_with('/') { uri.to_owned() } else { format!("{FOLDER}{uri}") })
}

/// What a player that has shown a code goes on with.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The path of the media playlist, by the grant.
    pub playlist: String,
    /// The path of the oldest segment in it, by the grant.
    pub segment: String,
    /// That segment's number in the stream.
    pub sequence: u64,
}

impl Grant {
    /// Shows the code that the path of a multivariant playlist carries.
    pub fn take(host: SocketAddr, path: &str) -> Result<Self> {
        let master = eventually("a playlist", || http::get(host, path).ok().filter(|a| a.status == 200))?;
        Self::read(host, first_uri(&master)?)
    }

    /// Reads the media playlist as soon as it has a segment.
    pub fn read(host: SocketAddr, playlist: String) -> Result<Self> {
        let listed = |a: &Answer| a.status == 200 && a.text().contains("#EXTINF");
        let media = eventually("a segment", || http::get(host, &playlist).ok().filter(listed))?;
        let text = media.text();
        let sequence = text.lines().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok());
        // RFC 8216, section 4.3.3.2: without the tag, the first one is 0.
        Ok(Self { segment: first_uri(&media)?, playlist, sequence: sequence.unwrap_or(0) })
    }
}
