//! Other views of a photo, whose features are kept beside the photo's own.

use serde::{Deserialize, Serialize};
use tombolo_data::image::Pixels;

use super::FeatureKey;

/// A view of a photo: the same for the same photo, whenever it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhotoView {
    /// The mirror image.
    Mirror,
    /// A rectangle of three quarters of each side, from a place that the photo decides.
    Crop,
    /// Brightness, contrast and saturation each changed by up to two fifths, as the photo decides.
    Color,
}

impl PhotoView {
    /// The key of this view of the photo with these bytes: never that of a photo, nor of another view.
    pub fn key(self, bytes: &[u8]) -> FeatureKey {
        blake3::derive_key(self.context(), bytes)
    }

    /// Changes when the view of a photo does.
    fn context(self) -> &'static str {
        match self {
            Self::Mirror => "tombolo 2026 photo view: mirror image",
            Self::Crop => "tombolo 2026 photo view: three quarters of each side",
            Self::Color => "tombolo 2026 photo view: colour within two fifths",
        }
    }

    /// The view of a photo's pixels.
    pub fn apply(self, pixels: &Pixels) -> Pixels {
        match self {
            Self::Mirror => mirror(pixels),
            Self::Crop => crop(pixels, shares(pixels)),
            Self::Color => color(pixels, shares(pixels)),
        }
    }
}

/// Three numbers of 0..=1 that the pixels decide.
fn shares(pixels: &Pixels) -> [f32; 3] {
    let hash = blake3::hash(&pixels.rgb);
    let [a, b, c, ..] = *hash.as_bytes();
    [a, b, c].map(|byte| f32::from(byte) / 255.0)
}

fn mirror(pixels: &Pixels) -> Pixels {
    let rows = pixels.rgb.chunks_exact(3 * pixels.width);
    let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied()).collect();
    Pixels::new(pixels.width, pixels.height, rgb)
}

fn crop(pixels: &Pixels, [across, down, _]: [f32; 3]) -> Pixels {
    let kept = |side: usize| (3 * side).div_ceil(4);
    let (width, height) = (kept(pixels.width), kept(pixels.height));
    let start = |side: usize, kept: usize, share: f32| (share * (side - kept) as f32) as usize;
    let (left, top) = (start(pixels.width, width, across), start(pixels.height, height, down));
    let rows = pixels.rgb.chunks_exact(3 * pixels.width).skip(top).take(height);
    let rgb = rows.flat_map(|row| &row[3 * left..3 * (left + width)]).copied().collect();
    Pixels::new(width, height, rgb)
}

/// Values are scaled, then drawn to or away from the middle, then from or to the grey of their pixel.
fn color(pixels: &Pixels, shares: [f32; 3]) -> Pixels {
    let [brightness, contrast, saturation] = shares.map(|share| 0.6 + 0.8 * share);
    let lit = |value: u8| (f32::from(value) * brightness - 127.5) * contrast + 127.5;
    let changed = pixels.rgb.chunks_exact(3).flat_map(|pixel| {
        let lit = [lit(pixel[0]), lit(pixel[1]), lit(pixel[2])];
        // Luma of ITU-R BT.601.
        let grey = 0.299 * lit[0] + 0.587 * lit[1] + 0.114 * lit[2];
        lit.map(|value| (grey + (value - grey) * saturation).round().clamp(0.0, 255.0) as u8)
    });
    Pixels::new(pixels.width, pixels.height, changed.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const VIEWS: [PhotoView; 3] = [PhotoView::Mirror, PhotoView::Crop, PhotoView::Color];

    fn picture() -> Pixels {
        Pixels::new(8, 4, (0..96).map(|i| (i * 37 % 251) as u8).collect())
    }

    #[test]
    fn the_key_of_a_view_is_neither_the_photos_nor_another_views() {
        let bytes = b"a photo";
        let own = *blake3::hash(bytes).as_bytes();
        let keys: HashSet<FeatureKey> =
            VIEWS.map(|view| view.key(bytes)).into_iter().chain([own]).collect();
        assert_eq!(keys.len(), 4);
        assert_ne!(PhotoView::Crop.key(bytes), PhotoView::Crop.key(b"another"));
    }

    #[test]
    fn views_are_what_their_names_say() {
        let picture = picture();
        let mirror = PhotoView::Mirror.apply(&picture);
        assert_eq!(mirror.at(0, 2), picture.at(7, 2));
        assert_eq!(PhotoView::Mirror.apply(&mirror), picture);
        let crop = crop(&picture, [1.0, 0.0, 0.0]);
        assert_eq!((crop.width, crop.height), (6, 3));
        assert_eq!((crop.at(0, 0), crop.at(5, 2)), (picture.at(2, 0), picture.at(7, 2)));
        assert_eq!(color(&picture, [0.5; 3]), picture);
        let grey = Pixels::new(1, 1, vec![100; 3]);
        assert_eq!(color(&grey, [1.0, 0.5, 0.0]).rgb, [140; 3]);
        assert!(VIEWS.iter().all(|view| view.apply(&picture) == view.apply(&picture)));
    }
}
