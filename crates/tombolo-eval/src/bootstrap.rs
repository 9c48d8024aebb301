use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const RESAMPLES: u64 = 1_000;
const SEED: u64 = 0x746f_6d62_6f6c_6f00;

/// What statistics come to on 1,000 resamples of the queries with replacement, `[1_000][statistics]`.
///
/// `of` gets the drawn queries, as many as there are, and appends its statistics. ChaCha8 from a fixed seed, one stream
/// a resample, so that the draws are the same on every machine. `salt` 0 and 1 draw independently of each other.
pub(crate) fn resampled(
    queries: usize,
    salt: u64,
    of: impl Fn(&[usize]) -> Vec<f64> + Sync,
) -> Vec<Vec<f64>> {
    let len = queries as u64;
    (0..RESAMPLES)
        .into_par_iter()
        .map_init(Vec::new, |drawn, resample| {
            let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ salt);
            rng.set_stream(resample);
            drawn.clear();
            drawn.extend((0..len).map(|_| rng.random_range(0..len) as usize));
            of(drawn)
        })
        .collect()
}

/// 95 % percentile bootstrap intervals of statistics over queries, one each, in the order of `of`.
///
/// Efron and Tibshirani 1993, chapter 13.
pub(crate) fn intervals(queries: usize, of: impl Fn(&[usize]) -> Vec<f64> + Sync) -> Vec<[f64; 2]> {
    let drawn = resampled(queries, 0, of);
    let statistics = drawn.first().map_or(0, Vec::len);
    (0..statistics)
        .map(|statistic| interval(drawn.iter().map(|values| values[statistic]).collect()))
        .collect()
}

/// Percentiles 2.5 and 97.5, interpolated linearly, as by `numpy.percentile`.
pub(crate) fn interval(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    [percentile(&values, 0.025), percentile(&values, 0.975)]
}

fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    low + (high - low) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(values: &[f64]) -> [f64; 2] {
        let mean = |drawn: &[usize]| {
            vec![drawn.iter().map(|&query| values[query]).sum::<f64>() / drawn.len() as f64]
        };
        intervals(values.len(), mean)[0]
    }

    #[test]
    fn the_interval_is_that_of_the_normal_approximation() {
        let held: Vec<f64> = (0..1_000).map(|i| f64::from(u8::from(i % 10 < 3))).collect();
        let [low, high] = share(&held);
        let half = 1.96 * (0.3_f64 * 0.7 / 1_000.0).sqrt();
        assert!((low - (0.3 - half)).abs() < 0.004, "{low}");
        assert!((high - (0.3 + half)).abs() < 0.004, "{high}");
        assert_eq!(share(&held), [low, high]);
    }

    #[test]
    fn what_always_holds_has_no_width() {
        assert_eq!(share(&[1.0; 7]), [1.0, 1.0]);
    }

    #[test]
    fn percentiles_are_interpolated() {
        assert_eq!(percentile(&[0.0, 10.0, 20.0], 0.25), 5.0);
    }

    #[test]
    fn another_salt_draws_otherwise() {
        let drawn = |salt| resampled(9, salt, |drawn| drawn.iter().map(|&q| q as f64).collect());
        assert_ne!(drawn(0), drawn(1));
    }
}
