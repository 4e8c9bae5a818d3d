//! Codec strings (RFC 6381), as `CODECS` of a playlist and `MediaSource` want them.

use media::{AudioCodec, AudioTrack, Tracks, VideoTrack};

use crate::aac::AacConfig;

/// The comma-separated list for these tracks, pictures first:
/// `avc1.PPCCLL,mp4a.40.2`. A track whose configuration cannot be read is left
/// out.
pub fn codec_string(tracks: &Tracks) -> String {
    let video = tracks.video.as_ref().and_then(video);
    let audio = tracks.audio.as_ref().and_then(audio);
    video.into_iter().chain(audio).collect::<Vec<_>>().join(",")
}

/// Profile, constraint flags and level stand in bytes 1 to 3 of the record
/// (ISO/IEC 14496-15 §5.3.3.1).
fn video(track: &VideoTrack) -> Option<String> {
    let [p, c, l]: [u8; 3] = track.config.get(1..4)?.try_into().ok()?;
    Some(format!("avc1.{p:02X}{c:02X}{l:02X}"))
}

fn audio(track: &AudioTrack) -> Option<String> {
    match track.codec {
        AudioCodec::Aac => {
            AacConfig::parse(&track.config).ok().map(|aac| format!("mp4a.40.{}", aac.object_type))
        }
        AudioCodec::Opus => Some("opus".to_owned()),
    }
}
