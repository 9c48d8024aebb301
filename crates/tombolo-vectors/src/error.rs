use std::io;
use std::path::PathBuf;

/// What can be wrong with vectors and the files that hold them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// A matrix whose rows have no components.
    #[error("expected vectors of at least one dimension, found 0")]
    ZeroDim,

    /// A vector, or a matrix, of another dimension.
    #[error("expected vectors of {expected} dimensions, found {found}")]
    Dim {
        /// Dimensions required.
        expected: usize,
        /// Dimensions found.
        found: usize,
    },

    /// Two forms of the same rows that differ in number.
    #[error("expected {expected} rows, found {found}")]
    Len {
        /// Rows required.
        expected: usize,
        /// Rows found.
        found: usize,
    },

    /// A flat buffer that does not divide into rows.
    #[error("expected a multiple of {dim} values, found {found}")]
    Ragged {
        /// Values per row.
        dim: usize,
        /// Values found.
        found: usize,
    },

    /// A file that is too short for the rows it should hold, or ends inside a row.
    #[error("{}: expected {expected} bytes of vectors, found {found}", path.display())]
    FileLength {
        /// The file.
        path: PathBuf,
        /// Bytes required.
        expected: u64,
        /// Bytes found.
        found: u64,
    },

    /// A `.npy` file of a kind that is not read here.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What this reader takes.
        expected: &'static str,
        /// What the file says.
        found: String,
    },

    /// The operating system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl VectorError {
    /// What the user can do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dim { .. } => {
                Some("both sides must come from the same model; embed again with one".into())
            }
            Self::FileLength { .. } => {
                Some("the file was cut short; restore it or write it again".into())
            }
            Self::Npy { .. } => Some(
                "save it as numpy.save(path, array.astype('<f4')) with a C-ordered 2-D array"
                    .into(),
            ),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space on that disk and run the command again".into())
            }
            Self::ZeroDim | Self::Len { .. } | Self::Ragged { .. } | Self::Io { .. } => None,
        }
    }
}
