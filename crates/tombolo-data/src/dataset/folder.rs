//! A folder of photos, each with a `.txt` of the same stem: one caption per line.
//!
//! Folders below it are read too, links are not followed, hidden files are passed over. A photo
//! without a `.txt` stays, without captions; its split is [`Split::by_hash`] of its relative path.

use std::collections::BTreeSet;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::collection::{Builder, FoundImage};
use super::{Collection, ImageSource, Split, files};
use crate::image::{is_photo, not_built};
use crate::{DataError, Place};

/// Reads `folder`.
pub(super) fn open(folder: &Path) -> Result<Collection, DataError> {
    let mut builder = Builder::new(folder, files::stem(folder));
    let mut photos = 0;
    // Without their endings.
    let (mut captioned, mut captions) = (BTreeSet::new(), BTreeSet::new());
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        let entry = entry.map_err(|error| DataError::Read {
            path: error.path().unwrap_or(folder).to_owned(),
            source: error.into(),
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        if is_photo(entry.path()) {
            add(&mut builder, folder, entry.path(), photos)?;
            photos += 1;
            captioned.insert(entry.path().with_extension(""));
        } else if entry.path().extension().is_some_and(|extension| extension == "txt") {
            captions.insert(entry.path().with_extension(""));
        } else if let Some(reason) = not_built(entry.path()) {
            let name = entry.file_name().to_string_lossy();
            builder.skip_in(folder, format!("image {name}"), reason.to_string());
            captioned.insert(entry.path().with_extension(""));
        }
    }
    let alone =
        captions.difference(&captioned).map(|path| path.strip_prefix(folder).unwrap_or(path));
    tell_alone(&mut builder, &alone.collect::<Vec<_>>());
    if photos == 0 {
        let expected = "photos (jpg, png, webp, gif, bmp or tiff)".into();
        return Err(DataError::NotFound { path: folder.to_owned(), expected });
    }
    builder.finish()
}

/// Texts without a photo may be captions whose photo is missing, or notes of the user's.
fn tell_alone(builder: &mut Builder, texts: &[&Path]) {
    let Some(first) = texts.first() else { return };
    let name = first.display();
    let what = match texts.len() {
        1 => format!("{name}.txt"),
        n => format!("{n} texts, the first {name}.txt"),
    };
    builder.notice(what, "without a photo of that name, not read".into());
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn add(builder: &mut Builder, folder: &Path, photo: &Path, nth: usize) -> Result<(), DataError> {
    let below = photo.strip_prefix(folder).unwrap_or(photo);
    let names: Vec<_> = below.iter().map(|name| name.to_string_lossy()).collect();
    let id = names.join("/");
    let split = Split::by_hash(&id);
    let source = ImageSource::File(photo.to_owned());
    let slot = builder
        .add_image(Place::Entry(nth), FoundImage { id, source, split, labels: Vec::new() })?;
    let captions = photo.with_extension("txt");
    if builder.is_there(&captions) {
        for (line, caption) in (1..).zip(files::read_text(&captions)?.lines()) {
            // A file that ends in empty lines lost nothing.
            if !caption.trim().is_empty() {
                builder.add_text(Place::Line(line), slot, caption);
            }
        }
    }
    Ok(())
}
