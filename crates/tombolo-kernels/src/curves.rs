//! Activation functions on vectors, from two rational approximations: erf and tanh.
//!
//! No closures here, nor in any function over [`Lanes`]: the compiler does not inline the vector intrinsics
//! into them, and each becomes a call.

use crate::activation::Activation;
use crate::lanes::Lanes;

/// Σ cᵢ·x^(n−i), coefficients from the highest power down.
#[inline(always)]
unsafe fn polynomial<L: Lanes, const N: usize>(x: L::V, coefficients: &[f32; N]) -> L::V {
    // SAFETY: the caller's, as for all functions here.
    unsafe {
        let mut sum = L::splat(coefficients[0]);
        for c in &coefficients[1..] {
            sum = L::fma(sum, x, L::splat(*c));
        }
        sum
    }
}

/// P(x²)·x ÷ Q(x²).
#[inline(always)]
unsafe fn rational<L: Lanes, const P: usize, const Q: usize>(
    x: L::V,
    numerator: &[f32; P],
    denominator: &[f32; Q],
) -> L::V {
    // SAFETY: the caller's.
    unsafe {
        let square = L::mul(x, x);
        let numerator = L::mul(x, polynomial::<L, P>(square, numerator));
        L::div(numerator, polynomial::<L, Q>(square, denominator))
    }
}

#[inline(always)]
unsafe fn clamp<L: Lanes>(x: L::V, low: f32, high: f32) -> L::V {
    // SAFETY: the caller's.
    unsafe { L::min(L::max(x, L::splat(low)), L::splat(high)) }
}

/// erf(x) with an absolute error under 5e-7 (coefficients of Eigen's `generic_fast_erf`).
#[inline(always)]
unsafe fn erf<L: Lanes>(x: L::V) -> L::V {
    const NUMERATOR: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const DENOMINATOR: [f32; 5] =
        [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329_2e-3, -1.426_473_9e-2];
    // SAFETY: the caller's.
    unsafe { rational::<L, 7, 5>(clamp::<L>(x, -4.0, 4.0), &NUMERATOR, &DENOMINATOR) }
}

/// tanh(x) with an absolute error under 5e-7 (coefficients of Eigen's `generic_fast_tanh`).
#[inline(always)]
unsafe fn tanh<L: Lanes>(x: L::V) -> L::V {
    const NUMERATOR: [f32; 7] = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const DENOMINATOR: [f32; 4] = [1.198_258_4e-6, 1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3];
    // SAFETY: the caller's.
    unsafe { rational::<L, 7, 4>(clamp::<L>(x, -7.9, 7.9), &NUMERATOR, &DENOMINATOR) }
}

/// x · (1 + y) ÷ 2.
#[inline(always)]
unsafe fn gate<L: Lanes>(x: L::V, y: L::V) -> L::V {
    // SAFETY: the caller's.
    unsafe {
        let half = L::mul(x, L::splat(0.5));
        L::fma(half, y, half)
    }
}

#[inline(always)]
unsafe fn scaled<L: Lanes>(x: L::V, factor: f32) -> L::V {
    // SAFETY: the caller's.
    unsafe { L::mul(x, L::splat(factor)) }
}

/// `activation`(x). A logistic function σ(x) is taken as (1 + tanh(x ÷ 2)) ÷ 2.
#[inline(always)]
pub(crate) unsafe fn activate<L: Lanes>(x: L::V, activation: Activation) -> L::V {
    // SAFETY: the caller's.
    unsafe {
        match activation {
            Activation::Identity => x,
            Activation::Relu => L::max(x, L::splat(0.0)),
            Activation::Relu6 => clamp::<L>(x, 0.0, 6.0),
            Activation::Gelu => {
                gate::<L>(x, erf::<L>(scaled::<L>(x, std::f32::consts::FRAC_1_SQRT_2)))
            }
            Activation::GeluTanh => {
                let cubic = L::fma(L::mul(x, x), L::splat(0.044_715), L::splat(1.0));
                gate::<L>(x, tanh::<L>(L::mul(scaled::<L>(x, 0.797_884_6), cubic)))
            }
            Activation::QuickGelu => gate::<L>(x, tanh::<L>(scaled::<L>(x, 0.851))),
            Activation::Swish => gate::<L>(x, tanh::<L>(scaled::<L>(x, 0.5))),
        }
    }
}
