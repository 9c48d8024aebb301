//! What people called the photos.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::lists::{check_length, invalid};
use super::{Photo, find};
use crate::DataError;
use crate::dataset::files;

const FOLDER: &str = "NUS_WID_Tags";
const ALL: &str = "All_Tags.txt";
const THOUSAND: &str = "AllTags1k.txt";
const NAMES: &str = "TagList1k.txt";

/// Gives photos their tags: all that are known, or those of the thousand most frequent.
pub(super) fn read(root: &Path, list: &Path, photos: &mut [Photo]) -> Result<(), DataError> {
    if let Some(path) = find(root, FOLDER, ALL) {
        return read_all(&path, photos);
    }
    match (find(root, FOLDER, THOUSAND), find(root, FOLDER, NAMES)) {
        (Some(table), Some(names)) => read_table(&table, &names, list, photos),
        _ => Err(DataError::NotFound {
            path: root.to_owned(),
            expected: format!("{FOLDER}/{ALL}, or {THOUSAND} and {NAMES}"),
        }),
    }
}

/// Flickr's number of a photo: `actor/0001_2124494179.jpg` is 2124494179.
fn number(id: &str) -> Option<u64> {
    let stem = id.rsplit_once('.').map_or(id, |(stem, _)| stem);
    stem.rsplit('_').next()?.parse().ok()
}

/// Lines of a photo's number and its tags, in any order.
fn read_all(path: &Path, photos: &mut [Photo]) -> Result<(), DataError> {
    let mut by_number: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, photo) in photos.iter().enumerate() {
        if let Some(number) = number(&photo.id) {
            by_number.entry(number).or_default().push(index);
        }
    }
    let text = files::read_text(path)?;
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { continue };
        let number: u64 = first
            .parse()
            .map_err(|_| invalid(path, line, "photo", "a photo's number, then its tags", first))?;
        let tags = words.collect::<Vec<_>>().join(" ");
        for &photo in by_number.get(&number).into_iter().flatten() {
            photos[photo].tags.clone_from(&tags);
        }
    }
    Ok(())
}

/// A line of 0 and 1 for each photo, one for each of the tags. The table is half a gigabyte, so it is read by lines.
fn read_table(
    path: &Path,
    names: &Path,
    list: &Path,
    photos: &mut [Photo],
) -> Result<(), DataError> {
    let text = files::read_text(names)?;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    let cannot_read = |source| DataError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(cannot_read)?;
    let mut found = 0;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(cannot_read)?;
        if line.trim().is_empty() {
            continue;
        }
        if let Some(photo) = photos.get_mut(found) {
            photo.tags = tags_of(&line, &names).map_err(|(expected, found_cell)| {
                invalid(path, found as u64 + 1, "tags", &expected, &found_cell)
            })?;
        }
        found += 1;
    }
    check_length(path, found, list, photos.len())
}

/// The tags of a row, or what was expected and found.
fn tags_of(row: &str, names: &[&str]) -> Result<String, (String, String)> {
    let cells: Vec<&str> = row.split_whitespace().collect();
    if cells.len() != names.len() {
        let expected = format!("{} values, one for each line of {NAMES}", names.len());
        return Err((expected, cells.len().to_string()));
    }
    let mut tags: Vec<&str> = Vec::new();
    for (cell, name) in cells.iter().zip(names) {
        match *cell {
            "0" => {}
            "1" => tags.push(name),
            other => return Err(("0 or 1".to_owned(), other.to_owned())),
        }
    }
    Ok(tags.join(" "))
}
