//! Tensors that stay in their file: mapped, and read from the disk when they are used.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::safetensors::{Dtype, SafeTensors};
use memmap2::Mmap;

use super::safetensors::{damaged, element_type, map};
use super::{CheckpointError, Tensors, similar};

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

impl Values {
    /// Some of the elements, in the same place.
    pub fn part(&self, range: Range<usize>) -> Self {
        match &self.0 {
            Place::File(map, whole) => {
                let size = size_of::<f32>();
                let start = whole.start + size * range.start;
                let end = start + size * range.len();
                assert!(end <= whole.end, "a part of a tensor");
                Self(Place::File(map.clone(), start..end))
            }
            Place::Memory(values) => values[range].to_vec().into(),
        }
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self(Place::Memory(values.into()))
    }
}

/// Ends of names of tensors that are computed or left from training, whatever a file holds in them.
const WITHOUT_USE: [&str; 7] = [
    "position_ids",
    "attn_mask",
    "num_batches_tracked",
    "token_type_ids",
    "mask_token",
    "pooler.dense.weight",
    "pooler.dense.bias",
];

/// A tensor: name, shape, elements.
pub(crate) type Named = (String, Vec<usize>, Values);

/// The tensors of a checkpoint by name, those of safetensors files not read yet.
pub struct MappedTensors {
    path: PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Values)>,
    /// Names that were asked for.
    taken: RefCell<BTreeSet<String>>,
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
        Ok(Self { path: path.to_owned(), tensors, taken: RefCell::default() })
    }

    /// Opens a checkpoint of any form that is known: safetensors are mapped, files of PyTorch read.
    ///
    /// # Errors
    /// As [`super::read`].
    pub fn open_any(path: &Path) -> Result<Self, CheckpointError> {
        match super::pth::looks_like(path)? {
            true => Ok(Self::from_tensors(path, super::pth::read(path)?)),
            false => Self::open(path),
        }
    }

    /// Tensors in memory, which were read from `path`.
    pub fn from_tensors(path: &Path, tensors: Tensors) -> Self {
        let tensors = tensors.into_iter().map(|(name, t)| (name, (t.shape, t.data.into())));
        Self { path: path.to_owned(), tensors: tensors.collect(), taken: RefCell::default() }
    }

    /// Opens all files that an index (`model.safetensors.index.json`) speaks of, as one.
    ///
    /// # Errors
    /// If the index or a file cannot be read, or a tensor is not in the file that the index names.
    pub fn open_shards(index: &Path) -> Result<Self, CheckpointError> {
        let text = std::fs::read(index).map_err(CheckpointError::io(index, "open"))?;
        let damaged = |found: String| CheckpointError::Format {
            path: index.to_owned(),
            expected: "`weight_map`: the file of each tensor".into(),
            found,
        };
        let parsed: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let map = parsed["weight_map"].as_object().ok_or_else(|| damaged("none".into()))?;
        let shards: BTreeSet<&str> = map.values().filter_map(serde_json::Value::as_str).collect();
        let mut tensors = BTreeMap::new();
        for shard in shards {
            if shard.contains(['/', '\\']) {
                return Err(damaged(format!("`{shard}`")));
            }
            tensors.extend(Self::open(&index.with_file_name(shard))?.tensors);
        }
        if let Some(missing) = map.keys().find(|name| !tensors.contains_key(*name)) {
            return Err(damaged(format!("no `{missing}` in any of its files")));
        }
        Ok(Self { path: index.to_owned(), tensors, taken: RefCell::default() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives every tensor the names and values that `translate` makes of it.
    ///
    /// # Errors
    /// Those of `translate`.
    pub(crate) fn translated<E>(
        self,
        translate: impl Fn(&str, Vec<usize>, Values) -> Result<Vec<Named>, E>,
    ) -> Result<Self, E> {
        let mut tensors = BTreeMap::new();
        for (name, (shape, values)) in self.tensors {
            let named = translate(&name, shape, values)?;
            tensors.extend(named.into_iter().map(|(name, shape, values)| (name, (shape, values))));
        }
        Ok(Self { tensors, ..self })
    }

    /// Gives every tensor the name that `rename` makes of its own.
    pub(crate) fn renamed(self, rename: impl Fn(String) -> String) -> Self {
        let tensors = self.tensors.into_iter();
        let tensors = tensors.map(|(name, tensor)| (rename(name), tensor)).collect();
        Self { tensors, ..self }
    }

    /// The one value of a tensor that is a number.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] or [`CheckpointError::Shape`].
    pub fn scalar(&self, name: &str) -> Result<f32, CheckpointError> {
        match self.tensors.get(name) {
            Some((_, values)) if values.len() == 1 => Ok(values[0]),
            _ => self.get(name, &[]).map(|values| values[0]),
        }
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Refuses tensors under these prefixes that were never asked for, but for those that are computed or left from
    /// training, and those with `unread` in their names where it is not empty: the file is then of another network than
    /// its settings say.
    ///
    /// # Errors
    /// [`CheckpointError::Extra`].
    pub fn expect_no_others(&self, prefixes: &[&str], unread: &str) -> Result<(), CheckpointError> {
        let taken = self.taken.borrow();
        let under = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let left = |name: &str| !unread.is_empty() && name.contains(unread);
        self.refuse(|name| under(name) && !left(name) && !taken.contains(name))
    }

    /// Refuses tensors whose names begin with none of these prefixes, but for those that are computed or left from training.
    ///
    /// # Errors
    /// [`CheckpointError::Extra`].
    pub fn expect_only(&self, prefixes: &[&str]) -> Result<(), CheckpointError> {
        self.refuse(|name| !prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }

    fn refuse(&self, extra: impl Fn(&str) -> bool) -> Result<(), CheckpointError> {
        let useless = |name: &str| {
            let whole = |rest: &str| rest.is_empty() || rest.ends_with('.');
            WITHOUT_USE.iter().any(|end| name.strip_suffix(end).is_some_and(whole))
        };
        let names = self.tensors.keys().filter(|name| extra(name) && !useless(name));
        let names: Vec<&String> = names.collect();
        match names.first() {
            None => Ok(()),
            Some(first) => {
                let (path, first) = (self.path.clone(), (*first).clone());
                Err(CheckpointError::Extra { path, count: names.len(), first })
            }
        }
    }

    /// Whether any name starts with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }

    /// The values of one tensor, which must have this shape.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] (with the nearest names in the hint) or [`CheckpointError::Shape`].
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Values, CheckpointError> {
        let path = || self.path.clone();
        let Some((found, values)) = self.tensors.get(name) else {
            let others = similar(self.tensors.keys(), name);
            return Err(CheckpointError::Missing { path: path(), name: name.to_owned(), others });
        };
        if found != shape {
            let (expected, found) = (shape.to_vec(), found.clone());
            return Err(CheckpointError::Shape {
                path: path(),
                name: name.to_owned(),
                expected,
                found,
            });
        }
        self.taken.borrow_mut().insert(name.to_owned());
        Ok(values.clone())
    }
}
