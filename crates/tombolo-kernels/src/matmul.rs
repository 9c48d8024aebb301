//! Small matrix products on one thread, with strides: the blocks that attention is made of.

/// A matrix that lies in a slice with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Block<'a> {
    /// `rows` × `cols` values, `row_stride` apart from row to row, starting at the slice's first.
    pub(crate) fn new(values: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { values, rows, cols, row_stride, col_stride: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    fn reach(&self) -> usize {
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride + 1
    }
}

/// `out` = `scale` · `lhs` · `rhs`, `out` having rows `out_stride` apart. Runs on the calling thread.
pub(crate) fn multiply(
    lhs: Block<'_>,
    rhs: Block<'_>,
    scale: f32,
    out: &mut [f32],
    out_stride: usize,
) {
    let (m, k, n) = (lhs.rows, lhs.cols, rhs.cols);
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert_eq!(k, rhs.rows, "inner dimensions of a product");
    assert!(lhs.reach() <= lhs.values.len() && rhs.reach() <= rhs.values.len());
    assert!((m - 1) * out_stride + n <= out.len() && n <= out_stride);
    // SAFETY: the asserts above keep every element that the three strided views reach inside its slice,
    // and `out` is borrowed exclusively, with rows that do not overlap.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            false,
            lhs.values.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.values.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            0.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
