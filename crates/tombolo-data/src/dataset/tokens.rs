//! Captions of Flickr8K and Flickr30K as they were first published: `NAME.jpg#NUMBER`, a tab, a caption.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::collection::{Builder, FoundImage};
use super::photos::Photos;
use super::{ImageSource, Split, files};
use crate::{DataError, Place};

/// The photo and the caption of a line; `None` if it is not what it should be.
pub(super) type Parse = fn(&str) -> Option<(&str, &str)>;

/// Reads a line of a token file.
pub(super) fn token(line: &str) -> Option<(&str, &str)> {
    let (key, caption) = line.split_once('\t')?;
    let (name, _) = key.split_once('#')?;
    Some((name, caption))
}

/// Which photo is in which split; photos without one are left out.
pub(super) type Splits = HashMap<String, Split>;

/// Reads lists of photos, a name a line; `name_of` completes it.
///
/// # Errors
/// [`DataError::Read`], and [`DataError::InvalidField`] if two splits name one photo.
pub(super) fn read_splits<'a>(
    lists: impl IntoIterator<Item = (Split, &'a Path)>,
    name_of: fn(&str) -> String,
) -> Result<Splits, DataError> {
    let mut splits = Splits::new();
    for (split, path) in lists {
        for (line, name) in (1..).zip(files::read_text(path)?.lines()) {
            let name = name.trim();
            if name.is_empty() {
                continue;
            }
            match splits.insert(name_of(name), split) {
                Some(other) if other != split => {
                    return Err(DataError::InvalidField {
                        path: path.to_owned(),
                        place: Place::Line(line),
                        field: "name",
                        expected: format!("a photo that is not in split {other}"),
                        found: name.to_owned(),
                    });
                }
                _ => {}
            }
        }
    }
    Ok(splits)
}

/// A file with a caption on each line.
pub(super) struct Lines<'a> {
    /// The file.
    pub path: &'a Path,
    /// How a line is read.
    pub parse: Parse,
    /// What a line looks like, for errors.
    pub expected: &'static str,
    /// Whether the first line names the columns.
    pub header: bool,
}

impl Lines<'_> {
    /// Adds all photos and captions. Without `splits`, [`Split::by_hash`] decides.
    ///
    /// # Errors
    /// [`DataError`] with the line.
    pub fn add_to(
        &self,
        builder: &mut Builder,
        photos: &Photos,
        splits: Option<&Splits>,
    ) -> Result<(), DataError> {
        let mut outside = HashSet::new();
        let text = files::read_text(self.path)?;
        for (number, line) in (1..).zip(text.lines()).skip(usize::from(self.header)) {
            if line.trim().is_empty() {
                continue;
            }
            let place = Place::Line(number);
            let (name, caption) = (self.parse)(line).ok_or_else(|| self.invalid(place, line))?;
            let slot = match builder.find_image(name) {
                Some(slot) => slot,
                None => {
                    let split = match splits {
                        Some(splits) => splits.get(name).copied(),
                        None => Some(Split::by_hash(name)),
                    };
                    let Some(split) = split else {
                        outside.insert(name.to_owned());
                        continue;
                    };
                    let source = ImageSource::File(builder.locate(photos, "", name));
                    let (id, labels) = (name.to_owned(), Vec::new());
                    builder.add_image(place, FoundImage { id, source, split, labels })?
                }
            };
            builder.add_text(place, slot, caption);
        }
        // As published, 91 of the 8,091 photos of Flickr8K with captions are in none of the splits.
        if !outside.is_empty() {
            builder.fact("in no split", format!("{} photos with captions", outside.len()));
        }
        Ok(())
    }

    fn invalid(&self, place: Place, line: &str) -> DataError {
        DataError::InvalidField {
            path: self.path.to_owned(),
            place,
            field: "name",
            expected: self.expected.to_owned(),
            found: line.chars().take(60).collect(),
        }
    }
}
