//! What all workers of a server share.

use crate::process::Decoding;
use crate::slots::Slots;
use crate::worker::Crew;

/// Room to transcode, where to, and the threads. Clones share them.
#[derive(Debug, Clone)]
pub struct Transcoding {
    pub(crate) slots: Slots,
    pub(crate) decoding: Decoding,
    pub(crate) crew: Crew,
}

impl Transcoding {
    /// Room for the pictures of so many streams at once. A stream of 1280x720 at 30
    /// fps takes a fifth to a third of a core, so twice the number of cores is a
    /// sensible most.
    pub fn new(streams: usize, decoding: Decoding) -> Self {
        Self { slots: Slots::new(streams), decoding, crew: Crew::new(streams) }
    }

    /// Streams whose pictures are transcoded now.
    pub fn taken(&self) -> usize {
        self.slots.taken()
    }
}
