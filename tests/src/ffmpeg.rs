//! ffmpeg as a publisher and as a player.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::picture;
use crate::proc::Process;
use crate::seen::{Seen, Sight};
use crate::wait::eventually;

/// Publishes a clip in a loop at its own speed, without encoding it again.
pub fn publish(clip: &Path, url: &str) -> Result<Process> {
    let mut command = quiet();
    command.args(["-re", "-stream_loop", "-1", "-i"]).arg(clip).args(["-c", "copy", "-f", "flv", url]);
    Process::spawn("the ffmpeg publisher", command)
}

fn quiet() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    command
}

/// Whether a player decodes sound. ffmpeg 5.1 does not know Opus in FLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// Decode it.
    Decode,
    /// Leave it.
    Leave,
}

/// Plays, decodes every picture and reads its number.
pub struct Player {
    /// The process; ends when the stream's connection does.
    pub process: Process,
    sight: Sight,
    sound: PathBuf,
    _folder: TempDir,
}

impl Player {
    /// Plays `url`, RTMP or HLS.
    pub fn start(url: &str, sound: Sound) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("sound.raw");
        let mut command = quiet();
        if url.starts_with("rtmp") {
            command.args(["-rtmp_live", "live", "-fflags", "nobuffer"]);
        }
        if sound == Sound::Leave {
            // ffmpeg looks for the name of a codec that it does not know for 5 MB, which at
            // our bit rate is 40 s.
            command.args(["-probesize", "250000"]);
        }
        command.args([
            "-i",
            url,
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
        ]);
        command.args(["-s", &format!("{}x{}", picture::WIDTH, picture::HEIGHT), "-"]);
        if sound == Sound::Decode {
            command
                .args(["-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-flush_packets", "1"])
                .arg(&path);
        }
        let (process, pictures) = Process::spawn_bytes("the ffmpeg player", command)?;
        let sight = Sight::default();
        watch(pictures, sight.clone());
        Ok(Self { process, sight, sound: path, _folder: folder })
    }

    /// The pictures as they come.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// What was seen and heard so far.
    pub fn seen(&self) -> Seen {
        let mut seen = self.sight.seen();
        let sound = std::fs::read(&self.sound).unwrap_or_default();
        seen.peak = peak(&sound);
        seen
    }

    /// Waits for `pictures`, and for sound where it was asked for.
    pub fn plays(&self, pictures: usize, sound: Sound) -> Result<Seen> {
        let enough = |seen: &Seen| seen.pictures.len() >= pictures && (sound == Sound::Leave || seen.heard());
        let found = eventually("pictures and sound", || Some(self.seen()).filter(enough));
        found.map_err(|e| e.context(format!("{} pictures, {}", self.sight.count(), self.process.log.text())))
    }
}

fn watch(mut pictures: impl Read + Send + 'static, sight: Sight) {
    std::thread::spawn(move || {
        let mut grey = vec![0; picture::WIDTH * picture::HEIGHT];
        while pictures.read_exact(&mut grey).is_ok() {
            sight.lock().pictures.push(picture::number(&grey));
        }
    });
}

fn peak(samples: &[u8]) -> f64 {
    let loudest = samples.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs()).max();
    f64::from(loudest.unwrap_or(0)) / 32768.0
}
