//! Inverted residuals with squeeze-and-excitation (Hu et al. 2018) and swish, as in EfficientNet (Tan and Le 2019).
//!
//! Expansion and depthwise convolution go a strip of rows at a time, as in [`crate::InvertedResidual`]; what they give
//! must lie in memory as a whole, because the factors of its channels are known only when all of it is there.

use crate::activation::{Activation, add_bias_activate};
use crate::conv::{Conv2d, patches};
use crate::depthwise::Depthwise;
use crate::inverted::{PIXELS, Room};
use crate::packed::PackedLinear;
use crate::simd::multiversioned;
use crate::tiles::Places;

/// A network's first convolution, followed by swish.
pub struct Stem {
    linear: PackedLinear,
    kernel: usize,
    stride: usize,
    padding: (usize, usize),
}

impl Stem {
    /// # Shapes
    /// `linear`: `[outputs, kernel · kernel · channels]`; `padding`: zeros before and after, on each side of a picture.
    pub fn new(
        linear: PackedLinear,
        (kernel, stride): (usize, usize),
        padding: (usize, usize),
    ) -> Self {
        Self { linear, kernel, stride, padding }
    }

    /// Height and width of the output for an input of this size.
    pub fn output_size(&self, size: (usize, usize)) -> (usize, usize) {
        self.convolution(size).output
    }

    fn convolution(&self, size: (usize, usize)) -> Conv2d {
        Conv2d::padded(self.kernel, self.stride, size, self.padding)
    }

    /// Runs the convolution on the calling thread, from `room` to `room`. Returns the output's height and width.
    ///
    /// # Shapes
    /// `room.picture` before: `[height, width, channels]`, after: `[height out, width out, outputs]`.
    ///
    /// # Panics
    /// If the length of the picture does not agree with `size`.
    pub fn forward(&self, room: &mut Room, size: (usize, usize)) -> (usize, usize) {
        let conv = self.convolution(size);
        let channels = self.linear.inputs() / (self.kernel * self.kernel);
        let line = conv.output.1 * self.linear.outputs();
        let Room { picture, output, patches: rows, .. } = room;
        output.resize(conv.output.0 * line, 0.0);
        rows.resize(conv.output.1 * self.linear.inputs(), 0.0);
        for (row, out) in output.chunks_exact_mut(line).enumerate() {
            patches(&conv, picture, channels, row..row + 1, rows);
            self.linear.forward(rows, Activation::Swish, false, out);
        }
        std::mem::swap(picture, output);
        conv.output
    }
}

/// A factor for each channel, from the mean of all channels: σ(expand(swish(reduce(mean)))).
pub struct Excitation {
    /// From all channels to a few, followed by swish.
    pub reduce: PackedLinear,
    /// From these to all, followed by the logistic function.
    pub expand: PackedLinear,
}

impl Excitation {
    /// The factors, for channels that have these means.
    fn factors(&self, means: &[f32]) -> Vec<f32> {
        let mut few = vec![0.0; self.reduce.outputs()];
        self.reduce.forward(means, Activation::Swish, false, &mut few);
        let mut factors = vec![0.0; self.expand.outputs()];
        self.expand.forward(&few, Activation::Identity, false, &mut factors);
        factors.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
        factors
    }
}

/// Expansion, depthwise convolution, excitation, projection, and the sum with the input if there is a residual branch.
/// The activation after the first two is swish.
pub struct ExcitedResidual {
    expansion: Option<PackedLinear>,
    depthwise: Depthwise,
    padding: (usize, usize),
    excitation: Excitation,
    project: PackedLinear,
    residual: bool,
}

impl ExcitedResidual {
    /// Puts a block together; without an expansion the depthwise convolution reads the input itself.
    ///
    /// # Shapes
    /// `kernel`: side and stride of the depthwise convolution; `weight`: `[side, side, channels]`, `bias`: `[channels]`;
    /// `padding`: zeros before and after, on each side of the picture.
    ///
    /// # Panics
    /// If the shapes do not agree, or a residual is asked for where input and output cannot be added.
    pub fn new(
        expansion: Option<PackedLinear>,
        (kernel, padding): ((usize, usize), (usize, usize)),
        (weight, bias): (&[f32], &[f32]),
        excitation: Excitation,
        project: PackedLinear,
        residual: bool,
    ) -> Self {
        let depthwise = Depthwise::new(project.isa(), kernel, weight, bias).unlimited();
        let channels = bias.len();
        let inputs = expansion.as_ref().map_or(channels, PackedLinear::inputs);
        let expanded = expansion.as_ref().map_or(channels, PackedLinear::outputs);
        let widths = [expanded, excitation.reduce.inputs(), excitation.expand.outputs()];
        assert!(widths == [channels; 3] && project.inputs() == channels, "channels");
        assert_eq!(excitation.reduce.outputs(), excitation.expand.inputs(), "excitation");
        let keeps = kernel.1 == 1 && padding.0 + padding.1 + 1 == kernel.0;
        assert!(!residual || (keeps && inputs == project.outputs()), "a residual branch");
        Self { expansion, depthwise, padding, excitation, project, residual }
    }

    /// Channels of the input.
    pub fn inputs(&self) -> usize {
        self.expansion.as_ref().map_or(self.project.inputs(), PackedLinear::inputs)
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.project.outputs()
    }

    /// Height and width of the output for an input of this size.
    pub fn output_size(&self, size: (usize, usize)) -> (usize, usize) {
        self.convolution(size).output
    }

    fn convolution(&self, size: (usize, usize)) -> Conv2d {
        Conv2d::padded(self.depthwise.kernel, self.depthwise.stride, size, self.padding)
    }

    /// Runs the block on the calling thread, from `room` to `room`. Returns the output's height and width.
    ///
    /// # Shapes
    /// `room.picture` before: `[height, width, channels in]`, after: `[height out, width out, channels out]`.
    ///
    /// # Panics
    /// If the length of the picture does not agree with `size`.
    pub fn forward(&self, room: &mut Room, size: (usize, usize)) -> (usize, usize) {
        assert_eq!(room.picture.len(), size.0 * size.1 * self.inputs(), "input of a block");
        let conv = self.convolution(size);
        let pixel = self.depthwise.pixel;
        let mut means = vec![0.0; pixel];
        self.convolve(room, size, &conv, &mut means);
        means.iter_mut().for_each(|mean| *mean /= conv.pixels() as f32);
        let mut factors = self.excitation.factors(&means[..self.project.inputs()]);
        factors.resize(pixel, 0.0);
        scale_rows(&mut room.inner, &factors);
        let places = Places::plain(self.project.outputs());
        let inner = (&room.inner[..], pixel);
        // With a residual branch the sum replaces the input.
        if self.residual {
            let out = &mut room.picture;
            self.project.forward_to(inner, Activation::Identity, true, places, out);
        } else {
            room.output.resize(conv.pixels() * self.project.outputs(), 0.0);
            let out = &mut room.output;
            self.project.forward_to(inner, Activation::Identity, false, places, out);
            std::mem::swap(&mut room.picture, &mut room.output);
        }
        conv.output
    }

    /// Expansion and depthwise convolution into `room.inner`; the sums of its channels are added to `sums`.
    fn convolve(&self, room: &mut Room, size: (usize, usize), conv: &Conv2d, sums: &mut [f32]) {
        let pixel = self.depthwise.pixel;
        let rows = PIXELS.div_ceil(conv.output.1).min(conv.output.0);
        let line = conv.output.1 * pixel;
        let bias = vec![0.0; pixel];
        let Room { picture, strip, inner, .. } = room;
        strip.start(conv, rows, pixel);
        inner.resize(conv.output.0 * line, 0.0);
        for first in (0..conv.output.0).step_by(rows) {
            let rows = rows.min(conv.output.0 - first);
            strip.advance(conv, first, rows, |lines, places, room| {
                let line = size.1 * self.inputs();
                self.expand(&picture[lines.start * line..lines.end * line], places, room);
            });
            let inner = &mut inner[first * line..(first + rows) * line];
            self.depthwise.forward(&strip.lines, strip.width, (rows, conv.output.1), inner);
            add_bias_activate(inner, &bias, Activation::Swish);
            add_rows(inner, sums);
        }
    }

    /// Expands lines of the input, or copies them, to `places` of `room`.
    fn expand(&self, x: &[f32], places: Places, room: &mut [f32]) {
        if let Some(linear) = &self.expansion {
            let x = (x, linear.inputs());
            return linear.forward_to(x, Activation::Swish, false, places, room);
        }
        let channels = self.inputs();
        for (row, x) in x.chunks_exact(channels).enumerate() {
            room[places.of(row)..][..channels].copy_from_slice(x);
        }
    }
}

multiversioned! {
    /// Adds rows as long as `sums` to it.
    fn add_rows(rows: &[f32], sums: &mut [f32]) {
        for row in rows.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    }
}

multiversioned! {
    /// Multiplies rows as long as `factors` by them.
    fn scale_rows(rows: &mut [f32], factors: &[f32]) {
        for row in rows.chunks_exact_mut(factors.len()) {
            row.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
        }
    }
}
