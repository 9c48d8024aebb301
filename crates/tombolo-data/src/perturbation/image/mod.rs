//! Perturbations of photos, in five strengths.
//!
//! They apply to the decoded picture, before a model's own preprocessing. Where a size matters (the width of a blur, the
//! grain of noise) it is in two hundred and twenty-fourths of the shorter side, so that a strength looks alike on photos
//! of any size. Strengths of blur, noise and JPEG are those of ImageNet-C (Hendrycks and Dietterich 2019).

mod blur;
mod color;
mod crop;
mod jpeg;
mod noise;
mod rotation;

use std::fmt;

use super::draws;
use crate::image::Pixels;

/// What is done to a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// Gaussian blur.
    Blur,
    /// Gaussian noise on each channel.
    Noise,
    /// Stored as a JPEG of low quality.
    Jpeg,
    /// A part of the photo, its shape kept, its place drawn.
    Crop,
    /// All hues turned, forwards or backwards; what is grey stays as it is.
    Color,
    /// Turned about its middle, to the left or to the right; what was outside repeats the border.
    Rotation,
}

/// How strong an image perturbation is: 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strength(usize);

impl Strength {
    /// All of them, weakest first.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The strength of a figure.
    pub(super) fn parse(figure: &str) -> Option<Self> {
        let figure: usize = figure.parse().ok()?;
        Self::ALL.into_iter().find(|known| known.0 == figure)
    }

    /// The value of a table that has one for each strength.
    fn of<T: Copy>(self, table: [T; 5]) -> T {
        table[self.0 - 1]
    }
}

impl Default for Strength {
    fn default() -> Self {
        Self(3)
    }
}

/// A change to a photo, of some strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagePerturbation {
    /// What is done.
    pub kind: ImageKind,
    /// How much of it.
    pub strength: Strength,
}

impl ImageKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Blur, Self::Noise, Self::Jpeg, Self::Crop, Self::Color, Self::Rotation];

    /// As it is written on the command line and, before an `@` and the strength, in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::Noise => "noise",
            Self::Jpeg => "jpeg",
            Self::Crop => "crop",
            Self::Color => "color",
            Self::Rotation => "rotation",
        }
    }

    /// The perturbation of this strength.
    pub fn at(self, strength: Strength) -> ImagePerturbation {
        ImagePerturbation { kind: self, strength }
    }
}

impl ImagePerturbation {
    /// The perturbation of a name: `blur@5`, or `blur` for `blur@3`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (kind, strength) = match name.split_once('@') {
            Some((kind, strength)) => (kind, Strength::parse(strength)?),
            None => (name, Strength::default()),
        };
        let kind = ImageKind::ALL.into_iter().find(|known| known.name() == kind)?;
        Some(kind.at(strength))
    }

    /// The photo changed; what is drawn depends on the seed, the kind and the index, not on the strength.
    ///
    /// Its size is what it was, but for a crop.
    pub fn apply(self, photo: &Pixels, seed: u64, index: usize) -> Pixels {
        let draws = &mut draws(seed, self.kind.name(), index);
        match self.kind {
            ImageKind::Blur => blur::blur(photo, self.strength),
            ImageKind::Noise => noise::noise(photo, self.strength, draws),
            ImageKind::Jpeg => jpeg::jpeg(photo, self.strength),
            ImageKind::Crop => crop::crop(photo, self.strength, draws),
            ImageKind::Color => color::color(photo, self.strength, draws),
            ImageKind::Rotation => rotation::rotation(photo, self.strength, draws),
        }
    }
}

impl fmt::Display for ImagePerturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.kind.name(), self.strength.0)
    }
}

/// The side that strengths speak of.
const SIDE: f32 = 224.0;

/// How many pixels of this photo are one of a photo whose shorter side is 224.
fn scale(photo: &Pixels) -> f32 {
    photo.width.min(photo.height) as f32 / SIDE
}

/// The value as a byte, rounded and kept within its range.
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smooth colours, no two pixels quite alike.
    fn photo(width: usize, height: usize) -> Pixels {
        let rgb = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgb = rgb.flat_map(|(x, y)| {
            [(255 * x / width) as u8, (255 * y / height) as u8, ((x * 7 + y * 13) % 256) as u8]
        });
        Pixels::new(width, height, rgb.collect())
    }

    /// Mean distance of bytes, of pictures of the same size.
    fn distance(a: &Pixels, b: &Pixels) -> f64 {
        let bytes = a.rgb.iter().zip(&b.rgb);
        bytes.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.rgb.len() as f64
    }

    #[test]
    fn every_kind_changes_a_photo_more_the_stronger_it_is() {
        let photo = photo(96, 64);
        for kind in ImageKind::ALL {
            let at = |strength| kind.at(strength).apply(&photo, 7, 3);
            let change = |changed: &Pixels| match kind {
                ImageKind::Crop => (photo.rgb.len() - changed.rgb.len()) as f64,
                _ => distance(changed, &photo),
            };
            let changes = Strength::ALL.map(|strength| change(&at(strength)));
            assert!(changes[0] > 0.0, "{kind:?}: {changes:?}");
            assert!(changes.windows(2).all(|pair| pair[0] < pair[1]), "{kind:?}: {changes:?}");
        }
    }

    #[test]
    fn the_same_seed_and_index_give_the_same_photo() {
        let photo = photo(40, 60);
        for kind in ImageKind::ALL {
            let perturbation = kind.at(Strength::default());
            assert_eq!(perturbation.apply(&photo, 1, 2), perturbation.apply(&photo, 1, 2));
        }
        let noise = ImageKind::Noise.at(Strength::default());
        assert_ne!(noise.apply(&photo, 1, 2), noise.apply(&photo, 1, 3));
        assert_ne!(noise.apply(&photo, 1, 2), noise.apply(&photo, 2, 2));
    }

    #[test]
    fn the_smallest_and_the_narrowest_photos_pass() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (2, 3)] {
            for kind in ImageKind::ALL {
                for strength in Strength::ALL {
                    let changed = kind.at(strength).apply(&photo(width, height), 0, 0);
                    assert!(changed.width <= width && changed.height <= height);
                }
            }
        }
    }

    #[test]
    fn a_grey_photo_has_no_hue_to_turn() {
        let grey = Pixels::new(3, 2, (0..6).flat_map(|v| [40 * v; 3]).collect());
        assert_eq!(ImageKind::Color.at(Strength(5)).apply(&grey, 0, 0), grey);
    }
}
