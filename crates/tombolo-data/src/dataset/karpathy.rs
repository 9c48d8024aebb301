//! Karpathy's JSON: `{"dataset": …, "images": [{"filename", "filepath"?, "split", "sentences": [{"raw"}]}]}`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::collection::{Builder, FoundImage};
use super::entries::{self, Entries, Entry};
use super::photos::Photos;
use super::protocol::Protocol;
use super::{ImageSource, files};
use crate::{DataError, Place};

const SHAPE: &str =
    "{\"dataset\":…,\"images\":[{\"filename\":…,\"split\":…,\"sentences\":[{\"raw\":…}]}]}";

#[derive(Deserialize)]
struct Document {
    dataset: Option<String>,
    images: Option<Entries<RawImage>>,
}

// Fields are optional here so that a missing one is reported with its entry.
#[derive(Deserialize)]
struct RawImage {
    filename: Option<String>,
    filepath: Option<String>,
    split: Option<String>,
    sentences: Option<Vec<RawSentence>>,
}

impl Entry for RawImage {
    const ARRAY: &'static str = "images";
}

#[derive(Deserialize)]
struct RawSentence {
    raw: Option<String>,
}

/// Reads `file`; COCO's `filepath` is a folder below those of `photos`.
pub(super) fn open(file: &Path, photos: &Photos, protocol: Protocol) -> Result<Builder, DataError> {
    let document: Document = entries::read(file, SHAPE)?;
    let Some(Entries(images)) = document.images else {
        return Err(entries::lacks(file, "images", SHAPE));
    };
    let name = document.dataset.unwrap_or_else(|| files::stem(file));
    let mut reader = Reader { file, photos, builder: Builder::new(file, name).under(protocol) };
    for (entry, image) in images.into_iter().enumerate() {
        reader.add(Place::Entry(entry), image)?;
    }
    Ok(reader.builder)
}

/// Where photos are unless something else is said: the folder `images` beside the file if there is one, else the
/// folder of the file.
pub(super) fn default_folder(file: &Path) -> PathBuf {
    let beside = file.parent().unwrap_or(Path::new(""));
    let images = beside.join("images");
    if images.is_dir() { images } else { beside.to_owned() }
}

struct Reader<'a> {
    file: &'a Path,
    photos: &'a Photos,
    builder: Builder,
}

impl Reader<'_> {
    fn add(&mut self, place: Place, image: RawImage) -> Result<(), DataError> {
        let missing = |field| DataError::MissingField { path: self.file.to_owned(), place, field };
        let id = image.filename.ok_or_else(|| missing("filename"))?;
        let split = image.split.ok_or_else(|| missing("split"))?;
        let sentences = image.sentences.ok_or_else(|| missing("sentences"))?;
        let texts: Option<Vec<_>> = sentences.into_iter().map(|sentence| sentence.raw).collect();
        let texts = texts.ok_or_else(|| missing("sentences[].raw"))?;
        let split = split.parse().map_err(|_| DataError::InvalidField {
            path: self.file.to_owned(),
            place,
            field: "split",
            expected: "train, restval, val or test".into(),
            found: split,
        })?;
        let below = image.filepath.unwrap_or_default();
        let source = ImageSource::File(self.builder.locate(self.photos, &below, &id));
        let labels = Vec::new();
        let slot = self.builder.add_image(place, FoundImage { id, source, split, labels })?;
        for text in texts {
            self.builder.add_text(place, slot, &text);
        }
        Ok(())
    }
}
