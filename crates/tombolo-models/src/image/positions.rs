//! Position embeddings on a grid of another size than they were trained on.

/// Bicubic resampling of a square grid of vectors, without antialiasing and with aligned outer edges, as
/// PyTorch's `interpolate(mode="bicubic", align_corners=False)` (a = −0.75).
///
/// # Shapes
/// `cells`: `[from, from, dim]`. Returns `[to.0, to.1, dim]`.
pub(crate) fn resample_grid(
    cells: &[f32],
    from: usize,
    to: (usize, usize),
    dim: usize,
) -> Vec<f32> {
    let taps = |to: usize| (0..to).map(|at| cubic_taps(at, from, to)).collect::<Vec<_>>();
    let (rows, columns) = (taps(to.0), taps(to.1));
    let mut out = vec![0.0; to.0 * to.1 * dim];
    for (cell, out) in out.chunks_exact_mut(dim).enumerate() {
        for (row, row_weight) in rows[cell / to.1] {
            for (column, column_weight) in columns[cell % to.1] {
                let weight = row_weight * column_weight;
                let source = &cells[(row * from + column) * dim..][..dim];
                out.iter_mut().zip(source).for_each(|(out, x)| *out += weight * x);
            }
        }
    }
    out
}

/// The four source cells, and their weights, of an output cell along one axis.
fn cubic_taps(at: usize, from: usize, to: usize) -> [(usize, f32); 4] {
    let centre = (at as f32 + 0.5) * from as f32 / to as f32 - 0.5;
    let first = centre.floor();
    [-1.0, 0.0, 1.0, 2.0].map(|step| {
        let place = (first + step).clamp(0.0, from as f32 - 1.0) as usize;
        (place, cubic_weight((centre - first - step).abs()))
    })
}

/// The cubic convolution kernel (Keys 1981) with a = −0.75.
fn cubic_weight(x: f32) -> f32 {
    const A: f32 = -0.75;
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    }
}
