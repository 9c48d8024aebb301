//! Weights on disk: safetensors, and the files that PyTorch writes.
//!
//! The readers return plain data, whatever the type on disk, so that nothing here needs the tensor library.

mod atomic;
mod element;
mod error;
mod mapped;
mod pickle;
pub mod pth;
pub mod safetensors;

use std::collections::BTreeMap;
use std::path::Path;

pub use atomic::{sync_folder, write_atomically};
pub use error::CheckpointError;
pub(crate) use mapped::Named;
pub use mapped::{MappedTensors, Values};
pub use pickle::PickleError;

/// A tensor in memory: row-major, every element type converted to f32.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// The size of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, last dimension fastest; as many as the product of `shape`.
    pub data: Vec<f32>,
}

/// The tensors of a checkpoint by name.
pub type Tensors = BTreeMap<String, HostTensor>;

/// Reads a checkpoint of any form known here; the form is told from the content, not from the name.
///
/// # Errors
/// [`CheckpointError`] if the file cannot be read, is damaged, or is none of these forms.
pub fn read(path: &Path) -> Result<Tensors, CheckpointError> {
    if pth::looks_like(path)? { pth::read(path) } else { safetensors::read(path) }
}

/// Takes one tensor of an expected shape out of a checkpoint that was read from `path`.
///
/// # Errors
/// [`CheckpointError::Missing`] (with the nearest names in the hint) or [`CheckpointError::Shape`].
pub fn take(
    tensors: &mut Tensors,
    path: &Path,
    name: &str,
    expected: &[usize],
) -> Result<HostTensor, CheckpointError> {
    let Some(found) = tensors.get(name) else {
        return Err(CheckpointError::Missing {
            path: path.to_path_buf(),
            name: name.to_owned(),
            others: similar(tensors.keys(), name),
        });
    };
    if found.shape != expected {
        return Err(CheckpointError::Shape {
            path: path.to_path_buf(),
            name: name.to_owned(),
            expected: expected.to_vec(),
            found: found.shape.clone(),
        });
    }
    Ok(tensors.remove(name).expect("looked up above"))
}

/// Up to three names that end like `name` does: a checkpoint of the right kind often differs by a prefix only.
fn similar<'a>(names: impl Iterator<Item = &'a String>, name: &str) -> Vec<String> {
    let common = |other: &str| {
        name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count()
    };
    let mut names: Vec<_> = names.map(|other| (common(other), other)).collect();
    names.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    names.into_iter().take(3).map(|(_, other)| other.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Tensors {
        let tensor = HostTensor { shape: vec![2, 1], data: vec![1.0, 2.0] };
        ["bert.dense.weight", "bert.dense.bias", "head"]
            .map(|name| (name.to_owned(), tensor.clone()))
            .into()
    }

    #[test]
    fn takes_a_tensor_once() {
        let (mut map, path) = (tensors(), Path::new("x.safetensors"));
        assert_eq!(take(&mut map, path, "head", &[2, 1]).unwrap().data, [1.0, 2.0]);
        assert!(matches!(
            take(&mut map, path, "head", &[2, 1]),
            Err(CheckpointError::Missing { .. })
        ));
    }

    #[test]
    fn a_wrong_shape_names_expected_before_found() {
        let error =
            take(&mut tensors(), Path::new("x.safetensors"), "head", &[3]).unwrap_err().to_string();
        assert_eq!(error, "x.safetensors: tensor `head`: expected shape [3], found [2, 1]");
    }

    #[test]
    fn a_missing_name_suggests_the_nearest() {
        let error =
            take(&mut tensors(), Path::new("x.safetensors"), "dense.weight", &[3]).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains("`bert.dense.weight`"), "{hint}");
    }
}
