//! Inverted residuals (Sandler et al. 2018), a strip of output rows at a time.
//!
//! The expanded picture is six times as large as the block's input and never lies in memory as a whole: the
//! lines under the depthwise kernel are expanded into a buffer that fits the core's cache, convolved, and
//! projected before the next lines come.

use std::ops::Range;

use crate::activation::Activation;
use crate::conv::{Conv2d, patches};
use crate::depthwise::Depthwise;
use crate::packed::PackedLinear;
use crate::tiles::Places;

/// Output pixels of a strip, at least: enough for whole tiles, few enough to stay cached.
pub(crate) const PIXELS: usize = 98;

/// What fills the lines that the depthwise convolution reads.
pub enum Expansion {
    /// A pointwise convolution of the block's input.
    Pointwise(PackedLinear),
    /// A full convolution, the network's stem: its linear layer, `[outputs, kernel · kernel · channels]`,
    /// its kernel and its stride.
    Convolution(PackedLinear, usize, usize),
}

/// Expansion, depthwise convolution, projection, and the sum with the input if there is a residual branch.
/// The activation after the first two is ReLU6.
pub struct InvertedResidual {
    expansion: Expansion,
    depthwise: Depthwise,
    project: PackedLinear,
    residual: bool,
}

impl InvertedResidual {
    /// Puts a block together.
    ///
    /// # Shapes
    /// `kernel`: side and stride of the depthwise convolution; `weight`: `[side, side, channels]`, `bias`:
    /// `[channels]`, the channels being the outputs of `expansion` and the inputs of `project`.
    ///
    /// # Panics
    /// If the shapes do not agree, or a residual is asked for where input and output cannot be added.
    pub fn new(
        expansion: Expansion,
        kernel: (usize, usize),
        weight: &[f32],
        bias: &[f32],
        project: PackedLinear,
        residual: bool,
    ) -> Self {
        let depthwise = Depthwise::new(project.isa(), kernel, weight, bias);
        let (Expansion::Pointwise(first) | Expansion::Convolution(first, ..)) = &expansion;
        assert_eq!((first.outputs(), project.inputs()), (bias.len(), bias.len()), "channels");
        let adds = matches!(&expansion, Expansion::Pointwise(first) if first.inputs() == project.outputs());
        assert!(!residual || (adds && kernel.1 == 1), "a residual branch needs equal sides");
        Self { expansion, depthwise, project, residual }
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.project.outputs()
    }

    /// Height and width of the output for an input of this size.
    pub fn output_size(&self, size: (usize, usize)) -> (usize, usize) {
        self.convolution(size).output
    }

    /// Runs the block on the calling thread, from `room` to `room`. Returns the output's height and width.
    ///
    /// # Shapes
    /// `room.picture` before: `[height, width, channels in]`, after: `[height out, width out, channels out]`.
    ///
    /// # Panics
    /// If the length of the picture does not agree with `size`.
    pub fn forward(&self, room: &mut Room, size: (usize, usize)) -> (usize, usize) {
        let conv = self.convolution(size);
        let rows = PIXELS.div_ceil(conv.output.1).min(conv.output.0);
        let (line, pixel) = (conv.output.1 * self.project.outputs(), self.depthwise.pixel);
        let Room { picture, output, strip, inner, patches } = room;
        strip.start(&conv, rows, pixel);
        inner.resize(rows * conv.output.1 * pixel, 0.0);
        // With a residual branch the output replaces the input: a row is written after the last time that
        // a line is expanded from it.
        if !self.residual {
            output.resize(conv.output.0 * line, 0.0);
        }
        for first in (0..conv.output.0).step_by(rows) {
            let rows = rows.min(conv.output.0 - first);
            strip.advance(&conv, first, rows, |lines, places, room| {
                self.expand(picture, size, lines, places, (patches, room));
            });
            let inner = &mut inner[..rows * conv.output.1 * pixel];
            let shape = (rows, conv.output.1);
            self.depthwise.forward(&strip.lines, strip.width, shape, inner);
            let out = if self.residual { &mut *picture } else { &mut *output };
            let out = &mut out[first * line..(first + rows) * line];
            let places = Places::plain(self.project.outputs());
            let inner = (&inner[..], pixel);
            self.project.forward_to(inner, Activation::Identity, self.residual, places, out);
        }
        if !self.residual {
            std::mem::swap(picture, output);
        }
        conv.output
    }

    /// The depthwise convolution's geometry for an input of the block of this size.
    fn convolution(&self, size: (usize, usize)) -> Conv2d {
        let size = match &self.expansion {
            Expansion::Pointwise(_) => size,
            Expansion::Convolution(_, kernel, stride) => {
                Conv2d::same(*kernel, *stride, size).output
            }
        };
        Conv2d::same(self.depthwise.kernel, self.depthwise.stride, size)
    }

    /// Expands the lines `lines` of the input to `places` of `room`; `rows` is for a stem's patches.
    fn expand(
        &self,
        x: &[f32],
        size: (usize, usize),
        lines: Range<usize>,
        places: Places,
        (rows, room): (&mut Vec<f32>, &mut [f32]),
    ) {
        match &self.expansion {
            Expansion::Pointwise(linear) => {
                let line = size.1 * linear.inputs();
                let x = &x[lines.start * line..lines.end * line];
                linear.forward_to((x, linear.inputs()), Activation::Relu6, false, places, room);
            }
            Expansion::Convolution(linear, kernel, stride) => {
                let conv = Conv2d::same(*kernel, *stride, size);
                let channels = linear.inputs() / (kernel * kernel);
                rows.resize(lines.len() * conv.output.1 * linear.inputs(), 0.0);
                patches(&conv, x, channels, lines, rows);
                linear.forward_to((rows, linear.inputs()), Activation::Relu6, false, places, room);
            }
        }
    }
}

/// What a network's blocks need room for, one after the other. Kept from picture to picture, it costs no
/// memory to be cleared.
#[derive(Default)]
pub struct Room {
    /// The input of the next block, and the output of the last one.
    pub picture: Vec<f32>,
    pub(crate) output: Vec<f32>,
    pub(crate) strip: Strip,
    pub(crate) inner: Vec<f32>,
    pub(crate) patches: Vec<f32>,
}

/// The expanded lines under a strip of output rows, with zeros around the picture.
#[derive(Default)]
pub(crate) struct Strip {
    pub(crate) lines: Vec<f32>,
    /// Pixels of a line, padding included.
    pub(crate) width: usize,
    /// Values from one pixel to the next.
    pixel: usize,
    /// The lines that are filled, counted with the padding above the picture.
    filled: Range<usize>,
}

impl Strip {
    /// Makes room for strips of so many rows. What is written to no more, the padding, becomes zero.
    pub(crate) fn start(&mut self, conv: &Conv2d, rows: usize, pixel: usize) {
        let reach = (conv.output.1 - 1) * conv.stride + conv.kernel;
        self.width = reach.max(conv.before.1 + conv.input.1);
        self.pixel = pixel;
        self.filled = 0..0;
        self.lines.clear();
        self.lines.resize(conv.reach(rows) * self.width * pixel, 0.0);
    }

    /// Moves on to the lines under the output rows from `first`: keeps those that are there, and has
    /// `expand` fill the rest.
    pub(crate) fn advance(
        &mut self,
        conv: &Conv2d,
        first: usize,
        rows: usize,
        expand: impl FnOnce(Range<usize>, Places, &mut [f32]),
    ) {
        let line = self.width * self.pixel;
        let start = first * conv.stride;
        let end = start + conv.reach(rows);
        let kept = start..self.filled.end.max(start);
        if !kept.is_empty() {
            let from = (start - self.filled.start) * line;
            self.lines.copy_within(from..from + kept.len() * line, 0);
        }
        let room = &mut self.lines[kept.len() * line..(end - start) * line];
        self.filled = start..end;

        let top = kept.end.max(conv.before.0).min(end);
        let bottom = end.min(conv.before.0 + conv.input.0).max(top);
        let (above, rest) = room.split_at_mut((top - kept.end) * line);
        let (picture, below) = rest.split_at_mut((bottom - top) * line);
        above.fill(0.0);
        below.fill(0.0);
        if bottom > top {
            let lines = top - conv.before.0..bottom - conv.before.0;
            let places = Places { per_line: conv.input.1, stride: self.pixel, line_stride: line };
            expand(lines, places, &mut picture[conv.before.1 * self.pixel..]);
        }
    }
}
