//! The frames that a decoder keeps to predict from, counted (ITU-T H.264 §8.2.5).

use super::slice::{Command, Marking};

/// More references than the sequence has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowded(pub(super) u32);

#[derive(Debug, Clone, Copy)]
struct Kept {
    frame_num: u32,
    /// `LongTermFrameIdx` of a long-term one.
    long: Option<u32>,
}

/// Those that are kept.
#[derive(Debug, Default)]
pub(super) struct References {
    kept: Vec<Kept>,
    /// `frame_num` of the newest.
    pub(super) newest: u32,
}

impl References {
    /// How many are kept.
    #[cfg(any(fuzzing, test))]
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    /// A reference picture of `frame_num`, of so many that are possible, was decoded.
    /// There may be `most`.
    pub(super) fn mark(
        &mut self,
        marking: &Marking,
        frame_num: u32,
        modulus: u32,
        most: u32,
    ) -> Result<(), Crowded> {
        let mut current = Kept { frame_num, long: None };
        match marking {
            Marking::Idr { long_term } => {
                self.kept.clear();
                current.long = long_term.then_some(0);
            }
            Marking::Window => self.slide(frame_num, modulus, most),
            Marking::Adaptive(commands) => {
                commands.iter().for_each(|&command| self.obey(command, &mut current, modulus));
            }
        }
        self.keep(current, most)
    }

    fn keep(&mut self, frame: Kept, most: u32) -> Result<(), Crowded> {
        self.newest = frame.frame_num;
        self.kept.push(frame);
        let count = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        if count > most { Err(Crowded(count)) } else { Ok(()) }
    }

    /// Frames are missing before `frame_num`, which a decoder stands in for. Where all that
    /// are kept are long-term, there is no room for them (ITU-T H.264 §8.2.5.3).
    pub(super) fn fill(
        &mut self,
        missing: u32,
        frame_num: u32,
        modulus: u32,
        most: u32,
    ) -> Result<(), Crowded> {
        for before in (1..=missing.min(most)).rev() {
            let absent = (frame_num + modulus - before) % modulus;
            self.slide(absent, modulus, most);
            self.keep(Kept { frame_num: absent, long: None }, most)?;
        }
        Ok(())
    }

    /// Makes room by the short-term one that is the oldest.
    fn slide(&mut self, current: u32, modulus: u32, most: u32) {
        while self.kept.len() >= most as usize {
            let short = self.kept.iter().enumerate().filter(|(_, kept)| kept.long.is_none());
            let oldest = short.min_by_key(|(_, kept)| number(kept.frame_num, current, modulus));
            let Some(at) = oldest.map(|(at, _)| at) else { return };
            self.kept.remove(at);
        }
    }

    fn obey(&mut self, command: Command, current: &mut Kept, modulus: u32) {
        let is = |kept: &Kept, difference: u32| {
            let wanted = i64::from(current.frame_num) - i64::from(difference) - 1;
            kept.long.is_none() && number(kept.frame_num, current.frame_num, modulus) == wanted
        };
        match command {
            Command::Drop { difference } => self.kept.retain(|kept| !is(kept, difference)),
            Command::DropLong { number } => self.kept.retain(|kept| kept.long != Some(number)),
            Command::MakeLong { difference, index } => {
                self.kept.retain(|kept| kept.long != Some(index));
                for kept in self.kept.iter_mut().filter(|kept| is(kept, difference)) {
                    kept.long = Some(index);
                }
            }
            Command::LimitLong { limit } => {
                self.kept.retain(|kept| kept.long.is_none_or(|index| index < limit));
            }
            Command::DropAll => {
                self.kept.clear();
                current.frame_num = 0;
            }
            Command::KeepCurrentLong { index } => {
                self.kept.retain(|kept| kept.long != Some(index));
                current.long = Some(index);
            }
        }
    }
}

/// `PicNum`: a frame number greater than the current one is of the round before.
fn number(frame_num: u32, current: u32, modulus: u32) -> i64 {
    let before = if frame_num > current { i64::from(modulus) } else { 0 };
    i64::from(frame_num) - before
}
