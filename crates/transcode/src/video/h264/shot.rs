//! One key frame by itself, made small.

use jpeg_encoder::{ColorType, Encoder};
use media::{Frame, VideoTrack};

use super::decode::{Picture, Pictures};
use super::sps::{Colour, Sps};
use super::{ParameterSets, VideoSettings, avcc, judge};
use crate::video::VideoUnsupported;

/// Good enough for a thumbnail; 320x180 then takes some 10 KB.
const QUALITY: u8 = 75;

/// A decoded key frame.
pub(crate) struct Shot {
    picture: Picture,
    colours: Colours,
}

/// Decodes a key frame of at most `max_samples` luma samples.
pub(crate) fn shot(track: &VideoTrack, keyframe: &Frame, max_samples: u32) -> Result<Shot, VideoUnsupported> {
    let sets = ParameterSets::parse(&track.config).ok_or(VideoUnsupported::Config)?;
    let sps = judge(&sets, &VideoSettings { max_samples, ..VideoSettings::default() })?;
    let slices = avcc::slices(&keyframe.data).filter(|s| s.idr).ok_or(VideoUnsupported::Tools)?;
    let mut pictures = Pictures::new(&sets).map_err(|cause| cause.or(VideoUnsupported::Config))?;
    let picture = pictures.decode(&slices, None).map_err(|cause| cause.or(VideoUnsupported::Tools))?;
    let picture = picture.ok_or(VideoUnsupported::Tools)?;
    Ok(Shot { picture, colours: Colours::of(&sps) })
}

impl Shot {
    /// The picture as a JPEG of at most `width` by twice that.
    pub(crate) fn jpeg(&self, width: usize) -> Option<Vec<u8>> {
        let Picture { width: w, height: h, y, u, v, .. } = &self.picture;
        let size = fit((*w, *h), (width, 2 * width));
        let (half_w, half_h) = (w / 2, h / 2);
        let luma = shrink(y, (*w, *h), size)?;
        let blue = shrink(u, (half_w, half_h), size)?;
        let red = shrink(v, (half_w, half_h), size)?;
        let planes = luma.iter().zip(&blue).zip(&red);
        let pixels: Vec<u8> = planes.flat_map(|((&y, &u), &v)| self.colours.rgb(y, u, v)).collect();
        let mut jpeg = Vec::new();
        let (w, h) = (u16::try_from(size.0).ok()?, u16::try_from(size.1).ok()?);
        Encoder::new(&mut jpeg, QUALITY).encode(&pixels, w, h, ColorType::Rgb).ok()?;
        Some(jpeg)
    }
}

/// The largest size of the same shape within a box; never larger than it was.
fn fit((w, h): (usize, usize), (max_w, max_h): (usize, usize)) -> (usize, usize) {
    if w <= max_w && h <= max_h {
        (w, h)
    } else if w * max_h >= h * max_w {
        (max_w, (h * max_w / w).max(1))
    } else {
        ((w * max_h / h).max(1), max_h)
    }
}

/// A plane in another size: each sample is the mean of those it covers. `None` if
/// the plane is smaller than it says.
fn shrink(plane: &[u8], (w, h): (usize, usize), to: (usize, usize)) -> Option<Vec<u8>> {
    if w == 0 || h == 0 || plane.len() < w * h {
        return None;
    }
    let columns: Vec<_> = (0..to.0).map(|x| span(x, w, to.0)).collect();
    let mut small = Vec::with_capacity(to.0 * to.1);
    for rows in (0..to.1).map(|y| span(y, h, to.1)) {
        small.extend(columns.iter().map(|columns| mean(plane, w, rows.clone(), columns.clone())));
    }
    Some(small)
}

/// What sample `at` of `to` covers of `from`; one at least.
fn span(at: usize, from: usize, to: usize) -> std::ops::Range<usize> {
    let start = at * from / to;
    start..((at + 1) * from / to).max(start + 1)
}

fn mean(plane: &[u8], width: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> u8 {
    let count = rows.len() * columns.len();
    let row_sum = |row: usize| {
        let samples = &plane[row * width + columns.start..row * width + columns.end];
        samples.iter().map(|&sample| usize::from(sample)).sum::<usize>()
    };
    // A mean of bytes is a byte.
    (rows.map(row_sum).sum::<usize>() / count) as u8
}

/// How luma and chroma become red, green and blue.
struct Colours {
    full_range: bool,
    /// Weights of red and blue in luma.
    red: f32,
    blue: f32,
}

/// ITU-T H.264 table E-5: the matrix of BT.709.
const BT709: u8 = 1;
/// "Unspecified".
const UNSAID: u8 = 2;

impl Colours {
    /// What the stream says; else what is usual for its size.
    fn of(sps: &Sps) -> Self {
        let said = sps.colour.as_ref().map(|colour: &Colour| colour.matrix);
        let hd = match said {
            None | Some(UNSAID) => sps.height > 576,
            Some(matrix) => matrix == BT709,
        };
        let (red, blue) = if hd { (0.2126, 0.0722) } else { (0.299, 0.114) };
        Self { full_range: sps.colour.as_ref().is_some_and(|colour| colour.full_range), red, blue }
    }

    /// ITU-R BT.601 and BT.709 §3, solved for the colours.
    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let (low, span, chroma) = if self.full_range { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
        let y = (f32::from(y) - low) / span;
        let u = (f32::from(u) - 128.0) / chroma;
        let v = (f32::from(v) - 128.0) / chroma;
        let r = y + 2.0 * (1.0 - self.red) * v;
        let b = y + 2.0 * (1.0 - self.blue) * u;
        let g = (y - self.red * r - self.blue * b) / (1.0 - self.red - self.blue);
        [r, g, b].map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_shape_and_never_grows() {
        for (from, expected) in [
            ((1280, 720), (320, 180)),
            ((720, 1280), (320, 568)),
            ((100, 50), (100, 50)),
            ((16, 4096), (2, 640)),
            ((4096, 16), (320, 1)),
        ] {
            assert_eq!(fit(from, (320, 640)), expected, "{from:?}");
        }
    }

    #[test]
    fn a_sample_is_the_mean_of_what_it_covers() {
        assert_eq!(shrink(&[0, 10, 20, 30, 40, 50, 60, 70], (4, 2), (2, 1)), Some(vec![25, 45]));
        assert_eq!(shrink(&[1, 2], (2, 1), (4, 1)), Some(vec![1, 1, 2, 2]), "chroma may be smaller");
        assert_eq!(shrink(&[1, 2], (2, 2), (1, 1)), None, "a plane that is too short");
    }

    #[test]
    fn white_is_white_and_red_is_red() {
        let sd = Colours { full_range: false, red: 0.299, blue: 0.114 };
        assert_eq!(sd.rgb(235, 128, 128), [255; 3]);
        assert_eq!(sd.rgb(16, 128, 128), [0; 3]);
        let [r, g, b] = sd.rgb(81, 90, 240);
        assert!(r > 250 && g < 5 && b < 5, "{r} {g} {b}");
        let full = Colours { full_range: true, red: 0.299, blue: 0.114 };
        assert_eq!(full.rgb(255, 128, 128), [255; 3]);
    }
}
