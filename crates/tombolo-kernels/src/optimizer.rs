//! One step of an optimizer over a parameter, in place and on all cores.

use rayon::prelude::*;

use crate::simd::multiversioned;

/// Values a task.
const CHUNK: usize = 16 * 1024;

/// What one step of AdamW is taken with.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// The learning rate.
    pub learning_rate: f32,
    /// Decoupled weight decay.
    pub decay: f32,
    /// What gradients are multiplied by first, so that their norm is clipped.
    pub clip: f32,
    /// Shares of the running means of gradients and of their squares that are kept.
    pub betas: (f32, f32),
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// 1 − βᵗ for both running means, t counting steps from 1.
    pub corrections: (f32, f32),
}

/// One step of AdamW (Loshchilov and Hutter 2019) over a parameter: its values, the running mean of its
/// gradient and that of its gradient's square are changed in one pass.
///
/// # Panics
/// If the four are not of one length.
pub fn adamw(
    values: &mut [f32],
    gradient: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
    step: AdamWStep,
) {
    let sizes = [gradient.len(), mean.len(), square.len()];
    assert_eq!(sizes, [values.len(); 3], "gradient and moments of a parameter");
    values
        .par_chunks_mut(CHUNK)
        .zip(mean.par_chunks_mut(CHUNK))
        .zip(square.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|(((values, mean), square), gradient)| {
            adamw_chunk(values, gradient, mean, square, step);
        });
}

/// Σ x², in double precision, added in an order that does not depend on the number of threads.
pub fn squared_norm(values: &[f32]) -> f64 {
    let partial: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut sum = 0.0;
            square_sum(chunk, &mut sum);
            sum
        })
        .collect();
    partial.iter().sum()
}

/// `slow` ← `keep` · `slow` + (1 − `keep`) · `fast`.
///
/// # Panics
/// If the two are not of one length.
pub fn move_towards(slow: &mut [f32], fast: &[f32], keep: f32) {
    assert_eq!(slow.len(), fast.len(), "a parameter and its average");
    slow.par_chunks_mut(CHUNK)
        .zip(fast.par_chunks(CHUNK))
        .for_each(|(slow, fast)| move_chunk(slow, fast, keep));
}

multiversioned! {
    fn adamw_chunk(
        values: &mut [f32],
        gradient: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
        step: AdamWStep,
    ) {
        let (beta1, beta2) = step.betas;
        let moments = mean.iter_mut().zip(square);
        for ((x, g), (m, s)) in values.iter_mut().zip(gradient).zip(moments) {
            let g = g * step.clip;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *s = beta2 * *s + (1.0 - beta2) * g * g;
            let scale = (*s / step.corrections.1).sqrt() + step.epsilon;
            let change = *m / step.corrections.0 / scale + step.decay * *x;
            *x -= step.learning_rate * change;
        }
    }
}

multiversioned! {
    fn square_sum(values: &[f32], sum: &mut f64) {
        let mut lanes = [0.0f64; 8];
        for chunk in values.chunks(8) {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(x) * f64::from(x);
            }
        }
        *sum = lanes.iter().sum();
    }
}

multiversioned! {
    fn move_chunk(slow: &mut [f32], fast: &[f32], keep: f32) {
        slow.iter_mut().zip(fast).for_each(|(s, f)| *s = keep * *s + (1.0 - keep) * f);
    }
}
