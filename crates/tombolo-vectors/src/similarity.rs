/// Partial sums kept side by side, so that the compiler can use vector registers.
const LANES: usize = 16;

/// Dot product, Σ aᵢ·bᵢ, in f32; for unit vectors, the cosine.
///
/// The order of the additions depends on the length only, so equal inputs give equal bits.
///
/// # Panics
/// If the two differ in length.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "a dot product needs two vectors of one length");
    let mut sums = [0.0_f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + tail
}

/// Euclidean norm, √(Σ vᵢ²), accumulated in f64.
pub fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32
}

/// Scales a vector to unit norm. A zero vector, which has no direction, stays as it is.
pub fn normalize(vector: &mut [f32]) {
    let length = norm(vector);
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_unit_vector_has_norm_one_and_zero_stays_zero() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_sum(pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..200)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let naive: f64 = pairs.iter().map(|&(x, y)| f64::from(x) * f64::from(y)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - naive).abs() < 1e-4);
        }
    }
}
