//! The supervised contrastive loss with its gradient in the place of the logits.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};
use crate::infonce::logarithms;
use crate::product::{Matrix, product};
use crate::simd::{exp, multiversioned};

/// Rows a task.
const ROWS: usize = 16;

/// Supervised contrastive loss of queries against keys.
///
/// L = −(1/|batch|) Σᵢ (1/|P(i)|) Σ_{p ∈ P(i)} log softmaxₖ(qᵢ·kₖ / τ)ₚ, Khosla et al. 2020, L_out. The
/// logits are turned into their gradient in the forward pass; no other matrix of their size is made.
///
/// # Shapes
/// `queries`: `[batch, dim]` and `keys`: `[keys, dim]`; `positives`: `[batch, keys]`, 1 where a key is a
/// positive of the query and 0 elsewhere, at least one a row; all f32. Returns a scalar in nats.
/// # Errors
/// If the shapes do not agree.
pub fn supcon(
    queries: &Tensor,
    keys: &Tensor,
    positives: &Tensor,
    temperature: f64,
) -> Result<Tensor> {
    if !queries.device().is_cpu() {
        return supcon_composed(queries, keys, positives, temperature);
    }
    let expected = (queries.dim(0)?, keys.dim(0)?);
    if positives.dims2()? != expected || queries.dim(1)? != keys.dim(1)? {
        bail!("supcon: expected positives of {expected:?}, found {:?}", positives.dims());
    }
    let positives = with_values(positives, <[f32]>::to_vec)?;
    let scale = (1.0 / temperature) as f32;
    let operation = SupCon { positives, dim: queries.dim(1)?, scale, gradient: OnceLock::new() };
    queries.contiguous()?.apply_op2(&keys.contiguous()?, operation)
}

/// [`supcon`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`supcon`].
pub fn supcon_composed(
    queries: &Tensor,
    keys: &Tensor,
    positives: &Tensor,
    temperature: f64,
) -> Result<Tensor> {
    let logits = (queries.matmul(&keys.t()?)? * (1.0 / temperature))?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let logs = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let share = positives.broadcast_div(&positives.sum_keepdim(D::Minus1)?)?;
    (logs * share)?.sum_all()? * (-1.0 / queries.dim(0)? as f64)
}

struct SupCon {
    positives: Vec<f32>,
    dim: usize,
    scale: f32,
    /// That of the logits, left by the forward pass.
    gradient: OnceLock<Vec<f32>>,
}

impl CustomOp2 for SupCon {
    fn name(&self) -> &'static str {
        "supcon"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let queries = Matrix::new(operand(queries, queries_layout, self.name())?, self.dim);
        let keys = Matrix::new(operand(keys, keys_layout, self.name())?, self.dim);
        let (batch, width) = (queries_layout.dims()[0], keys_layout.dims()[0]);
        let mut logits = vec![0.0; batch * width];
        product(queries, keys.transposed(), self.scale, 0.0, &mut logits);
        let losses: Vec<f64> = logits
            .par_chunks_mut(ROWS * width)
            .zip(self.positives.par_chunks(ROWS * width))
            .map(|(logits, positives)| {
                let mut rows = vec![0.0; logits.len() / width];
                logarithms(logits, &mut rows);
                let mut loss = 0.0;
                turn_rows(logits, positives, &rows, 1.0 / batch as f32, &mut loss);
                loss
            })
            .collect();
        let loss = losses.iter().sum::<f64>() / batch as f64;
        // A forward pass runs once, so that nothing is there yet.
        let _ = self.gradient.set(logits);
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(gradient) = self.gradient.get() else { bail!("supcon: no forward pass") };
        let scale = self.scale * grad.to_scalar::<f32>()?;
        let gradient = Matrix::new(gradient, keys.dim(0)?);
        let toward = |gradient: Matrix<'_>, other: &Tensor, of: &Tensor| {
            if !of.track_op() {
                return Ok(None);
            }
            let mut out = vec![0.0; of.elem_count()];
            with_values(other, |other| {
                product(gradient, Matrix::new(other, self.dim), scale, 0.0, &mut out);
            })?;
            Tensor::from_vec(out, of.shape(), of.device()).map(Some)
        };
        Ok((toward(gradient, keys, queries)?, toward(gradient.transposed(), queries, keys)?))
    }
}

multiversioned! {
    /// Turns rows of logits, whose log Σ exp are `rows`, into their gradient times `share`, and adds their
    /// losses up.
    fn turn_rows(logits: &mut [f32], positives: &[f32], rows: &[f32], share: f32, loss: &mut f64) {
        let width = logits.len() / rows.len();
        let pairs = logits.chunks_exact_mut(width).zip(positives.chunks_exact(width));
        for ((logits, positives), row) in pairs.zip(rows) {
            let (mut count, mut found) = ([0.0f32; 8], [0.0f32; 8]);
            for (x, p) in logits.chunks(8).zip(positives.chunks(8)) {
                for lane in 0..x.len() {
                    count[lane] += p[lane];
                    found[lane] += p[lane] * (row - x[lane]);
                }
            }
            let each = 1.0 / count.iter().sum::<f32>();
            *loss += f64::from(found.iter().sum::<f32>() * each);
            for (x, p) in logits.iter_mut().zip(positives) {
                *x = share * (exp(*x - row) - p * each);
            }
        }
    }
}
