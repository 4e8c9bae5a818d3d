//! The number in the test picture.
//!
//! The picture is 640x360: 320 lines that move, and below them a strip of 20 cells of 32
//! pixels. The lower half of the strip is the complement of the upper, so a cell is read as
//! a difference: it checks itself and survives another encoder. Cells 0 and 19 are 1, cell 1
//! is 0, cells 2 to 17 are the frame's number (lowest bit first), cell 18 flashes.

/// Width of the picture in pixels.
pub const WIDTH: usize = 640;
/// Height of the picture in pixels.
pub const HEIGHT: usize = 360;

const CELL: usize = WIDTH / 20;
/// Lines of the two halves, away from their edges where encoders smear.
const UPPER: std::ops::Range<usize> = 326..334;
const LOWER: std::ops::Range<usize> = 346..354;
/// Smallest difference that counts; a clean strip has about 208.
const LEAST: i64 = 40;

/// The number of a grey picture of [`WIDTH`] by [`HEIGHT`] bytes; `None`: unreadable.
pub fn number(grey: &[u8]) -> Option<u16> {
    let mut bits = [false; 20];
    for (cell, bit) in bits.iter_mut().enumerate() {
        let difference = mean(grey, cell, UPPER) - mean(grey, cell, LOWER);
        if difference.abs() < LEAST {
            return None;
        }
        *bit = difference > 0;
    }
    if !bits[0] || bits[1] || !bits[19] {
        return None;
    }
    Some((0..16).filter(|i| bits[2 + i]).fold(0, |number, i| number | 1 << i))
}

fn mean(grey: &[u8], cell: usize, lines: std::ops::Range<usize>) -> i64 {
    let columns = cell * CELL + CELL / 4..cell * CELL + CELL * 3 / 4;
    let count = (lines.len() * columns.len()) as i64;
    let rows = lines.map(|y| &grey[y * WIDTH..][columns.clone()]);
    rows.flatten().map(|&p| i64::from(p)).sum::<i64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(number: u16) -> Vec<u8> {
        let mut grey = vec![128; WIDTH * HEIGHT];
        for cell in 0..20 {
            let bit = match cell {
                0 | 19 => true,
                1 | 18 => false,
                _ => number >> (cell - 2) & 1 == 1,
            };
            for y in 320..HEIGHT {
                let white = bit == (y < 340);
                grey[y * WIDTH + cell * CELL..][..CELL].fill(if white { 235 } else { 16 });
            }
        }
        grey
    }

    #[test]
    fn reads_every_kind_of_number() {
        for n in [0, 1, 2, 899, 0x5555, 0xaaaa, u16::MAX] {
            assert_eq!(number(&painted(n)), Some(n));
        }
    }

    #[test]
    fn a_flat_picture_has_no_number() {
        assert_eq!(number(&vec![0; WIDTH * HEIGHT]), None);
    }
}
