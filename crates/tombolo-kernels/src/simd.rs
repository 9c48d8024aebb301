//! One source, several instruction sets: the form for the running processor is chosen at run time.

/// Defines a function whose body is compiled for each instruction set of x86-64 that we know, and picks
/// between them when called: the compiler vectorises it. (NEON belongs to every 64-bit ARM.)
macro_rules! multiversioned {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn with_avx2($($arg: $ty),*) {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
                fn with_avx512($($arg: $ty),*) {
                    body($($arg),*)
                }
                match $crate::lanes::Isa::best().set() {
                    // SAFETY: an `Isa` exists only where the processor has it.
                    $crate::lanes::Set::Avx512 => return unsafe { with_avx512($($arg),*) },
                    $crate::lanes::Set::Avx2 => return unsafe { with_avx2($($arg),*) },
                    $crate::lanes::Set::Portable => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use multiversioned;

/// eˣ with a relative error under 3e-7 for x in [-87, 88]; clamped outside. Vectorises, unlike `f32::exp`.
///
/// Range reduction to 2ⁿ·eʳ with |r| ≤ ½·ln 2, then a polynomial of degree six (Cephes, `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let fraction = p * r * r + r + 1.0;
    // SAFETY of range: n lies in [-126, 127] after the clamp, so the exponent field is valid.
    let scale = f32::from_bits(((n as i32 + 127) << 23) as u32);
    fraction * scale
}

/// erf(x) with an absolute error under 3e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152_1;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_72;
    let p = (p * t + 0.254_829_6) * t;
    (1.0 - p * exp(-a * a)).copysign(x)
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_is_close_to_the_library_function() {
        for i in -8_000..8_000 {
            let x = i as f32 * 0.01;
            let expected = f64::from(x).exp();
            assert!((f64::from(super::exp(x)) / expected - 1.0).abs() < 3e-7, "exp({x})");
        }
    }

    #[test]
    fn erf_is_close_to_tabulated_values() {
        for (x, expected) in [
            (0.0, 0.0),
            (0.1, 0.112_462_92),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.5, 0.999_593),
        ] {
            assert!((super::erf(x) - expected).abs() < 3e-7, "erf({x})");
            assert!((super::erf(-x) + expected).abs() < 3e-7, "erf(-{x})");
        }
    }
}
