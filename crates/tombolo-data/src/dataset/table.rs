//! What CSV and JSON lines share: rows that name an image and give it captions.

use std::path::Path;

use super::collection::{Builder, FoundImage, Slot};
use super::{Collection, ImageSource, Split, files};
use crate::{DataError, Place};

/// A row, whatever it was written in.
#[derive(Default)]
pub(super) struct Row {
    pub id: Option<String>,
    pub image: String,
    pub captions: Vec<String>,
    pub split: Option<String>,
    pub labels: Vec<String>,
    pub objects: Option<String>,
}

/// Gathers rows; several may name the same image.
pub(super) struct Table<'a> {
    path: &'a Path,
    builder: Builder,
}

impl<'a> Table<'a> {
    pub fn new(path: &'a Path) -> Self {
        Self { path, builder: Builder::new(path, files::stem(path)) }
    }

    /// Adds a row. Relative image paths are relative to the file. An image's first row decides its
    /// split; without one, [`Split::by_hash`] does.
    pub fn add(&mut self, line: u64, row: Row) -> Result<(), DataError> {
        let place = Place::Line(line);
        let image = &plain(row.image.trim());
        if image.is_empty() {
            return Err(self.invalid(place, "image", "a path", image));
        }
        let id = row.id.as_deref().map(str::trim).filter(|id| !id.is_empty()).unwrap_or(image);
        let split = match row.split.as_deref().map(str::trim).filter(|split| !split.is_empty()) {
            None => None,
            Some(name) => Some(
                name.parse::<Split>()
                    .map_err(|_| self.invalid(place, "split", "train, val or test", name))?,
            ),
        };
        let source = ImageSource::File(self.path.parent().unwrap_or(Path::new("")).join(image));
        let slot = match self.builder.find_image(id) {
            Some(slot) => {
                self.check_same(place, slot, &source, split)?;
                self.add_labels(slot, row.labels);
                slot
            }
            None => {
                let split = split.unwrap_or_else(|| Split::by_hash(id));
                let found = FoundImage { id: id.to_owned(), source, split, labels: row.labels };
                self.builder.add_image(place, found)?
            }
        };
        self.count_objects(place, slot, row.objects.as_deref().unwrap_or_default().trim())?;
        for caption in &row.captions {
            self.builder.add_text(place, slot, caption);
        }
        Ok(())
    }

    fn check_same(
        &mut self,
        place: Place,
        slot: Slot,
        source: &ImageSource,
        split: Option<Split>,
    ) -> Result<(), DataError> {
        let Some(index) = slot else { return Ok(()) };
        let first = self.builder.image_mut(index).clone();
        if first.source != *source {
            let expected = format!("{}, as the id has above", first.source.describe());
            return Err(self.invalid(place, "image", &expected, &source.describe()));
        }
        match split.filter(|split| *split != first.split) {
            Some(split) => {
                let expected = format!("{}, as the same image has above", first.split);
                Err(self.invalid(place, "split", &expected, split.as_str()))
            }
            None => Ok(()),
        }
    }

    fn add_labels(&mut self, slot: Slot, labels: Vec<String>) {
        let Some(index) = slot else { return };
        let known = &mut self.builder.image_mut(index).labels;
        for label in labels {
            if !known.contains(&label) {
                known.push(label);
            }
        }
    }

    fn count_objects(&mut self, place: Place, slot: Slot, text: &str) -> Result<(), DataError> {
        let Some(index) = slot.filter(|_| !text.is_empty()) else { return Ok(()) };
        let count =
            text.parse().map_err(|_| self.invalid(place, "objects", "a whole number", text))?;
        match self.builder.count_objects(index, count).filter(|first| *first != count) {
            Some(first) => {
                let expected = format!("{first}, as the same image has above");
                Err(self.invalid(place, "objects", &expected, text))
            }
            None => Ok(()),
        }
    }

    fn invalid(&self, place: Place, field: &'static str, expected: &str, found: &str) -> DataError {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        DataError::InvalidField { path: self.path.to_owned(), place, field, expected, found }
    }

    pub fn finish(self) -> Result<Collection, DataError> {
        self.builder.finish()
    }
}
/// One spelling of a path: without `.` and doubled slashes, so that a photo is one image however a row names it.
fn plain(path: &str) -> String {
    let root = match path {
        // A machine's name follows.
        _ if cfg!(windows) && path.starts_with("//") => "//",
        _ if path.starts_with('/') => "/",
        _ => "",
    };
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    format!("{root}{}", parts.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_is_one_image_however_it_is_spelled() {
        for spelled in ["photos/x.png", "./photos/x.png", "photos//x.png", "photos/./x.png"] {
            assert_eq!(plain(spelled), "photos/x.png");
        }
        assert_eq!(plain("/a/../b.png"), "/a/../b.png");
    }
}
