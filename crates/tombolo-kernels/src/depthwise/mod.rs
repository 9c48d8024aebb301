//! Depthwise convolution over lines that carry their own padding.

mod trained;

pub use trained::{depthwise, depthwise_composed};

use crate::lanes::{Isa, Lanes, over_lanes};

/// Values in a line of the cache.
const CACHE_LINE: usize = 16;

/// A depthwise convolution followed by ReLU6 or nothing, its channels padded with zeros to a multiple of a tile's width.
pub(crate) struct Depthwise {
    isa: Isa,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Channels, padding included.
    channels: usize,
    /// Values from one pixel to the next, in lines and output: an odd number of the cache's lines, so that
    /// pixels above each other do not crowd into a few of its sets.
    pub(crate) pixel: usize,
    /// `[kernel, kernel, channels]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Between which the results are kept: those of ReLU6, or none.
    limits: (f32, f32),
}

impl Depthwise {
    /// The layer with ReLU6.
    ///
    /// # Shapes
    /// `weight`: `[kernel, kernel, bias.len()]`.
    pub(crate) fn new(
        isa: Isa,
        (kernel, stride): (usize, usize),
        weight: &[f32],
        bias: &[f32],
    ) -> Self {
        assert_eq!(weight.len(), kernel * kernel * bias.len(), "weight of a depthwise convolution");
        let channels = bias.len().next_multiple_of(isa.tile_columns());
        let mut padded = vec![0.0; kernel * kernel * channels];
        for (out, row) in padded.chunks_exact_mut(channels).zip(weight.chunks_exact(bias.len())) {
            out[..bias.len()].copy_from_slice(row);
        }
        let mut bias = bias.to_vec();
        bias.resize(channels, 0.0);
        let pixel = CACHE_LINE * (channels.div_ceil(CACHE_LINE) | 1);
        Self { isa, kernel, stride, channels, pixel, weight: padded, bias, limits: (0.0, 6.0) }
    }

    /// The same without ReLU6.
    pub(crate) fn unlimited(self) -> Self {
        Self { limits: (f32::NEG_INFINITY, f32::INFINITY), ..self }
    }

    /// Convolution, bias and, unless it was taken away, ReLU6, without looking at borders: the lines have their padding.
    ///
    /// # Shapes
    /// `lines`: `[(rows − 1) · stride + kernel, line width, pixel]`, `out`: `[rows, width, pixel]`, where the line is at least (width − 1) · stride + kernel wide.
    pub(crate) fn forward(
        &self,
        lines: &[f32],
        line_width: usize,
        (rows, width): (usize, usize),
        out: &mut [f32],
    ) {
        let (reach, pixel) = ((rows - 1) * self.stride + self.kernel, self.pixel);
        assert!(line_width >= (width - 1) * self.stride + self.kernel, "width of the lines");
        assert!(lines.len() >= reach * line_width * pixel, "lines of a depthwise convolution");
        assert!(out.len() >= rows * width * pixel, "output of a depthwise convolution");
        let sweep = Sweep { layer: self, lines, line_width, rows, width };
        // SAFETY: the asserts keep every pixel under the kernel inside the lines, and the output in `out`.
        unsafe { convolve(self.isa, &sweep, out.as_mut_ptr()) };
    }
}

struct Sweep<'a> {
    layer: &'a Depthwise,
    lines: &'a [f32],
    line_width: usize,
    rows: usize,
    width: usize,
}

over_lanes! {
    /// Two vectors of channels at a time, so that what they read stays in the innermost cache.
    unsafe fn convolve<L>(sweep: &Sweep<'_>, out: *mut f32) {
        // As even as it goes: a few pixels left over would wait for their own sums.
        let parts = sweep.width.div_ceil(L::ROWS);
        let (pixels_of_part, longer) = (sweep.width / parts, sweep.width % parts);
        for channel in (0..sweep.layer.channels).step_by(2 * L::COUNT) {
            for row in 0..sweep.rows {
                let mut x = 0;
                for part in 0..parts {
                    let count = pixels_of_part + usize::from(part < longer);
                    match count {
                        1 => pixels::<L, 1>(sweep, channel, row, x, out),
                        2 => pixels::<L, 2>(sweep, channel, row, x, out),
                        3 => pixels::<L, 3>(sweep, channel, row, x, out),
                        4 => pixels::<L, 4>(sweep, channel, row, x, out),
                        5 => pixels::<L, 5>(sweep, channel, row, x, out),
                        6 => pixels::<L, 6>(sweep, channel, row, x, out),
                        7 => pixels::<L, 7>(sweep, channel, row, x, out),
                        8 => pixels::<L, 8>(sweep, channel, row, x, out),
                        9 => pixels::<L, 9>(sweep, channel, row, x, out),
                        10 => pixels::<L, 10>(sweep, channel, row, x, out),
                        11 => pixels::<L, 11>(sweep, channel, row, x, out),
                        _ => pixels::<L, 12>(sweep, channel, row, x, out),
                    }
                    x += count;
                }
            }
        }
    }
}

/// R pixels of a row, side by side, at two vectors of channels.
#[inline(always)]
unsafe fn pixels<L: Lanes, const R: usize>(
    sweep: &Sweep<'_>,
    channel: usize,
    row: usize,
    x: usize,
    out: *mut f32,
) {
    let Depthwise { kernel, stride, channels, pixel, limits, .. } = *sweep.layer;
    // SAFETY: the caller's: pixels x to x + R of the row exist.
    unsafe {
        let bias = sweep.layer.bias.as_ptr().add(channel);
        let mut sums = [[L::load(bias), L::load(bias.add(L::COUNT))]; R];
        let mut weight = sweep.layer.weight.as_ptr().add(channel);
        for i in 0..kernel {
            let line = (row * stride + i) * sweep.line_width + x * stride;
            let mut input = sweep.lines.as_ptr().add(line * pixel + channel);
            for _ in 0..kernel {
                let pair = [L::load(weight), L::load(weight.add(L::COUNT))];
                for (r, sums) in sums.iter_mut().enumerate() {
                    let input = input.add(r * stride * pixel);
                    sums[0] = L::fma(L::load(input), pair[0], sums[0]);
                    sums[1] = L::fma(L::load(input.add(L::COUNT)), pair[1], sums[1]);
                }
                weight = weight.add(channels);
                input = input.add(pixel);
            }
        }
        // Nothing here may keep the compiler from unrolling: it would hold all sums in memory throughout.
        let (low, high) = (L::splat(limits.0), L::splat(limits.1));
        let out = out.add((row * sweep.width + x) * pixel + channel);
        for (r, sums) in sums.iter().enumerate() {
            let out = out.add(r * pixel);
            L::store(out, L::min(L::max(sums[0], low), high));
            L::store(out.add(L::COUNT), L::min(L::max(sums[1], low), high));
        }
    }
}
