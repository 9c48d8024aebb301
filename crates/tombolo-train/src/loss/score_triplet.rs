//! The triplet loss over scores of pairs that were seen together.

use candle_core::{DType, Result, Tensor};

/// Hinge loss over a matrix of scores, both ways: a pair that belongs together should score above those that share its
/// image or its text, by a margin.
///
/// L = (1/|batch|) Σᵢ (Hₙ max(0, `margin` − sᵢᵢ + sᵢₙ) + Hₙ max(0, `margin` − sᵢᵢ + sₙᵢ)), H the largest over n ≠ i if `hardest`,
/// as in Faghri et al. 2018, equation 6, and Lee et al. 2018, equation 10, and else the sum.
///
/// # Shapes
/// `scores`: `[batch, batch]`, images by texts, row i belonging to column i and to no other. Returns a scalar.
/// # Errors
/// If the matrix is not square.
pub fn score_triplet(scores: &Tensor, margin: f64, hardest: bool) -> Result<Tensor> {
    let batch = scores.dim(0)?;
    let eye = Tensor::eye(batch, DType::F32, scores.device())?;
    let own = (scores * &eye)?.sum_keepdim(1)?;
    let others = eye.affine(-1.0, 1.0)?;
    let texts = ((scores.broadcast_sub(&own)? + margin)?.relu()? * &others)?;
    let images = ((scores.broadcast_sub(&own.t()?)? + margin)?.relu()? * &others)?;
    let sum = match hardest {
        true => (texts.max(1)?.sum_all()? + images.max(0)?.sum_all()?)?,
        false => (texts.sum_all()? + images.sum_all()?)?,
    };
    sum / batch as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check_gradient, tensor};

    const BATCH: usize = 5;

    /// Half a step of the scores off each of their differences, so that no hinge starts or ends between two of them.
    const MARGIN: f64 = 0.27;

    fn naive(scores: &[f32], hardest: bool) -> f32 {
        let hinge = |i: usize, row: usize, column: usize| {
            (MARGIN as f32 - scores[i * BATCH + i] + scores[row * BATCH + column]).max(0.0)
        };
        let reduced = |hinges: Vec<f32>| match hardest {
            true => hinges.into_iter().fold(0.0, f32::max),
            false => hinges.into_iter().sum(),
        };
        let of = |i: usize| {
            let others = || (0..BATCH).filter(move |&n| n != i);
            reduced(others().map(|n| hinge(i, i, n)).collect())
                + reduced(others().map(|n| hinge(i, n, i)).collect())
        };
        (0..BATCH).map(of).sum::<f32>() / BATCH as f32
    }

    #[test]
    fn it_equals_the_naive_form_and_its_gradients_match() {
        // Far enough apart for a step not to change their order.
        let apart = |i: usize| (i * 7 % (BATCH * BATCH)) as f32 * 0.06 - 0.7;
        let scores: Vec<f32> = (0..BATCH * BATCH).map(apart).collect();
        for hardest in [true, false] {
            let loss = score_triplet(&tensor(&scores, BATCH), MARGIN, hardest).unwrap();
            let (found, expected) = (loss.to_scalar::<f32>().unwrap(), naive(&scores, hardest));
            assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
            check_gradient(&scores, BATCH, |scores| score_triplet(scores, MARGIN, hardest));
        }
    }
}
