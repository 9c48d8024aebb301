//! Dropout whose mask is drawn again where it is needed again, so that it is never held.

use rayon::prelude::*;

use crate::simd::multiversioned;

/// Rows a task.
const ROWS: usize = 64;

/// Which values are dropped: a function of a seed, the row and the column, by a hash of the three.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    seed: u64,
    limit: u32,
    scale: f32,
}

impl Dropout {
    /// Drops the share `share` of the values, at least 0 and below 1, and scales the rest by
    /// 1 / (1 − `share`) (Srivastava et al. 2014).
    pub fn new(seed: u64, share: f64) -> Self {
        let limit = (share * f64::from(u32::MAX)) as u32;
        Self { seed, limit, scale: (1.0 / (1.0 - share)) as f32 }
    }

    /// What the columns of one row are hashed with.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> DroppedRow {
        // The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
        let x = self.seed ^ (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        DroppedRow { key: (x ^ (x >> 31)) as u32, limit: self.limit, scale: self.scale }
    }

    /// Applies it to rows `dim` wide: to values, or to the gradients of what came out.
    pub fn apply(self, values: &mut [f32], dim: usize) {
        values.par_chunks_mut(ROWS * dim).enumerate().for_each(|(chunk, rows)| {
            drop_rows(rows, dim, chunk * ROWS, self);
        });
    }
}

/// [`Dropout`] within one row.
#[derive(Clone, Copy)]
pub(crate) struct DroppedRow {
    key: u32,
    limit: u32,
    scale: f32,
}

impl DroppedRow {
    /// What the value in this column is multiplied by: 0 or the scale.
    #[inline(always)]
    pub(crate) fn factor(self, column: usize) -> f32 {
        // lowbias32, by C. Wellons' search for hashes that flip each bit half of the time.
        let x = column as u32 ^ self.key;
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        if x ^ (x >> 16) >= self.limit { self.scale } else { 0.0 }
    }
}

multiversioned! {
    fn drop_rows(rows: &mut [f32], dim: usize, first: usize, dropout: Dropout) {
        for (row, values) in rows.chunks_exact_mut(dim).enumerate() {
            let dropped = dropout.row(first + row);
            for (column, value) in values.iter_mut().enumerate() {
                *value *= dropped.factor(column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_its_share_and_the_mean_in_every_row_and_column() {
        let (rows, dim) = (400, 300);
        let mut values = vec![1.0f32; rows * dim];
        Dropout::new(1, 0.3).apply(&mut values, dim);
        let zeros = |values: &mut dyn Iterator<Item = &f32>| values.filter(|v| **v == 0.0).count();
        let share = zeros(&mut values.iter()) as f64 / values.len() as f64;
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((share - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.02, "{share} {mean}");
        // Five standard deviations.
        for row in values.chunks(dim) {
            let found = zeros(&mut row.iter()) as f64;
            assert!((found - 90.0).abs() < 5.0 * 8.0, "{found} of 300 in a row");
        }
        for column in 0..dim {
            let found = zeros(&mut values[column..].iter().step_by(dim)) as f64;
            assert!((found - 120.0).abs() < 5.0 * 9.2, "{found} of 400 in a column");
        }
    }

    #[test]
    fn another_seed_drops_others_and_no_share_drops_none() {
        let dropped = |seed, share| {
            let mut values = vec![1.0f32; 1000];
            Dropout::new(seed, share).apply(&mut values, 100);
            values
        };
        assert_eq!(dropped(1, 0.5), dropped(1, 0.5));
        assert_ne!(dropped(1, 0.5), dropped(2, 0.5));
        assert_eq!(dropped(1, 0.0), [1.0; 1000]);
    }
}
