//! Multi-head self-attention over packed queries, keys and values.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::host::{operand, with_values};
use crate::panels::Panels;
use crate::product::{Matrix, block_product};
use crate::sequences::{split, split_mut};
use crate::softmax::{masked_softmax, softmax_gradient, softmax_rows};
use crate::tiles::Rows;

/// Multi-head self-attention (Vaswani et al. 2017, equation 1) within each of several sequences that lie
/// one after the other, without padding and without transposing copies.
///
/// For each sequence and head: softmax(Q·Kᵀ / √(dim / heads))·V.
///
/// # Shapes
/// `qkv`: `[rows, 3 · dim]`, f32, each row queries, keys, values, each of them head by head; `lengths`:
/// the rows of each sequence, none zero, `rows` in sum. Returns `[rows, dim]`.
/// # Errors
/// If `heads` does not divide `dim`, or the lengths do not add up.
pub fn attention(qkv: &Tensor, heads: usize, lengths: &[usize]) -> Result<Tensor> {
    attention_masked(qkv, heads, Mask::None, lengths)
}

/// [`attention`] in which `mask` says what a row may look at.
///
/// # Errors
/// As [`attention`].
pub fn attention_masked(
    qkv: &Tensor,
    heads: usize,
    mask: Mask,
    lengths: &[usize],
) -> Result<Tensor> {
    let geometry = Geometry { mask, ..Geometry::of(qkv, heads, lengths)? };
    if !qkv.device().is_cpu() {
        return geometry.composed(qkv, lengths);
    }
    qkv.contiguous()?.apply_op1(Attention { geometry, lengths: lengths.to_vec() })
}

/// What a row may look at in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All rows.
    None,
    /// Itself and the rows before it, as in GPT and CLIP's text encoder.
    Causal,
}

impl Mask {
    /// The rows of a sequence of `length` that the one at `place` looks at, from the first on.
    fn visible(self, place: usize, length: usize) -> usize {
        match self {
            Self::None => length,
            Self::Causal => length.min(place + 1),
        }
    }
}

/// [`attention_masked`] from stock candle operations and [`masked_softmax`]: for other devices, and to compare with.
/// Sequences are padded to the longest and computed together.
///
/// # Errors
/// As [`attention`].
pub fn attention_composed(
    qkv: &Tensor,
    heads: usize,
    mask: Mask,
    lengths: &[usize],
) -> Result<Tensor> {
    Geometry { mask, ..Geometry::of(qkv, heads, lengths)? }.composed(qkv, lengths)
}

/// The row at each place of sequences padded to `longest`, a row of their own standing for padding; and the place
/// of each row.
fn padding(lengths: &[usize], longest: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut padded, mut own, mut first) = (Vec::new(), Vec::new(), 0);
    for &length in lengths {
        own.extend((0..length).map(|place| (padded.len() + place) as u32));
        padded.extend((0..longest).map(|place| (first + place.min(length - 1)) as u32));
        first += length;
    }
    (padded, own)
}

#[derive(Clone, Copy)]
struct Geometry {
    heads: usize,
    head_dim: usize,
    dim: usize,
    mask: Mask,
}

impl Geometry {
    fn of(qkv: &Tensor, heads: usize, lengths: &[usize]) -> Result<Self> {
        let (rows, packed) = qkv.dims2()?;
        if heads == 0 || packed % (3 * heads) != 0 {
            bail!("attention: expected 3 · {heads} heads to divide the width, found {packed}");
        }
        if lengths.contains(&0) || lengths.iter().sum::<usize>() != rows {
            bail!("attention: expected lengths that add up to {rows} rows, found {lengths:?}");
        }
        let (head_dim, dim) = (packed / 3 / heads, packed / 3);
        Ok(Self { heads, head_dim, dim, mask: Mask::None })
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).powf(-0.5)
    }

    fn composed(&self, qkv: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest * lengths.len() == qkv.dim(0)? {
            return self.attend_padded(qkv, lengths, longest);
        }
        let (padded, own) = padding(lengths, longest);
        let rows = |places: Vec<u32>| Tensor::new(places, qkv.device());
        let out = self.attend_padded(&qkv.index_select(&rows(padded)?, 0)?, lengths, longest)?;
        out.index_select(&rows(own)?, 0)
    }

    /// Attention in sequences that take `longest` rows each, of which the first are their own.
    fn attend_padded(&self, qkv: &Tensor, lengths: &[usize], longest: usize) -> Result<Tensor> {
        let batch = lengths.len();
        let split = qkv.reshape((batch, longest, 3, self.heads, self.head_dim))?;
        let split = split.permute((2, 0, 3, 1, 4))?;
        let (q, k) = (split.get(0)?.contiguous()?, split.get(1)?.contiguous()?);
        let scores = (q.matmul(&k.t()?)? * f64::from(self.scale()))?;
        let shape = scores.shape().clone();
        let of_row = |&length: &usize| {
            let rows = (0..self.heads).flat_map(move |_| 0..longest);
            rows.map(move |place| self.mask.visible(place, length))
        };
        let lengths: Vec<usize> = lengths.iter().flat_map(of_row).collect();
        let weights = masked_softmax(&scores.reshape(((), longest))?, &lengths)?.reshape(shape)?;
        let out = weights.matmul(&split.get(2)?.contiguous()?)?;
        out.transpose(1, 2)?.reshape((batch * longest, self.dim))
    }

    /// Queries (part 0), keys (1) or values (2) of one head and the first `rows` positions.
    fn part<'a>(&self, qkv: &'a [f32], part: usize, head: usize, rows: usize) -> Matrix<'a> {
        let start = part * self.dim + head * self.head_dim;
        Matrix::strided(&qkv[start..], rows, self.head_dim, 3 * self.dim)
    }

    /// Queries (part 0), keys (1) or values (2) of one head as rows of a product.
    fn rows<'a>(&self, qkv: &'a [f32], part: usize, head: usize, count: usize) -> Rows<'a> {
        let Matrix { values, cols: depth, row_stride: stride, .. } =
            self.part(qkv, part, head, count);
        Rows { values, count, depth, stride }
    }

    /// Attention weights of one head, `[length, padded length]`, zero in the padding.
    fn weights(&self, qkv: &[f32], head: usize, length: usize, scratch: &mut Scratch) {
        let keys = self.rows(qkv, 1, head, length);
        scratch.panels.pack_transposed(keys);
        let queries = self.rows(qkv, 0, head, length);
        scratch.width = scratch.panels.padded_columns();
        scratch.weights.resize(length * scratch.width, 0.0);
        scratch.panels.padded_product(queries, &mut scratch.weights);
        let (width, scale) = (scratch.width, self.scale());
        if self.mask == Mask::None {
            return softmax_rows(&mut scratch.weights, width, length, scale);
        }
        for (place, row) in scratch.weights.chunks_exact_mut(width).enumerate() {
            softmax_rows(row, width, self.mask.visible(place, length), scale);
        }
    }

    /// Attention within one sequence, on the calling thread.
    ///
    /// # Shapes
    /// `qkv`: `[length, 3 · dim]`, `out`: `[length, dim]`.
    fn forward(&self, qkv: &[f32], length: usize, scratch: &mut Scratch, out: &mut [f32]) {
        for head in 0..self.heads {
            self.weights(qkv, head, length, scratch);
            scratch.panels.pack(self.rows(qkv, 2, head, length));
            let (values, stride) = (&scratch.weights[..], scratch.width);
            let weights = Rows { values, count: length, depth: length, stride };
            scratch.panels.product(weights, &mut out[head * self.head_dim..], self.dim);
        }
    }
}

struct Attention {
    geometry: Geometry,
    lengths: Vec<usize>,
}

/// Room for one sequence's attention, used again for the next.
#[derive(Default)]
struct Scratch {
    weights: Vec<f32>,
    /// Values of a row of `weights`, padding included.
    width: usize,
    panels: Panels,
}

/// [`attention_masked`] on the calling thread, from slice to slice.
///
/// # Shapes
/// `qkv`: `[rows, 3 · dim]`, `out`: `[rows, dim]`, `lengths`: the rows of each sequence, `rows` in sum.
///
/// # Panics
/// If the lengths do not agree, or `heads` does not divide `dim`.
pub fn attend(qkv: &[f32], heads: usize, mask: Mask, lengths: &[usize], out: &mut [f32]) {
    let rows: usize = lengths.iter().sum();
    let dim = out.len() / rows.max(1);
    assert_eq!((out.len(), qkv.len()), (rows * dim, 3 * rows * dim), "sequences of attention");
    assert_eq!(dim % heads, 0, "heads of attention");
    let geometry = Geometry { heads, head_dim: dim / heads, dim, mask };
    let mut scratch = Scratch::default();
    let parts = split_mut(out, lengths, dim).into_iter().zip(split(qkv, lengths, 3 * dim));
    for ((out, qkv), &length) in parts.zip(lengths) {
        geometry.forward(qkv, length, &mut scratch, out);
    }
}

impl Attention {
    fn backward_sequence(&self, qkv: &[f32], grad: &[f32], length: usize, out: &mut [f32]) {
        let g = self.geometry;
        let mut scratch = Scratch::default();
        let mut grad_scores = vec![0.0; length * length];
        for head in 0..g.heads {
            g.weights(qkv, head, length, &mut scratch);
            let grad = Matrix::strided(&grad[head * g.head_dim..], length, g.head_dim, g.dim);
            let values = g.part(qkv, 2, head, length);
            block_product(grad, values.transposed(), 1.0, &mut grad_scores, length);
            softmax_gradient(&mut grad_scores, &scratch.weights, length, scratch.width);

            let weights = Matrix::strided(&scratch.weights, length, length, scratch.width);
            let scores = Matrix::strided(&grad_scores, length, length, length);
            let (queries, keys) = (g.part(qkv, 0, head, length), g.part(qkv, 1, head, length));
            let start = |part: usize| part * g.dim + head * g.head_dim;
            let stride = 3 * g.dim;
            block_product(scores, keys, g.scale(), &mut out[start(0)..], stride);
            block_product(scores.transposed(), queries, g.scale(), &mut out[start(1)..], stride);
            block_product(weights.transposed(), grad, 1.0, &mut out[start(2)..], stride);
        }
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = operand(qkv, layout, self.name())?;
        let (dim, lengths) = (self.geometry.dim, &self.lengths);
        let rows = qkv.len() / (3 * dim);
        let mut out = vec![0.0; rows * dim];
        split_mut(&mut out, lengths, dim)
            .into_par_iter()
            .zip(split(qkv, lengths, 3 * dim))
            .zip(lengths)
            .for_each_init(Scratch::default, |scratch, ((out, qkv), &length)| {
                self.geometry.forward(qkv, length, scratch, out);
            });
        Ok((CpuStorage::F32(out), (rows, dim).into()))
    }

    fn bwd(&self, qkv: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (dim, lengths) = (self.geometry.dim, &self.lengths);
        let grad_qkv = with_values(qkv, |qkv| {
            with_values(grad, |grad| {
                let mut out = vec![0.0; qkv.len()];
                split_mut(&mut out, lengths, 3 * dim)
                    .into_par_iter()
                    .zip(split(qkv, lengths, 3 * dim))
                    .zip(split(grad, lengths, dim))
                    .zip(lengths)
                    .for_each(|(((out, qkv), grad), &length)| {
                        self.backward_sequence(qkv, grad, length, out);
                    });
                out
            })
        })??;
        Ok(Some(Tensor::from_vec(grad_qkv, qkv.shape(), qkv.device())?))
    }
}
