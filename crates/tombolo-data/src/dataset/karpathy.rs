//! Karpathy's JSON: `{"dataset": …, "images": [{"filename", "filepath"?, "split", "sentences": [{"raw"}]}]}`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::collection::{Builder, FoundImage};
use super::{Collection, ImageSource, files};
use crate::{DataError, Place};

#[derive(Deserialize)]
struct Document {
    dataset: Option<String>,
    images: Option<Images>,
}

// Fields are optional here so that a missing one is reported with its entry.
#[derive(Deserialize)]
struct RawImage {
    filename: Option<String>,
    filepath: Option<String>,
    split: Option<String>,
    sentences: Option<Vec<RawSentence>>,
}

#[derive(Deserialize)]
struct RawSentence {
    raw: Option<String>,
}

/// The array `images`, whose errors say in which entry they are.
struct Images(Vec<RawImage>);

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Images;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of images")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Images, A::Error> {
                let mut images = Vec::new();
                let named = |error, entry| A::Error::custom(format!("images[{entry}]: {error}"));
                while let Some(image) =
                    entries.next_element().map_err(|error| named(error, images.len()))?
                {
                    images.push(image);
                }
                Ok(Images(images))
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

/// Reads `file`. Photos are looked for in `images`, by default the folder `images` beside the file
/// if there is one, else the folder of the file; COCO's `filepath` is a folder below that.
pub(super) fn open(file: &Path, images: Option<&Path>) -> Result<Collection, DataError> {
    let bytes = files::read(file)?;
    let document: Document = serde_json::from_slice(&bytes)
        .map_err(|source| DataError::Json { path: file.to_owned(), source })?;
    drop(bytes);
    let folder = images.map_or_else(|| default_folder(file), Path::to_owned);
    let Some(Images(images)) = document.images else {
        return Err(DataError::Json {
            path: file.to_owned(),
            source: serde_json::Error::custom("field `images` is missing"),
        });
    };
    let mut builder = Builder::new(file, document.dataset.unwrap_or_else(|| files::stem(file)));
    for (entry, image) in images.into_iter().enumerate() {
        add(&mut builder, file, &folder, Place::Entry(entry), image)?;
    }
    builder.finish()
}

fn default_folder(file: &Path) -> PathBuf {
    let beside = file.parent().unwrap_or(Path::new(""));
    let images = beside.join("images");
    if images.is_dir() { images } else { beside.to_owned() }
}

fn add(
    builder: &mut Builder,
    file: &Path,
    folder: &Path,
    place: Place,
    image: RawImage,
) -> Result<(), DataError> {
    let missing = |field| DataError::MissingField { path: file.to_owned(), place, field };
    let filename = image.filename.ok_or_else(|| missing("filename"))?;
    let split = image.split.ok_or_else(|| missing("split"))?;
    let sentences = image.sentences.ok_or_else(|| missing("sentences"))?;
    let split = split.parse().map_err(|_| DataError::InvalidField {
        path: file.to_owned(),
        place,
        field: "split",
        expected: "train, restval, val or test".into(),
        found: split,
    })?;
    let mut path = folder.join(&filename);
    if let Some(below) = image.filepath {
        let deeper = folder.join(below).join(&filename);
        // Some keep all of COCO's photos in one folder.
        if builder.is_there(&deeper) || !builder.is_there(&path) {
            path = deeper;
        }
    }
    let slot = builder.add_image(
        place,
        FoundImage { id: filename, source: ImageSource::File(path), split, labels: Vec::new() },
    )?;
    for sentence in sentences {
        builder.add_text(place, slot, &sentence.raw.ok_or_else(|| missing("sentences[].raw"))?);
    }
    Ok(())
}
