//! Multi-head self-attention over packed queries, keys and values.

use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};
use crate::matmul::{Block, multiply};
use crate::simd::{exp, multiversioned};

/// Multi-head self-attention (Vaswani et al. 2017, equation 1) without transposing copies.
///
/// For each sequence and head: softmax(Q·Kᵀ / √(dim / heads))·V, where keys at positions from the
/// sequence's length on are left out. Outputs at those positions mean nothing.
///
/// # Shapes
/// `qkv`: `[batch, tokens, 3 · dim]`, f32, each row queries, keys, values, each of them head by head;
/// `lengths`: one per sequence, from 1 to `tokens`. Returns `[batch, tokens, dim]`.
/// # Errors
/// If `heads` does not divide `dim`, or a length is out of range.
pub fn attention(qkv: &Tensor, heads: usize, lengths: &[usize]) -> Result<Tensor> {
    let geometry = Geometry::of(qkv, heads, lengths)?;
    if !qkv.device().is_cpu() {
        return attention_composed(qkv, heads, lengths);
    }
    qkv.contiguous()?.apply_op1(Attention { geometry, lengths: lengths.to_vec() })
}

/// [`attention`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`attention`].
pub fn attention_composed(qkv: &Tensor, heads: usize, lengths: &[usize]) -> Result<Tensor> {
    let Geometry { tokens, dim, head_dim, .. } = Geometry::of(qkv, heads, lengths)?;
    let batch = lengths.len();
    let split = qkv.reshape((batch, tokens, 3, heads, head_dim))?.permute((2, 0, 3, 1, 4))?;
    let (q, k, v) = (split.get(0)?.contiguous()?, split.get(1)?.contiguous()?, split.get(2)?);
    let scores = (q.matmul(&k.t()?)? * (head_dim as f64).powf(-0.5))?;
    let scores = scores.broadcast_add(&length_mask(lengths, tokens, qkv.device())?)?;
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let weights = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
    weights.matmul(&v.contiguous()?)?.transpose(1, 2)?.reshape((batch, tokens, dim))
}

/// 0 where a key is part of its sequence, −10⁹ where it is padding: `[batch, 1, 1, tokens]`.
fn length_mask(lengths: &[usize], tokens: usize, device: &Device) -> Result<Tensor> {
    let mask: Vec<f32> = lengths
        .iter()
        .flat_map(|&length| (0..tokens).map(move |t| if t < length { 0.0 } else { -1e9 }))
        .collect();
    Tensor::from_vec(mask, (lengths.len(), 1, 1, tokens), device)
}

#[derive(Clone, Copy)]
struct Geometry {
    tokens: usize,
    heads: usize,
    head_dim: usize,
    dim: usize,
}

impl Geometry {
    fn of(qkv: &Tensor, heads: usize, lengths: &[usize]) -> Result<Self> {
        let (batch, tokens, packed) = qkv.dims3()?;
        if heads == 0 || packed % (3 * heads) != 0 {
            bail!("attention: expected 3 · {heads} heads to divide the width, found {packed}");
        }
        if lengths.len() != batch || lengths.iter().any(|&n| n == 0 || n > tokens) {
            bail!("attention: expected {batch} lengths from 1 to {tokens}, found {lengths:?}");
        }
        Ok(Self { tokens, heads, head_dim: packed / 3 / heads, dim: packed / 3 })
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }

    /// Queries (part 0), keys (1) or values (2) of one head and the first `rows` positions.
    fn part<'a>(&self, qkv: &'a [f32], part: usize, head: usize, rows: usize) -> Block<'a> {
        let start = part * self.dim + head * self.head_dim;
        Block::new(&qkv[start..], rows, self.head_dim, 3 * self.dim)
    }

    /// Attention weights of one head, `[length, length]`.
    fn weights(&self, qkv: &[f32], head: usize, length: usize, out: &mut [f32]) {
        let (queries, keys) = (self.part(qkv, 0, head, length), self.part(qkv, 1, head, length));
        multiply(queries, keys.transposed(), self.scale(), out, length);
        softmax_rows(out, length);
    }
}

struct Attention {
    geometry: Geometry,
    lengths: Vec<usize>,
}

impl Attention {
    fn forward_sequence(&self, qkv: &[f32], length: usize, out: &mut [f32]) {
        let g = self.geometry;
        let mut weights = vec![0.0; length * length];
        for head in 0..g.heads {
            g.weights(qkv, head, length, &mut weights);
            let weights = Block::new(&weights, length, length, length);
            let values = g.part(qkv, 2, head, length);
            multiply(weights, values, 1.0, &mut out[head * g.head_dim..], g.dim);
        }
    }

    fn backward_sequence(&self, qkv: &[f32], grad: &[f32], length: usize, out: &mut [f32]) {
        let g = self.geometry;
        let mut weights = vec![0.0; length * length];
        let mut grad_scores = vec![0.0; length * length];
        for head in 0..g.heads {
            g.weights(qkv, head, length, &mut weights);
            let grad = Block::new(&grad[head * g.head_dim..], length, g.head_dim, g.dim);
            let values = g.part(qkv, 2, head, length);
            multiply(grad, values.transposed(), 1.0, &mut grad_scores, length);
            softmax_gradient(&mut grad_scores, &weights, length);

            let weights = Block::new(&weights, length, length, length);
            let scores = Block::new(&grad_scores, length, length, length);
            let (queries, keys) = (g.part(qkv, 0, head, length), g.part(qkv, 1, head, length));
            let start = |part: usize| part * g.dim + head * g.head_dim;
            let stride = 3 * g.dim;
            multiply(scores, keys, g.scale(), &mut out[start(0)..], stride);
            multiply(scores.transposed(), queries, g.scale(), &mut out[start(1)..], stride);
            multiply(weights.transposed(), grad, 1.0, &mut out[start(2)..], stride);
        }
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = operand(qkv, layout, self.name())?;
        let Geometry { tokens, dim, .. } = self.geometry;
        let mut out = vec![0.0; self.lengths.len() * tokens * dim];
        out.par_chunks_mut(tokens * dim)
            .zip(qkv.par_chunks(tokens * 3 * dim))
            .zip(&self.lengths)
            .for_each(|((out, qkv), &length)| self.forward_sequence(qkv, length, out));
        Ok((CpuStorage::F32(out), (self.lengths.len(), tokens, dim).into()))
    }

    fn bwd(&self, qkv: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let Geometry { tokens, dim, .. } = self.geometry;
        let grad_qkv = with_values(qkv, |qkv| {
            with_values(grad, |grad| {
                let mut out = vec![0.0; qkv.len()];
                out.par_chunks_mut(tokens * 3 * dim)
                    .zip(qkv.par_chunks(tokens * 3 * dim))
                    .zip(grad.par_chunks(tokens * dim))
                    .zip(&self.lengths)
                    .for_each(|(((out, qkv), grad), &length)| {
                        self.backward_sequence(qkv, grad, length, out);
                    });
                out
            })
        })??;
        Ok(Some(Tensor::from_vec(grad_qkv, qkv.shape(), qkv.device())?))
    }
}

multiversioned! {
    fn softmax_rows(scores: &mut [f32], width: usize) {
        for row in scores.chunks_exact_mut(width) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|x| *x = exp(*x - max));
            let inverse = 1.0 / row.iter().sum::<f32>();
            row.iter_mut().for_each(|x| *x *= inverse);
        }
    }
}

multiversioned! {
    /// Turns the gradient of the weights into that of the scores.
    fn softmax_gradient(grad: &mut [f32], weights: &[f32], width: usize) {
        for (grad, weights) in grad.chunks_exact_mut(width).zip(weights.chunks_exact(width)) {
            let dot: f32 = grad.iter().zip(weights).map(|(g, w)| g * w).sum();
            grad.iter_mut().zip(weights).for_each(|(g, w)| *g = w * (*g - dot));
        }
    }
}
