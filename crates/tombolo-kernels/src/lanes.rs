//! Vector registers of the running processor behind one small trait, so that a kernel is written once.

/// An instruction set with vectors of f32. A value exists only where the processor supports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Isa {
    /// The widest of the running processor.
    pub fn best() -> Self {
        static BEST: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// All that the running processor has, the widest first; the portable form is always the last.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl");
            if avx512 {
                sets.push(Set::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                sets.push(Set::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Set::Neon);
        sets.push(Set::Portable);
        sets.into_iter().map(Self).collect()
    }

    pub(crate) fn set(self) -> Set {
        self.0
    }

    /// Columns of a tile of a matrix product: two vectors.
    pub(crate) fn tile_columns(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => 2 * Avx512::COUNT,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => 2 * Avx2::COUNT,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => 2 * Neon::COUNT,
            Set::Portable => 2 * Portable::COUNT,
        }
    }
}

/// Vectors of `COUNT` f32 and what the kernels do with them.
///
/// # Safety
/// Every method needs a processor that has the instruction set; loads and stores need `COUNT` valid values
/// at the pointer, with no alignment.
pub(crate) trait Lanes: Copy {
    /// Values in a vector.
    const COUNT: usize;
    /// Rows of a tile of a matrix product, such that all its sums stay in registers.
    const ROWS: usize;
    /// A vector.
    type V: Copy;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, x: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
}

/// The methods of [`Lanes`] from one intrinsic each.
macro_rules! lanes {
    ($name:ident, $vector:ty, $count:literal, $rows:literal, $module:ident: $splat:ident, $load:ident, $store:ident,
     $add:ident, $mul:ident, $div:ident, $min:ident, $max:ident, ($a:ident, $b:ident, $c:ident) => $fma:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Lanes for $name {
            const COUNT: usize = $count;
            const ROWS: usize = $rows;
            type V = $vector;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self::V {
                // SAFETY: the caller's, as for all methods below.
                unsafe { $module::$splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self::V {
                unsafe { $module::$load(from) }
            }
            #[inline(always)]
            unsafe fn store(to: *mut f32, x: Self::V) {
                unsafe { $module::$store(to, x) }
            }
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $module::$add(a, b) }
            }
            #[inline(always)]
            unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $module::$mul(a, b) }
            }
            #[inline(always)]
            unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $module::$div(a, b) }
            }
            #[inline(always)]
            unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $module::$min(a, b) }
            }
            #[inline(always)]
            unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
                unsafe { $module::$max(a, b) }
            }
            #[inline(always)]
            unsafe fn fma($a: Self::V, $b: Self::V, $c: Self::V) -> Self::V {
                unsafe { $fma }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64;
#[cfg(target_arch = "x86_64")]
lanes!(Avx512, x86_64::__m512, 16, 12, x86_64: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
    _mm512_add_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_min_ps, _mm512_max_ps,
    (a, b, c) => x86_64::_mm512_fmadd_ps(a, b, c));
#[cfg(target_arch = "x86_64")]
lanes!(Avx2, x86_64::__m256, 8, 6, x86_64: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
    _mm256_add_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_min_ps, _mm256_max_ps,
    (a, b, c) => x86_64::_mm256_fmadd_ps(a, b, c));
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64;
#[cfg(target_arch = "aarch64")]
lanes!(Neon, aarch64::float32x4_t, 4, 12, aarch64: vdupq_n_f32, vld1q_f32, vst1q_f32,
    vaddq_f32, vmulq_f32, vdivq_f32, vminq_f32, vmaxq_f32,
    (a, b, c) => aarch64::vfmaq_f32(c, a, b));
lanes!(Portable, [f32; 8], 8, 6, portable: splat, load, store, add, mul, div, min, max,
    (a, b, c) => portable::add(portable::mul(a, b), c));

/// Arrays that every compiler target turns into what vectors it has.
mod portable {
    type V = [f32; 8];

    #[inline(always)]
    pub unsafe fn splat(x: f32) -> V {
        [x; 8]
    }
    #[inline(always)]
    pub unsafe fn load(from: *const f32) -> V {
        // SAFETY: the caller has eight values there; the read needs no alignment.
        unsafe { from.cast::<V>().read_unaligned() }
    }
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, x: V) {
        // SAFETY: the caller has room for eight values there; the write needs no alignment.
        unsafe { to.cast::<V>().write_unaligned(x) }
    }
    #[inline(always)]
    pub unsafe fn add(a: V, b: V) -> V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    pub unsafe fn mul(a: V, b: V) -> V {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    pub unsafe fn div(a: V, b: V) -> V {
        std::array::from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    pub unsafe fn min(a: V, b: V) -> V {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    pub unsafe fn max(a: V, b: V) -> V {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
}

/// Defines an unsafe function over vectors `L`, compiled for every instruction set; its first argument, an
/// [`Isa`], picks the one to run.
macro_rules! over_lanes {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<$lanes:ident>($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis unsafe fn $name(isa: $crate::lanes::Isa, $($arg: $ty),*) {
            use $crate::lanes::{Lanes, Portable, Set};
            #[inline(always)]
            unsafe fn body<$lanes: Lanes>($($arg: $ty),*) {
                // SAFETY: that of the function as a whole.
                unsafe { $body }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
            unsafe fn avx512($($arg: $ty),*) {
                unsafe { body::<$crate::lanes::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) {
                unsafe { body::<$crate::lanes::Avx2>($($arg),*) }
            }
            // SAFETY: an `Isa` exists only where the processor has it; the rest is the caller's.
            unsafe {
                match isa.set() {
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    Set::Neon => body::<$crate::lanes::Neon>($($arg),*),
                    Set::Portable => body::<Portable>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use over_lanes;
