//! Supervised contrastive loss: InfoNCE with several positives.

pub use tombolo_kernels::supcon;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check_gradient, unit_rows};
    use candle_core::{Device, Tensor};

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
