//! The losses, one file each: equation, source, shapes, a naive form and a gradient check in the tests.

mod infonce;
mod supcon;

pub use infonce::infonce;
pub use supcon::supcon;

use candle_core::{D, Result, Tensor};

/// Logarithm of the softmax over the last dimension.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod checks {
    use candle_core::{Device, Result, Tensor, Var};

    /// Deterministic rows of unit norm.
    pub fn unit_rows(rows: usize, dim: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.5 - 1.0;
        let mut values: Vec<f32> = (0..rows * dim).map(value).collect();
        for row in values.chunks_exact_mut(dim) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
        }
        values
    }

    /// The gradient by backward against central differences.
    pub fn check_gradient(values: &[f32], dim: usize, loss: impl Fn(&Tensor) -> Result<Tensor>) {
        let shape = (values.len() / dim, dim);
        let tensor = |v: &[f32]| Tensor::from_slice(v, shape, &Device::Cpu).unwrap();
        let var = Var::from_tensor(&tensor(values)).unwrap();
        let gradients = loss(&var).unwrap().backward().unwrap();
        let gradient =
            gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for i in 0..values.len() {
            let moved = |delta: f32| {
                let mut moved = values.to_vec();
                moved[i] += delta;
                loss(&tensor(&moved)).unwrap().to_scalar::<f32>().unwrap()
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let difference = (numeric - gradient[i]).abs();
            assert!(difference < 1e-2 * (1.0 + numeric.abs()), "{i}: {numeric}, {}", gradient[i]);
        }
    }
}
