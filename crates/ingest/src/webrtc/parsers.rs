//! Where descriptions are parsed.
//!
//! That takes milliseconds, so not an HTTP worker, which answers others meanwhile, and
//! not the shard's thread, which moves all media. A few threads beside them do
//! it, one description each; a peer that waits for them was counted before.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::sdp::SdpError;

/// Descriptions parsed at a time: enough for hundreds a second, and on a machine of two
/// cores half of one stays free.
const AT_ONCE: usize = 2;

/// Threads for descriptions.
#[derive(Debug)]
pub(crate) struct Parsers(Arc<Semaphore>);

impl Parsers {
    /// None at work.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// What `parse` makes of a description. In turn, first come, first served. Callers
    /// hold an arrival, so no more of them wait than there may be of those.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        parse: impl FnOnce() -> Result<T, SdpError> + Send + 'static,
    ) -> Result<T, SdpError> {
        // Never closed. Held by the thread: a caller that has left may not make room for
        // another while its description is still parsed.
        let turn = self.0.clone().acquire_owned().await.map_err(|_| SdpError::Malformed)?;
        let parsed = tokio::task::spawn_blocking(move || {
            let parsed = parse();
            drop(turn);
            parsed
        });
        parsed.await.unwrap_or_else(|_| {
            tracing::error!("a description made the parser panic and is refused");
            Err(SdpError::Malformed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::mpsc::channel;

    #[actix_rt::test]
    async fn so_many_are_parsed_at_a_time_and_the_next_one_waits_for_its_turn() {
        let parsers = Parsers::new();
        let (ends, ended): (Vec<_>, Vec<_>) = (0..AT_ONCE).map(|_| channel::<()>()).unzip();
        let (begins, begun) = channel();
        let busy = ended.into_iter().map(|ended| {
            let begins = begins.clone();
            let mut parse = Box::pin(parsers.run(move || {
                begins.send(()).unwrap();
                ended.recv().map_err(|_| SdpError::Malformed)
            }));
            assert!((&mut parse).now_or_never().is_none());
            begun.recv().unwrap();
            parse
        });
        let busy: Vec<_> = busy.collect();
        let mut next = Box::pin(parsers.run(|| Ok(7)));
        assert!((&mut next).now_or_never().is_none());
        assert_eq!(parsers.0.available_permits(), 0);
        // A caller that leaves does not free the thread that works for it.
        drop(busy);
        assert_eq!(parsers.0.available_permits(), 0);
        ends.iter().for_each(|end| end.send(()).unwrap());
        assert_eq!(next.await, Ok(7));
    }

    #[actix_rt::test]
    async fn a_panic_is_the_descriptions_fault() {
        let parsed = Parsers::new().run(|| -> Result<(), _> { panic!("as a parser might") }).await;
        assert_eq!(parsed, Err(SdpError::Malformed));
    }
}
