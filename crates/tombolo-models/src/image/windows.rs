//! Which part of a photo speaks: its vectors, as they would be if all of the photo were like one window of it.

use super::ImageBackbone;
use super::preprocessing::View;

/// Cells of a window's side.
const SIDE: usize = 3;

impl ImageBackbone {
    /// Windows around the cells of a grid of `side` × `side` over the photo, row by row: for each, whose vectors stand in
    /// the places of all vectors of the photo. So as many vectors come from each network as ever.
    pub(crate) fn windows(&self, side: usize) -> Vec<Vec<u32>> {
        let mut windows = vec![Vec::with_capacity(self.cells()); side * side];
        let mut start = 0;
        for view in &self.preprocessing.views {
            let cells = self.networks[view.network].cells(view.preprocess.size);
            // A class vector comes before the grid, and stays.
            let class = self.networks[view.network].class();
            let grid = Grid { start: start + class, side: (cells - class).isqrt(), view };
            for (index, window) in windows.iter_mut().enumerate() {
                window.extend((start..start + class).map(|place| place as u32));
                grid.fill(index / side, index % side, side, window);
            }
            start += cells;
        }
        windows
    }
}

/// The grid of one view, among all vectors of a photo.
struct Grid<'a> {
    start: usize,
    side: usize,
    view: &'a View,
}

impl Grid<'_> {
    /// The window around a cell of another grid of the same photo, repeated over this one.
    fn fill(&self, row: usize, column: usize, side: usize, window: &mut Vec<u32>) {
        let column = if self.view.mirrored { side - 1 - column } else { column };
        let (top, left) = (self.first(row, side), self.first(column, side));
        for i in 0..self.side {
            for j in 0..self.side {
                let (row, column) = (top + i % self.window(), left + j % self.window());
                window.push((self.start + row * self.side + column) as u32);
            }
        }
    }

    fn window(&self) -> usize {
        SIDE.min(self.side)
    }

    /// Where a window begins whose middle lies where that of cell `place` of `side` does.
    fn first(&self, place: usize, side: usize) -> usize {
        let middle = (2 * place + 1) * self.side / (2 * side);
        middle.saturating_sub(self.window() / 2).min(self.side - self.window())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::image::ImageBackbone;

    #[test]
    fn a_window_repeats_the_cells_around_its_own() {
        // A grid of 4 × 4, and its mirror image after it.
        let backbone = ImageBackbone::patches(8, 2, &Device::Cpu).mirrored();
        let windows = backbone.windows(4);
        assert_eq!(windows.len(), 16);
        assert!(windows.iter().all(|window| window.len() == 32));
        assert_eq!(windows[0][..8], [0, 1, 2, 0, 4, 5, 6, 4]);
        assert_eq!(windows[0][16..20], [17, 18, 19, 17], "in the mirror it lies to the right");
        assert_eq!(windows[15][..4], [5, 6, 7, 5]);
        assert_eq!(windows[5][..4], [0, 1, 2, 0], "around row 1, column 1");
    }
}
