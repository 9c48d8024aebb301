//! Arrays of f32 in NumPy's file format, any number of dimensions.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};

/// Values and their shape.
pub struct Array {
    /// The shape.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Vec<f32>,
}

/// Reads a little-endian f32 array in row-major order.
pub fn read(path: &Path) -> anyhow::Result<Array> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let (shape, values) = view(path, &bytes)?;
    Ok(Array { shape, values: values.to_vec() })
}

/// Shape and values of a file's bytes, without a copy: NumPy begins the values at a multiple of 64 bytes.
pub fn view<'a>(path: &Path, bytes: &'a [u8]) -> anyhow::Result<(Vec<usize>, &'a [f32])> {
    ensure!(bytes.starts_with(b"\x93NUMPY\x01"), "{}: not a .npy file", path.display());
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len])?;
    ensure!(header.contains("'<f4'") && header.contains("False"), "{}: not f32", path.display());
    let shape = header.split(['(', ')']).nth(1).context("no shape")?;
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let values = bytemuck::try_cast_slice(&bytes[10 + header_len..]);
    let values = values.map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok((shape, values))
}

/// Writes an array.
pub fn write(path: &Path, array: &Array) -> anyhow::Result<()> {
    let shape: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    let width = (header.len() + 11).next_multiple_of(64) - 11;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(width as u16 + 1).to_le_bytes())?;
    writeln!(file, "{header:width$}")?;
    for value in &array.values {
        file.write_all(&value.to_le_bytes())?;
    }
    Ok(file.flush()?)
}
