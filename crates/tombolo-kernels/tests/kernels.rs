//! Each fused operation against the same thing composed from stock operations, and each gradient against
//! finite differences, on odd sizes.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Result, Tensor, Var};
use proptest::prelude::*;
use tombolo_kernels::{
    Activation, attention, attention_composed, bias_activation, layer_norm, layer_norm_composed,
};

/// Deterministic values of about unit size.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| 1.7 * next()).collect()
}

fn tensor(dims: &[usize], seed: u32) -> Tensor {
    let count = dims.iter().product();
    Tensor::from_vec(values(count, seed), dims, &Device::Cpu).unwrap()
}

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims());
    let difference = (found - expected).unwrap().abs().unwrap().flatten_all().unwrap();
    let largest = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(largest < tolerance, "largest difference {largest}");
}

/// The gradient of Σ f(x)·w with respect to `x`, by backward and by central differences.
fn check_gradient(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let var = Var::from_tensor(x).unwrap();
    let out = f(&var).unwrap();
    let weight = tensor(out.dims(), 99);
    let loss = |x: &Tensor| (f(x)? * &weight)?.sum_all()?.to_scalar::<f32>();
    let gradients = (out * &weight).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();

    let flat = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let step = 1e-2;
    for i in (0..flat.len()).step_by(1 + flat.len() / 40) {
        let moved = |delta: f32| {
            let mut flat = flat.clone();
            flat[i] += delta;
            loss(&Tensor::from_vec(flat, x.shape(), &Device::Cpu).unwrap()).unwrap()
        };
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        assert!(
            (numeric - gradient[i]).abs() < 2e-2 * (1.0 + numeric.abs()),
            "at {i}: expected {numeric}, found {}",
            gradient[i]
        );
    }
}

const SMOOTH: [Activation; 5] = [
    Activation::Identity,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Swish,
];

#[test]
fn gradients_match_finite_differences() {
    let (weight, bias) = (tensor(&[13], 1), tensor(&[13], 2));
    let x = tensor(&[70, 13], 3);
    check_gradient(&x, |x| layer_norm(x, &weight, &bias, 1e-5));
    check_gradient(&weight, |w| layer_norm(&x, w, &bias, 1e-5));
    check_gradient(&bias, |b| layer_norm(&x, &weight, b, 1e-5));
    for activation in SMOOTH {
        check_gradient(&x, |x| bias_activation(x, &bias, activation));
        check_gradient(&bias, |b| bias_activation(&x, b, activation));
    }
    let qkv = tensor(&[13, 3 * 10], 4);
    check_gradient(&qkv, |qkv| attention(qkv, 2, &[7, 1, 5]));
}

#[test]
fn a_sequence_among_others_gives_what_it_gives_alone() {
    let (first, second) = (tensor(&[3, 24], 5), tensor(&[4, 24], 6));
    let both = Var::from_tensor(&Tensor::cat(&[&first, &second], 0).unwrap()).unwrap();
    let alone = attention(&first, 2, &[3]).unwrap();
    let inside = attention(&both, 2, &[3, 4]).unwrap().narrow(0, 0, 3).unwrap();
    assert_close(&inside, &alone, 1e-6);
    let gradients = inside.sum_all().unwrap().backward().unwrap();
    let of_second = gradients.get(&both).unwrap().narrow(0, 3, 4).unwrap();
    assert_eq!(of_second.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn gradients_match_those_of_the_composed_forms() {
    let x = Var::from_tensor(&tensor(&[130, 24], 7)).unwrap();
    let (w, b) = (tensor(&[24], 8), tensor(&[24], 9));
    let fused = layer_norm(&x, &w, &b, 1e-5).unwrap().sqr().unwrap().backward().unwrap();
    let stock = layer_norm_composed(&x, &w, &b, 1e-5).unwrap().sqr().unwrap().backward().unwrap();
    assert_close(fused.get(&x).unwrap(), stock.get(&x).unwrap(), 1e-3);

    let qkv = Var::from_tensor(&tensor(&[14, 48], 10)).unwrap();
    let fused = attention(&qkv, 4, &[9, 5]).unwrap().sqr().unwrap().backward().unwrap();
    let stock = attention_composed(&qkv, 4, &[9, 5]).unwrap().sqr().unwrap().backward().unwrap();
    assert_close(fused.get(&qkv).unwrap(), stock.get(&qkv).unwrap(), 1e-4);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = Var::from_tensor(&tensor(&[300, 24], 11)).unwrap();
            let w = Var::from_tensor(&tensor(&[24], 12)).unwrap();
            let y = layer_norm(&x, &w, &tensor(&[24], 13), 1e-5).unwrap();
            let y = bias_activation(&y, &w, Activation::Gelu).unwrap();
            let gradients = y.sqr().unwrap().backward().unwrap();
            gradients.get(&w).unwrap().to_vec1::<f32>().unwrap()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn wrong_shapes_are_refused() {
    assert!(attention(&tensor(&[4, 30], 0), 4, &[4]).is_err());
    assert!(attention(&tensor(&[4, 24], 0), 2, &[5]).is_err());
    assert!(attention(&tensor(&[4, 24], 0), 2, &[4, 0]).is_err());
    assert!(layer_norm(&tensor(&[2, 5], 0), &tensor(&[4], 0), &tensor(&[4], 0), 1e-5).is_err());
    assert!(bias_activation(&tensor(&[2, 5], 0), &tensor(&[4], 0), Activation::Gelu).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn fused_forms_match_composed_ones(
        batch in 1usize..4, tokens in 1usize..20, heads in 1usize..4, head in 1usize..9, seed: u32,
    ) {
        let dim = heads * head;
        let lengths: Vec<usize> = (0..batch).map(|i| 1 + (tokens + 7 * i) % 19).collect();
        let qkv = tensor(&[lengths.iter().sum(), 3 * dim], seed);
        let fused = attention(&qkv, heads, &lengths).unwrap();
        assert_close(&fused, &attention_composed(&qkv, heads, &lengths).unwrap(), 1e-5);

        let (w, b) = (tensor(&[3 * dim], 1), tensor(&[3 * dim], 2));
        let fused = layer_norm(&qkv, &w, &b, 1e-5).unwrap();
        assert_close(&fused, &layer_norm_composed(&qkv, &w, &b, 1e-5).unwrap(), 1e-4);

        let sum = qkv.broadcast_add(&b).unwrap();
        let gelu = bias_activation(&qkv, &b, Activation::Gelu).unwrap();
        assert_close(&gelu, &sum.gelu_erf().unwrap(), 1e-5);
        let inner = sum.clone();
        let sigmoid = |f: f64| (((&inner * -f).unwrap().exp().unwrap() + 1.0).unwrap()).recip().unwrap();
        for (activation, expected) in [
            (Activation::GeluTanh, sum.gelu().unwrap()),
            (Activation::QuickGelu, (&sum * sigmoid(1.702)).unwrap()),
            (Activation::Swish, (&sum * sigmoid(1.0)).unwrap()),
        ] {
            assert_close(&bias_activation(&qkv, &b, activation).unwrap(), &expected, 1e-5);
        }
        let relu6 = bias_activation(&qkv, &b, Activation::Relu6).unwrap();
        assert_close(&relu6, &sum.clamp(0f32, 6f32).unwrap(), 1e-6);
    }
}
