//! Supervised contrastive loss: InfoNCE with several positives.

use candle_core::{D, Result, Tensor};

use super::log_softmax;

/// Supervised contrastive loss of queries against keys: each query should be nearer to all its positives
/// than to any other key.
///
/// L = −(1/|batch|) Σᵢ (1/|P(i)|) Σ_{p ∈ P(i)} log softmaxₖ(qᵢ·kₖ / τ)ₚ, Khosla et al. 2020, L_out.
///
/// # Shapes
/// `queries`: `[batch, dim]` and `keys`: `[keys, dim]`, rows of unit norm; `positives`: `[batch, keys]`, 1
/// where a key is a positive of the query and 0 elsewhere, at least one a row. Returns a scalar in nats.
/// # Errors
/// If the shapes do not agree.
pub fn supcon(
    queries: &Tensor,
    keys: &Tensor,
    positives: &Tensor,
    temperature: f64,
) -> Result<Tensor> {
    let logits = (queries.matmul(&keys.t()?)? * (1.0 / temperature))?;
    let share = positives.broadcast_div(&positives.sum_keepdim(D::Minus1)?)?;
    (log_softmax(&logits)? * share)?.sum_all()? * (-1.0 / queries.dim(0)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check_gradient, unit_rows};
    use candle_core::Device;

    const MASK: [f32; 12] = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];

    fn tensor(values: &[f32], dim: usize) -> Tensor {
        Tensor::from_slice(values, (values.len() / dim, dim), &Device::Cpu).unwrap()
    }

    #[test]
    fn equals_the_naive_form() {
        let (queries, keys) = (unit_rows(3, 5, 1), unit_rows(4, 5, 2));
        let found =
            supcon(&tensor(&queries, 5), &tensor(&keys, 5), &tensor(&MASK, 4), 0.5).unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>() / 0.5;
        let mut expected = 0.0;
        for (query, mask) in queries.chunks(5).zip(MASK.chunks(4)) {
            let total: f32 = keys.chunks(5).map(|key| dot(query, key).exp()).sum();
            let positives = keys.chunks(5).zip(mask).filter(|(_, m)| **m > 0.0);
            let logs: Vec<f32> = positives.map(|(key, _)| total.ln() - dot(query, key)).collect();
            expected += logs.iter().sum::<f32>() / logs.len() as f32 / 3.0;
        }
        assert!((found.to_scalar::<f32>().unwrap() - expected).abs() < 1e-5);
    }

    #[test]
    fn gradients_match_finite_differences() {
        let (queries, keys) = (unit_rows(3, 4, 3), unit_rows(4, 4, 4));
        check_gradient(&queries, 4, |q| supcon(q, &tensor(&keys, 4), &tensor(&MASK, 4), 0.5));
        check_gradient(&keys, 4, |k| supcon(&tensor(&queries, 4), k, &tensor(&MASK, 4), 0.5));
    }
}
