//! Sluice: config file to running server to clean drain.

mod banner;
mod config;
mod control;
mod descriptors;
mod edges;
mod tls;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use contract::Clock;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use config::Config;
use control::Control;
use edges::Edges;

fn main() -> Result<()> {
    let Some(command) = Command::from_args(std::env::args().skip(1))? else {
        print!("{USAGE}");
        return Ok(());
    };
    let config = Config::load(&command.config, std::env::vars())?;
    if command.check {
        println!("{} is well-formed.", command.config.display());
        return Ok(());
    }
    trace(&config)?;
    descriptors::raise(&config);
    actix::System::new().block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    let clock = Clock::system();
    let control = Control::start(&config, &clock)?;
    let stop = CancellationToken::new();
    let edges = Edges::start(&config, &control, &clock, &stop)?;
    println!("{}", edges.ready(&config, control.setup_token()).text());
    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|name| tracing::info!(signal = name, "draining")),
        failed = edges.failed() => Err(failed),
    };
    stop.cancel();
    edges.drain().await;
    control.flush().await;
    ended
}

/// Resolves when the operator asks the server to stop.
async fn stop_signal() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}

fn trace(config: &Config) -> Result<()> {
    let filter = EnvFilter::try_new(&config.log.level).context("log.level")?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    Ok(())
}

const USAGE: &str = "\
Usage: sluice [--config FILE] [--check-config]

  --config FILE    configuration to use; config/sluice.toml if not given
  --check-config   say whether the configuration is well-formed, and end
  --help           this text
";

struct Command {
    config: PathBuf,
    check: bool,
}

impl Command {
    /// `None`: only the usage is wanted.
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut command = Self { config: "config/sluice.toml".into(), check: false };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--config" => command.config = args.next().context("--config needs a file")?.into(),
                "--check-config" => command.check = true,
                "--help" | "-h" => return Ok(None),
                other => bail!("unknown argument {other}\n\n{USAGE}"),
            }
        }
        Ok(Some(command))
    }
}
