//! What is written to the log, and what never is.

use std::io::IsTerminal;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The ICE agent's crate. It shows its credentials at DEBUG when they are set, and at TRACE
/// as an event: with them one peer can pass for another.
const ICE: &str = "is";

/// Logs to standard error from now on.
pub(crate) fn start(filter: EnvFilter) {
    let colours = std::io::stderr().is_terminal();
    subscriber(filter, std::io::stderr, colours).init();
}

/// Both filters must let an entry pass. A directive for the agent, `is=info`, would not do:
/// one of the operator's that names a module of it, or a span, wins over it.
fn subscriber<W>(filter: EnvFilter, writer: W, colours: bool) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let written = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(writer);
    tracing_subscriber::registry().with(filter).with(filter_fn(tells_no_password)).with(written)
}

fn tells_no_password(entry: &Metadata<'_>) -> bool {
    let module = entry.target().strip_prefix(ICE);
    let is_ice = module.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    !is_ice || *entry.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_filter_makes_the_ice_agent_show_its_passwords() {
        for level in ["trace", "trace,is=trace", "off,is::agent=trace", "info,[peer]=trace"] {
            let log = Log::default();
            let writer = log.clone();
            let subscriber = subscriber(EnvFilter::try_new(level).unwrap(), move || writer.clone(), false);
            tracing::subscriber::with_default(subscriber, || {
                let _in_peer = tracing::info_span!("peer").entered();
                tracing::debug!(target: "is::agent", "Set local credentials: hush");
                tracing::trace!(target: "is", "Enqueueing event: hush");
                tracing::trace!(target: "is::agent", "Poll event: hush");
                tracing::info!(target: "is::agent", "told with {level}");
                tracing::trace!(target: "isolated", "another crate");
            });
            let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(!said.contains("hush"), "{level}: {said}");
            assert!(said.contains("told with"), "{level}: {said}");
            assert_eq!(said.contains("another crate"), !level.contains("off"), "{said}");
        }
    }
}
