//! The triplet loss over all negatives.

use candle_core::{Result, Tensor};

use super::Batch;

/// Hinge loss over all negatives: a query's own key should be nearer than every key that means something
/// else, by a margin.
///
/// L = (1/|batch|) Σᵢ Σₙ max(0, `margin` − qᵢ·kᵢ + qᵢ·kₙ), n over the negatives, Kiros et al. 2014; the sum of
/// hinges in Faghri et al. 2018, equation 5.
///
/// # Shapes
/// As [`Batch`]; `margin`: in cosine. Returns a scalar.
/// # Errors
/// If the shapes do not agree.
pub fn triplet_sum(batch: &Batch<'_>, margin: f64) -> Result<Tensor> {
    batch.hinges(margin)?.sum_all()? * (1.0 / batch.queries.dim(0)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check, cosine, same};

    #[test]
    fn equals_the_naive_form_and_its_gradients_match() {
        let hinge = |i: usize, j: usize| (0.9 - cosine(i, i) + cosine(i, j)).max(0.0);
        let all = (0..3).flat_map(|i| (0..5).map(move |j| (i, j)));
        let negatives = all.filter(|&(i, j)| !same(i, j));
        let expected = negatives.map(|(i, j)| hinge(i, j)).sum::<f32>() / 3.0;
        check(expected, |batch| triplet_sum(batch, 0.9));
    }
}
