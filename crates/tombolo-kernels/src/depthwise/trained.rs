//! Depthwise convolution with gradients, for networks that are trained further.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::Depthwise;
use crate::activation::sum_in_order;
use crate::conv::{Conv2d, inside};
use crate::host::{operand, with_values};
use crate::lanes::Isa;
use crate::simd::multiversioned;

/// Pictures a task.
const PICTURES: usize = 4;

/// Channels at a time on the way back: what one picture and all taps hold of them fits the innermost cache.
const CHANNELS: usize = 64;

/// Depthwise convolution, bias and ReLU6 of pictures with channels last.
///
/// # Shapes
/// `x`: `[pictures · height · width, channels]`, `weight`: `[kernel · kernel, channels]`, `bias`: `[channels]`, all f32,
/// sizes as in `conv`. Returns `[pictures · height out · width out, channels]`.
/// # Errors
/// If the shapes do not agree, or a tensor is not f32.
pub fn depthwise(x: &Tensor, weight: &Tensor, bias: &Tensor, conv: Conv2d) -> Result<Tensor> {
    let ((rows, channels), taps) = (x.dims2()?, conv.kernel * conv.kernel);
    let picture = conv.input.0 * conv.input.1;
    if rows % picture != 0 || weight.dims() != [taps, channels] || bias.dims() != [channels] {
        bail!(
            "depthwise: expected pictures of {picture} pixels, {taps} taps and one bias for {channels} channels, found {rows} rows, {:?} and {:?}",
            weight.dims(),
            bias.dims()
        );
    }
    if !x.device().is_cpu() {
        return depthwise_composed(x, weight, bias, conv);
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Trained(conv))
}

/// [`depthwise`] from stock candle operations: for other devices, and to compare with.
///
/// # Errors
/// As [`depthwise`].
pub fn depthwise_composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    conv: Conv2d,
) -> Result<Tensor> {
    let (rows, channels) = x.dims2()?;
    let (height, width) = conv.input;
    let pictures = x.reshape((rows / (height * width), height, width, channels))?;
    let pictures = pictures.permute((0, 3, 1, 2))?;
    let after = |side: usize, before: usize, output: usize| {
        (conv.reach(output)).saturating_sub(side + before)
    };
    let (below, right) =
        (after(height, conv.before.0, conv.output.0), after(width, conv.before.1, conv.output.1));
    let padded = pictures.pad_with_zeros(2, conv.before.0, below)?;
    let padded = padded.pad_with_zeros(3, conv.before.1, right)?.contiguous()?;
    let kernel = weight.t()?.reshape((channels, 1, conv.kernel, conv.kernel))?;
    let out = padded.conv2d(&kernel, 0, conv.stride, 1, channels)?;
    let out = out.permute((0, 2, 3, 1))?.reshape(((), channels))?;
    out.broadcast_add(bias)?.clamp(0f32, 6f32)
}

/// The operation of candle.
struct Trained(Conv2d);

impl Trained {
    fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let (conv, channels) = (self.0, bias.len());
        let layer = Depthwise::new(Isa::best(), (conv.kernel, conv.stride), weight, bias);
        let picture = conv.input.0 * conv.input.1 * channels;
        let width = conv.reach(conv.output.1).max(conv.before.1 + conv.input.1);
        let height = conv.reach(conv.output.0).max(conv.before.0 + conv.input.0);
        let mut out = vec![0.0; x.len() / picture * conv.pixels() * channels];
        let room =
            || (vec![0.0; height * width * layer.pixel], vec![0.0; conv.pixels() * layer.pixel]);
        out.par_chunks_mut(conv.pixels() * channels).zip(x.par_chunks(picture)).for_each_init(
            room,
            |(lines, pixels), (out, x)| {
                let places = (0..conv.input.0).flat_map(|y| (0..conv.input.1).map(move |x| (y, x)));
                for ((y, column), values) in places.zip(x.chunks_exact(channels)) {
                    let pixel = (conv.before.0 + y) * width + conv.before.1 + column;
                    lines[pixel * layer.pixel..][..channels].copy_from_slice(values);
                }
                layer.forward(lines, width, conv.output, pixels);
                let pixels = pixels.chunks_exact(layer.pixel);
                for (out, pixel) in out.chunks_exact_mut(channels).zip(pixels) {
                    out.copy_from_slice(&pixel[..channels]);
                }
            },
        );
        out
    }

    /// The gradients of input, weight and bias, from that of the output, `res` being the output.
    fn backward(&self, x: &[f32], weight: &[f32], res: &[f32], grad: &[f32]) -> [Vec<f32>; 3] {
        let conv = self.0;
        let channels = weight.len() / (conv.kernel * conv.kernel);
        let picture = conv.input.0 * conv.input.1 * channels;
        let output = conv.pixels() * channels;
        let mut grad_x = vec![0.0; x.len()];
        let partial: (Vec<_>, Vec<_>) = grad_x
            .par_chunks_mut(PICTURES * picture)
            .zip(x.par_chunks(PICTURES * picture))
            .zip(res.par_chunks(PICTURES * output).zip(grad.par_chunks(PICTURES * output)))
            .map(|((grad_x, x), (res, grad))| {
                let (mut of_weight, mut of_bias) = (vec![0.0; weight.len()], vec![0.0; channels]);
                let mut through = grad.to_vec();
                close_gates(&mut through, res, &mut of_bias);
                let pictures = grad_x.chunks_exact_mut(picture).zip(x.chunks_exact(picture));
                for ((grad_x, x), through) in pictures.zip(through.chunks_exact(output)) {
                    let given = Given { conv: &conv, channels, x, weight, through };
                    spread(&given, grad_x, &mut of_weight);
                }
                (of_weight, of_bias)
            })
            .unzip();
        let of_weight = sum_in_order(&partial.0, weight.len());
        [grad_x, of_weight, sum_in_order(&partial.1, channels)]
    }
}

impl CustomOp3 for Trained {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = operand(x, x_layout, self.name())?;
        let weight = operand(weight, weight_layout, self.name())?;
        let bias = operand(bias, bias_layout, self.name())?;
        let out = self.forward(x, weight, bias);
        let rows = out.len() / bias.len();
        Ok((CpuStorage::F32(out), (rows, bias.len()).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [of_x, of_weight, of_bias] = with_values(x, |x| {
            with_values(weight, |weight| {
                with_values(res, |res| {
                    with_values(grad, |grad| self.backward(x, weight, res, grad))
                })
            })
        })????;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(of_x, x.shape(), device)?),
            Some(Tensor::from_vec(of_weight, weight.shape(), device)?),
            Some(Tensor::from_vec(of_bias, bias.shape(), device)?),
        ))
    }
}

multiversioned! {
    /// Keeps of `grad` what ReLU6 let through, and adds it up over the pixels.
    fn close_gates(grad: &mut [f32], res: &[f32], sum: &mut [f32]) {
        let rows = grad.chunks_exact_mut(sum.len()).zip(res.chunks_exact(sum.len()));
        for (grad, res) in rows {
            for ((g, y), s) in grad.iter_mut().zip(res).zip(sum.iter_mut()) {
                *g = if *y > 0.0 && *y < 6.0 { *g } else { 0.0 };
                *s += *g;
            }
        }
    }
}

/// One picture on the way back.
struct Given<'a> {
    conv: &'a Conv2d,
    channels: usize,
    x: &'a [f32],
    weight: &'a [f32],
    /// The gradient before ReLU6.
    through: &'a [f32],
}

multiversioned! {
    /// Adds each output's gradient to the pixels and the taps that made it.
    fn spread(given: &Given<'_>, grad_x: &mut [f32], grad_weight: &mut [f32]) {
        let Given { conv, channels, x, weight, through } = *given;
        for first in (0..channels).step_by(CHANNELS) {
            let count = CHANNELS.min(channels - first);
            for output in 0..conv.pixels() {
                let (row, column) = (output / conv.output.1, output % conv.output.1);
                let from = &through[output * channels + first..][..count];
                for i in inside(conv, row, conv.before.0, conv.input.0) {
                    let line = (row * conv.stride + i - conv.before.0) * conv.input.1;
                    for j in inside(conv, column, conv.before.1, conv.input.1) {
                        let pixel = line + column * conv.stride + j - conv.before.1;
                        let (pixel, tap) = (pixel * channels, (i * conv.kernel + j) * channels);
                        let (pixel, tap) = (pixel + first, tap + first);
                        let x = &x[pixel..pixel + count];
                        let weight = &weight[tap..tap + count];
                        let of_x = &mut grad_x[pixel..pixel + count];
                        let of_weight = &mut grad_weight[tap..tap + count];
                        for c in 0..count {
                            of_x[c] += from[c] * weight[c];
                            of_weight[c] += from[c] * x[c];
                        }
                    }
                }
            }
        }
    }
}
