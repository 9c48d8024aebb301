//! The layers of frozen networks against their definitions, one output at a time, in every instruction set
//! of the machine, on odd sizes.

use proptest::prelude::*;
use tombolo_kernels::{
    Activation, Conv2d, Excitation, ExcitedResidual, Expansion, InvertedResidual, Isa,
    PackedLinear, Room, Stem, linear_unpacked,
};

use crate::inputs::values;

fn activate(x: f64, activation: Activation) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        }
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Swish => x * sigmoid(x),
    }
}

/// erf by its integral, in small steps.
fn erf(x: f64) -> f64 {
    let (steps, end) = (400, x.clamp(-6.0, 6.0));
    let width = end / f64::from(steps);
    let sum: f64 = (0..steps).map(|i| (-((f64::from(i) + 0.5) * width).powi(2)).exp()).sum();
    2.0 / std::f64::consts::PI.sqrt() * width * sum
}

/// activation(x · weightᵀ + bias).
fn linear_naive(x: &[f32], weight: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
    let inputs = weight.len() / bias.len();
    let rows = x.chunks_exact(inputs);
    rows.flat_map(|x| {
        weight.chunks_exact(inputs).zip(bias).map(move |(w, b)| {
            let sum: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            activate(sum + f64::from(*b), activation) as f32
        })
    })
    .collect()
}

/// A convolution with ReLU6; `weight`: `[channels out, kernel, kernel, channels in or 1]`.
fn convolution_naive(
    conv: &Conv2d,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    depthwise: bool,
) -> Vec<f32> {
    let sums = convolution_sums(conv, x, weight, bias, depthwise);
    sums.into_iter().map(|sum| sum.clamp(0.0, 6.0)).collect()
}

/// A convolution with swish.
fn convolution_swish(
    conv: &Conv2d,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    depthwise: bool,
) -> Vec<f32> {
    let sums = convolution_sums(conv, x, weight, bias, depthwise);
    sums.into_iter().map(|sum| activate(sum.into(), Activation::Swish) as f32).collect()
}

/// A convolution with nothing after it.
fn convolution_sums(
    conv: &Conv2d,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    depthwise: bool,
) -> Vec<f32> {
    let channels = x.len() / (conv.input.0 * conv.input.1);
    let depth = if depthwise { 1 } else { channels };
    let mut out = Vec::new();
    for place in 0..conv.pixels() {
        for (c, bias) in bias.iter().enumerate() {
            let mut sum = *bias;
            for tap in 0..conv.kernel * conv.kernel {
                let row = place / conv.output.1 * conv.stride + tap / conv.kernel;
                let column = place % conv.output.1 * conv.stride + tap % conv.kernel;
                let inside = |at: usize, before: usize, size: usize| {
                    at.checked_sub(before).filter(|at| *at < size)
                };
                let row = inside(row, conv.before.0, conv.input.0);
                let column = inside(column, conv.before.1, conv.input.1);
                if let (Some(row), Some(column)) = (row, column) {
                    for i in 0..depth {
                        let channel = if depthwise { c } else { i };
                        sum += x[(row * conv.input.1 + column) * channels + channel]
                            * weight[(c * conv.kernel * conv.kernel + tap) * depth + i];
                    }
                }
            }
            out.push(sum);
        }
    }
    out
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (at, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < 2e-4 * (1.0 + e.abs()), "at {at}: expected {e}, found {f}");
    }
}

/// `[channels, taps]` as `[taps, channels]`.
fn channels_last(weight: &[f32], taps: usize) -> Vec<f32> {
    (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied()).collect()
}

const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Swish,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn linear_layers_match_their_definition(
        rows in 1usize..120, inputs in 1usize..70, outputs in 1usize..80,
        activation in prop::sample::select(ACTIVATIONS.to_vec()), accumulate: bool, seed: u32,
    ) {
        let x = values(rows * inputs, seed);
        let weight: Vec<f32> = values(outputs * inputs, seed ^ 1).iter().map(|w| 0.2 * w).collect();
        let (bias, before) = (values(outputs, seed ^ 2), values(rows * outputs, seed ^ 3));
        let mut expected = linear_naive(&x, &weight, &bias, activation);
        if accumulate {
            expected.iter_mut().zip(&before).for_each(|(e, b)| *e += b);
        }
        // Two layers stacked give what one gives.
        let (first, second) = weight.split_at(outputs / 2 * inputs);
        let parts: Vec<&[f32]> = [first, second].into_iter().filter(|p| !p.is_empty()).collect();
        for isa in Isa::available() {
            let mut found = before.clone();
            PackedLinear::for_isa(isa, &parts, &bias).forward(&x, activation, accumulate, &mut found);
            assert_close(&found, &expected);
        }
        let mut found = before.clone();
        linear_unpacked(&x, &parts, &bias, activation, accumulate, &mut found);
        assert_close(&found, &expected);
    }

    #[test]
    fn a_row_gives_among_others_what_it_gives_alone(
        rows in 2usize..100, inputs in 1usize..50, outputs in 1usize..40, seed: u32,
    ) {
        let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, seed ^ 1));
        for isa in Isa::available() {
            let layer = PackedLinear::for_isa(isa, &[&weight], &values(outputs, 2));
            let run = |x: &[f32]| {
                let mut out = vec![0.0; x.len() / inputs * outputs];
                layer.forward(x, Activation::Gelu, false, &mut out);
                out
            };
            let last = (rows - 1) * inputs;
            prop_assert_eq!(&run(&x)[(rows - 1) * outputs..], &run(&x[last..])[..]);
        }
    }

    #[test]
    fn inverted_residuals_match_their_definition(
        height in 1usize..40, width in 1usize..40, channels in 1usize..20, inner in 1usize..50,
        kernel in prop::sample::select(vec![1usize, 3, 5]), stride in 1usize..3, wanted: bool,
        seed: u32,
    ) {
        let residual = wanted && stride == 1;
        let conv = Conv2d::same(kernel, stride, (height, width));
        let x = values(height * width * channels, seed);
        let outputs = if residual { channels } else { 7 };
        let weights = [
            values(inner * channels, seed ^ 1),
            values(inner * kernel * kernel, seed ^ 2),
            values(outputs * inner, seed ^ 3).iter().map(|w| 0.1 * w).collect(),
        ];
        let biases = [values(inner, seed ^ 4), values(inner, seed ^ 5), values(outputs, seed ^ 6)];
        let expanded = linear_naive(&x, &weights[0], &biases[0], Activation::Relu6);
        let filtered = convolution_naive(&conv, &expanded, &weights[1], &biases[1], true);
        let mut expected = linear_naive(&filtered, &weights[2], &biases[2], Activation::Identity);
        if residual {
            expected.iter_mut().zip(&x).for_each(|(e, x)| *e += x);
        }
        for isa in Isa::available() {
            let linear = |i: usize| PackedLinear::for_isa(isa, &[&weights[i]], &biases[i]);
            let taps = channels_last(&weights[1], kernel * kernel);
            let expansion = Expansion::Pointwise(linear(0));
            let shape = (kernel, stride);
            let block =
                InvertedResidual::new(expansion, shape, &taps, &biases[1], linear(2), residual);
            // The same room again, so that what the first picture left in it matters.
            let mut room = Room::default();
            for _ in 0..2 {
                room.picture.clone_from(&x);
                prop_assert_eq!(block.forward(&mut room, (height, width)), conv.output);
                assert_close(&room.picture, &expected);
            }
        }
    }

    #[test]
    fn excited_residuals_match_their_definition(
        height in 5usize..30, width in 5usize..30, channels in 1usize..20, expands: bool,
        kernel in prop::sample::select(vec![3usize, 5]), stride in 1usize..3,
        less in 0usize..2, wanted: bool, seed: u32,
    ) {
        let inner = if expands { 3 * channels } else { channels };
        let residual = wanted && stride == 1;
        // What is not the same on both sides of a picture is only ever used with strides.
        let before = if stride == 2 { kernel / 2 - less } else { kernel / 2 };
        let padding = (before, kernel / 2);
        let conv = Conv2d::padded(kernel, stride, (height, width), padding);
        prop_assert_eq!(conv.output.0, (before + height + kernel / 2 - kernel) / stride + 1);
        let (few, outputs) = (1 + channels / 4, if residual { channels } else { 7 });
        let x = values(height * width * channels, seed);
        let shapes = [inner * channels, inner * kernel * kernel, few * inner, inner * few, outputs * inner];
        let weights: Vec<Vec<f32>> = shapes
            .iter()
            .zip(seed..)
            .map(|(count, seed)| values(*count, seed ^ 1).iter().map(|w| 0.3 * w).collect())
            .collect();
        let biases = [inner, inner, few, inner, outputs].map(|count| values(count, seed ^ count as u32));
        let expanded = match expands {
            true => linear_naive(&x, &weights[0], &biases[0], Activation::Swish),
            false => x.clone(),
        };
        let mut filtered = convolution_swish(&conv, &expanded, &weights[1], &biases[1], true);
        let means: Vec<f32> = (0..inner)
            .map(|c| filtered.iter().skip(c).step_by(inner).sum::<f32>() / conv.pixels() as f32)
            .collect();
        let reduced = linear_naive(&means, &weights[2], &biases[2], Activation::Swish);
        let gates = linear_naive(&reduced, &weights[3], &biases[3], Activation::Identity);
        for (at, value) in filtered.iter_mut().enumerate() {
            *value /= 1.0 + (-gates[at % inner]).exp();
        }
        let mut expected = linear_naive(&filtered, &weights[4], &biases[4], Activation::Identity);
        if residual {
            expected.iter_mut().zip(&x).for_each(|(e, x)| *e += x);
        }
        for isa in Isa::available() {
            let linear = |i: usize| PackedLinear::for_isa(isa, &[&weights[i]], &biases[i]);
            let taps = channels_last(&weights[1], kernel * kernel);
            let block = ExcitedResidual::new(
                expands.then(|| linear(0)),
                ((kernel, stride), padding),
                (&taps, &biases[1]),
                Excitation { reduce: linear(2), expand: linear(3) },
                linear(4),
                residual,
            );
            let mut room = Room::default();
            for _ in 0..2 {
                room.picture.clone_from(&x);
                prop_assert_eq!(block.forward(&mut room, (height, width)), conv.output);
                assert_close(&room.picture, &expected);
            }
        }
    }

    #[test]
    fn a_stem_with_swish_matches_its_definition(
        height in 3usize..30, width in 3usize..30, outputs in 1usize..20, seed: u32,
    ) {
        let conv = Conv2d::padded(3, 2, (height, width), (0, 1));
        let (x, weight) = (values(height * width * 3, seed), values(outputs * 27, seed ^ 1));
        let bias = values(outputs, seed ^ 2);
        let stem = Stem::new(PackedLinear::new(&[&weight], &bias), (3, 2), (0, 1));
        let mut room = Room::default();
        room.picture.extend(&x);
        prop_assert_eq!(stem.forward(&mut room, (height, width)), conv.output);
        assert_close(&room.picture, &convolution_swish(&conv, &x, &weight, &bias, false));
    }

    #[test]
    fn a_stem_matches_its_definition(
        height in 2usize..30, width in 2usize..30, inner in 1usize..20, seed: u32,
    ) {
        let stem = Conv2d::same(3, 2, (height, width));
        let x = values(height * width * 3, seed);
        let weights = [values(inner * 27, seed ^ 1), values(inner * 9, seed ^ 2), values(4 * inner, seed ^ 3)];
        let biases = [values(inner, 4), values(inner, 5), values(4, 6)];
        let stemmed = convolution_naive(&stem, &x, &weights[0], &biases[0], false);
        let conv = Conv2d::same(3, 1, stem.output);
        let filtered = convolution_naive(&conv, &stemmed, &weights[1], &biases[1], true);
        let expected = linear_naive(&filtered, &weights[2], &biases[2], Activation::Identity);
        let linear = |i: usize| PackedLinear::new(&[&weights[i]], &biases[i]);
        let expansion = Expansion::Convolution(linear(0), 3, 2);
        let taps = channels_last(&weights[1], 9);
        let block = InvertedResidual::new(expansion, (3, 1), &taps, &biases[1], linear(2), false);
        let mut room = Room::default();
        room.picture.extend(x);
        prop_assert_eq!(block.forward(&mut room, (height, width)), conv.output);
        assert_close(&room.picture, &expected);
    }
}
