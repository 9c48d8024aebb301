//! Pooling of a backbone's vectors.

use candle_core::Tensor;
use tombolo_kernels::pool as pool_runs;

use super::Sequences;
use super::learned::LearnedPooling;
use crate::error::Result;

/// Mean of each sequence's vectors, and mean of each component's `top` largest values, or in their place their sum by
/// learned weights; segment by segment.
///
/// `segments`: the rows of each segment of a sequence, empty for a single one. Returns `[sequences, segments · 2 · dim]`; a
/// segment beyond a sequence's end gives zeros.
pub(super) fn pool(
    sequences: &Sequences,
    segments: &[usize],
    top: usize,
    learned: Option<&LearnedPooling>,
) -> Result<Tensor> {
    let Sequences { values, lengths } = sequences;
    let runs: Vec<usize> = match segments {
        [] => lengths.clone(),
        _ => lengths.iter().flat_map(|&length| cut(length, segments)).collect(),
    };
    let mut pooled = pool_runs(values, &runs, top)?;
    if let Some(learned) = learned {
        let mean = pooled.narrow(1, 0, values.dim(1)?)?;
        pooled = Tensor::cat(&[&mean, &learned.forward(values, &runs)?], 1)?;
    }
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
