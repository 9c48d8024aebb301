//! State_dicts that PyTorch saved: the legacy serialisation from before version 1.6, and the zip form since.
//!
//! Legacy: five pickles after another (magic number, protocol version, system information, the state_dict with references to
//! storages, the list of storage keys), then for each key its length as i64 and its elements. Zip: the state_dict in
//! `*/data.pkl`, each storage uncompressed in `*/data/KEY`. Both per `torch/serialization.py`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::Path;

use super::pickle::{MAGIC_NAME, Pickle, Storage, Tensor, Value, is_text};
use super::{CheckpointError, HostTensor, Tensors};

/// The elements that a file may unfold to, per byte of the file: tensors may share storages, but a small file that claims
/// terabytes is refused.
const ELEMENTS_PER_BYTE: u64 = 8;

/// Where each storage's bytes lie in the file.
type Storages = HashMap<String, Range<usize>>;

/// Whether a file starts like one that PyTorch writes: a zip archive or a pickle.
pub(super) fn looks_like(path: &Path) -> Result<bool, CheckpointError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(CheckpointError::io(path, "open"))?;
    file.take(4).read_to_end(&mut start).map_err(CheckpointError::io(path, "read"))?;
    Ok(start == ZIP || matches!(start[..], [0x80, version, 0x8a, ..] if version <= 5))
}

const ZIP: [u8; 4] = *b"PK\x03\x04";

/// Reads a state_dict, every tensor made contiguous and converted to f32.
///
/// Nothing in the file is executed; sizes are checked against the file's length before anything is allocated.
///
/// # Errors
/// [`CheckpointError::Pickle`] if the pickle asks for more than tensors need, [`CheckpointError::NotATensor`] if it holds more, others
/// if the file is truncated or damaged.
pub fn read(path: &Path) -> Result<Tensors, CheckpointError> {
    decode(path, &super::safetensors::map(path)?)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Tensors, CheckpointError> {
    let (pickle, storages) =
        if bytes.starts_with(&ZIP) { zip_form(path, bytes)? } else { legacy_form(path, bytes)? };
    let mut tensors = Tensors::new();
    let mut budget = bytes.len() as u64 * ELEMENTS_PER_BYTE;
    for (name, tensor) in entries(path, &pickle)? {
        let refuse = |(expected, found)| refused(path, name, expected, found);
        let view = View::checked(tensor, &storages, &mut budget).map_err(refuse)?;
        tensors.insert(name.to_owned(), view.contiguous(&bytes[view.bytes.clone()]));
    }
    Ok(tensors)
}

fn entries<'a>(
    path: &Path,
    pickle: &'a Pickle,
) -> Result<Vec<(&'a str, &'a Tensor)>, CheckpointError> {
    let items = match &pickle.value {
        dictionary @ Value::Dict(_) => pickle.items(dictionary),
        _ => None,
    };
    let items = items.ok_or_else(|| {
        malformed(path, "a state_dict", "something other than a dictionary".into())
    })?;
    items
        .chunks_exact(2)
        .map(|entry| match entry {
            [Value::Text(name), Value::Tensor(tensor)] => Ok((&**name, &**tensor)),
            [Value::Text(name), _] => {
                let (path, name) = (path.to_path_buf(), name.to_string());
                Err(CheckpointError::NotATensor { path, name, within: state_dict(items) })
            }
            _ => Err(malformed(path, "names as keys", "a key that is none".into())),
        })
        .collect()
}

/// The key under which a training's checkpoint has the tensors.
fn state_dict(items: &[Value]) -> Option<&'static str> {
    let has = |key: &&str| {
        let mut entries = items.chunks_exact(2);
        entries.any(|entry| is_text(&entry[0], key) && matches!(entry[1], Value::Dict(_)))
    };
    ["state_dict", "model", "model_state_dict"].into_iter().find(has)
}

fn legacy_form(path: &Path, bytes: &[u8]) -> Result<(Pickle, Storages), CheckpointError> {
    let mut at = 0;
    let mut next = || {
        let pickle = Pickle::read(&bytes[at..]).map_err(CheckpointError::pickle(path))?;
        at += pickle.length;
        Ok::<_, CheckpointError>(pickle)
    };
    if !is_text(&next()?.value, MAGIC_NAME) {
        return Err(malformed(path, "PyTorch's magic number", "another value".into()));
    }
    let version = next()?.value;
    if !matches!(version, Value::Int(1001)) {
        return Err(malformed(path, "protocol version 1001", format!("{version:?}")));
    }
    let system = next()?;
    if !is_little_endian(&system) {
        return Err(malformed(path, "a little-endian file", "another byte order".into()));
    }
    let (state, keys) = (next()?, next()?);
    let lengths = storage_lengths(path, &state)?;
    let mut storages = Storages::new();
    for key in keys.items(&keys.value).unwrap_or_default() {
        let Value::Text(key) = key else {
            return Err(malformed(path, "a list of storage keys", "something else".into()));
        };
        let Some(storage) = lengths.get(&**key) else {
            return Err(malformed(path, "the key of a storage in use", format!("`{key}`")));
        };
        let range = legacy_storage(path, bytes, at, storage)?;
        at = range.end;
        storages.insert(key.to_string(), range);
    }
    Ok((state, storages))
}

fn is_little_endian(system: &Pickle) -> bool {
    let items = system.items(&system.value).unwrap_or_default();
    items
        .chunks_exact(2)
        .any(|entry| matches!(entry, [key, Value::Bool(true)] if is_text(key, "little_endian")))
}

fn legacy_storage(
    path: &Path,
    bytes: &[u8],
    at: usize,
    storage: &Storage,
) -> Result<Range<usize>, CheckpointError> {
    let truncated = |expected| CheckpointError::Truncated {
        path: path.to_path_buf(),
        expected,
        found: bytes.len() as u64,
    };
    let start = at + 8;
    let length = bytes.get(at..start).ok_or_else(|| truncated(start as u64))?;
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
    if length != storage.length {
        let expected = format!("a storage `{}` of {} elements", storage.key, storage.length);
        return Err(malformed(path, expected, format!("{length} elements")));
    }
    let end = length
        .checked_mul(storage.element.size() as u64)
        .and_then(|size| size.checked_add(start as u64))
        .unwrap_or(u64::MAX);
    if end > bytes.len() as u64 {
        return Err(truncated(end));
    }
    Ok(start..usize::try_from(end).expect("within the file"))
}

/// The storages that the state_dict's tensors refer to, by key.
fn storage_lengths<'a>(
    path: &Path,
    state: &'a Pickle,
) -> Result<HashMap<&'a str, &'a Storage>, CheckpointError> {
    let mut storages: HashMap<&str, &Storage> = HashMap::new();
    for (name, tensor) in entries(path, state)? {
        let storage = &*tensor.storage;
        if *storages.entry(&storage.key).or_insert(storage) != storage {
            let expected = format!("one description of storage `{}`", storage.key);
            return Err(refused(path, name, expected, "two".into()));
        }
    }
    Ok(storages)
}

fn zip_form(path: &Path, bytes: &[u8]) -> Result<(Pickle, Storages), CheckpointError> {
    let broken = |error: zip::result::ZipError| {
        malformed(path, "a zip archive that PyTorch wrote", error.to_string())
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let pickle_name = archive.file_names().find(|name| name.ends_with("/data.pkl"));
    let pickle_name = pickle_name
        .ok_or_else(|| malformed(path, "an archive with a data.pkl", "one without".into()))?
        .to_owned();
    let folder = pickle_name.trim_end_matches("data.pkl").to_owned();
    let mut range_of = |name: &str| {
        let entry = archive.by_name(name).map_err(broken)?;
        let (start, length) = (entry.data_start(), entry.size());
        let stored = entry.compression() == zip::CompressionMethod::Stored;
        stored_range(path, bytes, name, stored.then_some(start), length)
    };
    let state =
        Pickle::read(&bytes[range_of(&pickle_name)?]).map_err(CheckpointError::pickle(path))?;
    if let Ok(order) = range_of(&format!("{folder}byteorder"))
        && &bytes[order.clone()] != b"little"
    {
        return Err(malformed(path, "a little-endian file", "another byte order".into()));
    }
    let mut storages = Storages::new();
    for (key, storage) in storage_lengths(path, &state)? {
        let range = range_of(&format!("{folder}data/{key}"))?;
        let expected = storage.length.checked_mul(storage.element.size() as u64);
        if expected != Some(range.len() as u64) {
            let expected = format!("a storage `{key}` of {} elements", storage.length);
            return Err(malformed(path, expected, format!("{} bytes", range.len())));
        }
        storages.insert(key.to_owned(), range);
    }
    Ok((state, storages))
}

fn stored_range(
    path: &Path,
    bytes: &[u8],
    name: &str,
    start: Option<u64>,
    length: u64,
) -> Result<Range<usize>, CheckpointError> {
    let Some(start) = start else {
        return Err(malformed(path, "entries without compression", format!("`{name}` with it")));
    };
    let end = start.saturating_add(length);
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if end <= bytes.len() => Ok(start..end),
        _ => Err(CheckpointError::Truncated {
            path: path.to_path_buf(),
            expected: end,
            found: bytes.len() as u64,
        }),
    }
}

/// A tensor whose every element is known to lie within its storage.
struct View<'a> {
    tensor: &'a Tensor,
    bytes: Range<usize>,
    shape: Vec<usize>,
    stride: Vec<usize>,
    offset: usize,
    elements: usize,
}

impl<'a> View<'a> {
    /// Checks a claimed view; the error is (expected, found).
    fn checked(
        tensor: &'a Tensor,
        storages: &Storages,
        budget: &mut u64,
    ) -> Result<Self, (String, String)> {
        let storage = &tensor.storage;
        let bytes = storages.get(&*storage.key).ok_or_else(|| {
            ("its storage in the file".to_owned(), format!("no `{}`", storage.key))
        })?;
        let (shape, stride) = (&tensor.shape, &tensor.stride);
        let expected = || format!("a view within {} elements", storage.length);
        let found = || format!("shape {shape:?}, stride {stride:?}, offset {}", tensor.offset);
        let outside = || (expected(), found());
        if shape.len() != stride.len() {
            return Err(("as many strides as dimensions".into(), found()));
        }
        let elements = shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
        let elements = elements.filter(|n| *n <= storage.length).ok_or_else(outside)?;
        let last = if elements == 0 { Some(0) } else { last_index(tensor) };
        // An empty view has no last element; anything else must end within the storage.
        if last.is_none_or(|last| elements > 0 && last >= storage.length) {
            return Err(outside());
        }
        *budget = budget
            .checked_sub(elements)
            .ok_or_else(|| ("tensors in proportion to the file".into(), found()))?;
        let small = |numbers: &[u64]| -> Result<Vec<usize>, _> {
            numbers.iter().map(|n| usize::try_from(*n).map_err(|_| outside())).collect()
        };
        Ok(Self {
            tensor,
            bytes: bytes.clone(),
            shape: small(shape)?,
            stride: small(stride)?,
            offset: usize::try_from(tensor.offset).map_err(|_| outside())?,
            elements: usize::try_from(elements).map_err(|_| outside())?,
        })
    }

    /// Copies the view out of its storage's bytes.
    fn contiguous(&self, storage: &[u8]) -> HostTensor {
        let element = self.tensor.storage.element;
        let size = element.size();
        let shape = self.shape.clone();
        if self.elements == 0 {
            return HostTensor { shape, data: Vec::new() };
        }
        if self.is_contiguous() {
            let start = self.offset * size;
            let data = element.decode_all(&storage[start..start + self.elements * size]);
            return HostTensor { shape, data };
        }
        let mut index = vec![0; shape.len()];
        let mut data = Vec::with_capacity(self.elements);
        for _ in 0..self.elements {
            let place: usize = index.iter().zip(&self.stride).map(|(i, stride)| i * stride).sum();
            data.push(element.decode(&storage[(self.offset + place) * size..]));
            advance(&mut index, &shape);
        }
        HostTensor { shape, data }
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.stride).rev().all(|(n, stride)| {
            let fits = *n == 1 || *stride == expected;
            expected *= n;
            fits
        })
    }
}

/// The next index in row-major order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (i, n) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < *n {
            return;
        }
        *i = 0;
    }
}

/// The index in its storage of a non-empty tensor's farthest element.
fn last_index(tensor: &Tensor) -> Option<u64> {
    tensor.shape.iter().zip(&tensor.stride).try_fold(tensor.offset, |last, (n, stride)| {
        last.checked_add((n - 1).checked_mul(*stride)?)
    })
}

fn refused(path: &Path, name: &str, expected: String, found: String) -> CheckpointError {
    CheckpointError::Tensor { path: path.to_path_buf(), name: name.to_owned(), expected, found }
}

fn malformed(path: &Path, expected: impl Into<String>, found: String) -> CheckpointError {
    CheckpointError::Format { path: path.to_path_buf(), expected: expected.into(), found }
}

#[cfg(test)]
#[path = "pth_tests.rs"]
mod tests;
