//! Supervised contrastive loss: InfoNCE with several positives (Khosla et al. 2020, L_out).
//!
//! L = −(1/|batch|) Σᵢ (1/|P(i)|) Σ_{p ∈ P(i)} log softmaxₖ(qᵢ·kₖ / τ)ₚ, of queries `[batch, dim]`, keys `[keys, dim]` and positives
//! `[batch, keys]`; a scalar in nats. The kernel has the details.

pub use tombolo_kernels::supcon;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::checks::{check, cosine, same};

    #[test]
    fn equals_the_naive_form_and_its_gradients_match() {
        let loss = |i: usize| {
            let logit = |j: usize| cosine(i, j) / 0.5;
            let total: f32 = (0..5).map(|j| logit(j).exp()).sum();
            let positives: Vec<usize> = (0..5).filter(|&j| same(i, j)).collect();
            let losses = positives.iter().map(|&j| total.ln() - logit(j));
            losses.sum::<f32>() / positives.len() as f32
        };
        let expected = (0..3).map(loss).sum::<f32>() / 3.0;
        check(expected, |batch| supcon(batch.queries, batch.keys, batch.positives, 0.5));
    }
}
