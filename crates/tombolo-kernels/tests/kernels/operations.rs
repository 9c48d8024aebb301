//! Each fused operation against the same thing composed from stock operations, and each gradient against
//! finite differences, on odd sizes.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;
use tombolo_kernels::{
    Activation, Conv2d, Mask, attend, attention, attention_composed, attention_masked,
    bias_activation, depthwise, depthwise_composed, layer_norm, layer_norm_composed,
    masked_softmax, masked_softmax_composed, pool, ranked_pool, residual_layer_norm,
    residual_layer_norm_composed,
};

use crate::inputs::{check_gradient, tensor};

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims());
    let difference = (found - expected).unwrap().abs().unwrap().flatten_all().unwrap();
    let largest = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(largest < tolerance, "largest difference {largest}");
}

/// 1 where a sum is as far from both ends of ReLU6 as `less` and `more` are from it, else 0.
fn away_from_kinks(less: &Tensor, more: &Tensor) -> Tensor {
    let values = |out: &Tensor| out.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let part = |out: f32| (out > 0.0, out < 6.0);
    let both = values(less).into_iter().zip(values(more));
    let clear: Vec<f32> = both.map(|(less, more)| f32::from(part(less) == part(more))).collect();
    Tensor::from_vec(clear, less.dims(), less.device()).unwrap()
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
    let residual = tensor(&[70, 13], 5);
    check_gradient(&x, |x| residual_layer_norm(x, &residual, &weight, &bias, 1e-5));
    check_gradient(&residual, |r| residual_layer_norm(&x, r, &weight, &bias, 1e-5));
    check_gradient(&weight, |w| residual_layer_norm(&x, &residual, w, &bias, 1e-5));
    check_gradient(&bias, |b| residual_layer_norm(&x, &residual, &weight, b, 1e-5));
    let lengths: Vec<usize> = (0..70).map(|row| 1 + row % 13).collect();
    check_gradient(&x, |x| masked_softmax(x, &lengths));
    // Far enough apart for a step not to change their order.
    let apart = (0..70 * 13).map(|i| (i * 7919 % 910) as f32 * 0.025).collect::<Vec<_>>();
    let apart = Tensor::from_vec(apart, (70, 13), &Device::Cpu).unwrap();
    check_gradient(&apart, |x| pool(x, &[30, 0, 2, 38], 3));
    let weights = tensor(&[70], 6);
    check_gradient(&apart, |x| ranked_pool(x, &weights, &[30, 0, 2, 38]));
    check_gradient(&weights, |w| ranked_pool(&x, w, &[30, 0, 2, 38]));
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
    let stock = attention_composed(&qkv, 4, Mask::None, &[9, 5]).unwrap();
    let stock = stock.sqr().unwrap().backward().unwrap();
    assert_close(fused.get(&qkv).unwrap(), stock.get(&qkv).unwrap(), 1e-4);
}

#[test]
fn under_a_causal_mask_a_row_sees_what_it_would_see_as_the_last() {
    let qkv = tensor(&[9, 48], 12);
    let lengths = [5, 4];
    let causal = attention_masked(&qkv, 4, Mask::Causal, &lengths).unwrap();
    for (first, length) in [(0, 5), (5, 4)] {
        for place in 0..length {
            let prefix = qkv.narrow(0, first, place + 1).unwrap();
            let alone = attention(&prefix, 4, &[place + 1]).unwrap();
            let expected = alone.narrow(0, place, 1).unwrap();
            assert_close(&causal.narrow(0, first + place, 1).unwrap(), &expected, 1e-5);
        }
    }
    let composed = attention_composed(&qkv, 4, Mask::Causal, &lengths).unwrap();
    assert_close(&composed, &causal, 1e-5);
    let mut out = vec![0.0; 9 * 16];
    let values = qkv.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    attend(&values, 4, Mask::Causal, &lengths, &mut out);
    assert_close(&Tensor::from_vec(out, (9, 16), &Device::Cpu).unwrap(), &causal, 1e-6);
    let variable = Var::from_tensor(&qkv).unwrap();
    let gradient = |out: Tensor| out.sqr().unwrap().backward().unwrap();
    let fused = gradient(attention_masked(&variable, 4, Mask::Causal, &lengths).unwrap());
    let stock = gradient(attention_composed(&variable, 4, Mask::Causal, &lengths).unwrap());
    assert_close(fused.get(&variable).unwrap(), stock.get(&variable).unwrap(), 1e-4);
}

/// The mean of each component's `top` largest values, by sorting.
fn mean_of_largest(rows: &[Vec<f32>], component: usize, top: usize) -> f32 {
    let mut column: Vec<f32> = rows.iter().map(|row| row[component]).collect();
    column.sort_by(|a, b| b.total_cmp(a));
    let top = top.min(column.len());
    column[..top].iter().sum::<f32>() / top as f32
}

#[test]
fn pooling_takes_the_mean_and_the_mean_of_the_largest() {
    let x = tensor(&[70, 13], 3);
    let rows = x.to_vec2::<f32>().unwrap();
    let pooled = pool(&x, &[30, 0, 2, 38], 3).unwrap().to_vec2::<f32>().unwrap();
    for (run, range) in [(0, 0..30), (2, 30..32), (3, 32..70)] {
        let rows = &rows[range];
        for component in 0..13 {
            let mean = rows.iter().map(|row| row[component]).sum::<f32>() / rows.len() as f32;
            assert!((pooled[run][component] - mean).abs() < 1e-5);
            let largest = mean_of_largest(rows, component, 3);
            assert!((pooled[run][13 + component] - largest).abs() < 1e-5);
        }
    }
    assert_eq!(pooled[1], [0.0; 26]);
    assert!(pool(&x, &[30, 41], 3).is_err());
    assert!(pool(&x, &[70], 0).is_err());
}

#[test]
fn pooling_by_rank_weights_values_by_their_places() {
    let (x, runs) = (tensor(&[70, 13], 3), [30, 0, 2, 38]);
    // Equal weights of the first three, and of all where a run has fewer, are the mean of the largest.
    let weights: [Vec<f32>; 4] = runs.map(|run: usize| {
        let top = run.min(3);
        (0..run).map(|place| if place < top { 1.0 / top as f32 } else { 0.0 }).collect()
    });
    let weights = Tensor::from_vec(weights.concat(), 70, &Device::Cpu).unwrap();
    let ranked = ranked_pool(&x, &weights, &runs).unwrap();
    let largest = pool(&x, &runs, 3).unwrap().narrow(1, 13, 13).unwrap();
    assert_close(&ranked, &largest, 1e-6);
    let smallest = Tensor::new(&[0f32, 0.0, 1.0], &Device::Cpu).unwrap();
    let rows = Tensor::new(&[[1f32, 7.0], [3.0, 5.0], [2.0, 6.0]], &Device::Cpu).unwrap();
    let found = ranked_pool(&rows, &smallest, &[3]).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(found, [[1.0, 5.0]]);
    assert!(ranked_pool(&x, &smallest, &[70]).is_err());
    assert!(ranked_pool(&rows, &smallest, &[2]).is_err());
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        threads.install(|| {
            let x = Var::from_tensor(&tensor(&[300, 24], 11)).unwrap();
            let w = Var::from_tensor(&tensor(&[24], 12)).unwrap();
            let y = layer_norm(&x, &w, &tensor(&[24], 13), 1e-5).unwrap();
            let y = bias_activation(&y, &w, Activation::Gelu).unwrap();
            let conv = Conv2d::same(3, 2, (5, 5));
            let y = depthwise(&y, &tensor(&[9, 24], 14), &w, conv).unwrap();
            let pooled = pool(&y, &[60, 48], 4).unwrap().narrow(1, 0, 24).unwrap();
            let pooled =
                (pooled + ranked_pool(&y, &tensor(&[108], 15), &[60, 48]).unwrap()).unwrap();
            let gradients = pooled.sqr().unwrap().backward().unwrap();
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
    let (wide, narrow) = (tensor(&[2, 5], 0), tensor(&[2, 4], 0));
    let five = tensor(&[5], 0);
    assert!(residual_layer_norm(&wide, &narrow, &five, &five, 1e-5).is_err());
    assert!(residual_layer_norm(&narrow, &narrow, &five, &five, 1e-5).is_err());
    assert!(masked_softmax(&wide, &[5, 6]).is_err());
    assert!(masked_softmax(&wide, &[5, 0]).is_err());
    assert!(masked_softmax(&wide, &[5]).is_err());
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
        assert_close(&fused, &attention_composed(&qkv, heads, Mask::None, &lengths).unwrap(), 1e-5);

        let (w, b) = (tensor(&[3 * dim], 1), tensor(&[3 * dim], 2));
        let fused = layer_norm(&qkv, &w, &b, 1e-5).unwrap();
        assert_close(&fused, &layer_norm_composed(&qkv, &w, &b, 1e-5).unwrap(), 1e-4);

        let residual = tensor(&[lengths.iter().sum(), 3 * dim], seed ^ 1);
        let fused = residual_layer_norm(&qkv, &residual, &w, &b, 1e-5).unwrap();
        let composed = residual_layer_norm_composed(&qkv, &residual, &w, &b, 1e-5).unwrap();
        assert_close(&fused, &composed, 1e-4);
        let kept: Vec<usize> = (0..qkv.dims()[0]).map(|row| 1 + (row * 5) % (3 * dim)).collect();
        let fused = masked_softmax(&qkv, &kept).unwrap();
        assert_close(&fused, &masked_softmax_composed(&qkv, &kept).unwrap(), 1e-5);

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

    #[test]
    fn depthwise_convolutions_match_their_composed_form(
        side in 1usize..12, wider in 0usize..3, channels in 1usize..90, five: bool,
        stride in 1usize..3, pictures in 1usize..7, seed: u32,
    ) {
        let kernel = if five { 5 } else { 3 };
        let conv = Conv2d::same(kernel, stride, (side, side + wider));
        let pixels = side * (side + wider);
        let x = Var::from_tensor(&tensor(&[pictures * pixels, channels], seed)).unwrap();
        let w = Var::from_tensor(&tensor(&[kernel * kernel, channels], seed ^ 1)).unwrap();
        let b = Var::from_tensor(&tensor(&[channels], seed ^ 2)).unwrap();
        let fused = depthwise(&x, &w, &b, conv).unwrap();
        let composed = depthwise_composed(&x, &w, &b, conv).unwrap();
        assert_close(&fused, &composed, 1e-4);
        // At an end of ReLU6 the last bit of a sum decides whether there is a slope.
        let shifted = |by: f64| depthwise_composed(&x, &w, &(b.as_tensor() + by).unwrap(), conv).unwrap();
        let clear = away_from_kinks(&shifted(-1e-4), &shifted(1e-4));
        let weight = (tensor(fused.dims(), 98) * clear).unwrap();
        let fused = (fused * &weight).unwrap().backward().unwrap();
        let composed = (composed * &weight).unwrap().backward().unwrap();
        for variable in [&x, &w, &b] {
            assert_close(fused.get(variable).unwrap(), composed.get(variable).unwrap(), 2e-3);
        }
    }
}
