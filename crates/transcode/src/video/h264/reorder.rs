//! From decoding order to display order.

use media::MediaTime;

/// Holds pictures back until nothing can come before them any more.
pub(super) struct Reorder<P> {
    held: Vec<Held<P>>,
    depth: usize,
    /// Counts IDR pictures: order counts start anew at each.
    epoch: u64,
}

struct Held<P> {
    epoch: u64,
    order: i32,
    pts: MediaTime,
    picture: P,
}

impl<P> Reorder<P> {
    /// `depth`: how many pictures may overtake one.
    pub(super) fn new(depth: usize) -> Self {
        Self { held: Vec::new(), depth, epoch: 0 }
    }

    /// An IDR picture comes next: all that is held is shown before it.
    pub(super) fn start_anew(&mut self) {
        self.epoch += 1;
    }

    /// Takes the picture decoded at `dts` with its picture order count; gives
    /// what can be shown now, in order.
    ///
    /// A picture goes when more than `depth` are held, or when its time has come:
    /// a later one in decoding order has a later decode time and cannot be shown
    /// before that. So a stream that does not say its depth has no more delay
    /// than its own timestamps.
    pub(super) fn push(
        &mut self,
        order: i32,
        pts: MediaTime,
        dts: MediaTime,
        picture: P,
    ) -> Vec<(MediaTime, P)> {
        self.held.push(Held { epoch: self.epoch, order, pts, picture });
        self.held.sort_by_key(|held| (held.epoch, held.order));
        let goes = |this: &Self| {
            let first = this.held.first()?;
            (first.epoch < this.epoch || this.held.len() > this.depth || first.pts <= dts).then_some(())
        };
        let mut shown = Vec::new();
        while goes(self).is_some() {
            let first = self.held.remove(0);
            shown.push((first.pts, first.picture));
        }
        shown
    }

    /// Gives all that is held, in order.
    pub(super) fn flush(&mut self) -> Vec<(MediaTime, P)> {
        self.held.drain(..).map(|held| (held.pts, held.picture)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(frame: i64) -> MediaTime {
        MediaTime::from_millis(frame * 40)
    }

    fn shown(reorder: &mut Reorder<char>, order: i32, pts: i64, dts: i64, name: char) -> String {
        reorder.push(order, at(pts), at(dts), name).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn a_pyramid_comes_out_in_display_order_with_the_least_delay() {
        // I P B(ref) b b, depth 2, as x264 times them.
        let mut r = Reorder::new(2);
        assert_eq!(shown(&mut r, 0, 2, 0, 'I'), "");
        assert_eq!(shown(&mut r, 8, 6, 1, 'P'), "");
        assert_eq!(shown(&mut r, 4, 4, 2, 'B'), "I");
        assert_eq!(shown(&mut r, 2, 3, 3, 'b'), "b");
        assert_eq!(shown(&mut r, 6, 5, 4, 'c'), "B");
        assert_eq!(r.flush().into_iter().map(|(_, n)| n).collect::<String>(), "cP");
    }

    #[test]
    fn a_new_epoch_pushes_out_the_old_whatever_its_order() {
        let mut r = Reorder::new(4);
        assert_eq!(shown(&mut r, 100, 9, 1, 'a'), "");
        r.start_anew();
        assert_eq!(shown(&mut r, 0, 12, 2, 'I'), "a");
    }

    #[test]
    fn an_unknown_depth_costs_no_more_than_the_timestamps() {
        let mut r = Reorder::new(16);
        assert_eq!(shown(&mut r, 0, 1, 0, 'I'), "");
        assert_eq!(shown(&mut r, 4, 3, 1, 'P'), "I");
        assert_eq!(shown(&mut r, 2, 2, 2, 'b'), "b");
        assert_eq!(shown(&mut r, 8, 5, 3, 'P'), "P");
    }
}
