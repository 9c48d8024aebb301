//! What can go wrong when a model is fetched.

use std::io;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::ApiError;
use thiserror::Error;

use super::pip::{FULL, UNREACHABLE};
use crate::catalogue::CatalogueError;

/// A model that cannot be fetched or is not whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PullError {
    /// A name that is no model.
    #[error(transparent)]
    Name(#[from] CatalogueError),
    /// Nowhere to keep models.
    #[error("expected a home folder or TOMBOLO_HOME in the environment, found neither")]
    NoHome {},
    /// The operating system refused.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A model that is missing while the network must not be used.
    #[error("{}: model `{name}` is not installed, and this run is offline", path.display())]
    Offline {
        /// The model.
        name: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// An installed model that is not whole any more.
    #[error("{}: damaged: expected {expected}, found {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the manifest records.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file that is not the one that the checksum was recorded for.
    #[error("{}: wrong checksum: expected SHA-256 {expected}, found {found}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum recorded.
        expected: String,
        /// The checksum of the file.
        found: String,
    },
    /// No pip on this machine.
    #[error("expected pip, to fetch {package} from a Python package index; found none of {tried}")]
    NoPip {
        /// The package.
        package: String,
        /// The commands tried.
        tried: String,
    },
    /// pip failed.
    #[error("{command}: {message} (its log is {})", path.display())]
    Pip {
        /// The command.
        command: String,
        /// The last lines that it printed.
        message: String,
        /// Where all that it printed is kept.
        path: PathBuf,
    },
    /// A wheel that is no archive, or lacks a file.
    #[error("{}: cannot unpack {member}", path.display())]
    Wheel {
        /// The wheel.
        path: PathBuf,
        /// The file in it.
        member: String,
        /// What the archive reader said.
        source: zip::result::ZipError,
    },
    /// The hub refused, or could not be reached.
    #[error("{repo}: cannot fetch {file} from {endpoint}: {source}")]
    Hub {
        /// The repository.
        repo: String,
        /// The file.
        file: String,
        /// The hub's address.
        endpoint: String,
        /// What the hub's client said.
        source: Box<ApiError>,
    },
    /// A repository without weights that can be read.
    #[error("{repo}: expected {expected}, found {found}")]
    Repository {
        /// The repository.
        repo: String,
        /// The files needed.
        expected: String,
        /// The files there.
        found: String,
    },
    /// A hub, perhaps somebody's mirror, that names files by what could be a path.
    #[error("{repo}: expected {expected} from the hub, found {found:?}")]
    Unsound {
        /// The repository.
        repo: String,
        /// What files are named by.
        expected: String,
        /// What the hub says.
        found: String,
    },
    /// A download that ended too soon.
    #[error("{}: truncated: expected {expected} bytes, found {found}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The length that the server announced.
        expected: u64,
        /// The length received.
        found: u64,
    },
}

impl PullError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Name(error) => return error.hint(),
            Self::NoHome {} => "set TOMBOLO_HOME to a folder for models".into(),
            Self::Io { source, .. } => return io_hint(source),
            Self::Offline { name, .. } => format!("run `tombolo pull {name}` with a network"),
            Self::Damaged { .. } => "pull the model again".into(),
            Self::Checksum { .. } => {
                "the file was damaged on its way or replaced at its source; it was removed: try \
                 again, and if it persists, do not use that source"
                    .into()
            }
            Self::NoPip { .. } => {
                "install Python with pip, or set TOMBOLO_PYTHON to a Python that has it".into()
            }
            Self::Pip { message, .. } => pip_hint(message),
            Self::Wheel { .. } => "the download is damaged: remove the file and try again".into(),
            Self::Hub { source, .. } => hub_hint(source),
            Self::Repository { .. } => {
                "only repositories in the layout of transformers with whole weights are read".into()
            }
            Self::Unsound { .. } => {
                "nothing was fetched; is HF_ENDPOINT a hub that you trust?".into()
            }
            Self::Truncated { .. } => "the connection was cut: try again, it will resume".into(),
        };
        Some(hint)
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, action, source }
    }
}

fn io_hint(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("the disk is full: free some space, or set TOMBOLO_HOME to another disk".into())
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("set TOMBOLO_HOME to a folder that you may write to".into())
        }
        _ => None,
    }
}

const NETWORK: &str = "is there a network? behind a proxy, set HTTPS_PROXY";

fn pip_hint(message: &str) -> String {
    if message == UNREACHABLE {
        return NETWORK.into();
    }
    if message == FULL {
        return "the disk is full: free some space, or set TOMBOLO_HOME to another disk".into();
    }
    "check that pip's index carries the package: `pip config list` shows which it uses".into()
}

fn hub_hint(error: &ApiError) -> String {
    match status(error) {
        Some(401 | 403) => "the repository is private or gated, or does not exist: check its name, accept its terms on \
             the hub, and set HF_TOKEN"
            .into(),
        Some(404) => "check the names of repository and revision".into(),
        Some(_) => "the hub has a problem: try again later".into(),
        None => match error {
            ApiError::LockAcquisition(path) => format!(
                "another process downloads the same file; if none does, remove {}",
                path.display()
            ),
            ApiError::InvalidResume => "remove the .part files in HF_HOME and try again".into(),
            _ => format!("{NETWORK}, and another hub in HF_ENDPOINT; what was received is kept"),
        },
    }
}

/// The HTTP status in an error of the hub's client, which does not export the type that carries it.
pub(super) fn status(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(error) = error else { return None };
    error.to_string().strip_prefix("http status: ")?.parse().ok()
}
