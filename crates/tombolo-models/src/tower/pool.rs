//! Pooling of a backbone's vectors.

use candle_core::Tensor;
use rayon::prelude::*;

use super::starts;
use crate::error::Result;

/// Mean of each sequence's vectors, and mean of each component's `top` largest values; segment by segment.
///
/// `values`: `[rows, dim]`; `segments`: the rows of each segment of a sequence, empty for a single one. Returns
/// `[sequences, segments · 2 · dim]`; a segment beyond a sequence's end gives zeros.
pub(super) fn pool(
    values: &Tensor,
    lengths: &[usize],
    segments: &[usize],
    top: usize,
) -> Result<Tensor> {
    let (_, dim) = values.dims2()?;
    let rows = values.flatten_all()?.to_vec1::<f32>()?;
    let width = segments.len().max(1) * 2 * dim;
    let mut pooled = vec![0.0; lengths.len() * width];
    let tasks = starts(lengths).into_par_iter().zip(lengths);
    pooled.par_chunks_exact_mut(width).zip(tasks).for_each(|(out, (start, &length))| {
        let mut rest = &rows[start as usize * dim..][..length * dim];
        let whole = [length];
        let segments = if segments.is_empty() { &whole[..] } else { segments };
        for (out, &segment) in out.chunks_exact_mut(2 * dim).zip(segments) {
            let (rows, after) = rest.split_at(rest.len().min(segment * dim));
            rest = after;
            if !rows.is_empty() {
                let (mean, largest) = out.split_at_mut(dim);
                pool_sequence(rows, top.min(rows.len() / dim), mean, largest);
            }
        }
    });
    Ok(Tensor::from_vec(pooled, (lengths.len(), width), values.device())?)
}

/// Keeps the `top` largest values seen so far of every component, smallest first.
fn pool_sequence(rows: &[f32], top: usize, mean: &mut [f32], largest: &mut [f32]) {
    let dim = mean.len();
    let mut kept = vec![f32::NEG_INFINITY; top * dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, x)| *m += x);
        for (component, &value) in row.iter().enumerate() {
            let mut value = value;
            for place in (0..top).rev() {
                let slot = &mut kept[place * dim + component];
                if value > *slot {
                    std::mem::swap(slot, &mut value);
                }
            }
        }
    }
    let count = (rows.len() / dim) as f32;
    mean.iter_mut().for_each(|m| *m /= count);
    for row in kept.chunks_exact(dim) {
        largest.iter_mut().zip(row).for_each(|(l, x)| *l += x / top as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_takes_the_mean_and_the_mean_of_the_largest() {
        let (mut mean, mut largest) = ([0.0; 2], [0.0; 2]);
        pool_sequence(&[1.0, 8.0, 5.0, 2.0, 3.0, 2.0], 2, &mut mean, &mut largest);
        assert_eq!((mean, largest), ([3.0, 4.0], [4.0, 5.0]));
    }
}
