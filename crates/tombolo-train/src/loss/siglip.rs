//! The sigmoid loss of SigLIP: every query and key is a question of its own.

use candle_core::{Result, Tensor};

use super::Batch;

/// Sigmoid loss of queries against keys: does this key mean the same as this query or not?
///
/// L = −(1/|batch|) Σᵢ Σⱼ log σ( zᵢⱼ·(s·qᵢ·kⱼ + b) ), z = 1 for positives and −1 for negatives, Zhai et al.
/// 2023, equation 1.
///
/// # Shapes
/// As [`Batch`]; `scale` s and `bias` b: scalars. Returns a scalar in nats per query.
/// # Errors
/// If the shapes do not agree.
pub fn siglip(batch: &Batch<'_>, scale: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let logits = batch.cosines()?.broadcast_mul(scale)?.broadcast_add(bias)?;
    let wrong = (logits * batch.positives.affine(-2.0, 1.0)?)?;
    // log(1 + eˣ) without overflow.
    let softplus = (wrong.relu()? + (wrong.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    softplus.sum_all()? * (1.0 / batch.queries.dim(0)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check, cosine, same, scalar};

    #[test]
    fn equals_the_naive_form_and_its_gradients_match() {
        let question = |i: usize, j: usize| {
            let sign = if same(i, j) { 1.0 } else { -1.0 };
            (1.0 + (-sign * (3.0 * cosine(i, j) - 0.5)).exp()).ln()
        };
        let all = (0..3).flat_map(|i| (0..5).map(move |j| (i, j)));
        let expected = all.map(|(i, j)| question(i, j)).sum::<f32>() / 3.0;
        check(expected, |batch| siglip(batch, &scalar(3.0), &scalar(-0.5)));
    }
}
