//! The paper's loss as it is printed.

use candle_core::{D, Result, Tensor};

/// Under the square root of a distance, so that its slope is finite where two vectors are equal.
pub(super) const EPSILON: f64 = 1e-8;

/// Equations (2) and (4) of the paper, as printed: Euclidean distance plus dot product of each pair.
///
/// L = (1/|batch|) Σᵢ | ED(Fᵢ, Fᵢ₊₁) + Fᵢ·Fᵢ₊₁ |; the paper's sum, by the number of pairs. Kept to show what it
/// does, not to train with: see the tests, and [`super::paper_signed()`] for what the text describes.
///
/// # Shapes
/// `first`, `second`: `[batch, dim]`, row i of one belonging to row i of the other. Returns a scalar.
/// # Errors
/// If the shapes differ.
pub fn paper(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    let distance = ((first - second)?.sqr()?.sum(D::Minus1)? + EPSILON)?.sqrt()?;
    let dot = (first * second)?.sum(D::Minus1)?;
    (distance + dot)?.abs()?.mean_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check_gradient, tensor, unit_rows};

    /// The loss of two unit vectors at this cosine.
    fn at(cosine: f32) -> f32 {
        let other = [cosine, (1.0 - cosine * cosine).max(0.0).sqrt()];
        let loss = paper(&tensor(&[1.0, 0.0], 2), &tensor(&other, 2)).unwrap();
        loss.to_scalar().unwrap()
    }

    #[test]
    fn equals_the_naive_form_and_its_gradients_match() {
        let (a, b) = (unit_rows(4, 3, 1), unit_rows(4, 3, 2));
        let pairs = a.chunks(3).zip(b.chunks(3)).map(|(a, b)| {
            let distance = a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt();
            (distance + a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>()).abs()
        });
        let expected = pairs.sum::<f32>() / 4.0;
        let found = paper(&tensor(&a, 3), &tensor(&b, 3)).unwrap().to_scalar::<f32>().unwrap();
        assert!((found - expected).abs() < 1e-5);
        check_gradient(&a, 3, |a| paper(a, &tensor(&b, 3)));
        check_gradient(&b, 3, |b| paper(&tensor(&a, 3), b));
    }

    #[test]
    fn opposite_unit_vectors_are_as_good_as_equal_ones() {
        assert!((at(1.0) - 1.0).abs() < 1e-3 && (at(-1.0) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn pairs_that_are_not_close_yet_are_pushed_apart() {
        // The maximum lies at a cosine of one half: below it, the loss falls with the cosine.
        let losses: Vec<f32> = (-9..=5).map(|tenth| at(tenth as f32 / 10.0)).collect();
        assert!(losses.windows(2).all(|pair| pair[0] < pair[1]), "{losses:?}");
        assert!(at(0.5) > at(0.4) && at(0.5) > at(0.6) && (at(0.5) - 1.5).abs() < 1e-3);
    }

    #[test]
    fn negatives_have_no_part_in_it() {
        let (a, b) = (unit_rows(3, 3, 1), unit_rows(3, 3, 2));
        let of = |a: &[f32], b: &[f32]| {
            paper(&tensor(a, 3), &tensor(b, 3)).unwrap().to_scalar::<f32>().unwrap()
        };
        let alone = a.chunks(3).zip(b.chunks(3)).map(|(a, b)| of(a, b)).sum::<f32>();
        // Beside the others of its batch, a pair's share is what it is alone.
        assert!((of(&a, &b) - alone / 3.0).abs() < 1e-6);
    }

    #[test]
    fn without_unit_norm_it_is_least_where_everything_is_zero() {
        let zero = tensor(&[0.0; 6], 3);
        assert!(paper(&zero, &zero).unwrap().to_scalar::<f32>().unwrap() < 1e-3);
    }
}
