//! What a socket that was let in is told, and what one that was not may hold.

use actix_ws::Closed;
use contract::StreamId;

use super::Socket;
use crate::webrtc::signalling::dialect::{self, Problem};

impl Socket {
    /// Which servers to use. The password of one is for those that carry a stream.
    pub(super) async fn ice_servers(&mut self) -> Result<(), Closed> {
        let Some(settings) = self.settings() else { return Ok(()) };
        let told = if self.seats.is_empty() {
            dialect::open_ice_servers(&settings)
        } else {
            dialect::ice_servers(&settings)
        };
        self.say(told).await
    }

    /// Says whether a stream may be published or played; if so, the servers that were
    /// not told before come first. What was refused does not count as carrying: a peer
    /// could be refused for ever. Ant Media's SDK asks again on another socket by itself.
    pub(super) async fn admitted(
        &mut self,
        stream: &StreamId,
        asked: Result<String, Problem>,
    ) -> Result<(), Closed> {
        if asked.is_ok() && self.settings().is_some_and(|settings| dialect::has_password(&settings)) {
            self.ice_servers().await?;
        }
        self.answer(stream, asked).await
    }

    /// Takes the socket's place among those that carry nothing, or gives it back.
    pub(super) fn rest(&mut self) -> Result<(), Closed> {
        if !self.seats.is_empty() {
            self.carried = self.webrtc.now();
            self.idle = None;
        } else if self.idle.is_none() {
            self.idle = Some(self.webrtc.idle().enter(self.from, &self.app).ok_or(Closed)?);
        }
        Ok(())
    }
}
