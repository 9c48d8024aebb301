//! The geometry of convolutions, and the pixels under a kernel as rows of a product.

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

    /// `before` rows and columns of zeros above and left, `after` below and right, and as many outputs as have the
    /// whole kernel inside.
    ///
    /// # Panics
    /// If the kernel is larger than the padded input.
    pub fn padded(
        kernel: usize,
        stride: usize,
        input: (usize, usize),
        (before, after): (usize, usize),
    ) -> Self {
        let outputs = |input: usize| {
            assert!(before + input + after >= kernel, "input of a convolution");
            (before + input + after - kernel) / stride + 1
        };
        let output = (outputs(input.0), outputs(input.1));
        Self { kernel, stride, input, before: (before, before), output }
    }

    /// Number of output pixels.
    pub fn pixels(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Rows of the input, padding included, that `rows` output rows read.
    pub(crate) fn reach(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + self.kernel
    }
}

/// The pixels under the kernel at each pixel of some output rows, side by side, zero outside the picture:
/// what turns a full convolution into a product.
///
/// # Shapes
/// `input`: `[height, width, channels]`, `out`: `[rows · output width, kernel · kernel · channels]`.
///
/// # Panics
/// If the length of `input` or `out` does not agree.
pub fn patches(
    conv: &Conv2d,
    input: &[f32],
    channels: usize,
    rows: std::ops::Range<usize>,
    out: &mut [f32],
) {
    let width = conv.kernel * conv.kernel * channels;
    assert_eq!(input.len(), conv.input.0 * conv.input.1 * channels, "input of a convolution");
    assert_eq!(out.len(), rows.len() * conv.output.1 * width, "patches of a convolution");
    let places = rows.flat_map(|y| (0..conv.output.1).map(move |x| (y, x)));
    for ((y, x), out) in places.zip(out.chunks_exact_mut(width)) {
        let columns = inside(conv, x, conv.before.1, conv.input.1);
        let lines = inside(conv, y, conv.before.0, conv.input.0);
        if columns.len() * lines.len() < conv.kernel * conv.kernel {
            out.fill(0.0);
        }
        for i in lines {
            let line = y * conv.stride + i - conv.before.0;
            let first = x * conv.stride + columns.start - conv.before.1;
            let from = (line * conv.input.1 + first) * channels;
            let to = (i * conv.kernel + columns.start) * channels;
            let count = columns.len() * channels;
            out[to..to + count].copy_from_slice(&input[from..from + count]);
        }
    }
}

/// The steps of the kernel that lie inside the input at one output place, along one side.
pub(crate) fn inside(
    conv: &Conv2d,
    at: usize,
    before: usize,
    size: usize,
) -> std::ops::Range<usize> {
    let start = at * conv.stride;
    let end = (size + before).saturating_sub(start).min(conv.kernel);
    before.saturating_sub(start).min(end)..end
}
