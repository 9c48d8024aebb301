//! The library on disk and the retriever.
//!
//! A library holds one raw image-tower vector per photo and a record of each. [`LibraryWriter`]
//! adds what is new, encodes again what changed and forgets what is gone; [`Library`] finds the
//! photos nearest to a query vector. One process writes at a time, any number read meanwhile.
//!
//! ```text
//! LIBRARY/
//!   library.toml          format version, image tower's fingerprint, dimension
//!   library.lock          held by the process that writes
//!   items.sqlite          the source of truth: one record per photo
//!   vectors/NNNNNN.f16    append-only segments of raw vectors, mapped read-only
//!   mapped/FINGERPRINT/   the same vectors after a model's map, and from 50,000 rows on a graph of
//!                         them (`graph.hnsw`); derived, safe to delete
//! ```
//!
//! Vectors are on disk before the transaction that refers to them commits, and no committed row is
//! ever written again, so a crash at any instruction leaves every committed item whole.
//!
//! No tensors and no models here: the program brings an [`ImageEncoder`] and, where its model moves
//! the image side, a [`GalleryMap`].

#[cfg(feature = "milvus")]
mod cluster;
mod encoder;
mod error;
mod expression;
mod filter;
mod index;
mod library;
mod retriever;

#[cfg(feature = "milvus")]
pub use cluster::{Access, Cluster, Copied, Origin, Tls};
pub use encoder::{BoxError, GalleryMap, ImageEncoder};
pub use error::SearchError;
pub use expression::{Expression, ExpressionError, Term};
pub use filter::{Filter, Orientation};
pub use index::{
    IndexItem, IndexOptions, IndexSummary, ItemList, Progress, Shard, Skipped, absolute,
};
#[cfg(feature = "hnsw")]
pub use library::LinkOptions;
pub use library::{
    Cursor, Duplicates, Facets, Health, Hit, Item, Library, LibraryWriter, Likeness, Method, Odds,
    Order, Page, PageOptions, Repaired, SearchOptions, TYPICAL_HALF, TYPICAL_SLOPE, Wanted,
};
pub use retriever::Retriever;
