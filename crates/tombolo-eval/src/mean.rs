//! Means in NumPy's order of additions, so that its figures and ours agree in every digit.

/// Below this many values, eight running sums; above, halves (Higham 1993, pairwise summation).
const BLOCK: usize = 128;
const LANES: usize = 8;

/// Arithmetic mean, as `numpy.mean` of a contiguous f64 array; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

/// Sum, as `numpy.sum` of a contiguous f64 array. Its error grows with the logarithm of the
/// length only.
pub(crate) fn sum(values: &[f64]) -> f64 {
    if values.len() < LANES {
        // From 0: Rust's own sum of nothing is −0.
        return values.iter().fold(0.0, |sum, value| sum + value);
    }
    if values.len() > BLOCK {
        let half = values.len() / 2;
        let (low, high) = values.split_at(half - half % LANES);
        return sum(low) + sum(high);
    }
    let (first, rest) = values.split_at(LANES);
    let (blocks, tail) = rest.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    sums.copy_from_slice(first);
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(sum, value)| *sum += value);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    tail.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `python -c "import numpy; print(repr(numpy.mean(1 / numpy.arange(1, n + 1))))"`, NumPy 2.4.6.
    #[test]
    fn equals_numpy_bit_for_bit() {
        let inverse = |n: u32| mean(&(1..=n).map(|i| 1.0 / f64::from(i)).collect::<Vec<_>>());
        assert_eq!(inverse(7), 0.37040816326530607);
        assert_eq!(inverse(8), 0.3397321428571428);
        assert_eq!(inverse(127), 0.04271917002038718);
        assert_eq!(inverse(129), 0.042177511864912164);
        assert_eq!(inverse(1000), 0.007485470860550345);
        assert_eq!(inverse(5003), 0.0018179309640408512);
    }

    #[test]
    fn the_sum_of_nothing_is_zero_without_a_sign() {
        assert!(sum(&[]).is_sign_positive());
    }
}
