//! OBS Studio on a virtual screen, with a fresh profile: the settings of a new user, apart
//! from the picture's size and the stream's address.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::clip::clips;
use crate::machine;
use crate::proc::Process;

/// OBS, publishing. Dropping it kills it and its screen.
pub struct Obs {
    /// The process; its log says when a connection was refused.
    pub process: Process,
    _screen: Process,
    _folder: TempDir,
}

impl Obs {
    /// Starts OBS and its stream to `server` (`rtmp://host/app`) with `key`.
    pub fn publish(server: &str, key: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        configure(folder.path(), server, key, &clips()?.plain)?;
        let mut screen = screen()?;
        let display = screen.line("its display number", |line| line.parse::<u32>().ok())?;
        let process = Process::spawn("OBS", command(folder.path(), display))?;
        Ok(Self { process, _screen: screen, _folder: folder })
    }

    /// Ends OBS as a user does.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::INT);
        self.process.wait().map(drop)
    }
}

fn screen() -> Result<Process> {
    let mut command = Command::new("Xvfb");
    // The X server picks a free number and writes it to descriptor 1.
    command.args(["-displayfd", "1", "-screen", "0", "1280x720x24", "-nolisten", "tcp"]);
    Process::spawn("Xvfb", command)
}

fn command(home: &Path, display: u32) -> Command {
    let mut command = Command::new("obs");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("XDG_CONFIG_HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
    command.env("LANG", "C.UTF-8").env("DISPLAY", format!(":{display}"));
    command.env("LIBGL_ALWAYS_SOFTWARE", "1").env("QT_QPA_PLATFORM", "xcb");
    command.args(["--multi", "--profile", "t", "--collection", "t"]);
    command.args(["--disable-missing-files-check", "--disable-updater", "--startstreaming"]);
    command
}

/// Writes what the first-start wizard would ask for.
fn configure(home: &Path, server: &str, key: &str, clip: &Path) -> Result<()> {
    let folder = home.join("obs-studio");
    let (profile, scenes) = (folder.join("basic/profiles/t"), folder.join("basic/scenes"));
    for each in [&profile, &scenes, &home.join("run")] {
        std::fs::create_dir_all(each)?;
    }
    let socket = machine::free_tcp_port()?;
    // `FirstRun=true` means that the first run is over.
    let global = format!(
        "[General]\nFirstRun=true\nLastVersion=486539266\nInfoIncrement=-1\nEnableAutoUpdates=false\nConfirmOnExit=false\n\
         Pre19Defaults=false\nPre21Defaults=false\nPre23Defaults=false\nPre24.1Defaults=false\n\
         [Basic]\nProfile=t\nProfileDir=t\nSceneCollection=t\nSceneCollectionFile=t\n\
         [BasicWindow]\nWarnBeforeStartingStream=false\nWarnBeforeStoppingStream=false\nSysTrayEnabled=false\nPreviewEnabled=false\n\
         [OBSWebSocket]\nFirstLoad=false\nServerEnabled=true\nServerPort={socket}\nAuthRequired=false\nAlertsEnabled=false\n"
    );
    std::fs::write(folder.join("global.ini"), global)?;
    // OBS renders in software here, and at its 30 pictures a second repeats some when the
    // machine is busy; the encoder's settings stay the default ones.
    let video = "[General]\nName=t\n[Video]\nBaseCX=640\nBaseCY=360\nOutputCX=640\nOutputCY=360\nFPSType=0\nFPSCommon=20\n";
    std::fs::write(profile.join("basic.ini"), video)?;
    let service =
        json!({"type": "rtmp_custom", "settings": {"server": server, "key": key, "use_auth": false}});
    std::fs::write(profile.join("service.json"), service.to_string())?;
    let clip = clip.to_str().context("the clip's path is not UTF-8")?;
    std::fs::write(scenes.join("t.json"), collection(clip).to_string())?;
    Ok(())
}

fn collection(clip: &str) -> serde_json::Value {
    let source = json!({
        "name": "clip", "id": "ffmpeg_source", "versioned_id": "ffmpeg_source", "enabled": true, "volume": 1.0, "mixers": 255,
        "settings": {"local_file": clip, "is_local_file": true, "looping": true, "restart_on_activate": false,
                     "hw_decode": false, "close_when_inactive": false},
    });
    let item = json!({
        "name": "clip", "id": 1, "visible": true, "locked": false, "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 1.0, "y": 1.0},
        "align": 5, "rot": 0.0, "bounds_type": 0, "bounds_align": 0, "bounds": {"x": 0.0, "y": 0.0},
        "crop_left": 0, "crop_top": 0, "crop_right": 0, "crop_bottom": 0,
    });
    let scene = json!({
        "name": "s", "id": "scene", "versioned_id": "scene", "enabled": true,
        "settings": {"id_counter": 1, "custom_size": false, "items": [item]},
    });
    json!({
        "name": "t", "current_scene": "s", "current_program_scene": "s", "scene_order": [{"name": "s"}], "sources": [source, scene],
        "groups": [], "transitions": [], "quick_transitions": [], "saved_projectors": [],
        "current_transition": "Cut", "transition_duration": 300,
    })
}
