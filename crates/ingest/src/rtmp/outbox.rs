//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::io::IoSlice;

use contract::session::Moment;
use rtmp::Outgoing;

/// What a run of whole messages carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// Answers, acknowledgements, pings.
    Control,
    /// Sound and pictures, and what a decoder needs first.
    Media,
    /// The same, of a frame of this moment.
    Frame(Moment),
}

impl Carries {
    fn is_media(self) -> bool {
        self != Self::Control
    }
}

/// Whole messages, in pieces.
#[derive(Debug)]
struct Run {
    carries: Carries,
    messages: Outgoing,
}

impl Run {
    fn len(&self) -> usize {
        self.messages.len()
    }
}

/// A queue of runs, of which only the first may be half written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    runs: VecDeque<Run>,
    /// How much of the first run the kernel has.
    written: usize,
    len: usize,
    /// Runs that the kernel had, whole.
    gone: u64,
    /// The frame that the kernel had last, whole.
    reached: Option<Moment>,
}

/// Pieces in one system call. A player that keeps up has two to six.
pub(super) const SLICES: usize = 16;

impl Outbox {
    pub(super) fn push(&mut self, carries: Carries, messages: Outgoing) {
        if !messages.is_empty() {
            self.len += messages.len();
            self.runs.push_back(Run { carries, messages });
        }
    }

    /// Bytes not handed to the kernel yet.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What to write next, as many pieces as fit, `most` bytes of them.
    pub(super) fn slices<'a>(&'a self, mut most: usize, into: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (mut at, mut count) = (self.written, 0);
        for run in &self.runs {
            while count < SLICES && most > 0 {
                let piece = run.messages.piece(at);
                if piece.is_empty() {
                    break;
                }
                let piece = &piece[..piece.len().min(most)];
                into[count] = IoSlice::new(piece);
                (at, most, count) = (at + piece.len(), most - piece.len(), count + 1);
            }
            if count == SLICES || most == 0 {
                break;
            }
            at = 0;
        }
        count
    }

    /// The kernel took so many bytes. Says how many of them were media, counted
    /// when a run is complete.
    pub(super) fn advance(&mut self, mut bytes: usize) -> usize {
        let mut media = 0;
        self.len -= bytes;
        while let Some(run) = self.runs.front() {
            let rest = run.len() - self.written;
            if bytes < rest {
                self.written += bytes;
                break;
            }
            media += if run.carries.is_media() { run.len() } else { 0 };
            if let Carries::Frame(moment) = run.carries {
                self.reached = Some(moment);
            }
            bytes -= rest;
            self.gone += 1;
            self.written = 0;
            self.runs.pop_front();
        }
        media
    }

    /// How many runs the kernel had.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    /// The frame that the kernel had last, if there was one since the last call.
    pub(super) fn take_reached(&mut self) -> Option<Moment> {
        self.reached.take()
    }

    /// Drops the media that has not begun to leave. What is left of a message that
    /// has begun stays: without it the peer cannot read on.
    pub(super) fn drop_media(&mut self) {
        let begun = (self.written > 0).then(|| self.runs.pop_front()).flatten();
        self.runs.retain(|run| run.carries == Carries::Control);
        if let Some(begun) = begun {
            self.runs.push_front(begun);
        }
        self.len = self.runs.iter().map(Run::len).sum::<usize>() - self.written;
    }

    /// Whether a message with media is half written.
    pub(super) fn has_begun_media(&self) -> bool {
        self.written > 0 && self.runs.front().is_some_and(|run| run.carries.is_media())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::MediaTime;

    use super::*;

    fn run(bytes: &'static [u8]) -> Outgoing {
        Outgoing::whole(Bytes::from_static(bytes))
    }

    fn rest(outbox: &Outbox) -> Vec<u8> {
        some(outbox, usize::MAX)
    }

    fn some(outbox: &Outbox, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outbox.slices(most, &mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn what_was_written_is_not_written_again() {
        let mut outbox = Outbox::default();
        outbox.push(Carries::Control, run(b"abc"));
        outbox.push(Carries::Media, run(b"defgh"));
        assert_eq!(outbox.advance(5), 0);
        assert_eq!(rest(&outbox), b"fgh");
        assert_eq!((some(&outbox, 2), some(&outbox, 0)), (b"fg".to_vec(), Vec::new()));
        assert_eq!(outbox.advance(3), 5);
        assert!(outbox.is_empty() && rest(&outbox).is_empty());
    }

    #[test]
    fn dropping_media_keeps_answers_and_the_end_of_a_message_that_has_begun() {
        let mut outbox = Outbox::default();
        outbox.push(Carries::Media, run(b"begun"));
        outbox.push(Carries::Media, run(b"queued"));
        outbox.push(Carries::Control, run(b"pong"));
        outbox.advance(2);
        outbox.drop_media();
        assert!(outbox.has_begun_media());
        assert_eq!((rest(&outbox).as_slice(), outbox.len()), (&b"gunpong"[..], 7));
        outbox.advance(5);
        assert!(!outbox.has_begun_media());
        outbox.drop_media();
        assert_eq!(rest(&outbox), b"ng");
    }

    #[test]
    fn a_frame_is_reached_when_the_kernel_has_all_of_it() {
        let mut outbox = Outbox::default();
        let moment = |ms| Moment { generation: 1, at: MediaTime::from_millis(ms) };
        for ms in [0, 33, 66] {
            outbox.push(Carries::Frame(moment(ms)), run(b"headbody"));
        }
        outbox.advance(7);
        assert_eq!(outbox.take_reached(), None);
        outbox.advance(9);
        assert_eq!((outbox.take_reached(), outbox.take_reached()), (Some(moment(33)), None));
        outbox.drop_media();
        assert_eq!((outbox.take_reached(), outbox.len()), (None, 0));
    }
}
