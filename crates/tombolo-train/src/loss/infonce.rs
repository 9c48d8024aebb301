//! Symmetric InfoNCE, the loss of CLIP.

use candle_core::{Result, Tensor};

use super::log_softmax;

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
    let batch = image.dim(0)?;
    let logits = image.matmul(&text.t()?)?.broadcast_mul(scale)?;
    let diagonal = Tensor::eye(batch, image.dtype(), image.device())?;
    let found = |logits: &Tensor| (log_softmax(logits)? * &diagonal)?.sum_all();
    (found(&logits)? + found(&logits.t()?.contiguous()?)?)? * (-0.5 / batch as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check_gradient, unit_rows};
    use candle_core::Device;

    fn tensor(values: &[f32], dim: usize) -> Tensor {
        Tensor::from_slice(values, (values.len() / dim, dim), &Device::Cpu).unwrap()
    }

    fn scale(s: f32) -> Tensor {
        Tensor::new(s, &Device::Cpu).unwrap()
    }

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
        let loss = infonce(&tensor(&a, 5), &tensor(&b, 5), &scale(3.0)).unwrap();
        let expected = 0.5 * (naive(&a, &b, 5, 3.0) + naive(&b, &a, 5, 3.0));
        assert!((loss.to_scalar::<f32>().unwrap() - expected).abs() < 1e-5);
    }

    #[test]
    fn gradients_match_finite_differences() {
        let (a, b) = (unit_rows(4, 3, 3), unit_rows(4, 3, 4));
        check_gradient(&a, 3, |a| infonce(a, &tensor(&b, 3), &scale(2.0)));
        check_gradient(&b, 3, |b| infonce(&tensor(&a, 3), b, &scale(2.0)));
    }
}
