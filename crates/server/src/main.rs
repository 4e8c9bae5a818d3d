//! Sluice: config file to running server to clean drain.

mod banner;
mod config;
mod control;
mod descriptors;
mod edges;
mod metrics;
mod tls;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use contract::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};
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
    let mut signals = Signals::listen()?;
    let ended = tokio::select! {
        signal = signals.next() => { tracing::info!(signal, "draining"); Ok(()) }
        failed = edges.failed() => Err(failed),
    };
    stop.cancel();
    tokio::select! {
        () = edges.drain(config.drain()) => control.flush().await,
        signal = signals.next() => at_once(signal),
    }
    ended
}

/// What was acknowledged is on disk already, so nothing is lost but goodbyes.
fn at_once(signal: &str) -> ! {
    tracing::warn!(signal, "second signal: ending at once");
    std::process::exit(1)
}

/// How the operator asks the server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
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
