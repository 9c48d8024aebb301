//! Texts alone: a line has texts that mean the same, with tabs between them, such as translations or paraphrases.
//!
//! For stage text, which needs no photos. A line of one text is learned from too. All lines are of [`Split::Train`].

use std::path::Path;

use super::collection::{Builder, FoundImage};
use super::{Collection, ImageSource, Split, files};
use crate::{DataError, Place};

/// Reads `file`; empty lines are passed over.
pub(super) fn open(file: &Path) -> Result<Collection, DataError> {
    let mut builder = Builder::new(file, files::stem(file));
    let (mut lines, mut alone) = (0, 0);
    for (number, line) in (1..).zip(files::read_utf8(file)?.lines()) {
        let texts = line.split('\t').map(str::trim).filter(|text| !text.is_empty());
        let texts: Vec<&str> = texts.collect();
        if texts.is_empty() {
            continue;
        }
        lines += 1;
        alone += usize::from(texts.len() == 1);
        let (place, labels) = (Place::Line(number), Vec::new());
        let id = format!("line {number}");
        let found = FoundImage { id, source: ImageSource::Nowhere, split: Split::Train, labels };
        let slot = builder.add_image(place, found)?;
        texts.into_iter().for_each(|text| builder.add_text(place, slot, text));
    }
    if lines == 0 {
        let expected = "texts, those of a line with tabs between them".into();
        return Err(DataError::NotFound { path: file.to_owned(), expected });
    }
    let what = format!(
        "{lines} of texts that mean the same, {alone} of them of one text; no photos: for `tombolo train text`"
    );
    builder.fact("lines", what);
    builder.finish()
}
