//! A part of the photo.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Strength;
use crate::image::Pixels;

/// Shares of the area that are left.
const SHARES: [f64; 5] = [0.9, 0.75, 0.6, 0.45, 0.3];

pub(super) fn crop(photo: &Pixels, strength: Strength, draws: &mut ChaCha8Rng) -> Pixels {
    let side = strength.of(SHARES).sqrt();
    let cut = |length: usize| ((length as f64 * side).round() as usize).clamp(1, length);
    let (width, height) = (cut(photo.width), cut(photo.height));
    let place = |share: f64, room: usize| ((share * (room + 1) as f64) as usize).min(room);
    // Shares and not places are drawn, so that a stronger crop lies within a weaker one's surroundings.
    let (across, down): (f64, f64) = (draws.random(), draws.random());
    let (left, top) = (place(across, photo.width - width), place(down, photo.height - height));
    let rows = (top..top + height).flat_map(|y| {
        let start = 3 * (y * photo.width + left);
        &photo.rgb[start..start + 3 * width]
    });
    Pixels::new(width, height, rows.copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_crop_is_a_part_of_the_photo() {
        let rgb = (0..200_u8).flat_map(|place| [place, 0, 0]).collect();
        let photo = Pixels::new(20, 10, rgb);
        let part = crop(&photo, Strength(5), &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!((part.width, part.height), (11, 5));
        let first = usize::from(part.at(0, 0)[0]);
        assert_eq!(usize::from(part.at(10, 4)[0]), first + 4 * 20 + 10);
    }
}
