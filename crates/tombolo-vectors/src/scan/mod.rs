//! Dot products of one query with many rows that lie end to end, at the speed of memory.
//!
//! Several forms of one work: the best that the processor has is chosen when called. A row's result
//! does not depend on its neighbours, so blocks of any size and any number of threads agree; two
//! forms may differ in the last bits of f16 rows, and agree exactly in int8 rows.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use half::f16;

/// How far ahead of the values at hand memory is asked for, in bytes: two pages, which did best of 4, 8 and 16 KiB.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 8_192;

/// The instruction set that a scan uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Form {
    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        Self::Portable,
    ];

    /// The forms that this processor can run, the fastest first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|form| form.is_available())
    }

    /// The fastest form that this processor can run.
    pub(crate) fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                    && std::arch::is_x86_feature_detected!("f16c")
            }
            Self::Portable => true,
        }
    }

    /// Dot products with f16 rows: `query`: `[dim]`, `rows`: `[n, dim]`, `scores`: `[n]`.
    ///
    /// # Panics
    /// If the lengths do not fit together, or this processor cannot run the form.
    pub(crate) fn dot_f16(self, query: &[f32], rows: &[f16], scores: &mut [f32]) {
        assert_eq!(rows.len(), query.len() * scores.len(), "rows, query and scores");
        assert!(self.is_available(), "{self:?} on a processor without it");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => by_fours(
                query,
                rows,
                scores,
                Scan {
                    // SAFETY: the processor has the features, as asserted above, and `by_fours` cuts
                    // rows of the query's length.
                    four: |query, rows| unsafe { avx512::f16_rows(query, rows) },
                    one: |query, row| unsafe { avx512::f16_rows(query, row) },
                },
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => by_fours(
                query,
                rows,
                scores,
                Scan {
                    // SAFETY: as above.
                    four: |query, rows| unsafe { avx2::f16_rows(query, rows) },
                    one: |query, row| unsafe { avx2::f16_rows(query, row) },
                },
            ),
            Self::Portable => portable::dot_f16(query, rows, scores),
        }
    }

    /// Dot product of two rows of halves.
    ///
    /// # Panics
    /// If the two differ in length.
    pub(crate) fn dot_halves(self, a: &[f16], b: &[f16]) -> f32 {
        assert_eq!(a.len(), b.len(), "a dot product needs two vectors of one length");
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the lengths agree, and a processor with AVX-512 has AVX2, FMA and F16C too.
            Self::Avx512 | Self::Avx2 => unsafe { avx2::halves(a, b) },
            Self::Portable => portable::halves(a, b),
        }
    }

    /// Dot products with int8 rows: `query`: `[dim]`, `rows`: `[n, dim]`, `sums`: `[n]`. Exact where
    /// the sums fit into 32 bits.
    ///
    /// # Panics
    /// If the lengths do not fit together, or this processor cannot run the form.
    pub(crate) fn dot_i8(self, query: &[i16], rows: &[i8], sums: &mut [i32]) {
        assert_eq!(rows.len(), query.len() * sums.len(), "rows, query and sums");
        assert!(self.is_available(), "{self:?} on a processor without it");
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => by_fours(
                query,
                rows,
                sums,
                Scan {
                    // SAFETY: the processor has the features, as asserted above, and `by_fours` cuts
                    // rows of the query's length.
                    four: |query, rows| unsafe { avx512::i8_rows(query, rows) },
                    one: |query, row| unsafe { avx512::i8_rows(query, row) },
                },
            ),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => by_fours(
                query,
                rows,
                sums,
                Scan {
                    // SAFETY: as above.
                    four: |query, rows| unsafe { avx2::i8_rows(query, rows) },
                    one: |query, row| unsafe { avx2::i8_rows(query, row) },
                },
            ),
            Self::Portable => portable::dot_i8(query, rows, sums),
        }
    }
}

/// Dot product of two vectors of halves, Σ aᵢ·bᵢ, in f32, for an index that compares rows with rows.
///
/// Its last bits may differ from those of [`top_k`](crate::top_k), which keeps the query in f32.
///
/// # Panics
/// If the two differ in length.
pub fn dot_f16(a: &[f16], b: &[f16]) -> f32 {
    Form::best().dot_halves(a, b)
}

/// Dot products of a query with four rows, and with one.
struct Scan<Q, R, S> {
    four: fn(&[Q], &[R]) -> [S; 4],
    one: fn(&[Q], &[R]) -> [S; 1],
}

/// Four rows at a time, so that one load of the query serves them all and four streams of memory
/// are in flight; then the rest one by one.
fn by_fours<Q, R, S>(query: &[Q], rows: &[R], out: &mut [S], scan: Scan<Q, R, S>) {
    let dim = query.len();
    let (fours, rest) = out.as_chunks_mut::<4>();
    let (rows, last) = rows.split_at(fours.len() * 4 * dim);
    for (out, rows) in fours.iter_mut().zip(rows.chunks_exact(4 * dim)) {
        *out = (scan.four)(query, rows);
    }
    for (out, row) in rest.iter_mut().zip(last.chunks_exact(dim)) {
        [*out] = (scan.one)(query, row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
        a.zip(b).map(|(x, y)| x * y).sum()
    }

    proptest! {
        /// Any dimension, any number of rows, and rows that begin at any two bytes.
        #[test]
        fn every_form_agrees_with_the_naive_sum_of_f16(
            dim in 1_usize..150,
            len in 0_usize..11,
            offset in 0_usize..9,
            seed in any::<u32>(),
        ) {
            let mut values = pseudo_random(seed);
            let query: Vec<f32> = values.by_ref().take(dim).collect();
            let all: Vec<f16> =
                values.take(offset + dim * len).map(f16::from_f32).collect();
            let rows = &all[offset..];
            for form in Form::available() {
                let mut scores = vec![0.0; len];
                form.dot_f16(&query, rows, &mut scores);
                for (score, row) in scores.iter().zip(rows.chunks_exact(dim)) {
                    let naive = sum(
                        query.iter().map(|&x| f64::from(x)),
                        row.iter().map(|&x| f64::from(x)),
                    );
                    prop_assert!((f64::from(*score) - naive).abs() < 2e-5, "{form:?}");
                    let mut alone = [0.0];
                    form.dot_f16(&query, row, &mut alone);
                    prop_assert_eq!(*score, alone[0], "{:?}: neighbours change a score", form);
                }
            }
        }

        #[test]
        fn every_form_agrees_with_the_naive_sum_of_two_halves(
            pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..150),
        ) {
            let halves = |x: f32| f16::from_f32(x);
            let (a, b): (Vec<f16>, Vec<f16>) =
                pairs.iter().map(|&(x, y)| (halves(x), halves(y))).unzip();
            let naive = sum(a.iter().map(|&x| f64::from(x)), b.iter().map(|&x| f64::from(x)));
            for form in Form::available() {
                prop_assert!((f64::from(form.dot_halves(&a, &b)) - naive).abs() < 2e-5, "{form:?}");
            }
        }

        #[test]
        fn every_form_equals_the_naive_sum_of_int8(
            dim in 1_usize..150,
            len in 0_usize..11,
            offset in 0_usize..9,
            seed in any::<u32>(),
        ) {
            let mut values = pseudo_random(seed);
            let query: Vec<i16> =
                values.by_ref().take(dim).map(|x| (x * 32_767.0) as i16).collect();
            let all: Vec<i8> = values.take(offset + dim * len).map(|x| (x * 128.0) as i8).collect();
            let rows = &all[offset..];
            for form in Form::available() {
                let mut sums = vec![0; len];
                form.dot_i8(&query, rows, &mut sums);
                for (found, row) in sums.iter().zip(rows.chunks_exact(dim)) {
                    let naive = sum(
                        query.iter().map(|&x| f64::from(x)),
                        row.iter().map(|&x| f64::from(x)),
                    );
                    prop_assert_eq!(f64::from(*found), naive, "{:?}", form);
                }
            }
        }
    }

    /// Values in [-1, 1).
    fn pseudo_random(mut seed: u32) -> impl Iterator<Item = f32> {
        std::iter::repeat_with(move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
    }

    #[test]
    fn the_portable_form_is_there_and_the_best_comes_first() {
        assert!(Form::available().any(|form| form == Form::Portable));
        assert_eq!(Some(Form::best()), Form::available().next());
    }
}
