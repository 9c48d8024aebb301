//! The layers of frozen networks on one thread: `cargo bench -p tombolo-kernels --bench frozen`.
//!
//! `gemm` is the same product by the crate that the tensor library uses, without bias and activation.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tombolo_kernels::{
    Activation, Expansion, InvertedResidual, Mask, PackedLinear, Room, attend, normalise,
};

fn main() {
    divan::main();
}

/// Rows, inputs and outputs: MiniLM's and ViT-S's MLP, their attention, two blocks of EfficientNet-Lite0.
const SHAPES: [(usize, usize, usize); 5] =
    [(128, 384, 1536), (128, 1536, 384), (128, 384, 1152), (3136, 96, 24), (196, 112, 672)];

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (0.37 * i as f32).sin()).collect()
}

/// Floating-point operations of a product.
fn operations((rows, inputs, outputs): (usize, usize, usize)) -> ItemsCount {
    ItemsCount::new(2 * rows * inputs * outputs)
}

#[divan::bench(args = SHAPES)]
fn linear_gelu(bencher: Bencher<'_, '_>, shape: (usize, usize, usize)) {
    let (rows, inputs, outputs) = shape;
    let layer = PackedLinear::new(&[&values(outputs * inputs)], &values(outputs));
    let (x, mut out) = (values(rows * inputs), vec![0.0; rows * outputs]);
    bencher.counter(operations(shape)).bench_local(|| {
        layer.forward(black_box(&x), Activation::Gelu, false, &mut out);
    });
}

#[divan::bench(args = SHAPES)]
fn gemm(bencher: Bencher<'_, '_>, shape: (usize, usize, usize)) {
    let (rows, inputs, outputs) = shape;
    let (x, weight) = (values(rows * inputs), values(outputs * inputs));
    let mut out = vec![0.0; rows * outputs];
    bencher.counter(operations(shape)).bench_local(|| {
        // SAFETY: the slices hold the matrices that the strides describe.
        unsafe {
            gemm::gemm(
                rows,
                outputs,
                inputs,
                out.as_mut_ptr(),
                1,
                outputs as isize,
                false,
                x.as_ptr(),
                1,
                inputs as isize,
                weight.as_ptr(),
                inputs as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    });
}

/// Sequences of one length, MiniLM's twelve heads of 32.
#[divan::bench(args = [8, 14, 32, 128])]
fn attention(bencher: Bencher<'_, '_>, length: usize) {
    let (qkv, mut out) = (values(length * 3 * 384), vec![0.0; length * 384]);
    bencher
        .counter(ItemsCount::new(length))
        .bench_local(|| attend(black_box(&qkv), 12, Mask::None, &[length], &mut out));
}

#[divan::bench]
fn layer_norm(bencher: Bencher<'_, '_>) {
    let (mut rows, weight, bias) = (values(128 * 384), values(384), values(384));
    bencher.counter(ItemsCount::new(128usize)).bench_local(|| {
        normalise(black_box(&mut rows), &weight, &bias, 1e-5);
    });
}

/// Side, channels and kernel of blocks of EfficientNet-Lite0.
#[divan::bench(args = [(56, 24, 3), (28, 40, 5), (14, 112, 5), (7, 192, 5)])]
fn inverted_residual(bencher: Bencher<'_, '_>, (side, channels, kernel): (usize, usize, usize)) {
    let inner = 6 * channels;
    let linear = |inputs: usize, outputs: usize| {
        PackedLinear::new(&[&values(outputs * inputs)], &values(outputs))
    };
    let expansion = Expansion::Pointwise(linear(channels, inner));
    let taps = values(inner * kernel * kernel);
    let project = linear(inner, channels);
    let block = InvertedResidual::new(expansion, (kernel, 1), &taps, &values(inner), project, true);
    let mut room = Room::default();
    room.picture.extend(values(side * side * channels));
    let operations = 2 * side * side * inner * (2 * channels + kernel * kernel);
    bencher
        .counter(ItemsCount::new(operations))
        .bench_local(|| block.forward(black_box(&mut room), (side, side)));
}
