//! Each fused operation against the same thing composed from stock operations, and each gradient against
//! finite differences, on odd sizes.

use candle_core::{Tensor, Var};
use proptest::prelude::*;
use tombolo_kernels::{
    Activation, attention, attention_composed, bias_activation, layer_norm, layer_norm_composed,
    masked_softmax, masked_softmax_composed, residual_layer_norm, residual_layer_norm_composed,
};

use crate::inputs::{check_gradient, tensor};

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(found.dims(), expected.dims());
    let difference = (found - expected).unwrap().abs().unwrap().flatten_all().unwrap();
    let largest = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(largest < tolerance, "largest difference {largest}");
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
        assert_close(&fused, &attention_composed(&qkv, heads, &lengths).unwrap(), 1e-5);

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
}
