use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const RESAMPLES: u64 = 1_000;
const SEED: u64 = 0x746f_6d62_6f6c_6f00;

/// 95 % percentile bootstrap interval of the share of queries for which something held.
///
/// 1,000 resamples of the queries with replacement, ChaCha8 from a fixed seed, one stream per
/// resample, so that the interval is the same on every machine. Percentiles 2.5 and 97.5 are
/// interpolated linearly, as by `numpy.percentile`. Efron and Tibshirani 1993, chapter 13.
pub(crate) fn interval_of_share(held: &[bool]) -> [f64; 2] {
    let mut shares: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .map(|resample| {
            let mut rng = ChaCha8Rng::seed_from_u64(SEED);
            rng.set_stream(resample);
            let len = held.len() as u64;
            let hits = (0..len).filter(|_| held[rng.random_range(0..len) as usize]).count();
            hits as f64 / held.len() as f64
        })
        .collect();
    shares.sort_unstable_by(f64::total_cmp);
    [percentile(&shares, 0.025), percentile(&shares, 0.975)]
}

fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    low + (high - low) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_normal_approximation() {
        let held: Vec<bool> = (0..1_000).map(|i| i % 10 < 3).collect();
        let [low, high] = interval_of_share(&held);
        let half = 1.96 * (0.3_f64 * 0.7 / 1_000.0).sqrt();
        assert!((low - (0.3 - half)).abs() < 0.004, "{low}");
        assert!((high - (0.3 + half)).abs() < 0.004, "{high}");
        assert_eq!(interval_of_share(&held), [low, high]);
    }

    #[test]
    fn what_always_holds_has_no_width() {
        assert_eq!(interval_of_share(&[true; 7]), [1.0, 1.0]);
    }

    #[test]
    fn percentiles_are_interpolated() {
        assert_eq!(percentile(&[0.0, 10.0, 20.0], 0.25), 5.0);
    }
}
