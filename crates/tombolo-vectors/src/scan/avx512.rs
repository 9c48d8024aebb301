//! AVX-512 (F and BW): as `avx2`, with vectors of twice the width.

use std::arch::x86_64::*;

use half::f16;

use super::AHEAD;

/// Values of a vector of f32; a vector of i16 has twice as many.
const LANES: usize = 16;

/// Dot products of the query with `N` rows.
///
/// # Safety
/// `rows` holds `N` rows of the query's length.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn f16_rows<const N: usize>(query: &[f32], rows: &[f16]) -> [f32; N] {
    let dim = query.len();
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    let whole = dim - dim % (2 * LANES);
    for i in (0..whole).step_by(2 * LANES) {
        // SAFETY: i + 2 · LANES is at most dim, so the loads stay within the query and, for a row
        // under N, within the rows; prefetching an address never faults.
        unsafe {
            let q = query.as_ptr().add(i);
            let (low, high) = (_mm512_loadu_ps(q), _mm512_loadu_ps(q.add(LANES)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = rows.as_ptr().add(row * dim + i);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_byte_add(AHEAD).cast());
                let values = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
                sums[0] = _mm512_fmadd_ps(low, values, sums[0]);
                let values = _mm512_cvtph_ps(_mm256_loadu_si256(at.add(LANES).cast()));
                sums[1] = _mm512_fmadd_ps(high, values, sums[1]);
            }
        }
    }
    let mut totals = [0.0; N];
    for (row, total) in totals.iter_mut().enumerate() {
        *total = _mm512_reduce_add_ps(_mm512_add_ps(sums[row][0], sums[row][1]));
        for i in whole..dim {
            *total += query[i] * rows[row * dim + i].to_f32();
        }
    }
    totals
}

/// Dot products of the query with `N` rows, wrapping around beyond 32 bits.
///
/// # Safety
/// `rows` holds `N` rows of the query's length.
#[target_feature(enable = "avx512bw")]
pub(super) unsafe fn i8_rows<const N: usize>(query: &[i16], rows: &[i8]) -> [i32; N] {
    let dim = query.len();
    let mut sums = [_mm512_setzero_si512(); N];
    let whole = dim - dim % (2 * LANES);
    for i in (0..whole).step_by(2 * LANES) {
        // SAFETY: i + 2 · LANES is at most dim, so the loads stay within the query and, for a row
        // under N, within the rows; prefetching an address never faults.
        unsafe {
            let q = _mm512_loadu_si512(query.as_ptr().add(i).cast());
            for (row, sum) in sums.iter_mut().enumerate() {
                let at = rows.as_ptr().add(row * dim + i);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_byte_add(AHEAD).cast());
                let values = _mm512_cvtepi8_epi16(_mm256_loadu_si256(at.cast()));
                *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(q, values));
            }
        }
    }
    let mut totals = [0; N];
    for (row, total) in totals.iter_mut().enumerate() {
        *total = _mm512_reduce_add_epi32(sums[row]);
        for i in whole..dim {
            *total += i32::from(query[i]) * i32::from(rows[row * dim + i]);
        }
    }
    totals
}
