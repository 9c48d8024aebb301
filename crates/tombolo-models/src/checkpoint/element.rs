//! The types that an element can have on disk.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// The type of an element in a checkpoint; all are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl ElementType {
    /// Bytes per element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The element that starts at `bytes[0]`.
    ///
    /// f64 and the wide integers are rounded to the nearest f32: models here compute in f32.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn decode(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F64 => f64::from_le_bytes(first(bytes)) as f32,
            Self::F32 => f32::from_le_bytes(first(bytes)),
            Self::F16 => f16::from_le_bytes(first(bytes)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(first(bytes)).to_f32(),
            Self::I64 => i64::from_le_bytes(first(bytes)) as f32,
            Self::I32 => i32::from_le_bytes(first(bytes)) as f32,
            Self::I16 => f32::from(i16::from_le_bytes(first(bytes))),
            Self::I8 => f32::from(i8::from_le_bytes(first(bytes))),
            Self::U8 => f32::from(bytes[0]),
            Self::Bool => f32::from(u8::from(bytes[0] != 0)),
        }
    }

    /// All elements of `bytes`, whose length is a multiple of the size.
    pub(super) fn decode_all(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            // A whole slice at a time, since large files are of these.
            Self::F32 => bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect(),
            Self::F16 => widened(bytes.as_chunks().0),
            _ => bytes.chunks_exact(self.size()).map(|element| self.decode(element)).collect(),
        }
    }
}

fn widened(halves: &[[u8; 2]]) -> Vec<f32> {
    let halves: Vec<f16> = halves.iter().copied().map(f16::from_le_bytes).collect();
    let mut wide = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut wide);
    wide
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("a slice of N is an array of N")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_decoded_as_their_elements_are() {
        let bytes: Vec<u8> = (0..48_u8).map(|byte| byte.wrapping_mul(83)).collect();
        for kind in [ElementType::F32, ElementType::F16, ElementType::Bf16, ElementType::I16] {
            let each =
                bytes.chunks_exact(kind.size()).map(|element| kind.decode(element).to_bits());
            let all = kind.decode_all(&bytes).into_iter().map(f32::to_bits);
            assert!(each.eq(all), "{kind:?}");
        }
    }
}
