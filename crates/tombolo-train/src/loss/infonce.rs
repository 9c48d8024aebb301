//! InfoNCE: symmetric, the loss of CLIP, and from queries to keys, the loss of MoCo.

use candle_core::{Result, Tensor};

use super::{Batch, log_softmax};

/// What a logit is lowered by where its key is left out.
const OUT: f64 = 1e4;

/// Symmetric InfoNCE over a batch of matching pairs: each text should find its image among all images of
/// the batch, and each image its text.
///
/// L = ½·(CE(s·I·Tᵀ, diagonal) + CE(s·T·Iᵀ, diagonal)), Radford et al. 2021, figure 3.
///
/// # Shapes
/// `image`, `text`: `[batch, dim]`, rows of unit norm, row i of one belonging to row i of the other and to
/// no other row; `scale`: the scalar s = 1/τ. Returns a scalar in nats per pair.
/// # Errors
/// If the shapes differ.
pub fn infonce(image: &Tensor, text: &Tensor, scale: &Tensor) -> Result<Tensor> {
    score_infonce(&image.matmul(&text.t()?)?, scale)
}

/// [`infonce`] over a matrix of scores of pairs that were seen together.
///
/// # Shapes
/// `scores`: `[batch, batch]`, images by texts, row i belonging to column i and to no other; `scale`: the scalar s = 1/τ.
/// Returns a scalar in nats per pair.
/// # Errors
/// If the matrix is not square.
pub fn score_infonce(scores: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let batch = scores.dim(0)?;
    let logits = scores.broadcast_mul(scale)?;
    let diagonal = Tensor::eye(batch, scores.dtype(), scores.device())?;
    let found = |logits: &Tensor| (log_softmax(logits)? * &diagonal)?.sum_all();
    (found(&logits)? + found(&logits.t()?.contiguous()?)?)? * (-0.5 / batch as f64)
}

/// InfoNCE of queries against keys: each query should find its own key; other keys that mean the same are
/// left out.
///
/// L = −(1/|batch|) Σᵢ log( exp(s·qᵢ·kᵢ) / Σₖ exp(s·qᵢ·k) ), k over the query's own key and the negatives,
/// van den Oord et al. 2018, with the queue of He et al. 2020, equation 1.
///
/// # Shapes
/// As [`Batch`]; `scale`: the scalar s = 1/τ. Returns a scalar in nats per query.
/// # Errors
/// If the shapes do not agree.
pub fn infonce_one_way(batch: &Batch<'_>, scale: &Tensor) -> Result<Tensor> {
    let own = batch.own()?;
    let left_out = ((batch.positives - &own)? * OUT)?;
    let logits = (batch.cosines()?.broadcast_mul(scale)? - left_out)?;
    (log_softmax(&logits)? * own)?.sum_all()? * (-1.0 / batch.queries.dim(0)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check, check_gradient, cosine, same, scalar, tensor, unit_rows};

    /// Cross entropy of one query, by its definition.
    fn naive(queries: &[f32], keys: &[f32], dim: usize, s: f32) -> f32 {
        let dot = |a: &[f32], b: &[f32]| s * a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let rows = queries.chunks(dim).enumerate();
        let losses = rows.map(|(i, q)| {
            let total: f32 = keys.chunks(dim).map(|k| dot(q, k).exp()).sum();
            total.ln() - dot(q, &keys[i * dim..(i + 1) * dim])
        });
        losses.sum::<f32>() / (queries.len() / dim) as f32
    }

    #[test]
    fn equals_the_naive_form() {
        let (a, b) = (unit_rows(7, 5, 1), unit_rows(7, 5, 2));
        let loss = infonce(&tensor(&a, 5), &tensor(&b, 5), &scalar(3.0)).unwrap();
        let expected = 0.5 * (naive(&a, &b, 5, 3.0) + naive(&b, &a, 5, 3.0));
        assert!((loss.to_scalar::<f32>().unwrap() - expected).abs() < 1e-5);
    }

    #[test]
    fn gradients_match_finite_differences() {
        let (a, b) = (unit_rows(4, 3, 3), unit_rows(4, 3, 4));
        check_gradient(&a, 3, |a| infonce(a, &tensor(&b, 3), &scalar(2.0)));
        check_gradient(&b, 3, |b| infonce(&tensor(&a, 3), b, &scalar(2.0)));
    }

    #[test]
    fn one_way_leaves_out_other_keys_that_mean_the_same() {
        let loss = |i: usize| {
            let rivals = (0..5).filter(|&j| j == i || !same(i, j));
            rivals.map(|j| (2.0 * cosine(i, j)).exp()).sum::<f32>().ln() - 2.0 * cosine(i, i)
        };
        let expected = (0..3).map(loss).sum::<f32>() / 3.0;
        check(expected, |batch| infonce_one_way(batch, &scalar(2.0)));
    }
}
