//! The form for any processor: half's own conversion of slices, then the dot product in f32.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::dot;

pub(super) fn dot_f16(query: &[f32], rows: &[f16], scores: &mut [f32]) {
    let mut wide = vec![0.0; query.len()];
    for (score, row) in scores.iter_mut().zip(rows.chunks_exact(query.len())) {
        row.convert_to_f32_slice(&mut wide);
        *score = dot(query, &wide);
    }
}

pub(super) fn halves(a: &[f16], b: &[f16]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x.to_f32() * y.to_f32()).sum()
}

pub(super) fn dot_i8(query: &[i16], rows: &[i8], sums: &mut [i32]) {
    for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(query.len())) {
        *sum = query.iter().zip(row).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum();
    }
}
