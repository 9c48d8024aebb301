//! The triplet loss over the hardest negative, the loss of VSE++.

use candle_core::{D, Result, Tensor};

use super::Batch;

/// Hinge loss over the hardest negative: a query's own key should be nearer than the nearest key that means
/// something else, by a margin.
///
/// L = (1/|batch|) Σᵢ maxₙ max(0, `margin` − qᵢ·kᵢ + qᵢ·kₙ), n over the negatives, Faghri et al. 2018,
/// equation 6.
///
/// # Shapes
/// As [`Batch`]; `margin`: in cosine. Returns a scalar.
/// # Errors
/// If the shapes do not agree.
pub fn triplet_hardest(batch: &Batch<'_>, margin: f64) -> Result<Tensor> {
    let hardest = batch.hinges(margin)?.max(D::Minus1)?;
    hardest.sum_all()? * (1.0 / batch.queries.dim(0)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check, cosine, same};

    #[test]
    fn equals_the_naive_form_and_its_gradients_match() {
        let hardest = |i: usize| {
            let negatives = (0..5).filter(|&j| !same(i, j));
            let hinges = negatives.map(|j| (0.9 - cosine(i, i) + cosine(i, j)).max(0.0));
            hinges.fold(0.0, f32::max)
        };
        let expected = (0..3).map(hardest).sum::<f32>() / 3.0;
        check(expected, |batch| triplet_hardest(batch, 0.9));
    }
}
