//! Maps from the middle of the network, brought to the grid of the last.

/// A map halved until it is of this height and width.
pub(super) fn coarsened(
    mut map: Vec<f32>,
    mut fine: (usize, usize),
    size: (usize, usize),
) -> Vec<f32> {
    while fine != size && fine != (1, 1) {
        map = halved(&map, fine);
        fine = (fine.0.div_ceil(2), fine.1.div_ceil(2));
    }
    map
}

/// The means of squares of two by two cells, at the edges of what there is of them.
///
/// `map`: `[height, width, channels]` of this height and width; both are halved and rounded up.
fn halved(map: &[f32], (height, width): (usize, usize)) -> Vec<f32> {
    let channels = map.len() / (height * width);
    let mut out = vec![0.0; height.div_ceil(2) * width.div_ceil(2) * channels];
    for (place, mean) in out.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (place / width.div_ceil(2) * 2, place % width.div_ceil(2) * 2);
        let rows = row..height.min(row + 2);
        let under = rows.flat_map(|y| (column..width.min(column + 2)).map(move |x| y * width + x));
        let under: Vec<usize> = under.collect();
        for cell in &under {
            let cell = &map[cell * channels..(cell + 1) * channels];
            mean.iter_mut().zip(cell).for_each(|(m, x)| *m += x / under.len() as f32);
        }
    }
    out
}

/// Maps of this height and width, the vectors of each cell one after the other.
pub(super) fn side_by_side(maps: &[Vec<f32>], (height, width): (usize, usize), out: &mut [f32]) {
    let cells = height * width;
    for (cell, mut out) in out.chunks_exact_mut(out.len() / cells).enumerate() {
        for map in maps {
            let channels = map.len() / cells;
            let (first, rest) = out.split_at_mut(channels);
            first.copy_from_slice(&map[cell * channels..(cell + 1) * channels]);
            out = rest;
        }
    }
}
