//! The library on disk.

mod durable;
mod layout;
mod mapped;
mod reader;
mod records;
mod segments;
mod writer;

pub use reader::{Hit, Library, SearchOptions};
pub use records::Item;
pub(crate) use records::{Content, Known, NewItem, Records, Stamp};
pub use writer::LibraryWriter;
