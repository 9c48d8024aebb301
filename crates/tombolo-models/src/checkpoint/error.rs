//! What can go wrong with a file of weights.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::PickleError;

/// A file of weights that cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is none of the forms known here, or its header is damaged.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The form that was tried.
        expected: String,
        /// What was there instead.
        found: String,
    },
    /// The file ends before what its header promises.
    #[error("{}: truncated: expected at least {expected} bytes, found {found}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that the content asks for.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// A pickle that is damaged, or that asks for more than tensors need.
    #[error("{}: refused pickle: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What was refused, and where.
        source: PickleError,
    },
    /// A tensor whose description does not fit its data.
    #[error("{}: tensor `{name}`: expected {expected}, found {found}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What a valid file has here.
        expected: String,
        /// What this file has.
        found: String,
    },
    /// A file that holds more than tensors, as what a training leaves behind.
    #[error("{}: expected tensors alone, found something else at `{name}`", path.display())]
    NotATensor {
        /// The file.
        path: PathBuf,
        /// What is no tensor.
        name: String,
        /// Where tensors lie within it, if it is known.
        within: Option<&'static str>,
    },
    /// A tensor that the model needs and the file lacks.
    #[error("{}: expected a tensor `{name}`, found none of that name", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Names in the file that come nearest.
        others: Vec<String>,
    },
    /// Tensors that the model has no use for, where all should have one.
    #[error(
        "{}: expected no tensor `{first}`{}, which its settings do not speak of",
        path.display(),
        if *count > 1 { format!(" and {} more", count - 1) } else { String::new() }
    )]
    Extra {
        /// The file.
        path: PathBuf,
        /// How many there are.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A tensor of another shape than the model's.
    #[error("{}: tensor `{name}`: expected shape {expected:?}, found {found:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The model's shape.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
}

impl CheckpointError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("the disk is full: free some space and try again".into())
            }
            Self::Io { .. } => None,
            Self::Format { .. } => Some(
                "weights are read from .safetensors files and from state_dicts saved by torch.save"
                    .into(),
            ),
            Self::Truncated { .. } | Self::Tensor { .. } => {
                Some("the file is damaged or was not downloaded to its end: fetch it again".into())
            }
            Self::Pickle { .. } => Some(
                "only plain state_dicts are read, and nothing in them is ever executed; \
                 re-save the weights with safetensors.torch.save_file"
                    .into(),
            ),
            Self::NotATensor { within: Some(key), .. } => {
                Some(format!("save the state_dict alone: torch.save(torch.load(FILE)[\"{key}\"], OTHER)"))
            }
            Self::NotATensor { within: None, .. } => {
                Some("save the state_dict alone: torch.save(model.state_dict(), OTHER)".into())
            }
            Self::Missing { others, .. } if others.is_empty() => Some("the file is empty".into()),
            Self::Missing { others, .. } => Some(format!(
                "these weights are of another model; the nearest names are {}",
                others.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )),
            Self::Extra { .. } => Some(
                "config.json describes a smaller network than these weights are of, or they are of another task or have an adapter: fetch both from the same place"
                    .into(),
            ),
            Self::Shape { .. } => Some("these weights are of another model or another size".into()),
        }
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }

    pub(super) fn pickle(path: &Path) -> impl Fn(PickleError) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Pickle { path: path.clone(), source }
    }
}
