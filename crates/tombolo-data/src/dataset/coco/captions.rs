//! The official captions: `{"images":[{"id","file_name"}],"annotations":[{"image_id","caption"}]}`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::dataset::collection::{Builder, FoundImage, Slot};
use crate::dataset::entries::{self, Entries, Entry};
use crate::dataset::photos::Photos;
use crate::dataset::{ImageSource, Split};
use crate::{DataError, Place};

const SHAPE: &str =
    "{\"images\":[{\"id\":…,\"file_name\":…}],\"annotations\":[{\"image_id\":…,\"caption\":…}]}";

#[derive(Deserialize)]
struct Document {
    images: Option<Entries<RawImage>>,
    annotations: Option<Entries<RawCaption>>,
}

// Fields are optional here so that a missing one is reported with its entry.
#[derive(Deserialize)]
struct RawImage {
    id: Option<u64>,
    file_name: Option<String>,
}

impl Entry for RawImage {
    const ARRAY: &'static str = "images";
}

#[derive(Deserialize)]
struct RawCaption {
    image_id: Option<u64>,
    caption: Option<String>,
}

impl Entry for RawCaption {
    const ARRAY: &'static str = "annotations";
}

/// Adds the images and captions of one file, whose split has a folder of photos.
pub(super) fn read(
    path: &Path,
    (split, folder): (Split, &str),
    photos: &Photos,
    builder: &mut Builder,
) -> Result<(), DataError> {
    let document: Document = entries::read(path, SHAPE)?;
    let lacks = |field| entries::lacks(path, field, SHAPE);
    let Entries(images) = document.images.ok_or_else(|| lacks("images"))?;
    let Entries(captions) = document.annotations.ok_or_else(|| lacks("annotations"))?;
    let missing = |place, field| DataError::MissingField { path: path.to_owned(), place, field };
    let mut slots: HashMap<u64, Slot> = HashMap::with_capacity(images.len());
    for (index, image) in images.into_iter().enumerate() {
        let place = Place::Entry(index);
        let number = image.id.ok_or_else(|| missing(place, "id"))?;
        let id = image.file_name.ok_or_else(|| missing(place, "file_name"))?;
        let source = ImageSource::File(builder.locate(photos, folder, &id));
        let found = FoundImage { id, source, split, labels: Vec::new() };
        slots.insert(number, builder.add_image(place, found)?);
    }
    let mut strays = 0;
    for (index, caption) in captions.into_iter().enumerate() {
        let place = Place::Annotation(index);
        let number = caption.image_id.ok_or_else(|| missing(place, "image_id"))?;
        let caption = caption.caption.ok_or_else(|| missing(place, "caption"))?;
        match slots.get(&number) {
            Some(slot) => builder.add_text(place, *slot, &caption),
            None => strays += 1,
        }
    }
    if strays > 0 {
        let reason = format!("{strays} are of images that the file does not name");
        builder.skip_in(path, "captions".into(), reason);
    }
    Ok(())
}
