//! Symmetric InfoNCE and its gradient in the place of the logits.

use rayon::prelude::*;

use crate::activation::sum_in_order;
use crate::simd::{exp, multiversioned};

/// Rows a task.
const ROWS: usize = 64;

/// What [`infonce`] finds beside the gradient of the logits.
#[derive(Clone, Copy, Debug)]
pub struct InfoNce {
    /// The loss in nats per pair.
    pub loss: f32,
    /// Its gradient with respect to the logarithm of the scale.
    pub log_scale_gradient: f32,
}

/// Symmetric InfoNCE of a batch of matching pairs (Radford et al. 2021, figure 3), whose logits are turned
/// into the loss's gradient with respect to them; no other matrix of their size is made.
///
/// L = ½·(CE(logits, diagonal) + CE(logitsᵀ, diagonal)). With P and Q the softmax of the rows and of the
/// columns, ∂L/∂logits = (P + Q − 2·I) / (2 · `count`).
///
/// # Shapes
/// `logits`: `[count, count]`, the scale times the cosines.
/// # Panics
/// If the logits are not `count` × `count`.
pub fn infonce(logits: &mut [f32], count: usize) -> InfoNce {
    assert_eq!(logits.len(), count * count, "logits of a batch");
    let (rows, columns) = (row_logarithms(logits, count), column_logarithms(logits, count));
    let totals: Vec<(f64, f64)> = logits
        .par_chunks_mut(ROWS * count)
        .zip(rows.par_chunks(ROWS))
        .enumerate()
        .map(|(chunk, (logits, rows))| {
            let (mut loss, mut along) = (0.0, 0.0);
            turn_rows(logits, rows, &columns, chunk * ROWS, &mut loss, &mut along);
            (loss, along)
        })
        .collect();
    let (loss, along) =
        totals.iter().fold((0.0, 0.0), |sum, total| (sum.0 + total.0, sum.1 + total.1));
    let share = 0.5 / count as f64;
    InfoNce { loss: (loss * share) as f32, log_scale_gradient: (along * share) as f32 }
}

/// log Σ exp of each row.
fn row_logarithms(logits: &[f32], count: usize) -> Vec<f32> {
    let mut out = vec![0.0; count];
    out.par_chunks_mut(ROWS).zip(logits.par_chunks(ROWS * count)).for_each(|(out, logits)| {
        logarithms(logits, out);
    });
    out
}

/// log Σ exp of each column.
fn column_logarithms(logits: &[f32], count: usize) -> Vec<f32> {
    let chunks = logits.par_chunks(ROWS * count);
    let partial: Vec<Vec<f32>> = chunks
        .clone()
        .map(|logits| {
            let mut largest = vec![f32::NEG_INFINITY; count];
            column_maxima(logits, &mut largest);
            largest
        })
        .collect();
    let mut largest = vec![f32::NEG_INFINITY; count];
    for part in &partial {
        largest.iter_mut().zip(part).for_each(|(l, p)| *l = l.max(*p));
    }
    let partial: Vec<Vec<f32>> = chunks
        .map(|logits| {
            let mut sums = vec![0.0; count];
            column_sums(logits, &largest, &mut sums);
            sums
        })
        .collect();
    let sums = sum_in_order(&partial, count);
    largest.iter().zip(sums).map(|(largest, sum)| largest + sum.ln()).collect()
}

multiversioned! {
    /// log Σ exp of each of the rows, `logits.len() / out.len()` wide.
    pub(crate) fn logarithms(logits: &[f32], out: &mut [f32]) {
        let width = logits.len() / out.len();
        for (row, out) in logits.chunks_exact(width).zip(out) {
            let mut lanes = [f32::NEG_INFINITY; 8];
            for chunk in row.chunks(8) {
                lanes.iter_mut().zip(chunk).for_each(|(l, x)| *l = l.max(*x));
            }
            let largest = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut lanes = [0.0f32; 8];
            for chunk in row.chunks(8) {
                lanes.iter_mut().zip(chunk).for_each(|(l, x)| *l += exp(*x - largest));
            }
            *out = largest + lanes.iter().sum::<f32>().ln();
        }
    }
}

multiversioned! {
    fn column_maxima(logits: &[f32], largest: &mut [f32]) {
        for row in logits.chunks_exact(largest.len()) {
            largest.iter_mut().zip(row).for_each(|(l, x)| *l = l.max(*x));
        }
    }
}

multiversioned! {
    fn column_sums(logits: &[f32], largest: &[f32], sums: &mut [f32]) {
        for row in logits.chunks_exact(largest.len()) {
            let pairs = row.iter().zip(largest);
            sums.iter_mut().zip(pairs).for_each(|(s, (x, l))| *s += exp(x - l));
        }
    }
}

multiversioned! {
    /// Turns rows of logits, the first of which is row `first`, into their gradient. Adds up Σ (rowᵢ +
    /// columnᵢ − 2·xᵢᵢ) and Σ gradient · logit, both before division by 2 · count.
    fn turn_rows(
        logits: &mut [f32],
        rows: &[f32],
        columns: &[f32],
        first: usize,
        loss: &mut f64,
        along: &mut f64,
    ) {
        let count = columns.len();
        let share = 0.5 / count as f32;
        for (place, (logits, row)) in logits.chunks_exact_mut(count).zip(rows).enumerate() {
            let diagonal = logits[first + place];
            let mut lanes = [0.0f32; 8];
            for (logits, columns) in logits.chunks_mut(8).zip(columns.chunks(8)) {
                let pairs = logits.iter_mut().zip(columns);
                for (lane, (x, column)) in lanes.iter_mut().zip(pairs) {
                    let both = exp(*x - row) + exp(*x - column);
                    *lane += both * *x;
                    *x = both * share;
                }
            }
            logits[first + place] -= 2.0 * share;
            *loss += f64::from(row + columns[first + place] - 2.0 * diagonal);
            *along += f64::from(lanes.iter().sum::<f32>() - 2.0 * diagonal);
        }
    }
}
