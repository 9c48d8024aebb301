//! The paper's loss as its text describes it.

use candle_core::{Result, Tensor};

use super::Batch;
use super::paper::EPSILON;

/// What the text around the paper's equations (2) and (4) describes: those that mean the same come together,
/// the others go apart, both by Euclidean distance and dot product.
///
/// L = mean of ED(q, k) − q·k over positives + mean of max(0, `margin` − ED(q, k) + q·k) over negatives; for
/// unit vectors ED = √(2 − 2·q·k).
///
/// # Shapes
/// As [`Batch`]; `margin`: in the units of ED − q·k, from −1 for equal vectors to 3 for opposite ones.
/// Returns a scalar.
/// # Errors
/// If the shapes do not agree.
pub fn paper_signed(batch: &Batch<'_>, margin: f64) -> Result<Tensor> {
    let cosines = batch.cosines()?;
    let distance = (cosines.affine(-2.0, 2.0)?.relu()? + EPSILON)?.sqrt()?;
    let apart = (distance - cosines)?;
    let mean = |values: Tensor, of: &Tensor| (values * of)?.sum_all()? / (of.sum_all()? + 1e-12)?;
    let together = mean(apart.clone(), batch.positives)?;
    together + mean(apart.affine(-1.0, margin)?.relu()?, &batch.negatives()?)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check, cosine, same};

    #[test]
    fn equals_the_naive_form_and_its_gradients_match() {
        let apart = |i: usize, j: usize| (2.0 - 2.0 * cosine(i, j)).sqrt() - cosine(i, j);
        let all = || (0..3).flat_map(|i| (0..5).map(move |j| (i, j)));
        let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len() as f32;
        let positives = all().filter(|&(i, j)| same(i, j)).map(|(i, j)| apart(i, j));
        let negatives = all().filter(|&(i, j)| !same(i, j));
        let negatives = negatives.map(|(i, j)| (1.3 - apart(i, j)).max(0.0));
        let expected = mean(positives.collect()) + mean(negatives.collect());
        check(expected, |batch| paper_signed(batch, 1.3));
    }
}
