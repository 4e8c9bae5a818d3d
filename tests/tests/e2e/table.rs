//! Every publisher with every player: pictures decoded, the right ones, and sound.
//!
//! A row's publisher is started once, for whichever of its cells is asked for first; its four
//! players play side by side.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde_json::Value;
use sluice_tests::browser::{Browser, Page};
use sluice_tests::clip::clips;
use sluice_tests::ffmpeg::{self, Sound};
use sluice_tests::machine;
use sluice_tests::obs::Obs;
use sluice_tests::peer::Peer;
use sluice_tests::proc::Process;
use sluice_tests::seen::Seen;
use sluice_tests::server::Server;

/// Two seconds and a bit of pictures.
const PICTURES: usize = 75;
const STREAM: &str = "table";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Publisher {
    Ffmpeg,
    Obs,
    Sdk,
    Whip,
}

/// The outcome of each cell.
struct Row {
    rtmp: Result<(), String>,
    hls: Result<(), String>,
    sdk: Result<(), String>,
    whep: Result<(), String>,
}

macro_rules! row {
    ($module:ident, $publisher:expr) => {
        mod $module {
            use super::*;

            static ROW: OnceLock<Row> = OnceLock::new();

            fn row() -> &'static Row {
                ROW.get_or_init(|| Row::play($publisher))
            }

            #[test]
            fn is_played_by_ffmpeg_over_rtmp() {
                row().rtmp.as_ref().unwrap();
            }

            #[test]
            fn is_played_by_hls_js() {
                row().hls.as_ref().unwrap();
            }

            #[test]
            fn is_played_by_the_sdk_in_chromium() {
                row().sdk.as_ref().unwrap();
            }

            #[test]
            fn is_played_over_whep() {
                row().whep.as_ref().unwrap();
            }
        }
    };
}

row!(ffmpeg_over_rtmp, Publisher::Ffmpeg);
row!(obs_with_default_settings, Publisher::Obs);
row!(the_sdk_in_chromium, Publisher::Sdk);
row!(whip, Publisher::Whip);

impl Row {
    fn play(publisher: Publisher) -> Self {
        let _machine = machine::whole();
        Self::try_play(publisher).unwrap_or_else(|error| {
            let told = format!("the row did not start: {error:#}");
            let failed = || Err(told.clone());
            Self { rtmp: failed(), hls: failed(), sdk: failed(), whep: failed() }
        })
    }

    fn try_play(publisher: Publisher) -> Result<Self> {
        let server = Server::start()?;
        let browser = Browser::start()?;
        let published = Published::start(publisher, &server, &browser)?;
        server.rest().wait_live(STREAM).with_context(|| server.process.log.text())?;
        let row = Self::played(publisher, &server, &browser);
        drop(published);
        server.stop()?;
        Ok(row)
    }

    /// Side by side to save time; one after the other behind OBS, which draws and
    /// encodes in software and repeats pictures when the machine is busy.
    fn played(publisher: Publisher, server: &Server, browser: &Browser) -> Self {
        let told = |outcome: Result<()>| outcome.map_err(|error| format!("{error:#}"));
        if publisher == Publisher::Obs {
            return Self {
                rtmp: told(play_rtmp(publisher, server)),
                hls: told(play_hls(server, browser)),
                sdk: told(play_sdk(server, browser)),
                whep: told(play_whep(server)),
            };
        }
        std::thread::scope(|scope| {
            let rtmp = scope.spawn(|| play_rtmp(publisher, server));
            let hls = scope.spawn(|| play_hls(server, browser));
            let sdk = scope.spawn(|| play_sdk(server, browser));
            let whep = scope.spawn(|| play_whep(server));
            let gone = || Err(anyhow::anyhow!("the player's thread panicked"));
            Self {
                rtmp: told(rtmp.join().unwrap_or_else(|_| gone())),
                hls: told(hls.join().unwrap_or_else(|_| gone())),
                sdk: told(sdk.join().unwrap_or_else(|_| gone())),
                whep: told(whep.join().unwrap_or_else(|_| gone())),
            }
        })
    }
}

/// Alive as long as the publisher publishes.
enum Published {
    Process { _process: Process },
    Obs { _obs: Obs },
    Page { _page: Page },
    Peer { _peer: Peer },
}

impl Published {
    fn start(publisher: Publisher, server: &Server, browser: &Browser) -> Result<Self> {
        Ok(match publisher {
            Publisher::Ffmpeg => {
                Self::Process { _process: ffmpeg::publish(&clips()?.plain, &server.rtmp_url(STREAM))? }
            }
            Publisher::Obs => {
                Self::Obs { _obs: Obs::publish(&format!("rtmp://{}/live", server.rtmp), STREAM)? }
            }
            Publisher::Sdk => {
                Self::Page { _page: Page::sdk_publish(browser, &socket(server), STREAM, "", "")? }
            }
            Publisher::Whip => {
                Self::Peer { _peer: Peer::publish(&server.http_url(&format!("whip/{STREAM}")))? }
            }
        })
    }
}

/// Where the SDK connects.
fn socket(server: &Server) -> String {
    format!("ws://{}/live/websocket", server.http)
}

fn checked(seen: &Seen) -> Result<()> {
    seen.check_picture()
}

fn play_rtmp(publisher: Publisher, server: &Server) -> Result<()> {
    let url = server.rtmp_url(STREAM);
    // A browser's sound is Opus, which Debian's ffmpeg does not know in FLV.
    let opus = matches!(publisher, Publisher::Sdk | Publisher::Whip);
    let sound = if opus { Sound::Leave } else { Sound::Decode };
    let player = ffmpeg::Player::start(&url, sound)?;
    if opus {
        let mut python = machine::python();
        python.arg(machine::client("rtmp_sound.py")).arg(&url);
        let mut listener = Process::spawn("the RTMP listener", python)?;
        let codec = listener
            .line("sound", |l| serde_json::from_str::<Value>(l).ok()?["codec"].as_str().map(str::to_owned))?;
        anyhow::ensure!(codec.contains("opus"), "the sound is {codec}");
    }
    checked(&player.plays(PICTURES, sound)?)
}

fn play_hls(server: &Server, browser: &Browser) -> Result<()> {
    let page = Page::hls_play(browser, &server.http_url(&format!("streams/{STREAM}.m3u8")))?;
    checked(&page.plays(PICTURES)?)
}

fn play_sdk(server: &Server, browser: &Browser) -> Result<()> {
    let page = Page::sdk_play(browser, &socket(server), STREAM, "", "")?;
    checked(&page.plays(PICTURES)?)
}

fn play_whep(server: &Server) -> Result<()> {
    let mut player = Peer::play(&server.http_url(&format!("whep/{STREAM}")))?;
    let (status, text) = player.status()?;
    anyhow::ensure!(status == 201, "WHEP: {status} {text}");
    checked(&player.plays(PICTURES)?)
}
