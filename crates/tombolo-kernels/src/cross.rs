//! Multi-head attention of one sequence over another, on the calling thread.

use crate::panels::Panels;
use crate::softmax::softmax_rows;
use crate::tiles::Rows;

/// Multi-head cross-attention (Vaswani et al. 2017, equation 1): each row of one sequence looks at all rows of
/// another.
///
/// For each head: softmax(Q·Kᵀ / √(dim / heads))·V.
///
/// # Shapes
/// `queries`: `[rows, dim]`; `memory`: `[others, 2 · dim]`, each row keys and then values, head by head;
/// `out`: `[rows, dim]`.
///
/// # Panics
/// If the lengths do not agree, `heads` does not divide `dim`, or `memory` is empty.
pub fn attend_over(queries: &[f32], memory: &[f32], dim: usize, heads: usize, out: &mut [f32]) {
    let (rows, others) = (queries.len() / dim, memory.len() / (2 * dim));
    assert_eq!((queries.len(), out.len()), (rows * dim, rows * dim), "rows of cross-attention");
    assert!(others > 0 && memory.len() == others * 2 * dim, "memory of cross-attention");
    assert_eq!(dim % heads, 0, "heads of cross-attention");
    let depth = dim / heads;
    let scale = (depth as f32).powf(-0.5);
    let mut panels = Panels::default();
    let mut weights = Vec::new();
    for head in 0..heads {
        let start = head * depth;
        let other =
            |from: usize| Rows { values: &memory[from..], count: others, depth, stride: 2 * dim };
        panels.pack_transposed(other(start));
        let width = panels.padded_columns();
        weights.resize(rows * width, 0.0);
        let queries = Rows { values: &queries[start..], count: rows, depth, stride: dim };
        panels.padded_product(queries, &mut weights);
        softmax_rows(&mut weights, width, others, scale);
        panels.pack(other(dim + start));
        let weights = Rows { values: &weights[..], count: rows, depth: others, stride: width };
        panels.product(weights, &mut out[start..], dim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Mask, attend};

    fn values(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (step * i as f32).sin()).collect()
    }

    /// Queries, keys and values of the same rows are self-attention.
    #[test]
    fn over_its_own_rows_it_is_self_attention() {
        for (rows, dim, heads) in [(1, 6, 3), (5, 24, 4), (19, 32, 2), (33, 40, 5)] {
            let qkv = values(rows * 3 * dim, 0.37);
            let mut expected = vec![0.0; rows * dim];
            attend(&qkv, heads, Mask::None, &[rows], &mut expected);
            let (mut queries, mut memory) = (Vec::new(), Vec::new());
            for row in qkv.chunks_exact(3 * dim) {
                queries.extend_from_slice(&row[..dim]);
                memory.extend_from_slice(&row[dim..]);
            }
            let mut found = vec![0.0; rows * dim];
            attend_over(&queries, &memory, dim, heads, &mut found);
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_memory_of_one_row_gives_its_values() {
        let (dim, heads) = (8, 2);
        let memory = values(2 * dim, 0.7);
        let mut out = vec![0.0; 3 * dim];
        attend_over(&values(3 * dim, 1.1), &memory, dim, heads, &mut out);
        for row in out.chunks_exact(dim) {
            row.iter().zip(&memory[dim..]).for_each(|(o, v)| assert!((o - v).abs() < 1e-6));
        }
    }

    /// The sums written out.
    #[test]
    fn it_weighs_values_by_the_softmax_of_products() {
        let (rows, others, dim, heads) = (3, 7, 4, 2);
        let (queries, memory) = (values(rows * dim, 0.9), values(others * 2 * dim, 0.31));
        let mut found = vec![0.0; rows * dim];
        attend_over(&queries, &memory, dim, heads, &mut found);
        for (at, found) in found.iter().enumerate() {
            let (row, column) = (at / dim, at % dim);
            let first = column / 2 * 2;
            let weight = |other: usize| {
                let product = |i| queries[row * dim + i] * memory[other * 2 * dim + i];
                ((product(first) + product(first + 1)) / 2f32.sqrt()).exp()
            };
            let total: f32 = (0..others).map(weight).sum();
            let sum: f32 =
                (0..others).map(|o| weight(o) * memory[o * 2 * dim + dim + column]).sum();
            assert!((found - sum / total).abs() < 1e-5, "expected {}, found {found}", sum / total);
        }
    }
}
