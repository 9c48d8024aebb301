//! CSV with a header: `image` and `caption`, and optionally `split`, `labels`, `objects` and `id`.
//!
//! A row per caption: rows that name the same image add captions to it. Labels are separated by
//! semicolons; `objects` is how many objects annotators counted on the image. A file whose name ends in `.tsv` is
//! separated by tabs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Collection;
use super::files;
use super::table::{Row, Table};
use crate::DataError;

const IMAGE: &[&str] = &["image", "path", "file", "filename", "filepath", "image_path"];
const CAPTION: &[&str] = &["caption", "text", "sentence", "raw"];
const SPLIT: &[&str] = &["split"];
const LABELS: &[&str] = &["labels", "label"];
const TAGS: &[&str] = &["tags", "tag", "labels", "label"];
const OBJECTS: &[&str] = &["objects", "object_count"];
const ID: &[&str] = &["id", "image_id"];

/// Reads the tags of photos: a CSV file with a header that has `image` and `tags` (or `labels`), tags separated by
/// semicolons. Paths are relative to the file, and returned absolute; several rows may name the same photo.
///
/// # Errors
/// [`DataError`] with the line, if the file cannot be read or lacks a column.
pub fn read_tags(file: &Path) -> Result<Vec<(PathBuf, Vec<String>)>, DataError> {
    let text = files::read_utf8(file)?;
    let malformed = |source| DataError::Csv { path: file.to_owned(), source };
    let mut reader = reader(file, &text);
    let header = reader.headers().map_err(malformed)?;
    let (image, tags) = (need(file, header, IMAGE)?, need(file, header, TAGS)?);
    let folder = std::path::absolute(file).ok().and_then(|file| file.parent().map(Path::to_owned));
    let folder = folder.unwrap_or_default();
    let mut found: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let field = |column: usize| record.get(column).unwrap_or_default();
        let path = folder.join(field(image).trim());
        found.entry(path).or_default().extend(split_labels(field(tags)));
    }
    Ok(found.into_iter().collect())
}

fn reader<'a>(file: &Path, text: &'a str) -> ::csv::Reader<&'a [u8]> {
    let tabs = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    let delimiter = if tabs { b'\t' } else { b',' };
    ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes())
}

fn find(header: &::csv::StringRecord, names: &[&str]) -> Option<usize> {
    let named =
        |name: &&str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
    names.iter().find_map(named)
}

fn need(file: &Path, header: &::csv::StringRecord, names: &[&str]) -> Result<usize, DataError> {
    find(header, names).ok_or_else(|| DataError::MissingColumn {
        path: file.to_owned(),
        expected: names.join("` or `"),
        found: header.iter().map(str::to_owned).collect(),
    })
}

fn split_labels(text: &str) -> impl Iterator<Item = String> {
    text.split(';').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned)
}

struct Columns {
    image: usize,
    caption: usize,
    split: Option<usize>,
    labels: Option<usize>,
    objects: Option<usize>,
    id: Option<usize>,
}

/// Reads `file`.
pub(super) fn open(file: &Path) -> Result<Collection, DataError> {
    let text = files::read_utf8(file)?;
    let malformed = |source| DataError::Csv { path: file.to_owned(), source };
    let mut reader = reader(file, &text);
    let columns = Columns::find(file, reader.headers().map_err(malformed)?)?;
    let mut table = Table::new(file);
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let line = record.position().map_or(0, ::csv::Position::line);
        table.add(line, columns.row(&record))?;
    }
    table.finish()
}

impl Columns {
    fn find(file: &Path, header: &::csv::StringRecord) -> Result<Self, DataError> {
        Ok(Self {
            image: need(file, header, IMAGE)?,
            caption: need(file, header, CAPTION)?,
            split: find(header, SPLIT),
            labels: find(header, LABELS),
            objects: find(header, OBJECTS),
            id: find(header, ID),
        })
    }

    fn row(&self, record: &::csv::StringRecord) -> Row {
        let field = |column: usize| record.get(column).unwrap_or_default().to_owned();
        let labels = self.labels.map(field).unwrap_or_default();
        Row {
            id: self.id.map(field),
            image: field(self.image),
            captions: vec![field(self.caption)],
            split: self.split.map(field),
            labels: split_labels(&labels).collect(),
            objects: self.objects.map(field),
        }
    }
}
