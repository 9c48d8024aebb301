//! AVX2, FMA and F16C: conversion and product in registers.

use std::arch::x86_64::*;

use half::f16;

use super::AHEAD;

/// Values of a vector of f32; a vector of i16 has twice as many.
const LANES: usize = 8;

/// Dot products of the query with `N` rows.
///
/// # Safety
/// `rows` holds `N` rows of the query's length.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn f16_rows<const N: usize>(query: &[f32], rows: &[f16]) -> [f32; N] {
    let dim = query.len();
    let mut sums = [[_mm256_setzero_ps(); 2]; N];
    let whole = dim - dim % (2 * LANES);
    for i in (0..whole).step_by(2 * LANES) {
        // SAFETY: i + 2 · LANES is at most dim, so the loads stay within the query and, for a row
        // under N, within the rows; prefetching an address never faults.
        unsafe {
            let q = query.as_ptr().add(i);
            let (low, high) = (_mm256_loadu_ps(q), _mm256_loadu_ps(q.add(LANES)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = rows.as_ptr().add(row * dim + i);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_byte_add(AHEAD).cast());
                let values = _mm256_cvtph_ps(_mm_loadu_si128(at.cast()));
                sums[0] = _mm256_fmadd_ps(low, values, sums[0]);
                let values = _mm256_cvtph_ps(_mm_loadu_si128(at.add(LANES).cast()));
                sums[1] = _mm256_fmadd_ps(high, values, sums[1]);
            }
        }
    }
    let mut totals = [0.0; N];
    for (row, total) in totals.iter_mut().enumerate() {
        *total = total_f32(_mm256_add_ps(sums[row][0], sums[row][1]));
        for i in whole..dim {
            *total += query[i] * rows[row * dim + i].to_f32();
        }
    }
    totals
}

/// Dot product of two rows of halves.
///
/// # Safety
/// The two are of one length.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn halves(a: &[f16], b: &[f16]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 2];
    let whole = a.len() - a.len() % (2 * LANES);
    for i in (0..whole).step_by(2 * LANES) {
        for (part, sum) in sums.iter_mut().enumerate() {
            let at = i + part * LANES;
            // SAFETY: at + LANES is at most the length of both.
            let (x, y) = unsafe {
                (
                    _mm_loadu_si128(a.as_ptr().add(at).cast()),
                    _mm_loadu_si128(b.as_ptr().add(at).cast()),
                )
            };
            *sum = _mm256_fmadd_ps(_mm256_cvtph_ps(x), _mm256_cvtph_ps(y), *sum);
        }
    }
    let tail = a[whole..].iter().zip(&b[whole..]).map(|(x, y)| x.to_f32() * y.to_f32());
    total_f32(_mm256_add_ps(sums[0], sums[1])) + tail.sum::<f32>()
}

/// Dot products of the query with `N` rows, wrapping around beyond 32 bits.
///
/// # Safety
/// `rows` holds `N` rows of the query's length.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn i8_rows<const N: usize>(query: &[i16], rows: &[i8]) -> [i32; N] {
    let dim = query.len();
    let mut sums = [_mm256_setzero_si256(); N];
    let whole = dim - dim % (2 * LANES);
    for i in (0..whole).step_by(2 * LANES) {
        // SAFETY: i + 2 · LANES is at most dim, so the loads stay within the query and, for a row
        // under N, within the rows; prefetching an address never faults.
        unsafe {
            let q = _mm256_loadu_si256(query.as_ptr().add(i).cast());
            for (row, sum) in sums.iter_mut().enumerate() {
                let at = rows.as_ptr().add(row * dim + i);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_byte_add(AHEAD).cast());
                let values = _mm256_cvtepi8_epi16(_mm_loadu_si128(at.cast()));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(q, values));
            }
        }
    }
    let mut totals = [0; N];
    for (row, total) in totals.iter_mut().enumerate() {
        *total = total_i32(sums[row]);
        for i in whole..dim {
            *total += i32::from(query[i]) * i32::from(rows[row * dim + i]);
        }
    }
    totals
}

#[target_feature(enable = "avx2")]
fn total_f32(sums: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[target_feature(enable = "avx2")]
fn total_i32(sums: __m256i) -> i32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b00_00_00_01>(two)))
}
