//! Matrix products against packed panels, finished in registers: bias, activation and sum in the same pass.
//!
//! The right-hand side lies in panels as wide as a tile, so that a tile reads it straight through; the
//! left-hand side is read where it is. Each sum runs over the depth in order, whatever the number of rows
//! and wherever a row stands among them: a row's result does not depend on its neighbours.

use std::mem::MaybeUninit;

use crate::activation::Activation;
use crate::curves::activate;
use crate::lanes::{Isa, Lanes, over_lanes};

/// Rows whose values stay in the core's cache while the panels pass by.
const BLOCK: usize = 48;

/// Rows of the highest tile of any instruction set.
const MOST_ROWS: usize = 12;

/// Widest tile of any instruction set, in columns.
pub(crate) const WIDEST: usize = 32;

/// The left-hand side: rows of `depth` values, `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub count: usize,
    pub depth: usize,
    pub stride: usize,
}

/// Where the rows of the result go: lines of `per_line` rows, rows `stride` and lines `line_stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub per_line: usize,
    pub stride: usize,
    pub line_stride: usize,
}

impl Places {
    /// Rows one after the other.
    pub(crate) fn plain(stride: usize) -> Self {
        Self { per_line: usize::MAX, stride, line_stride: 0 }
    }

    pub(crate) fn of(&self, row: usize) -> usize {
        if row < self.per_line {
            return row * self.stride;
        }
        row / self.per_line * self.line_stride + row % self.per_line * self.stride
    }
}

/// What becomes of a sum.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    /// Added to each row first; as long as the panels are wide together.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Activation,
    /// Whether the result is added to what is there, instead of replacing it.
    pub accumulate: bool,
}

impl Finish<'_> {
    /// The sums as they are.
    pub(crate) const NONE: Self =
        Self { bias: None, activation: Activation::Identity, accumulate: false };
}

/// `out` = finish(`rows` · B), B's `columns` columns being those of the panel that `panel` gives for each
/// index, `[depth, tile columns]`.
///
/// # Panics
/// If a slice is too short for its shape.
pub(crate) fn product<'p>(
    isa: Isa,
    rows: Rows<'_>,
    columns: usize,
    panel: impl Fn(usize) -> &'p [f32],
    finish: Finish<'_>,
    places: Places,
    out: &mut [f32],
) {
    if rows.count == 0 || columns == 0 {
        return;
    }
    let width = isa.tile_columns();
    let panels = columns.div_ceil(width);
    assert!((rows.count - 1) * rows.stride + rows.depth <= rows.values.len(), "rows of a product");
    assert!(places.of(rows.count - 1) + columns <= out.len(), "result of a product");
    assert!(finish.bias.is_none_or(|bias| bias.len() >= panels * width), "bias of a product");
    let mut offsets = [0; BLOCK];
    for (first, count) in even_parts(rows.count, BLOCK) {
        for (row, offset) in offsets[..count].iter_mut().enumerate() {
            *offset = places.of(first + row);
        }
        for index in 0..panels {
            let panel = panel(index);
            assert_eq!(panel.len(), rows.depth * width, "panel of a product");
            let strip = Strip {
                left: rows.values[first * rows.stride..].as_ptr(),
                stride: rows.stride,
                depth: rows.depth,
                panel: panel.as_ptr(),
                bias: finish.bias.map(|bias| bias[index * width..].as_ptr()),
                finish,
                out: out[index * width..].as_mut_ptr(),
                columns: width.min(columns - index * width),
            };
            // SAFETY: the asserts above keep all rows of the left-hand side and all places of the result
            // in their slices, and the panel has `depth` rows of the tile's width.
            unsafe { fill(isa, &strip, &offsets[..count]) };
        }
    }
}

/// `total` cut into as few parts of at most `most` as will do, all about the same: (start, length) of each.
fn even_parts(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = total.div_ceil(most);
    (0..parts).map(move |part| {
        let start = part * total / parts;
        (start, (part + 1) * total / parts - start)
    })
}

/// Rows against one panel.
struct Strip<'a> {
    left: *const f32,
    stride: usize,
    depth: usize,
    panel: *const f32,
    bias: Option<*const f32>,
    finish: Finish<'a>,
    out: *mut f32,
    columns: usize,
}

over_lanes! {
    /// Fills one panel's columns of the rows at `offsets`, a tile at a time.
    unsafe fn fill<L>(strip: &Strip<'_>, offsets: &[usize]) {
        // As even as it goes: a tile of few rows would wait for its own sums.
        let parts = offsets.len().div_ceil(L::ROWS);
        let (rows, longer) = (offsets.len() / parts, offsets.len() % parts);
        let mut first = 0;
        for part in 0..parts {
            let count = rows + usize::from(part < longer);
            let offsets = &offsets[first..first + count];
            let left = strip.left.add(first * strip.stride);
            match count {
                1 => tile::<L, 1>(strip, left, offsets),
                2 => tile::<L, 2>(strip, left, offsets),
                3 => tile::<L, 3>(strip, left, offsets),
                4 => tile::<L, 4>(strip, left, offsets),
                5 => tile::<L, 5>(strip, left, offsets),
                6 => tile::<L, 6>(strip, left, offsets),
                7 => tile::<L, 7>(strip, left, offsets),
                8 => tile::<L, 8>(strip, left, offsets),
                9 => tile::<L, 9>(strip, left, offsets),
                10 => tile::<L, 10>(strip, left, offsets),
                11 => tile::<L, 11>(strip, left, offsets),
                _ => tile::<L, 12>(strip, left, offsets),
            }
            first += count;
        }
    }
}

/// R rows against one panel, all sums in registers.
#[inline(always)]
unsafe fn tile<L: Lanes, const R: usize>(strip: &Strip<'_>, left: *const f32, offsets: &[usize]) {
    // SAFETY: the caller's: R rows of `depth` values at `left`, a panel of as many rows, R offsets.
    unsafe {
        let mut sums = [[L::splat(0.0); 2]; R];
        let mut right = strip.panel;
        for p in 0..strip.depth {
            let pair = [L::load(right), L::load(right.add(L::COUNT))];
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = L::splat(*left.add(r * strip.stride + p));
                sums[0] = L::fma(x, pair[0], sums[0]);
                sums[1] = L::fma(x, pair[1], sums[1]);
            }
            right = right.add(2 * L::COUNT);
        }
        let bias = match strip.bias {
            Some(bias) => [L::load(bias), L::load(bias.add(L::COUNT))],
            None => [L::splat(0.0); 2],
        };
        let whole = strip.columns == 2 * L::COUNT;
        if whole && strip.finish.activation == Activation::Relu6 && !strip.finish.accumulate {
            relu6_rows::<L, R>(strip, &sums, bias, offsets);
        } else {
            // Into memory first: a loop over registers must be unrolled, and one with a choice of activations in it
            // is too long for that. Then the sums would lie in memory throughout.
            let mut stored = [MaybeUninit::<f32>::uninit(); MOST_ROWS * WIDEST];
            let stored = stored.as_mut_ptr().cast::<f32>();
            for (r, sums) in sums.iter().enumerate() {
                L::store(stored.add(2 * r * L::COUNT), sums[0]);
                L::store(stored.add((2 * r + 1) * L::COUNT), sums[1]);
            }
            finish_rows::<L>(strip, stored, bias, offsets);
        }
    }
}

/// Finishes and stores the sums of R rows where ReLU6 is the activation and the result is new: products so short that a
/// choice in each row would cost as much are followed by it.
#[inline(always)]
unsafe fn relu6_rows<L: Lanes, const R: usize>(
    strip: &Strip<'_>,
    sums: &[[L::V; 2]; R],
    bias: [L::V; 2],
    offsets: &[usize],
) {
    // SAFETY: the caller's: R offsets, each with room for two vectors.
    unsafe {
        for (r, sums) in sums.iter().enumerate() {
            let out = strip.out.add(*offsets.get_unchecked(r));
            let results = [
                activate::<L>(L::add(sums[0], bias[0]), Activation::Relu6),
                activate::<L>(L::add(sums[1], bias[1]), Activation::Relu6),
            ];
            put::<L>(results, out, false);
        }
    }
}

/// Finishes and stores the sums of the rows at `offsets`, two vectors of each at `sums`.
#[inline(always)]
unsafe fn finish_rows<L: Lanes>(
    strip: &Strip<'_>,
    sums: *const f32,
    bias: [L::V; 2],
    offsets: &[usize],
) {
    let Finish { activation, accumulate, .. } = strip.finish;
    // SAFETY: the caller's: two vectors at `sums` and room for the columns of the strip at each offset.
    unsafe {
        for (r, offset) in offsets.iter().enumerate() {
            let sums = sums.add(2 * r * L::COUNT);
            let results = [
                activate::<L>(L::add(L::load(sums), bias[0]), activation),
                activate::<L>(L::add(L::load(sums.add(L::COUNT)), bias[1]), activation),
            ];
            let out = strip.out.add(*offset);
            match strip.columns == 2 * L::COUNT {
                true => put::<L>(results, out, accumulate),
                false => put_some::<L>(results, out, strip.columns, accumulate),
            }
        }
    }
}

#[inline(always)]
unsafe fn put<L: Lanes>(results: [L::V; 2], out: *mut f32, accumulate: bool) {
    // SAFETY: the caller's: room for two vectors.
    unsafe {
        for (half, mut result) in results.into_iter().enumerate() {
            let out = out.add(half * L::COUNT);
            if accumulate {
                result = L::add(result, L::load(out));
            }
            L::store(out, result);
        }
    }
}

/// As [`put`], for the last panel where it is wider than the result.
#[inline(always)]
unsafe fn put_some<L: Lanes>(results: [L::V; 2], out: *mut f32, columns: usize, accumulate: bool) {
    let mut row = [0.0; WIDEST];
    // SAFETY: the caller's: room for `columns` values, which are fewer than two vectors.
    unsafe {
        put::<L>(results, row.as_mut_ptr(), false);
        for (c, value) in row[..columns].iter().enumerate() {
            let out = out.add(c);
            *out = if accumulate { *out + value } else { *value };
        }
    }
}
