//! Tensors that stay in their file: mapped, and read from the disk when they are used.

use std::collections::BTreeMap;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::safetensors::{Dtype, SafeTensors};
use memmap2::Mmap;

use super::safetensors::{damaged, element_type, map};
use super::{CheckpointError, similar};

/// The f32 elements of a tensor: in a mapped file where they lie there as such, else in memory.
#[derive(Clone)]
pub struct Values(Place);

#[derive(Clone)]
enum Place {
    File(Arc<Mmap>, Range<usize>),
    Memory(Arc<[f32]>),
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Place::File(map, range) => bytemuck::cast_slice(&map[range.clone()]),
            Place::Memory(values) => values,
        }
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self(Place::Memory(values.into()))
    }
}

/// The tensors of a safetensors file by name, none of them read yet.
pub struct MappedTensors {
    path: PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Values)>,
}

impl MappedTensors {
    /// Maps a file. Elements of another type than f32, or not aligned, are converted into memory.
    ///
    /// # Errors
    /// As [`super::safetensors::read`].
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = Arc::new(map(path)?);
        let parsed =
            SafeTensors::deserialize(&file).map_err(|source| damaged(path, &file, &source))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in parsed.iter() {
            let kind = element_type(path, name, view.dtype())?;
            let start = view.data().as_ptr() as usize - file.as_ptr() as usize;
            let aligned = start.is_multiple_of(align_of::<f32>()) && cfg!(target_endian = "little");
            let values = match view.dtype() == Dtype::F32 && aligned {
                true => Values(Place::File(file.clone(), start..start + view.data().len())),
                false => kind.decode_all(view.data()).into(),
            };
            tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
        }
        Ok(Self { path: path.to_owned(), tensors })
    }

    /// Whether any name starts with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }

    /// The values of one tensor, which must have as many elements as `shape` and the same first dimension.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] (with the nearest names in the hint) or [`CheckpointError::Shape`].
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Values, CheckpointError> {
        let path = || self.path.clone();
        let Some((found, values)) = self.tensors.get(name) else {
            let others = similar(self.tensors.keys(), name);
            return Err(CheckpointError::Missing { path: path(), name: name.to_owned(), others });
        };
        if found.first() != shape.first() || values.len() != shape.iter().product::<usize>() {
            let (expected, found) = (shape.to_vec(), found.clone());
            return Err(CheckpointError::Shape {
                path: path(),
                name: name.to_owned(),
                expected,
                found,
            });
        }
        Ok(values.clone())
    }
}
