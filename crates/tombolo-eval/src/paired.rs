//! Whether two models differ on the same queries.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::bootstrap::intervals;
use crate::mean::mean;
use crate::{EvalError, Measure, Worth};

/// Random assignments that [`randomisation_test`] compares with.
const ASSIGNMENTS: u64 = 10_000;

/// How far two models are apart in a measure, over the queries that both answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedComparison {
    /// Mean of the first model less mean of the second.
    pub difference: f64,
    /// 95 % interval of the difference: percentile bootstrap over the queries, 1,000 resamples.
    pub ci95: [f64; 2],
    /// Two-sided probability of a difference at least as large if the models were alike: McNemar's exact test for measures
    /// that are 0 or 1, else approximate randomisation.
    pub p: f64,
}

impl PairedComparison {
    /// Compares two models by what they are worth for the same queries over the same gallery.
    ///
    /// # Errors
    /// [`EvalError::Unpaired`] if the queries are not the same; [`EvalError::NothingRelevant`] if none has an answer.
    /// # Panics
    /// As [`Worth::values`].
    pub fn new(
        first: &Worth,
        second: &Worth,
        measure: Measure,
        seed: u64,
    ) -> Result<Self, EvalError> {
        let (first, second) = (first.values(measure), second.values(measure));
        if first.len() != second.len() {
            return Err(EvalError::Unpaired { expected: first.len(), found: second.len() });
        }
        if first.is_empty() {
            return Err(EvalError::NothingRelevant { queries: 0 });
        }
        let differences: Vec<f64> = first.iter().zip(&second).map(|(a, b)| a - b).collect();
        let of_drawn = |drawn: &[usize]| {
            vec![drawn.iter().map(|&query| differences[query]).sum::<f64>() / drawn.len() as f64]
        };
        let p = match measure {
            Measure::Recall(_) => {
                let found_by_one = |sign: f64| differences.iter().filter(|d| **d == sign).count();
                mcnemar_test(found_by_one(1.0), found_by_one(-1.0))
            }
            _ => randomisation_test(&differences, seed),
        };
        let ci95 = intervals(differences.len(), of_drawn)[0];
        Ok(Self { difference: mean(&differences), ci95, p })
    }
}

/// McNemar's exact test (1947): the two-sided probability that, of the queries that only one of two models answers, so many
/// or more fall to one of them, if each falls to either with the same probability.
pub fn mcnemar_test(only_first: usize, only_second: usize) -> f64 {
    let (discordant, fewer) = (only_first + only_second, only_first.min(only_second));
    // ln of C(n, i) ÷ 2ⁿ, from i to i + 1.
    let mut term = -(discordant as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=fewer {
        tail += term.exp();
        term += ((discordant - i) as f64 / (i + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Approximate randomisation (Noreen 1989; Smucker et al. 2007, for retrieval): the two-sided probability of a mean
/// difference at least as large if it were chance which of the two models gave which value of a query.
///
/// (1 + c) ÷ (1 + 10,000), with c how many of 10,000 random assignments reach the difference. ChaCha8, one stream an
/// assignment.
pub fn randomisation_test(differences: &[f64], seed: u64) -> f64 {
    let total = differences.iter().sum::<f64>().abs();
    // Sums in another order may differ in their last bits.
    let bound = total - 1e-9 * differences.iter().map(|d| d.abs()).sum::<f64>();
    // A query in which the models agree adds nothing, whichever way it falls.
    let moving: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let reached = (0..ASSIGNMENTS).into_par_iter().filter(|&assignment| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(assignment);
        let sums = moving.chunks(64).map(|chunk| {
            let signs: u64 = rng.random();
            let signed = chunk.iter().enumerate();
            signed.map(|(bit, &d)| if signs >> bit & 1 == 1 { d } else { -d }).sum::<f64>()
        });
        sums.sum::<f64>().abs() >= bound
    });
    (1 + reached.count()) as f64 / (1 + ASSIGNMENTS) as f64
}

/// Holm's correction (1979) for several tests at once: p-values that may be held against a level as they are.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut corrected, mut largest) = (vec![0.0; p.len()], 0.0_f64);
    for (place, index) in order.into_iter().enumerate() {
        largest = largest.max((p[index] * (p.len() - place) as f64).min(1.0));
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rankings;

    #[test]
    fn mcnemar_is_the_binomial_test() {
        assert_eq!(mcnemar_test(0, 0), 1.0);
        assert_eq!(mcnemar_test(3, 3), 1.0);
        // 2 · (1 + 5) ÷ 2⁵, by hand.
        assert!((mcnemar_test(1, 4) - 0.375).abs() < 1e-12);
        assert!((mcnemar_test(4, 1) - mcnemar_test(1, 4)).abs() < 1e-15);
        assert!(mcnemar_test(20_000, 10_000) < 1e-300);
    }

    #[test]
    fn randomisation_of_few_queries_nears_the_whole_of_their_assignments() {
        // Four of the sixteen assignments of 1, 1, 1, -1 … reach |2|: those with three or one, and four or none: 10.
        let p = randomisation_test(&[1.0, 1.0, 1.0, -1.0, 0.0], 3);
        assert!((p - 10.0 / 16.0).abs() < 0.02, "{p}");
        assert_eq!(randomisation_test(&[0.0; 5], 0), 1.0);
        assert!(randomisation_test(&[0.5; 40], 0) < 2e-4);
    }

    #[test]
    fn holm_keeps_the_order_and_never_passes_one() {
        let found = holm(&[0.01, 0.04, 0.03, 0.9]);
        for (found, expected) in found.iter().zip([0.04, 0.09, 0.09, 0.9]) {
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn a_model_that_answers_more_is_told_apart() {
        let answered = |to: usize| {
            let lists = (0..100).map(|q| vec![if q < to { 1 } else { 5 + q }]);
            Worth::from(&Rankings::from_lists(lists))
        };
        let compare = |a, b, measure| PairedComparison::new(&answered(a), &answered(b), measure, 0);
        let apart = compare(60, 40, Measure::Recall(1)).unwrap();
        assert!((apart.difference - 0.2).abs() < 1e-12 && apart.p < 1e-5);
        assert!(apart.ci95[0] > 0.1 && apart.ci95[1] < 0.3, "{:?}", apart.ci95);
        let alike = compare(50, 50, Measure::MapOfAll).unwrap();
        assert_eq!((alike.difference, alike.ci95, alike.p), (0.0, [0.0, 0.0], 1.0));
        let one = Worth::from(&Rankings::from_lists([vec![1]]));
        let error = PairedComparison::new(&one, &answered(3), Measure::Recall(1), 0).unwrap_err();
        assert!(matches!(error, EvalError::Unpaired { expected: 1, found: 100 }));
    }
}
