//! The operations of training against the same thing composed from stock operations, gradients against
//! finite differences, and independence of the number of threads, on odd sizes.

use candle_core::{D, Device, Result, Tensor, Var};
use proptest::prelude::*;
use tombolo_kernels::{
    Activation, AdamWStep, Dropout, HostValues, Matrix, Standardised, Term, adamw,
    bias_gelu_dropout, bias_gelu_dropout_gradient, bias_unit_norm, blend, infonce, linear,
    linear_composed, move_towards, product, squared_norm, supcon, supcon_composed, unit_norm,
    unit_norm_composed, unit_norm_gradient, with_values_mut,
};

use crate::inputs::{assert_close, check_gradient, compare_gradients, flat, tensor, values};

fn mask(rows: usize, cols: usize, seed: u32) -> Tensor {
    let chosen =
        |i: usize| f32::from((i as u32 ^ seed).is_multiple_of(5) || i % cols == i / cols % cols);
    Tensor::from_vec((0..rows * cols).map(chosen).collect(), (rows, cols), &Device::Cpu).unwrap()
}

#[test]
fn gradients_match_finite_differences() {
    let (x, weight, bias) = (tensor(&[70, 13], 1), tensor(&[9, 13], 2), tensor(&[9], 3));
    for activation in [Activation::Identity, Activation::Gelu] {
        check_gradient(&x, |x| linear(x, &weight, &bias, activation));
        check_gradient(&weight, |w| linear(&x, w, &bias, activation));
        check_gradient(&bias, |b| linear(&x, &weight, b, activation));
    }
    check_gradient(&x, unit_norm);
    let (queries, keys, mask) = (tensor(&[5, 7], 4), tensor(&[11, 7], 5), mask(5, 11, 6));
    check_gradient(&queries, |q| supcon(q, &keys, &mask, 2.0));
    check_gradient(&keys, |k| supcon(&queries, k, &mask, 2.0));
}

#[test]
fn infonce_leaves_its_gradient_where_the_logits_were() {
    let count = 7;
    let logits = values(count * count, 8);
    let mut gradient = logits.clone();
    let found = infonce(&mut gradient, count);
    let loss = |logits: &[f32]| infonce(&mut logits.to_vec(), count).loss;
    for i in 0..logits.len() {
        let moved = |delta: f32| {
            let mut logits = logits.clone();
            logits[i] += delta;
            loss(&logits)
        };
        let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
        assert!((numeric - gradient[i]).abs() < 1e-3, "{i}: {numeric}, {}", gradient[i]);
    }
    let scaled = |by: f32| loss(&logits.iter().map(|x| by * x).collect::<Vec<_>>());
    let numeric = (scaled(1.01) - scaled(0.99)) / 0.02;
    assert!((numeric - found.log_scale_gradient).abs() < 1e-3);
}

/// The inside of the MLP, as its documentation says it, from stock operations.
fn branch_composed(x: &Tensor, bias: &Tensor, dropout: Dropout) -> Result<Tensor> {
    let mut mask = vec![1.0; x.elem_count()];
    dropout.apply(&mut mask, x.dim(D::Minus1)?);
    x.broadcast_add(bias)?.gelu_erf()? * Tensor::from_vec(mask, x.shape(), x.device())?
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut logits, x) =
                (values(300 * 300, 11), Var::from_tensor(&tensor(&[300, 24], 12)));
            let (x, w) = (x.unwrap(), tensor(&[40, 24], 13));
            let y = linear(&x, &w, &tensor(&[40], 14), Activation::Gelu).unwrap();
            let y = unit_norm(&y).unwrap();
            let loss = supcon(&y, &tensor(&[90, 40], 15), &mask(300, 90, 16), 0.5).unwrap();
            let gradients = loss.backward().unwrap();
            let found = infonce(&mut logits, 300);
            let mut x_values = values(300 * 24, 17);
            let mut inner = vec![0.0; 300 * 24];
            let dropout = Dropout::new(3, 0.4);
            bias_gelu_dropout(&mut x_values, &values(24, 18), dropout, &mut inner);
            let sum = bias_gelu_dropout_gradient(&mut inner, &x_values, dropout, 24);
            let norm = squared_norm(&values(50_000, 19)) as f32;
            [flat(gradients.get(&x).unwrap()), logits, sum, vec![found.loss, norm]].concat()
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn values_are_changed_where_all_that_share_them_see_it() {
    let variable = Var::from_tensor(&tensor(&[3, 2], 20)).unwrap();
    let seen = variable.as_tensor().clone();
    with_values_mut(&variable, |values| values.fill(2.0)).unwrap();
    assert_eq!(&*HostValues::of(&seen).unwrap(), [2.0; 6]);
    assert!(HostValues::of(&seen.t().unwrap()).is_err());
}

#[test]
fn wrong_shapes_are_refused() {
    let (x, bias) = (tensor(&[4, 5], 0), tensor(&[3], 0));
    assert!(linear(&x, &tensor(&[3, 4], 0), &bias, Activation::Gelu).is_err());
    assert!(linear(&x, &tensor(&[2, 5], 0), &bias, Activation::Gelu).is_err());
    assert!(supcon(&x, &tensor(&[6, 5], 0), &mask(4, 7, 0), 1.0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_matches_its_composed_form(
        rows in 1usize..140, input in 1usize..40, output in 1usize..40, seed: u32,
    ) {
        let (x, w, b) = (tensor(&[rows, input], seed), tensor(&[output, input], 1), tensor(&[output], 2));
        for activation in [Activation::Identity, Activation::Gelu] {
            let fused = linear(&x, &w, &b, activation).unwrap();
            assert_close(&flat(&fused), &flat(&linear_composed(&x, &w, &b, activation).unwrap()), 1e-4);
            compare_gradients(&x, [
                &|x| linear(x, &w, &b, activation), &|x| linear_composed(x, &w, &b, activation),
            ]);
            compare_gradients(&w, [
                &|w| linear(&x, w, &b, activation), &|w| linear_composed(&x, w, &b, activation),
            ]);
        }
    }

    #[test]
    fn unit_norm_and_supcon_match_their_composed_forms(
        rows in 1usize..90, keys in 1usize..90, dim in 1usize..40, seed: u32,
    ) {
        let x = tensor(&[rows, dim], seed);
        assert_close(&flat(&unit_norm(&x).unwrap()), &flat(&unit_norm_composed(&x).unwrap()), 1e-5);
        if dim > 1 {
            compare_gradients(&x, [&unit_norm, &unit_norm_composed]);
        }
        let (keys, mask) = (tensor(&[keys, dim], seed ^ 1), mask(rows, keys, seed));
        let (fused, stock) = (supcon(&x, &keys, &mask, 3.0), supcon_composed(&x, &keys, &mask, 3.0));
        assert_close(&flat(&fused.unwrap()), &flat(&stock.unwrap()), 1e-4);
        compare_gradients(&x, [
            &|x| supcon(x, &keys, &mask, 3.0), &|x| supcon_composed(x, &keys, &mask, 3.0),
        ]);
    }

    #[test]
    fn the_inside_of_the_mlp_matches_its_composed_form(
        rows in 1usize..140, dim in 1usize..40, share in 0.0f64..0.9, seed: u32,
    ) {
        let (x, bias) = (tensor(&[rows, dim], seed), tensor(&[dim], 1));
        let dropout = Dropout::new(u64::from(seed), share);
        let (mut before, mut inner) = (flat(&x), vec![0.0; rows * dim]);
        bias_gelu_dropout(&mut before, &flat(&bias), dropout, &mut inner);
        let var = Var::from_tensor(&x).unwrap();
        let bias_var = Var::from_tensor(&bias).unwrap();
        let stock = branch_composed(&var, &bias_var, dropout).unwrap();
        assert_close(&inner, &flat(&stock), 1e-5);
        let mut grad = values(rows * dim, 97);
        let weight = Tensor::from_slice(&grad, (rows, dim), &Device::Cpu).unwrap();
        let gradients = (stock * weight).unwrap().sum_all().unwrap().backward().unwrap();
        let sum = bias_gelu_dropout_gradient(&mut grad, &before, dropout, dim);
        assert_close(&grad, &flat(gradients.get(&var).unwrap()), 1e-4);
        assert_close(&sum, &flat(gradients.get(&bias_var).unwrap()), 1e-3);
    }

    #[test]
    fn a_biased_unit_norm_matches_its_composed_form(
        rows in 1usize..90, dim in 2usize..40, seed: u32,
    ) {
        let (x, bias) = (tensor(&[rows, dim], seed), tensor(&[dim], 1));
        let (mut unit, mut inverse) = (flat(&x), vec![0.0; rows]);
        bias_unit_norm(&mut unit, &flat(&bias), &mut inverse);
        let bias = Var::from_tensor(&bias).unwrap();
        let stock = unit_norm_composed(&x.broadcast_add(&bias).unwrap()).unwrap();
        assert_close(&unit, &flat(&stock), 1e-5);
        let mut grad = values(rows * dim, 96);
        let weight = Tensor::from_slice(&grad, (rows, dim), &Device::Cpu).unwrap();
        let gradients = (stock * weight).unwrap().sum_all().unwrap().backward().unwrap();
        let sum = unit_norm_gradient(&mut grad, &unit, &inverse);
        assert_close(&sum, &flat(gradients.get(&bias).unwrap()), 1e-3);
    }

    #[test]
    fn infonce_matches_its_definition(count in 1usize..150, seed: u32) {
        let logits = Var::from_tensor(&tensor(&[count, count], seed)).unwrap();
        let eye = Tensor::eye(count, candle_core::DType::F32, &Device::Cpu).unwrap();
        let entropy = |x: &Tensor| {
            let logs = x.broadcast_sub(&x.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
            (logs * &eye)?.sum_all()? * (-0.5 / count as f64)
        };
        let rows = entropy(&logits).unwrap();
        let loss = (rows + entropy(&logits.t().unwrap().contiguous().unwrap()).unwrap()).unwrap();
        let mut found = flat(&logits);
        let fused = infonce(&mut found, count);
        assert_close(&[fused.loss], &[loss.to_scalar().unwrap()], 1e-4);
        assert_close(&found, &flat(loss.backward().unwrap().get(&logits).unwrap()), 1e-4);
    }

    #[test]
    fn blending_matches_its_definition(
        rows in 1usize..70, dim in 1usize..40, each in 1usize..5, share in 0.0f64..0.9, seed: u32,
    ) {
        let source = values(20 * dim, seed);
        let (mean, scale) = (values(dim, 1), values(dim, 2));
        let term = |i: usize| Term {
            row: (i as u32).wrapping_mul(7).wrapping_add(seed) % 20,
            share: 1.0 / each as f32,
        };
        let terms: Vec<Term> = (0..rows * each).map(term).collect();
        let dropout = Dropout::new(u64::from(seed), share);
        let mut found = vec![0.0; rows * dim];
        let standardised = Standardised { values: &source, mean: &mean, scale: &scale };
        blend(standardised, &terms, dropout, &mut found);
        let mut expected: Vec<f32> = (0..rows * dim)
            .map(|i| {
                let (terms, j) = (&terms[i / dim * each..][..each], i % dim);
                let sum: f32 = terms.iter().map(|t| t.share * source[t.row as usize * dim + j]).sum();
                (sum - mean[j]) * scale[j]
            })
            .collect();
        dropout.apply(&mut expected, dim);
        assert_close(&found, &expected, 1e-4);
    }

    #[test]
    fn the_optimizer_follows_its_formula(count in 1usize..40_000, seed: u32) {
        let (start, gradient) = (values(count, seed), values(count, seed ^ 1));
        let (mut x, mut m, mut s) = (start.clone(), values(count, 3), vec![0.5; count]);
        let step = AdamWStep {
            learning_rate: 0.1, decay: 0.2, clip: 0.5, betas: (0.9, 0.98), epsilon: 1e-8,
            corrections: (0.3, 0.4),
        };
        let first = m[count - 1];
        adamw(&mut x, &gradient, &mut m, &mut s, step);
        let g = 0.5 * gradient[count - 1];
        let (mean, square) = (0.9 * first + 0.1 * g, 0.98 * 0.5 + 0.02 * g * g);
        let change = mean / 0.3 / (square / 0.4).sqrt() + 0.2 * start[count - 1];
        assert_close(&[x[count - 1]], &[start[count - 1] - 0.1 * change], 1e-4);
        let norm: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        prop_assert!((squared_norm(&gradient) / norm - 1.0).abs() < 1e-6);
        let mut slow = start.clone();
        move_towards(&mut slow, &gradient, 0.75);
        let expected: Vec<f32> = start.iter().zip(&gradient).map(|(s, f)| 0.75 * s + 0.25 * f).collect();
        assert_close(&slow, &expected, 1e-5);
    }

    #[test]
    fn products_match_candles(m in 1usize..50, k in 1usize..50, n in 1usize..50, seed: u32) {
        let (a, b) = (tensor(&[m, k], seed), tensor(&[k, n], seed ^ 1));
        let mut found = vec![0.0; m * n];
        product(Matrix::new(&flat(&a), k), Matrix::new(&flat(&b), n), 2.0, 0.0, &mut found);
        let expected = (a.matmul(&b).unwrap() * 2.0).unwrap();
        assert_close(&found, &flat(&expected), 1e-4);
    }
}
