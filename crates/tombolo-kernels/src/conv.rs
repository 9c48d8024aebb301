//! Convolutions of one picture, channels last: what the MobileNet and EfficientNet families are made of.
//!
//! They run on the calling thread. Pictures are independent, so a batch uses all cores by one picture a
//! core, whose activations then stay in that core's cache; stock candle runs a depthwise convolution as
//! hundreds of grouped ones instead, forty times slower.

use crate::activation::{Activation, add_bias_activate};
use crate::matmul::{Block, multiply};
use crate::simd::multiversioned;

/// Channels summed side by side, in registers.
const LANES: usize = 16;

/// Pixels of a pointwise convolution between the product and its activation: few enough to stay cached.
const PIXELS: usize = 192;

/// The geometry of a square convolution over a picture `[height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Side of the kernel in pixels.
    pub kernel: usize,
    /// Step between outputs in pixels.
    pub stride: usize,
    /// Height and width of the input in pixels.
    pub input: (usize, usize),
    /// Rows of zeros above and columns of zeros left of the input.
    pub before: (usize, usize),
    /// Height and width of the output in pixels.
    pub output: (usize, usize),
}

impl Conv2d {
    /// TensorFlow's `SAME` padding: the output has ⌈input ÷ stride⌉ pixels a side, and where the padding
    /// is odd, the extra row or column of zeros lies below or right.
    pub fn same(kernel: usize, stride: usize, input: (usize, usize)) -> Self {
        let output = (input.0.div_ceil(stride), input.1.div_ceil(stride));
        let before = |input: usize, output: usize| {
            ((output - 1) * stride + kernel).saturating_sub(input) / 2
        };
        let before = (before(input.0, output.0), before(input.1, output.1));
        Self { kernel, stride, input, before, output }
    }

    /// Number of output pixels.
    pub fn pixels(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// The input pixels under the kernel at one output pixel, with the place in the kernel of each.
    #[inline(always)]
    fn taps(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { kernel, stride, input, before, .. } = *self;
        let inside = move |centre: usize, step: usize, before: usize, size: usize| {
            (centre * stride + step).checked_sub(before).filter(|&at| at < size)
        };
        (0..kernel).flat_map(move |i| {
            let row = inside(y, i, before.0, input.0);
            (0..kernel).filter_map(move |j| {
                let column = inside(x, j, before.1, input.1)?;
                Some((row? * input.1 + column, i * kernel + j))
            })
        })
    }
}

/// Depthwise convolution, bias and activation.
///
/// # Shapes
/// `input`: `[height, width, channels]`, `weight`: `[kernel, kernel, channels]`, `bias`: `[channels]`,
/// `out`: `[output height, output width, channels]`.
///
/// # Panics
/// If the lengths of the slices do not agree with `conv`.
pub fn depthwise(
    conv: &Conv2d,
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    out: &mut [f32],
) {
    let channels = bias.len();
    assert_eq!(
        input.len(),
        conv.input.0 * conv.input.1 * channels,
        "input of a depthwise convolution"
    );
    assert_eq!(
        weight.len(),
        conv.kernel * conv.kernel * channels,
        "weight of a depthwise convolution"
    );
    assert_eq!(out.len(), conv.pixels() * channels, "output of a depthwise convolution");
    sum_taps(conv, input, weight, channels, out);
    add_bias_activate(out, bias, activation);
}

multiversioned! {
    fn sum_taps(conv: &Conv2d, input: &[f32], weight: &[f32], channels: usize, out: &mut [f32]) {
        for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
            let (y, x) = (pixel / conv.output.1, pixel % conv.output.1);
            let mut taps = [(0, 0); 49];
            let mut count = 0;
            for (place, tap) in conv.taps(y, x) {
                taps[count] = (place * channels, tap * channels);
                count += 1;
            }
            let mut blocks = out.chunks_exact_mut(LANES);
            for (block, out) in blocks.by_ref().enumerate() {
                let start = block * LANES;
                let mut sum = [0.0f32; LANES];
                for &(place, tap) in &taps[..count] {
                    let x = &input[place + start..place + start + LANES];
                    let w = &weight[tap + start..tap + start + LANES];
                    for i in 0..LANES {
                        sum[i] += x[i] * w[i];
                    }
                }
                out.copy_from_slice(&sum);
            }
            let rest = blocks.into_remainder();
            let start = channels - rest.len();
            for (i, out) in rest.iter_mut().enumerate() {
                let products = taps[..count].iter().map(|&(place, tap)| {
                    input[place + start + i] * weight[tap + start + i]
                });
                *out = products.sum();
            }
        }
    }
}

/// Pointwise (1 × 1) convolution, bias, activation, and the sum with a residual branch if there is one.
///
/// # Shapes
/// `input`: `[pixels, channels in]`, `weight`: `[channels in, channels out]`, `bias`: `[channels out]`,
/// `out` and `residual`: `[pixels, channels out]`.
///
/// # Panics
/// If the lengths of the slices do not agree.
pub fn pointwise(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
    residual: Option<&[f32]>,
    out: &mut [f32],
) {
    let (channels_in, channels_out) = (weight.len() / bias.len(), bias.len());
    assert_eq!(weight.len(), channels_in * channels_out, "weight of a pointwise convolution");
    assert_eq!(
        input.len() * channels_out,
        out.len() * channels_in,
        "sides of a pointwise convolution"
    );
    let weight = Block::new(weight, channels_in, channels_out, channels_out);
    let chunks = input.chunks(PIXELS * channels_in).zip(out.chunks_mut(PIXELS * channels_out));
    for (index, (input, out)) in chunks.enumerate() {
        let input = Block::new(input, input.len() / channels_in, channels_in, channels_in);
        multiply(input, weight, 1.0, out, channels_out);
        add_bias_activate(out, bias, activation);
        if let Some(residual) = residual {
            let residual = &residual[index * PIXELS * channels_out..];
            out.iter_mut().zip(residual).for_each(|(out, r)| *out += r);
        }
    }
}

/// The pixels under the kernel at each output pixel, side by side, zero outside the picture: what turns
/// a full convolution into a pointwise one.
///
/// # Shapes
/// `input`: `[height, width, channels]`. Returns `[output pixels, kernel · kernel · channels]`.
///
/// # Panics
/// If the length of `input` does not agree with `conv`.
pub fn patches(conv: &Conv2d, input: &[f32], channels: usize) -> Vec<f32> {
    assert_eq!(input.len(), conv.input.0 * conv.input.1 * channels, "input of a convolution");
    let width = conv.kernel * conv.kernel * channels;
    let mut out = vec![0.0; conv.pixels() * width];
    for (pixel, out) in out.chunks_exact_mut(width).enumerate() {
        for (place, tap) in conv.taps(pixel / conv.output.1, pixel % conv.output.1) {
            out[tap * channels..][..channels]
                .copy_from_slice(&input[place * channels..][..channels]);
        }
    }
    out
}
