use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use tombolo_vectors::VectorError;

use crate::BoxError;

/// What can go wrong with a library. Photos that cannot be read are no errors:
/// [`IndexSummary::skipped`](crate::IndexSummary) names them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// A folder without `library.toml`.
    #[error("{}: expected a library, found {found}", path.display())]
    NotALibrary {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },

    /// `library.toml` does not say what it must.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },

    /// A library written by another version of the program.
    #[error("{}: expected a library of format {expected}, found format {found}", path.display())]
    Format {
        /// The library.
        path: PathBuf,
        /// The format that this program reads.
        expected: u32,
        /// The library's.
        found: u32,
    },

    /// A library whose vectors come from another image tower.
    #[error("{}: expected the image tower {expected}, found {found}", path.display())]
    OtherModel {
        /// The library.
        path: PathBuf,
        /// Fingerprint of the tower that made the library.
        expected: String,
        /// Fingerprint of the tower at hand.
        found: String,
    },

    /// A collection whose vectors went through another map.
    #[error("{}: expected the map {expected}, found {found}", path.display())]
    OtherMap {
        /// The collection.
        path: PathBuf,
        /// Fingerprint of the map that its vectors went through.
        expected: String,
        /// Fingerprint of the map at hand.
        found: String,
    },

    /// What should be the address of a cluster's collection.
    #[error("expected milvus://HOST:PORT/COLLECTION, found {found:?}")]
    Address {
        /// What was given.
        found: String,
    },

    /// The server has no such collection.
    #[error("{address}: there is no such collection")]
    NoCollection {
        /// The collection.
        address: String,
    },

    /// A collection that another program made, or another version of this one.
    #[error("{address}: expected a collection of tombolo's format 1, found {found:?}")]
    ForeignCollection {
        /// The collection.
        address: String,
        /// What it says of its format.
        found: String,
    },

    /// The server of a cluster failed, or cannot be reached.
    #[error("{address}: {source}")]
    Cluster {
        /// The collection.
        address: String,
        /// The reason.
        source: BoxError,
    },

    /// A filter that a cluster has no words for.
    #[error("{field}: a cluster cannot look for {found:?}")]
    Inexpressible {
        /// The filter's field.
        field: &'static str,
        /// What it is.
        found: String,
    },

    /// More photos than a cluster shows, where all of them are needed.
    #[error("{address}: more than {most} photos would have to be put in order")]
    TooMany {
        /// The collection.
        address: String,
        /// How many it shows.
        most: usize,
    },

    /// Another process is writing to the library.
    #[error("{}: another process is writing to this library", path.display())]
    Busy {
        /// The library.
        path: PathBuf,
    },

    /// A filter's time that is none.
    #[error("{field}: expected a time such as 2019, 2019-05 or 2019-05-31, found {found:?}")]
    Time {
        /// The filter's field.
        field: &'static str,
        /// What it is.
        found: String,
    },

    /// A photo of a library that is said to be a part of a collection, and is not of that part.
    #[error("{path}: not of part {index}/{count}")]
    OtherShard {
        /// The photo.
        path: String,
        /// Which part, from 0.
        index: usize,
        /// How many parts there are.
        count: usize,
    },

    /// A part of a filter that is too long.
    #[error("{field}: expected {expected}, found {found}")]
    Filter {
        /// The filter's field.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: usize,
    },

    /// A place to go on from that no page has named.
    #[error("expected the cursor of another page, found {found:?}")]
    Cursor {
        /// What was given.
        found: String,
    },

    /// A query or a map of another dimension.
    #[error("{}: expected {what} of {expected} dimensions, found {found}", path.display())]
    Dim {
        /// The library.
        path: PathBuf,
        /// `a query`, `vectors` …
        what: &'static str,
        /// Dimensions required.
        expected: usize,
        /// Dimensions found.
        found: usize,
    },

    /// The encoder or the map gave another number of vectors than it was asked for.
    #[error("{}: expected {expected} vectors from the model, found {found}", path.display())]
    VectorCount {
        /// The library.
        path: PathBuf,
        /// Inputs given.
        expected: usize,
        /// Vectors found.
        found: usize,
    },

    /// The model failed.
    #[error("{}: the model failed: {source}", path.display())]
    Model {
        /// The library.
        path: PathBuf,
        /// Its reason.
        source: BoxError,
    },

    /// The graph of a large library could not be made or written; searches compare all photos.
    #[error("{}: {source}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: BoxError,
    },

    /// The records could not be read or written.
    #[error("{}: {source}", path.display())]
    Records {
        /// `items.sqlite`.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },

    /// What was committed last lies in a log that cannot be read where nothing may be written.
    #[error("{}: what was written last is in here, and cannot be read where nothing may be written", path.display())]
    UnreadLog {
        /// The write-ahead log.
        path: PathBuf,
    },

    /// A file of the library could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// A photo that was found, and forgotten or encoded anew before its vector was read.
    #[error("{}: {photo} has changed while it was read", path.display())]
    Changed {
        /// The library.
        path: PathBuf,
        /// The photo.
        photo: String,
    },

    /// The segments of vectors are damaged.
    #[error("{}: {source}", path.display())]
    Vectors {
        /// The library.
        path: PathBuf,
        /// How; names the segment.
        source: VectorError,
    },
}

impl SearchError {
    /// What the user can do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotALibrary { .. } => {
                "make one with `tombolo index PHOTOS --library DIR`; DIR must be new or empty"
            }
            Self::Manifest { .. } => {
                "the library is damaged: restore it from a copy, or index the photos into a new one"
            }
            Self::Vectors { .. } => {
                "the library is damaged: `tombolo library repair` mends what can be mended, and `index` the rest"
            }
            Self::Format { expected, found, .. } if found > expected => {
                "a newer tombolo wrote it: update this one"
            }
            Self::Format { .. } => "index the photos into a new library",
            Self::OtherModel { .. } => {
                "give --model the model that made the library, or index into a new --library"
            }
            Self::OtherMap { .. } => {
                "give --model the model that was copied with, or copy the library to another collection"
            }
            Self::Address { .. } => {
                "a collection's name has letters, digits and underscores, as in milvus://127.0.0.1:19530/photos"
            }
            Self::NoCollection { .. } => {
                "`tombolo library copy DIR milvus://HOST:PORT/COLLECTION` makes it"
            }
            Self::ForeignCollection { .. } => "copy the library to a collection of another name",
            Self::Cluster { .. } => {
                "is Milvus running at that address, and does it ask for a token or for TLS (TOMBOLO_MILVUS_TOKEN, TOMBOLO_MILVUS_TLS, TOMBOLO_MILVUS_CA)? \
                 A copy that was cut off goes on when it is started again"
            }
            Self::Inexpressible { .. } => "leave out the zero byte",
            Self::TooMany { .. } => "filter more, or leave out the order by time",
            Self::UnreadLog { .. } => {
                "search the library once where it may be written to: that puts the log into the records"
            }
            Self::Changed { .. } => "the library is being written to: try again",
            Self::Busy { .. } => "wait until it is done; searching works meanwhile",
            Self::Records { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => FULL_DISK,
                Some(ErrorCode::SystemIoFailure) => {
                    "is the disk full, or failing? Run the command again when it is not; what was indexed is kept"
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    "another process holds the records: try again in a moment"
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    "the records are damaged: restore the library, or index into a new one"
                }
                _ => return None,
            },
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FULL_DISK,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "check who may write to the library's folder"
                }
                _ => return None,
            },
            Self::Graph { .. } => "searches work without it; the next `tombolo index` tries again",
            Self::Dim { .. } => "query and library must come from the same model",
            Self::Time { .. } => "write the year first, as in 2019-05-31",
            Self::OtherShard { .. } => {
                "give the --shard that the library was indexed with, or none for a whole library"
            }
            Self::Filter { .. } => "filter by less, and search again among what is found",
            Self::Cursor { .. } => "begin again without one",
            Self::VectorCount { .. } | Self::Model { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

const FULL_DISK: &str =
    "the disk is full: free some space and run the command again; what was indexed is kept";
