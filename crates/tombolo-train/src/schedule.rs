//! Learning rates over a stage.

use std::f64::consts::PI;

/// Share of the steps in which the learning rate rises.
const WARM_UP: f64 = 0.1;

/// One cycle: a linear rise over the first tenth of the steps, then half a cosine down to a hundredth.
///
/// `step` counts from 0; returns the learning rate for it.
pub fn one_cycle(peak: f64, step: usize, steps: usize) -> f64 {
    let rise = (steps as f64 * WARM_UP).max(1.0);
    let step = step as f64;
    if step < rise {
        return peak * (step + 1.0) / rise;
    }
    let fall = ((step - rise) / (steps as f64 - rise).max(1.0)).min(1.0);
    peak * (0.01 + 0.99 * 0.5 * (1.0 + (PI * fall).cos()))
}

#[cfg(test)]
mod tests {
    use super::one_cycle;

    #[test]
    fn rises_to_the_peak_and_falls_to_a_hundredth() {
        let rates: Vec<f64> = (0..100).map(|step| one_cycle(2.0, step, 100)).collect();
        assert!((rates[9] - 2.0).abs() < 1e-9 && rates[0] < 0.3);
        assert!(rates[..10].is_sorted() && rates[10..].is_sorted_by(|a, b| a >= b));
        assert!((rates[99] - 0.02).abs() < 0.01);
    }
}
