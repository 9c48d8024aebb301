//! The lists of photos, splits and concepts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Photo, find, need, tags};
use crate::dataset::{Split, files};
use crate::{DataError, Place};

/// What the lists say, photos in the order of `Imagelist.txt`.
pub(super) struct Lists {
    /// `Imagelist.txt`.
    pub path: PathBuf,
    pub photos: Vec<Photo>,
    pub concepts: Vec<String>,
}

/// Reads all lists of a folder.
pub(super) fn read(root: &Path) -> Result<Lists, DataError> {
    let path = need(root, "ImageList", "Imagelist.txt")?;
    let mut photos = Vec::new();
    let mut index = HashMap::new();
    for (_, name) in names(&path)? {
        // A photo that is listed again gets no split there, and so counts once.
        index.entry(name.clone()).or_insert(photos.len());
        photos.push(Photo { id: name, split: None, concepts: Vec::new(), tags: String::new() });
    }
    read_splits(root, &index, &mut photos)?;
    let concepts = read_concepts(root, &path, &mut photos)?;
    tags::read(root, &path, &mut photos)?;
    Ok(Lists { path, photos, concepts })
}

/// An error of a line.
pub(super) fn invalid(
    path: &Path,
    line: u64,
    field: &'static str,
    expected: &str,
    found: &str,
) -> DataError {
    let (expected, found) = (expected.to_owned(), found.chars().take(60).collect());
    DataError::InvalidField {
        path: path.to_owned(),
        place: Place::Line(line),
        field,
        expected,
        found,
    }
}

/// Names of photos with their lines; the lists were written on Windows.
fn names(path: &Path) -> Result<Vec<(u64, String)>, DataError> {
    let text = files::read_text(path)?;
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, name)| !name.is_empty());
    Ok(lines.map(|(line, name)| (line, name.replace('\\', "/"))).collect())
}

fn read_splits(
    root: &Path,
    index: &HashMap<String, usize>,
    photos: &mut [Photo],
) -> Result<(), DataError> {
    for (split, name) in [(Split::Train, "TrainImagelist.txt"), (Split::Test, "TestImagelist.txt")]
    {
        let path = need(root, "ImageList", name)?;
        for (line, name) in names(&path)? {
            let Some(&photo) = index.get(&name) else {
                return Err(invalid(&path, line, "photo", "one of Imagelist.txt", &name));
            };
            if photos[photo].split.replace(split).is_some_and(|other| other != split) {
                return Err(invalid(&path, line, "photo", "a photo of no other split", &name));
            }
        }
    }
    Ok(())
}

/// Reads which concepts each photo has; a file a concept, a line a photo.
fn read_concepts(root: &Path, list: &Path, photos: &mut [Photo]) -> Result<Vec<String>, DataError> {
    let path = need(root, "ConceptsList", "Concepts81.txt")?;
    let text = files::read_text(&path)?;
    let concepts: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    for (concept, name) in concepts.iter().enumerate() {
        let file = format!("Labels_{name}.txt");
        let path = find(root, "Groundtruth/AllLabels", &file)
            .or_else(|| find(root, "AllLabels", &file))
            .ok_or_else(|| DataError::NotFound {
                path: root.to_owned(),
                expected: format!("Groundtruth/AllLabels/{file}"),
            })?;
        let text = files::read_text(&path)?;
        check_length(&path, text.lines().count(), list, photos.len())?;
        for (line, (label, photo)) in (1..).zip(text.lines().zip(photos.iter_mut())) {
            match label.trim() {
                "0" => {}
                "1" => photo.concepts.push(concept),
                other => return Err(invalid(&path, line, "label", "0 or 1", other)),
            }
        }
    }
    Ok(concepts)
}

/// That a file has a line for each photo.
pub(super) fn check_length(
    path: &Path,
    found: usize,
    list: &Path,
    expected: usize,
) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    Err(DataError::Lines { path: path.to_owned(), found, expected, list: list.to_owned() })
}
