//! The safetensors format: read by mapping, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use half::f16;
use memmap2::Mmap;
use serde_json::{Map, Value, json};

use super::element::ElementType;
use super::{CheckpointError, HostTensor, Tensors, write_atomically};

/// Reads every tensor of a file, converted to f32.
///
/// # Errors
/// [`CheckpointError`] if the file cannot be read, is truncated or damaged, or holds an element type that no model here has.
pub fn read(path: &Path) -> Result<Tensors, CheckpointError> {
    let bytes = map(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| damaged(path, &bytes, &source))?;
    file.iter()
        .map(|(name, view)| {
            let data = element_type(path, name, view.dtype())?.decode_all(view.data());
            Ok((name.to_owned(), HostTensor { shape: view.shape().to_vec(), data }))
        })
        .collect()
}

/// Reads the free-form metadata in a file's header; empty if there is none.
///
/// # Errors
/// As [`read`].
pub fn read_metadata(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let bytes = map(path)?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|source| damaged(path, &bytes, &source))?;
    Ok(header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// How the elements of a file are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to halves.
    F16,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// One tensor to write: its name, its shape, its elements in row-major order.
pub type Entry<'a> = (&'a str, &'a [usize], &'a [f32]);

/// Writes f32 tensors as they are, and metadata: to a temporary name, flushed to the disk, then renamed.
///
/// The same content gives the same bytes: tensors are written in the order of their names.
///
/// # Errors
/// [`CheckpointError::Tensor`] if a shape does not fit its data or a name occurs twice, [`CheckpointError::Io`].
pub fn write(
    path: &Path,
    tensors: &[Entry<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    write_as(path, tensors, metadata, Precision::F32)
}

/// As [`write()`], with the elements stored as `precision` says.
///
/// # Errors
/// As [`write()`].
pub fn write_as(
    path: &Path,
    tensors: &[Entry<'_>],
    metadata: &BTreeMap<String, String>,
    precision: Precision,
) -> Result<(), CheckpointError> {
    write_each(path, tensors, metadata, &|_| precision)
}

/// As [`write()`], with the elements of each tensor stored as its name says.
///
/// # Errors
/// As [`write()`].
pub fn write_each(
    path: &Path,
    tensors: &[Entry<'_>],
    metadata: &BTreeMap<String, String>,
    precision: &dyn Fn(&str) -> Precision,
) -> Result<(), CheckpointError> {
    let mut sorted: Vec<_> = tensors.iter().map(|entry| (precision(entry.0), entry)).collect();
    // The wider first, so that all are aligned.
    sorted.sort_by_key(|(precision, (name, ..))| (std::cmp::Reverse(precision.bytes()), *name));
    let header = header(path, &sorted, metadata)?;
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        sorted
            .iter()
            .try_for_each(|(precision, (_, _, data))| write_elements(file, data, *precision))
    })
    .map_err(CheckpointError::io(path, "write"))
}

fn header(
    path: &Path,
    sorted: &[(Precision, &Entry<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<String, CheckpointError> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for (precision, (name, shape, data)) in sorted {
        let end = offset + precision.bytes() * data.len();
        let entry =
            json!({ "dtype": precision.name(), "shape": shape, "data_offsets": [offset, end] });
        let refused = |expected: String, found: String| CheckpointError::Tensor {
            path: path.to_path_buf(),
            name: (*name).to_owned(),
            expected,
            found,
        };
        let elements: usize = shape.iter().product();
        if elements != data.len() {
            return Err(refused(
                format!("{elements} elements for shape {shape:?}"),
                data.len().to_string(),
            ));
        }
        if header.insert((*name).to_owned(), entry).is_some() {
            return Err(refused("a name of its own".into(), "the name of another tensor".into()));
        }
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    // The data starts at a multiple of eight, as the format's own writer has it.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    Ok(header)
}

fn write_elements(file: &mut impl Write, data: &[f32], precision: Precision) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4 * 4096);
    for chunk in data.chunks(4096) {
        buffer.clear();
        match precision {
            Precision::F32 => buffer.extend(chunk.iter().flat_map(|element| element.to_le_bytes())),
            Precision::F16 => buffer
                .extend(chunk.iter().flat_map(|&element| f16::from_f32(element).to_le_bytes())),
        }
        file.write_all(&buffer)?;
    }
    Ok(())
}

pub(super) fn map(path: &Path) -> Result<Mmap, CheckpointError> {
    let file = File::open(path).map_err(CheckpointError::io(path, "open"))?;
    // SAFETY: the file is only read, and files of weights are replaced by renaming, never changed in place; a foreign process
    // that does so anyway can give wrong numbers, but every length is taken from the map and not from the file.
    unsafe { Mmap::map(&file) }.map_err(CheckpointError::io(path, "map"))
}

pub(super) fn element_type(
    path: &Path,
    name: &str,
    dtype: Dtype,
) -> Result<ElementType, CheckpointError> {
    Ok(match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        other => {
            return Err(CheckpointError::Tensor {
                path: path.to_path_buf(),
                name: name.to_owned(),
                expected: "an element type of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"
                    .into(),
                found: format!("{other:?}"),
            });
        }
    })
}

pub(super) fn damaged(path: &Path, bytes: &[u8], error: &SafeTensorError) -> CheckpointError {
    let found = bytes.len() as u64;
    let path = path.to_path_buf();
    match (error, expected_length(bytes)) {
        (SafeTensorError::MetadataIncompleteBuffer, Some(expected)) if expected > found => {
            CheckpointError::Truncated { path, expected, found }
        }
        // A header's length has zeros where a pickle has its first instruction.
        _ if matches!(bytes, [0x80, 2..=5, first, ..] if *first > 0) => CheckpointError::Format {
            path,
            expected: "a state_dict that torch.save wrote".into(),
            found: "a pickle of something else".into(),
        },
        _ => CheckpointError::Format {
            path,
            expected: "a safetensors file".into(),
            found: format!("{found} bytes that are not ({error})"),
        },
    }
}

/// The length of the file that the header describes, if there is a header.
fn expected_length(bytes: &[u8]) -> Option<u64> {
    let header = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let end = usize::try_from(header).ok()?.checked_add(8)?;
    let entries: Map<String, Value> = serde_json::from_slice(bytes.get(8..end)?).ok()?;
    let data = entries.values().filter_map(|entry| entry["data_offsets"][1].as_u64()).max();
    (end as u64).checked_add(data.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("x.safetensors");
        let metadata =
            [("b", "2"), ("a", "1"), ("c", "ü")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let tensors: [Entry<'_>; 3] =
            [("w", &[2, 2], &[1.0, -2.0, 0.5, f32::MAX]), ("a", &[], &[7.0]), ("e", &[0, 3], &[])];
        write(&path, &tensors, &metadata).unwrap();
        path
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = sample(folder.path());
        let tensors = read(&path).unwrap();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["a", "e", "w"]);
        let expected = HostTensor { shape: vec![2, 2], data: vec![1.0, -2.0, 0.5, f32::MAX] };
        assert_eq!(tensors["w"], expected);
        assert_eq!(tensors["a"], HostTensor { shape: vec![], data: vec![7.0] });
        assert_eq!(tensors["e"], HostTensor { shape: vec![0, 3], data: vec![] });
        let metadata = read_metadata(&path).unwrap();
        assert_eq!(
            metadata.into_iter().map(|(k, v)| k + &v).collect::<Vec<_>>(),
            ["a1", "b2", "cü"]
        );
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bytes = |folder: &Path| std::fs::read(sample(folder)).unwrap();
        assert_eq!(bytes(one.path()), bytes(two.path()));
    }

    #[test]
    fn half_types_are_widened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.safetensors");
        let header = r#"{"f":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0x00, 0x3c, 0x00, 0xc2, 0x40, 0x40]);
        std::fs::write(&path, bytes).unwrap();
        let tensors = read(&path).unwrap();
        assert_eq!(tensors["f"].data, [1.0, -3.0]);
        assert_eq!(tensors["b"].data, [3.0]);
    }

    #[test]
    fn every_truncation_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = sample(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains("x.safetensors"));
        }
        let error = read(&path).unwrap_err();
        let (expected, found) = (whole.len() as u64, whole.len() as u64 - 1);
        assert!(
            matches!(error, CheckpointError::Truncated { expected: e, found: f, .. } if (e, f) == (expected, found)),
            "{error}"
        );
    }

    #[test]
    fn a_shape_that_does_not_fit_and_a_name_used_twice_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let none = BTreeMap::new();
        assert!(write(&path, &[("w", &[3], &[1.0])], &none).is_err());
        assert!(write(&path, &[("w", &[1], &[1.0]), ("w", &[1], &[2.0])], &none).is_err());
        assert!(!path.exists());
    }
}
