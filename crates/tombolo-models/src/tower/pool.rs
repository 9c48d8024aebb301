//! Pooling of a backbone's vectors.

use candle_core::Tensor;
use tombolo_kernels::pool as pool_runs;

use crate::error::Result;

/// Mean of each sequence's vectors, and mean of each component's `top` largest values; segment by segment.
///
/// `values`: `[rows, dim]`; `segments`: the rows of each segment of a sequence, empty for a single one. Returns
/// `[sequences, segments · 2 · dim]`; a segment beyond a sequence's end gives zeros.
pub(super) fn pool(
    values: &Tensor,
    lengths: &[usize],
    segments: &[usize],
    top: usize,
) -> Result<Tensor> {
    let runs: Vec<usize> = match segments {
        [] => lengths.to_vec(),
        _ => lengths.iter().flat_map(|&length| cut(length, segments)).collect(),
    };
    let pooled = pool_runs(values, &runs, top)?;
    Ok(pooled.reshape((lengths.len(), ()))?)
}

/// The rows of a sequence that lie in each segment.
fn cut(length: usize, segments: &[usize]) -> impl Iterator<Item = usize> {
    segments.iter().scan(length, |left, &segment| {
        let rows = segment.min(*left);
        *left -= rows;
        Some(rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_where_the_sequence_does() {
        assert_eq!(cut(7, &[3, 4]).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(cut(2, &[3, 4]).collect::<Vec<_>>(), [2, 0]);
    }
}
