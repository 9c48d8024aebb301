//! NumPy's `.npy`, version 1.0: two-dimensional, little-endian f32, C order.
//!
//! The format is that of `numpy.lib.format`: a magic string, a version, the length of a header,
//! the header (a Python dictionary, padded to 64 bytes), then the values.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::{EmbeddingMatrix, VectorError};

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
const ALIGNMENT: usize = 64;

/// Writes a matrix, `[len, dim]`, as `.npy`.
///
/// # Errors
/// [`VectorError::Io`].
pub fn write(path: &Path, matrix: &EmbeddingMatrix) -> Result<(), VectorError> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        write_to(&mut out, matrix)?;
        out.flush()
    };
    write().map_err(|source| VectorError::Io { path: path.to_owned(), source })
}

/// Writes a matrix, `[len, dim]`, as `.npy` to any writer.
///
/// # Errors
/// Those of the writer.
pub fn write_to(out: &mut impl Write, matrix: &EmbeddingMatrix) -> std::io::Result<()> {
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
        matrix.len(),
        matrix.dim()
    );
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    header.push('\n');
    out.write_all(MAGIC)?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    matrix.as_slice().iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// Reads a matrix, `[len, dim]`, from `.npy`.
///
/// # Errors
/// [`VectorError::Npy`] for another version, type, order or number of dimensions;
/// [`VectorError::FileLength`] if values are missing or left over; [`VectorError::Io`].
pub fn read(path: &Path) -> Result<EmbeddingMatrix, VectorError> {
    let io = |source| VectorError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let found = file.metadata().map_err(io)?.len();
    let mut input = BufReader::new(file);
    let header = read_header(path, &mut input)?;
    let (len, dim) = parse_header(path, &header)?;
    let start = (MAGIC.len() + 2 + header.len()) as u64;
    let expected = (len as u64).saturating_mul(dim as u64).saturating_mul(4).saturating_add(start);
    if found != expected {
        return Err(VectorError::FileLength { path: path.to_owned(), expected, found });
    }
    let mut bytes = vec![0; len * dim * 4];
    input.read_exact(&mut bytes).map_err(io)?;
    let values = bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    EmbeddingMatrix::from_rows(dim, values)
}

fn read_header(path: &Path, input: &mut impl Read) -> Result<String, VectorError> {
    let wrong = |found: String| VectorError::Npy {
        path: path.to_owned(),
        expected: "a .npy file of version 1.0",
        found,
    };
    let mut start = [0; 10];
    input.read_exact(&mut start).map_err(|_| wrong("fewer than 10 bytes".into()))?;
    if !start.starts_with(MAGIC) {
        let known = start.starts_with(&MAGIC[..6]);
        return Err(wrong(if known {
            format!("version {}.{}", start[6], start[7])
        } else {
            "another kind of file".into()
        }));
    }
    let mut header = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
    input.read_exact(&mut header).map_err(|_| wrong("a header cut short".into()))?;
    String::from_utf8(header).map_err(|_| wrong("a header that is not text".into()))
}

/// `(len, dim)` out of NumPy's header, whatever the order of its keys.
fn parse_header(path: &Path, header: &str) -> Result<(usize, usize), VectorError> {
    let wrong = |expected, found: &str| VectorError::Npy {
        path: path.to_owned(),
        expected,
        found: found.trim().to_owned(),
    };
    let value_of =
        |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let descr = value_of("descr").unwrap_or_default();
    if !descr.starts_with("'<f4'") {
        return Err(wrong("values of type '<f4'", descr.split(',').next().unwrap_or(header)));
    }
    if !value_of("fortran_order").is_some_and(|order| order.starts_with("False")) {
        return Err(wrong("'fortran_order': False", header));
    }
    let shape = value_of("shape")
        .and_then(|rest| rest.strip_prefix('(')?.split_once(')'))
        .map(|(inside, _)| inside)
        .ok_or_else(|| wrong("a 'shape'", header))?;
    let sizes: Result<Vec<usize>, _> =
        shape.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::parse).collect();
    match sizes.as_deref() {
        Ok(&[len, dim]) => Ok((len, dim)),
        _ => Err(wrong("a shape of two dimensions", &format!("({shape})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(matrix: &EmbeddingMatrix) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_to(&mut bytes, matrix).unwrap();
        bytes
    }

    fn read_bytes(bytes: &[u8]) -> Result<EmbeddingMatrix, VectorError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(file.path())
    }

    #[test]
    fn comes_back_as_it_went_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors.npy");
        for matrix in [
            EmbeddingMatrix::from_rows(3, vec![1.0, -2.5, f32::MIN_POSITIVE, 0.0, 1e30, 7.0])
                .unwrap(),
            EmbeddingMatrix::new(5).unwrap(),
        ] {
            write(&path, &matrix).unwrap();
            assert_eq!(read(&path).unwrap(), matrix);
        }
    }

    /// The bytes of `numpy.save(f, numpy.array([[1, 2]], dtype='<f4'))`, NumPy 2.
    #[test]
    fn is_what_numpy_writes() {
        let matrix = EmbeddingMatrix::from_rows(2, vec![1.0, 2.0]).unwrap();
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
        expected.extend_from_slice(format!("{header:<117}\n").as_bytes());
        expected.extend_from_slice(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]);
        assert_eq!(written(&matrix), expected);
    }

    #[test]
    fn other_files_are_refused_with_what_they_are() {
        let good = written(&EmbeddingMatrix::from_rows(2, vec![1.0, 2.0]).unwrap());
        let text = |from: &str, to: &str| {
            let mut bytes = good.clone();
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            read_bytes(&bytes).unwrap_err().to_string()
        };
        assert!(text("<f4", "<f8").ends_with("expected values of type '<f4', found '<f8'"));
        assert!(text("(1, 2), ", "(2,),   ").ends_with("two dimensions, found (2,)"));
        assert!(text("NUMPY\u{1}", "NUMPY\u{2}").ends_with("found version 2.0"));
        assert!(text("False", "True ").contains("'fortran_order': False"));
        let short = read_bytes(&good[..good.len() - 1]).unwrap_err();
        assert!(matches!(short, VectorError::FileLength { expected: 136, found: 135, .. }));
        assert!(read_bytes(b"hello, I am text").unwrap_err().to_string().contains("another kind"));
    }
}
