//! From pixels to what a backbone takes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::resize::crop;
use super::{Filter, Pixels, center_crop, resize};

/// How a picture is brought to a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Both sides are resampled to the size, whatever the aspect ratio.
    Squash,
    /// The shorter side is resampled to `resize_shortest`, and the middle is taken.
    CropCenter {
        /// Length of the shorter side before cropping; if below the size, the size.
        resize_shortest: usize,
    },
    /// As `CropCenter`, but half an odd margin is rounded down, as Hugging Face's image processors do.
    CropDown {
        /// Length of the shorter side before cropping; if below the size, the size.
        resize_shortest: usize,
    },
    /// Both sides are resampled to `resized`, whatever the aspect ratio, and the middle is taken, half an odd margin
    /// rounded down, as EfficientNet's image processor does.
    SquashAndCrop {
        /// Length of both sides before cropping; if below the size, the size.
        resized: usize,
    },
}

/// What a backbone was trained to see.
///
/// value = (byte / 255 − mean) / std, channel by channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Side of the square, in pixels; at least 1.
    pub size: usize,
    /// How the square is filled.
    pub fit: Fit,
    /// How neighbours are weighed.
    pub filter: Filter,
    /// Per channel, on the scale from 0 to 1.
    pub mean: [f32; 3],
    /// Per channel, on the scale from 0 to 1.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Changes whenever the same settings would give other values.
    const VERSION: u32 = 1;

    /// Sixteen hexadecimal digits that differ when the result may.
    pub fn fingerprint(&self) -> String {
        let settings =
            serde_json::to_vec(&(Self::VERSION, self)).expect("numbers and names are always JSON");
        blake3::hash(&settings).to_hex()[..16].to_owned()
    }

    /// The picture as the backbone takes it.
    ///
    /// # Shapes
    /// `[size, size, 3]`, channels last.
    pub fn apply(&self, pixels: &Pixels) -> Vec<f32> {
        let square = self.square(pixels);
        let tables = self.tables();
        let pixels = square.rgb.chunks_exact(3);
        pixels.flat_map(|rgb| [0, 1, 2].map(|c| tables[c][usize::from(rgb[c])])).collect()
    }

    /// The square before normalisation, for caches that keep bytes.
    ///
    /// # Shapes
    /// `size × size`.
    pub fn square<'a>(&self, pixels: &'a Pixels) -> Cow<'a, Pixels> {
        let size = self.size;
        match self.fit {
            _ if (pixels.width, pixels.height) == (size, size) && self.keeps(size) => {
                Cow::Borrowed(pixels)
            }
            Fit::Squash => Cow::Owned(resize(pixels, size, size, self.filter)),
            Fit::CropCenter { resize_shortest } => {
                let pixels = middle(pixels);
                let (width, height) = scaled(&pixels, resize_shortest.max(size));
                Cow::Owned(center_crop(&resize(&pixels, width, height, self.filter), size, size))
            }
            Fit::CropDown { resize_shortest } => {
                let pixels = middle(pixels);
                let (width, height) = scaled(&pixels, resize_shortest.max(size));
                let resized = resize(&pixels, width, height, self.filter);
                Cow::Owned(crop(&resized, (width - size) / 2, (height - size) / 2, size, size))
            }
            Fit::SquashAndCrop { resized } => {
                let side = resized.max(size);
                let margin = (side - size) / 2;
                let square = resize(pixels, side, side, self.filter);
                Cow::Owned(crop(&square, margin, margin, size, size))
            }
        }
    }

    /// Whether a square of that side is not resampled.
    fn keeps(&self, side: usize) -> bool {
        match self.fit {
            Fit::Squash => true,
            Fit::CropCenter { resize_shortest } | Fit::CropDown { resize_shortest } => {
                resize_shortest <= side
            }
            Fit::SquashAndCrop { resized } => resized <= side,
        }
    }

    fn tables(&self) -> [[f32; 256]; 3] {
        [0, 1, 2]
            .map(|c| std::array::from_fn(|byte| (byte as f32 / 255.0 - self.mean[c]) / self.std[c]))
    }
}

/// How many times longer than wide a picture may be before the middle of it is resampled alone: all of a line of a million
/// pixels would be as many times the square's side.
const LONGEST: usize = 32;

/// The middle of a picture that is far longer than wide; of any other, all.
fn middle(pixels: &Pixels) -> Cow<'_, Pixels> {
    let (width, height) = (pixels.width, pixels.height);
    let longest = LONGEST * width.min(height);
    match width.max(height) > longest {
        true => Cow::Owned(center_crop(pixels, width.min(longest), height.min(longest))),
        false => Cow::Borrowed(pixels),
    }
}

/// Width and height once the shorter is `shortest`; the longer is cut off as torchvision does.
fn scaled(pixels: &Pixels, shortest: usize) -> (usize, usize) {
    let longer = |long: usize, short: usize| shortest * long / short;
    if pixels.width <= pixels.height {
        (shortest, longer(pixels.height, pixels.width))
    } else {
        (longer(pixels.width, pixels.height), shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGENET: Preprocess = Preprocess {
        size: 4,
        fit: Fit::CropCenter { resize_shortest: 5 },
        filter: Filter::Bicubic,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    #[test]
    fn of_a_line_of_a_million_pixels_the_middle_is_seen() {
        let line = Pixels::new(1, 1_000_000, [9, 9, 9].repeat(1_000_000));
        for fit in [
            Fit::CropCenter { resize_shortest: 256 },
            Fit::CropDown { resize_shortest: 256 },
            Fit::Squash,
            Fit::SquashAndCrop { resized: 256 },
        ] {
            let square = Preprocess { size: 224, fit, ..IMAGENET }.square(&line).into_owned();
            assert_eq!((square.width, square.height), (224, 224));
            assert!(square.rgb.iter().all(|&byte| byte == 9));
        }
    }

    #[test]
    fn channels_come_last_and_are_normalised_each_by_its_own() {
        let flat = Pixels::new(9, 6, [0, 128, 255].repeat(54));
        let values = IMAGENET.apply(&flat);
        assert_eq!(values.len(), 4 * 4 * 3);
        for pixel in values.chunks(3) {
            let expected = [-0.485 / 0.229, (128.0 / 255.0 - 0.456) / 0.224, 0.594 / 0.225];
            for (value, expected) in pixel.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-5, "{value} {expected}");
            }
        }
    }

    #[test]
    fn the_longer_side_is_scaled_and_the_middle_is_taken() {
        assert_eq!(scaled(&Pixels::new(9, 6, vec![0; 162]), 5), (7, 5));
        assert_eq!(scaled(&Pixels::new(6, 9, vec![0; 162]), 5), (5, 7));
        let stripes = [[255, 0, 0], [0, 255, 0], [0, 0, 255]].map(|c| c.repeat(4)).concat();
        let tall = Pixels::new(4, 3, stripes);
        let squashed = Preprocess { size: 3, fit: Fit::Squash, ..IMAGENET };
        assert_eq!(squashed.square(&tall).width, 3);
        let cropped =
            Preprocess { size: 1, fit: Fit::CropCenter { resize_shortest: 3 }, ..IMAGENET };
        assert_eq!(cropped.square(&tall).at(0, 0), [0, 255, 0]);
    }

    #[test]
    fn half_an_odd_margin_is_rounded_to_even_or_down() {
        let rows = |count: u8| (0..count).flat_map(|row| [row; 3]).collect();
        let tall = Pixels::new(1, 4, rows(4));
        let crop = |fit| Preprocess { size: 1, fit, ..IMAGENET }.square(&tall).at(0, 0);
        assert_eq!(crop(Fit::CropCenter { resize_shortest: 1 }), [2; 3]);
        assert_eq!(crop(Fit::CropDown { resize_shortest: 1 }), [1; 3]);
    }

    #[test]
    fn a_squashed_picture_is_cropped_on_both_sides() {
        // Rows 0 to 5 of one colour each, three times as wide as they are high.
        let wide = Pixels::new(18, 6, (0..6).flat_map(|row| [row; 54]).collect());
        let fit = Fit::SquashAndCrop { resized: 6 };
        let square = Preprocess { size: 3, fit, ..IMAGENET }.square(&wide).into_owned();
        assert_eq!((square.width, square.height), (3, 3));
        assert_eq!([0, 1, 2].map(|row| square.at(1, row)[0]), [1, 2, 3]);
    }

    #[test]
    fn every_setting_is_in_the_fingerprint() {
        let others = [
            IMAGENET,
            Preprocess { size: 5, ..IMAGENET },
            Preprocess { fit: Fit::Squash, ..IMAGENET },
            Preprocess { filter: Filter::Bilinear, ..IMAGENET },
            Preprocess { mean: [0.5; 3], ..IMAGENET },
            Preprocess { std: [0.5; 3], ..IMAGENET },
        ];
        let prints: std::collections::BTreeSet<_> =
            others.iter().map(Preprocess::fingerprint).collect();
        assert_eq!(prints.len(), others.len());
        let json = serde_json::to_string(&IMAGENET).unwrap();
        assert_eq!(serde_json::from_str::<Preprocess>(&json).unwrap(), IMAGENET);
    }
}
