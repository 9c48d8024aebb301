//! From a score to the probability that a query and an item match.

use serde::{Deserialize, Serialize};

/// Bins of equal width that [`Calibration::expected_error`] sorts probabilities into.
const BINS: usize = 15;

/// Steps after which a fit that still moves is taken as it is.
const STEPS: usize = 100;

/// Match probability of a score: p = 1 / (1 + exp(−(slope·score + intercept))), Platt 1999.
///
/// The probability of a match among pairs of which half match: one half means that a score is as likely for
/// a pair that matches as for a pair drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Per unit of score.
    pub slope: f64,
    /// Added to slope · score.
    pub intercept: f64,
}

impl Calibration {
    /// Fits the scores of pairs that match and of pairs that do not, each kind weighing one half, by
    /// maximum likelihood (Newton's method). None if a kind is missing or the scores do not differ.
    pub fn fit(matches: &[f64], others: &[f64]) -> Option<Self> {
        if matches.is_empty() || others.is_empty() {
            return None;
        }
        let (mean, deviation) = spread(matches, others);
        if deviation.is_nan() || deviation <= 0.0 {
            return None;
        }
        let mut fit = Self { slope: 0.0, intercept: 0.0 };
        for _ in 0..STEPS {
            let [along_slope, along_intercept] = fit.newton_step(matches, others, mean, deviation);
            fit.slope += along_slope;
            fit.intercept += along_intercept;
            if along_slope.abs() + along_intercept.abs() < 1e-9 {
                break;
            }
        }
        let slope = fit.slope / deviation;
        let found = Self { slope, intercept: fit.intercept - slope * mean };
        (found.slope.is_finite() && found.intercept.is_finite()).then_some(found)
    }

    /// The probability of a match at this score.
    pub fn probability(&self, score: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * score + self.intercept)).exp())
    }

    /// The score at which a match has this probability.
    pub fn score(&self, probability: f64) -> f64 {
        ((probability / (1.0 - probability)).ln() - self.intercept) / self.slope
    }

    /// Expected calibration error: over 15 bins of probability, the mean distance between the
    /// probability and the share of matches, weighed by what lies in the bin (Guo et al. 2017). Pairs that
    /// match and pairs that do not weigh one half each, as in [`Calibration::fit`].
    pub fn expected_error(&self, matches: &[f64], others: &[f64]) -> f64 {
        // Of each bin: the weight of what lies in it, of its matches, and its summed probability.
        let mut bins = [[0.0; 3]; BINS];
        for (scores, matching) in [(matches, 1.0), (others, 0.0)] {
            let weight = 0.5 / scores.len().max(1) as f64;
            for &score in scores {
                let probability = self.probability(score);
                let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
                bins[bin][0] += weight;
                bins[bin][1] += weight * matching;
                bins[bin][2] += weight * probability;
            }
        }
        bins.iter().map(|[_, matching, probability]| (matching - probability).abs()).sum()
    }

    /// One step of Newton's method on standardised scores, with a touch of ridge so that kinds that can be
    /// told apart without error keep a finite slope.
    fn newton_step(&self, matches: &[f64], others: &[f64], mean: f64, deviation: f64) -> [f64; 2] {
        const RIDGE: f64 = 1e-6;
        let mut gradient = [-RIDGE * self.slope, 0.0];
        let mut hessian = [RIDGE, 0.0, 1e-12];
        for (scores, target) in [(matches, 1.0), (others, 0.0)] {
            let weight = 0.5 / scores.len() as f64;
            for score in scores {
                let x = (score - mean) / deviation;
                let p = self.probability(x);
                gradient[0] += weight * (target - p) * x;
                gradient[1] += weight * (target - p);
                let curvature = weight * p * (1.0 - p);
                hessian[0] += curvature * x * x;
                hessian[1] += curvature * x;
                hessian[2] += curvature;
            }
        }
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        [
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
        ]
    }
}

/// Mean and standard deviation of the scores, each kind weighing one half.
fn spread(matches: &[f64], others: &[f64]) -> (f64, f64) {
    let halves = |of: &dyn Fn(f64) -> f64| {
        let half =
            |scores: &[f64]| scores.iter().map(|&s| of(s)).sum::<f64>() / scores.len() as f64;
        0.5 * (half(matches) + half(others))
    };
    let mean = halves(&|score| score);
    (mean, halves(&|score| (score - mean).powi(2)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of pairs that match and of others, whose log odds of a match are 20·score − 8; as many of
    /// either kind.
    fn kinds() -> (Vec<f64>, Vec<f64>) {
        let (mut matches, mut others) = (Vec::new(), Vec::new());
        for step in 0..=80 {
            let score = f64::from(step) / 100.0;
            let share = 1.0 / (1.0 + (8.0 - 20.0 * score).exp());
            let count = (1000.0 * share).round() as usize;
            matches.extend(vec![score; count]);
            others.extend(vec![score; 1000 - count]);
        }
        (matches, others)
    }

    #[test]
    fn finds_the_odds_that_the_scores_were_made_with() {
        let (matches, others) = kinds();
        let fit = Calibration::fit(&matches, &others).unwrap();
        assert!((fit.slope - 20.0).abs() < 0.1 && (fit.intercept + 8.0).abs() < 0.05, "{fit:?}");
        assert!((fit.probability(0.4) - 0.5).abs() < 0.01);
        assert!((fit.score(fit.probability(0.47)) - 0.47).abs() < 1e-9);
        assert!(fit.expected_error(&matches, &others) < 0.01);
    }

    #[test]
    fn the_error_of_a_wrong_calibration_is_seen() {
        let (matches, others) = kinds();
        let boastful = Calibration { slope: 20.0, intercept: -5.0 };
        assert!(boastful.expected_error(&matches, &others) > 0.1);
    }

    #[test]
    fn separable_kinds_keep_a_finite_slope_and_nothing_gives_nothing() {
        let fit = Calibration::fit(&[0.8, 0.9], &[0.1, 0.2]).unwrap();
        assert!(fit.probability(0.85) > 0.95 && fit.probability(0.15) < 0.05);
        assert_eq!(Calibration::fit(&[], &[0.1]), None);
        assert_eq!(Calibration::fit(&[0.3, 0.3], &[0.3]), None);
    }
}
