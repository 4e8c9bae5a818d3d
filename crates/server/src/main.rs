//! Sluice: config file to running server to clean drain.

mod admin;
mod banner;
mod check;
mod command;
mod config;
mod control;
mod decoding;
mod descriptors;
mod doctor;
mod edges;
mod metrics;
mod socket;
mod systemd;
mod tls;
mod turnstile;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use contract::Clock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use command::{Command, Invocation, USAGE};
use config::{Config, Origin};
use control::Control;
use doctor::Health;
use edges::Edges;

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // For an operator: with its causes, and never with a backtrace.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<()> {
    let Invocation { config: path, command } = Invocation::parse(std::env::args().skip(1))?;
    match command {
        Command::Help => print!("{USAGE}"),
        Command::Decode { memory } => transcode::run(memory)?,
        Command::Version => println!("sluice {}", env!("CARGO_PKG_VERSION")),
        command => act(command, &path)?,
    }
    Ok(())
}

fn act(command: Command, path: &Path) -> Result<()> {
    let (config, origin) = Config::load(path, std::env::vars())?;
    match command {
        Command::Serve | Command::Help | Command::Version | Command::Decode { .. } => serve(config),
        Command::Check => check(&config, &origin),
        Command::Doctor => match doctor::examine(&config, &origin) {
            Health::Bad => bail!("something is wrong"),
            Health::Good | Health::Doubtful => Ok(()),
        },
        Command::AddUser { email, role, password } => admin::add_user(&config, email, role, password),
        Command::ResetUser { email, password } => admin::reset_user(&config, email, password),
        Command::Backup { file, key } => admin::backup(&config, &file, key),
        Command::Restore { file, overwrite } => admin::restore(&config, &file, overwrite),
    }
}

fn check(config: &Config, origin: &Origin) -> Result<()> {
    let problems = check::problems(config);
    let told: Vec<_> = problems.iter().map(|problem| origin.tell(problem)).collect();
    ensure!(told.is_empty(), "{}", told.join("\n"));
    println!("The server would start.");
    Ok(())
}

fn serve(config: Config) -> Result<()> {
    trace(config::log_filter(&config)?);
    descriptors::raise(&config);
    actix::System::new().block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    let clock = Clock::system();
    let control = Control::start(&config, &clock)?;
    if let Err(error) = socket::serve(&config.store.path, control.desk(&clock)) {
        // It serves without; the operator's commands need it stopped then.
        tracing::error!(error = format!("{error:#}"), "no control socket");
    }
    let stop = CancellationToken::new();
    let edges = Edges::start(&config, &control, &clock, &stop)?;
    println!("{}", edges.ready(&config, control.setup_token()).text());
    let mut signals = Signals::listen()?;
    systemd::tell(systemd::READY);
    let ended = tokio::select! {
        signal = signals.next() => { tracing::info!(signal, "draining"); Ok(()) }
        failed = edges.failed() => Err(failed),
    };
    systemd::tell(systemd::STOPPING);
    stop.cancel();
    let end = async {
        edges.drain(config.drain()).await;
        control.flush().await;
    };
    tokio::select! {
        () = end => ended,
        signal = signals.next() => at_once(signal),
    }
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
    /// Whoever holds a certificate reads it again at SIGHUP; without one it must not end
    /// the server, as it would if nobody listened.
    _hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn trace(filter: EnvFilter) {
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
