//! Matrix products over slices that the caller owns, so that training need not allocate them: on all cores, or on the
//! calling thread for the blocks that attention is made of.

/// A matrix that lies in a slice, row by row or column by column.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The rows of `values`, each `cols` wide.
    pub fn new(values: &'a [f32], cols: usize) -> Self {
        let rows = values.len() / cols.max(1);
        Self { values, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// `rows` × `cols` values, `row_stride` apart from row to row, starting at the slice's first.
    pub(crate) fn strided(values: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { values, rows, cols, row_stride, col_stride: 1 }
    }

    /// Whether every element lies in the slice.
    fn fits(&self) -> bool {
        let last = |count: usize, stride: usize| count.saturating_sub(1) * stride;
        let reach = last(self.rows, self.row_stride) + last(self.cols, self.col_stride) + 1;
        self.rows * self.cols == 0 || reach <= self.values.len()
    }

    /// The transpose, of the same values.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// `out` ← `scale` · `lhs` · `rhs` + `keep` · `out`; with `keep` 0 what `out` holds is not read.
///
/// # Shapes
/// `lhs`: `[m, k]`, `rhs`: `[k, n]`, `out`: `[m, n]`, row by row.
/// # Panics
/// If the shapes do not agree.
pub fn product(lhs: Matrix<'_>, rhs: Matrix<'_>, scale: f32, keep: f32, out: &mut [f32]) {
    assert_eq!(lhs.rows * rhs.cols, out.len(), "size of a product");
    let threads = gemm::Parallelism::Rayon(rayon::current_num_threads());
    multiply(lhs, rhs, (scale, keep), (out, rhs.cols), threads);
}

/// `out` ← `scale` · `lhs` · `rhs`, on the calling thread; `out` has rows `stride` apart.
pub(crate) fn block_product(
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    out: &mut [f32],
    stride: usize,
) {
    multiply(lhs, rhs, (scale, 0.0), (out, stride), gemm::Parallelism::None);
}

fn multiply(
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    (scale, keep): (f32, f32),
    (out, stride): (&mut [f32], usize),
    parallelism: gemm::Parallelism,
) {
    let (m, k, n) = (lhs.rows, lhs.cols, rhs.cols);
    assert_eq!(k, rhs.rows, "inner dimensions of a product");
    assert!(lhs.fits() && rhs.fits(), "sides of a product");
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * stride + n <= out.len() && n <= stride, "room for a product");
    // SAFETY: the asserts above keep every element of the three matrices inside its slice, and `out` is
    // borrowed exclusively, with rows that do not overlap.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            keep != 0.0,
            lhs.values.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.values.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_scales_transposes_and_adds_to_what_is_there() {
        // [[1, 2], [3, 4]]ᵀ · [[1, 0, 2], [0, 1, 1]] = [[1, 3, 5], [2, 4, 8]]
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]);
        let mut out = [1.0; 6];
        product(Matrix::new(&a, 2).transposed(), Matrix::new(&b, 3), 2.0, 0.5, &mut out);
        assert_eq!(out, [2.5, 6.5, 10.5, 4.5, 8.5, 16.5]);
    }
}
