//! The library on disk.

mod duplicates;
mod durable;
mod facets;
mod gallery;
#[cfg(feature = "hnsw")]
mod graph;
#[cfg(feature = "hnsw")]
mod graph_file;
mod layout;
#[cfg(feature = "hnsw")]
mod link;
mod maintenance;
mod mapped;
mod page;
mod reader;
mod records;
mod segments;
mod writer;

pub use duplicates::Duplicates;
pub use facets::Facets;
#[cfg(feature = "milvus")]
pub(crate) use facets::MOST_FACETS;
pub use gallery::Method;
#[cfg(feature = "hnsw")]
pub use link::LinkOptions;
pub use maintenance::{Health, Repaired};
#[cfg(feature = "milvus")]
pub(crate) use page::typical;
pub use page::{
    Cursor, Likeness, Odds, Order, Page, PageOptions, TYPICAL_HALF, TYPICAL_SLOPE, Wanted,
};
pub use reader::{Hit, Library, SearchOptions};
pub use records::Item;
pub(crate) use records::{Content, Known, NewItem, Records, Stamp};
pub use writer::LibraryWriter;
