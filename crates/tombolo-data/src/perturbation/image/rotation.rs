//! Turned about the middle.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Strength, byte};
use crate::image::Pixels;

/// Turns, in degrees.
const DEGREES: [f32; 5] = [5.0, 10.0, 20.0, 30.0, 45.0];

/// Linear interpolation; what comes from outside the photo repeats its border.
pub(super) fn rotation(photo: &Pixels, strength: Strength, draws: &mut ChaCha8Rng) -> Pixels {
    let degrees = strength.of(DEGREES);
    let angle = if draws.random::<bool>() { degrees } else { -degrees }.to_radians();
    let (sin, cos) = angle.sin_cos();
    let middle = |length: usize| (length as f32 - 1.0) / 2.0;
    let (middle_x, middle_y) = (middle(photo.width), middle(photo.height));
    let places = (0..photo.height).flat_map(|y| (0..photo.width).map(move |x| (x, y)));
    let rgb = places.flat_map(|(x, y)| {
        let (from_x, from_y) = (x as f32 - middle_x, y as f32 - middle_y);
        let x = middle_x + cos * from_x + sin * from_y;
        interpolated(photo, x, middle_y - sin * from_x + cos * from_y)
    });
    Pixels::new(photo.width, photo.height, rgb.collect())
}

fn interpolated(photo: &Pixels, x: f32, y: f32) -> [u8; 3] {
    let (x, y) = (x.clamp(0.0, photo.width as f32 - 1.0), y.clamp(0.0, photo.height as f32 - 1.0));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(photo.width - 1), (top + 1).min(photo.height - 1));
    let (to_right, down) = (x - left as f32, y - top as f32);
    let corners = [(left, top), (right, top), (left, bottom), (right, bottom)];
    let pixels = corners.map(|(x, y)| photo.at(x, y));
    std::array::from_fn(|channel| {
        let [a, b, c, d] = pixels.map(|pixel| f32::from(pixel[channel]));
        let above = a + to_right * (b - a);
        byte(above + down * (c + to_right * (d - c) - above))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_middle_stays_and_a_plain_photo_stays_plain() {
        let mut photo = Pixels::new(31, 31, vec![20; 3 * 31 * 31]);
        let turned = rotation(&photo, Strength(5), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(turned, photo);
        let middle = 3 * (15 * 31 + 15);
        photo.rgb[middle] = 255;
        let turned = rotation(&photo, Strength(5), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(turned.at(15, 15)[0], 255);
    }
}
