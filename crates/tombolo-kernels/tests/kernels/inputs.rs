//! Seeded inputs, and gradients by finite differences and by two forms.

use candle_core::{Device, Result, Tensor, Var};

/// Deterministic values of about unit size.
pub fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| 1.7 * next()).collect()
}

pub fn tensor(dims: &[usize], seed: u32) -> Tensor {
    Tensor::from_vec(values(dims.iter().product(), seed), dims, &Device::Cpu).unwrap()
}

pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The gradient of Σ f(x)·w with respect to `x`, by backward and by central differences.
pub fn check_gradient(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let var = Var::from_tensor(x).unwrap();
    let out = f(&var).unwrap();
    let weight = tensor(out.dims(), 99);
    let loss = |x: &Tensor| (f(x)? * &weight)?.sum_all()?.to_scalar::<f32>();
    let gradients = (out * &weight).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = flat(gradients.get(&var).unwrap());
    let values = flat(x);
    for i in (0..values.len()).step_by(1 + values.len() / 40) {
        let moved = |delta: f32| {
            let mut values = values.clone();
            values[i] += delta;
            loss(&Tensor::from_vec(values, x.shape(), &Device::Cpu).unwrap()).unwrap()
        };
        let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        let difference = (numeric - gradient[i]).abs();
        assert!(difference < 2e-2 * (1.0 + numeric.abs()), "{i}: {numeric}, {}", gradient[i]);
    }
}

pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (place, (f, e)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * (1.0 + e.abs());
        assert!((f - e).abs() <= allowed, "at {place}: expected {e}, found {f}");
    }
}

pub type Form<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// The gradients of the same loss by two forms of an operation.
pub fn compare_gradients(x: &Tensor, forms: [Form<'_>; 2]) {
    let gradient = |form: Form<'_>| {
        let var = Var::from_tensor(x).unwrap();
        let out = form(&var).unwrap();
        let weight = tensor(out.dims(), 98);
        let gradients = (out * weight).unwrap().sum_all().unwrap().backward().unwrap();
        flat(gradients.get(&var).unwrap())
    };
    assert_close(&gradient(forms[0]), &gradient(forms[1]), 1e-3);
}
