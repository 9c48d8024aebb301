//! Gaussian blur.

use super::{Strength, byte, scale};
use crate::image::Pixels;

/// Standard deviations, in pixels of a photo whose shorter side is 224.
const SIGMAS: [f32; 5] = [1.0, 2.0, 3.0, 4.0, 6.0];

/// How many standard deviations the kernel reaches.
const REACH: f32 = 3.0;

pub(super) fn blur(photo: &Pixels, strength: Strength) -> Pixels {
    let kernel = kernel(strength.of(SIGMAS) * scale(photo));
    let (width, height) = (photo.width, photo.height);
    let values: Vec<f32> = photo.rgb.iter().map(|&value| f32::from(value)).collect();
    let rows = smoothed(&values, width, height, 3, 3 * width, &kernel);
    let both = smoothed(&rows, height, width, 3 * width, 3, &kernel);
    Pixels::new(width, height, both.into_iter().map(byte).collect())
}

/// The weights of the middle and of each distance on one side; with both sides they add up to 1.
fn kernel(sigma: f32) -> Vec<f32> {
    let reach = (REACH * sigma).ceil().max(1.0) as usize;
    let weight = |distance: usize| (-0.5 * (distance as f32 / sigma.max(1e-3)).powi(2)).exp();
    let weights: Vec<f32> = (0..=reach).map(weight).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Smooths `lines` lines of `len` pixels: one pixel is `step` values from the next, one line `stride`. The border is repeated.
fn smoothed(
    values: &[f32],
    len: usize,
    lines: usize,
    step: usize,
    stride: usize,
    kernel: &[f32],
) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for line in 0..lines {
        for place in 0..len {
            for channel in 0..3 {
                let at = |place: usize| values[line * stride + place * step + channel];
                let mut sum = kernel[0] * at(place);
                for (distance, weight) in kernel.iter().enumerate().skip(1) {
                    let (low, high) =
                        (place.saturating_sub(distance), (place + distance).min(len - 1));
                    sum += weight * (at(low) + at(high));
                }
                out[line * stride + place * step + channel] = sum;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_photo_stays_plain() {
        let plain = Pixels::new(30, 20, [10, 200, 77].repeat(600));
        assert_eq!(blur(&plain, Strength(5)), plain);
    }

    #[test]
    fn weights_add_up_to_one() {
        for sigma in [0.0, 0.004, 1.0, 9.0] {
            let kernel = kernel(sigma);
            let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-5, "{sigma}: {sum}");
        }
    }
}
