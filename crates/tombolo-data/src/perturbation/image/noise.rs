//! Gaussian noise.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Strength, byte, scale};
use crate::image::Pixels;

/// Standard deviations, as shares of the range of a channel.
const DEVIATIONS: [f32; 5] = [0.08, 0.12, 0.18, 0.26, 0.38];

/// Adds noise of its own to each channel of each grain. On a photo of more than 224 pixels a grain is several pixels wide, so
/// that shrinking the photo does not average it away.
pub(super) fn noise(photo: &Pixels, strength: Strength, draws: &mut ChaCha8Rng) -> Pixels {
    let deviation = 255.0 * strength.of(DEVIATIONS);
    let grain = (scale(photo).round() as usize).max(1);
    let across = photo.width.div_ceil(grain);
    let grains: Vec<f32> =
        (0..3 * across * photo.height.div_ceil(grain)).map(|_| normal(draws)).collect();
    let rgb = photo.rgb.iter().enumerate().map(|(place, &value)| {
        let (pixel, channel) = (place / 3, place % 3);
        let (x, y) = (pixel % photo.width / grain, pixel / photo.width / grain);
        byte(f32::from(value) + deviation * grains[3 * (y * across + x) + channel])
    });
    Pixels::new(photo.width, photo.height, rgb.collect())
}

/// A draw from the standard normal distribution (Box and Muller 1958).
fn normal(draws: &mut ChaCha8Rng) -> f32 {
    // 1 − u is never 0, whose logarithm there is none of.
    let (u, v): (f32, f32) = (1.0 - draws.random::<f32>(), draws.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn draws_are_standard_normal() {
        let mut draws = ChaCha8Rng::seed_from_u64(5);
        let values: Vec<f32> = (0..20_000).map(|_| normal(&mut draws)).collect();
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn a_large_photo_has_coarse_grain() {
        let plain = Pixels::new(448, 448, vec![128; 3 * 448 * 448]);
        let noisy = noise(&plain, Strength(1), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(noisy.at(10, 20), noisy.at(11, 21));
        assert_ne!(noisy.at(10, 20), noisy.at(12, 20));
    }
}
