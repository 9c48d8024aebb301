//! Hues turned about the axis of greys.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Strength, byte};
use crate::image::Pixels;

/// Turns, in degrees.
const DEGREES: [f32; 5] = [20.0, 40.0, 70.0, 110.0, 180.0];

/// Turns each pixel's colour about the diagonal of the cube of colours, on which the greys lie (Rodrigues' formula).
pub(super) fn color(photo: &Pixels, strength: Strength, draws: &mut ChaCha8Rng) -> Pixels {
    let degrees = strength.of(DEGREES);
    let angle = if draws.random::<bool>() { degrees } else { -degrees }.to_radians();
    let (along, across) = ((1.0 - angle.cos()) / 3.0, angle.sin() / 3.0_f32.sqrt());
    let rgb = photo.rgb.chunks_exact(3).flat_map(|pixel| {
        let [r, g, b] = [0, 1, 2].map(|channel| f32::from(pixel[channel]));
        let grey = along * (r + g + b);
        [
            byte(r * angle.cos() + grey + across * (b - g)),
            byte(g * angle.cos() + grey + across * (r - b)),
            byte(b * angle.cos() + grey + across * (g - r)),
        ]
    });
    Pixels::new(photo.width, photo.height, rgb.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn half_a_turn_makes_red_a_light_blue_green() {
        let red = Pixels::new(1, 1, vec![90, 0, 0]);
        let turned = color(&red, Strength(5), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(turned.rgb, [0, 60, 60]);
    }
}
