//! Indexing: list what there is, compare with the records, read and decode on other threads, encode,
//! commit.

mod batch;
mod caption;
mod list;
mod plan;
mod prepare;
mod shard;

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use tombolo_data::dataset::ImageSource;
use tombolo_data::image::Limits;

use crate::library::{LibraryWriter, Records, Stamp};
use crate::{ImageEncoder, SearchError};
use batch::Batch;
use list::Listing;
pub use list::absolute;
use plan::Plan;
pub use shard::Shard;

/// How to index.
#[derive(Debug, Clone, Copy, Default)]
pub struct IndexOptions {
    /// What a photo may cost to decode.
    pub limits: Limits,
    /// Try again the photos that could not be decoded and have not changed since. Without it their
    /// recorded reason is reported, and they are not read.
    pub retry_broken: bool,
    /// Index this part of the photos alone; those of the others are as if they were not there.
    pub shard: Option<Shard>,
    /// Forget the photos of a given folder that is empty now. Without it they are kept, and the folder is skipped: a disk that
    /// is not mounted looks the same.
    pub forget_all: bool,
}

/// A picture to index that is given one by one, not found in a folder.
#[derive(Debug, Clone)]
pub struct IndexItem {
    /// What the library calls it; unique in the library.
    pub path: String,
    /// Where its bytes are.
    pub source: ImageSource,
    /// Its caption, if it has one.
    pub caption: Option<String>,
}

/// All pictures of one collection.
#[derive(Debug, Clone)]
pub struct ItemList {
    /// Items of the library whose path begins with this, as `emoji:`, and that are not in the list
    /// are forgotten. `None` forgets nothing.
    pub scope: Option<String>,
    /// The pictures.
    pub items: Vec<IndexItem>,
}

/// How far indexing is; all that it counts is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Photos dealt with.
    pub done: usize,
    /// Photos found.
    pub total: usize,
    /// Of `done`: those that were encoded.
    pub encoded: usize,
    /// Of `done`: those that cannot be used.
    pub skipped: usize,
}

/// An input that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file or folder.
    pub path: String,
    /// Why, without the path.
    pub reason: String,
}

/// What indexing did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexSummary {
    /// Photos found in what was given.
    pub found: usize,
    /// Of these: known and not read, because size and time are as recorded.
    pub unchanged: usize,
    /// Of these: new to the library.
    pub added: usize,
    /// Of these: known, but changed in content, time or caption.
    pub updated: usize,
    /// Vectors computed.
    pub encoded: usize,
    /// Added or updated without encoding, because the content was known.
    pub reused: usize,
    /// Photos that were there before and are gone.
    pub forgotten: usize,
    /// Inputs that could not be used, with reasons, by path.
    pub skipped: Vec<Skipped>,
}

/// A picture that is there now.
#[derive(Debug, Clone)]
struct Found {
    path: String,
    source: ImageSource,
    stamp: Stamp,
    caption: caption::Source,
}

impl LibraryWriter {
    /// Indexes files, and folders with all that is below them: JPEG, PNG, WebP, GIF, BMP and TIFF
    /// by their extensions, without hidden files and folders.
    ///
    /// A photo whose size and time are as recorded is not read; one whose content is known, under
    /// whatever name, is not encoded. Photos of the given folders that are gone are forgotten, those of
    /// other folders never, and those of a folder that is empty only if [`IndexOptions::forget_all`] says so. The first line of a `.txt` of the same stem is the caption. What
    /// cannot be used is skipped and named in the summary. `progress` is called after each commit.
    ///
    /// # Errors
    /// [`SearchError`] if the library cannot be written or the model fails; what was committed until
    /// then stays.
    pub fn index<E: ImageEncoder>(
        &mut self,
        paths: &[PathBuf],
        encoder: &E,
        options: &IndexOptions,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<IndexSummary, SearchError> {
        let mut listing = list::files(paths, self.dir());
        if let Some(shard) = options.shard {
            listing.found.retain(|found| shard.holds(&found.path));
        }
        self.index_listing(listing, encoder, options, progress)
    }

    /// Indexes a list of pictures, such as the embedded emoji set. See [`LibraryWriter::index`].
    ///
    /// # Errors
    /// As [`LibraryWriter::index`].
    pub fn index_items<E: ImageEncoder>(
        &mut self,
        items: ItemList,
        encoder: &E,
        options: &IndexOptions,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<IndexSummary, SearchError> {
        self.index_listing(list::items(items), encoder, options, progress)
    }

    fn index_listing<E: ImageEncoder>(
        &mut self,
        listing: Listing,
        encoder: &E,
        options: &IndexOptions,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<IndexSummary, SearchError> {
        self.require_encoder(encoder)?;
        let Plan { work, gone, mut summary, .. } = plan::plan(self.records(), listing, options)?;
        let records = Records::open(&self.records_path())?;
        let batch_size = encoder.batch_size().max(1);
        let (sender, prepared) = sync_channel(batch_size);
        std::thread::scope(|scope| {
            let prepare = prepare::Prepare { encoder, limits: options.limits };
            let reading = scope.spawn(move || prepare.run(&records, work, &sender));
            let mut batch = Batch::new(self, encoder, &mut summary, progress);
            for prepared in prepared {
                batch.take(prepared)?;
            }
            batch.flush()?;
            reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        // Last, so that a photo that moved still finds its content.
        self.delete(&gone)?;
        summary.forgotten = gone.len();
        summary.skipped.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(summary)
    }

    fn require_encoder<E: ImageEncoder>(&self, encoder: &E) -> Result<(), SearchError> {
        self.require_model(encoder.fingerprint())?;
        if encoder.dim() != self.vector_dim() {
            return Err(SearchError::Dim {
                path: self.dir().to_owned(),
                what: "vectors",
                expected: self.vector_dim(),
                found: encoder.dim(),
            });
        }
        Ok(())
    }
}
