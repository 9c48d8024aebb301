//! CSV with a header: `image` and `caption`, and optionally `split`, `labels` and `id`.
//!
//! A row per caption: rows that name the same image add captions to it. Labels are separated by
//! semicolons. A file whose name ends in `.tsv` is separated by tabs.

use std::path::Path;

use super::Collection;
use super::files;
use super::table::{Row, Table};
use crate::DataError;

const IMAGE: &[&str] = &["image", "path", "file", "filename", "filepath", "image_path"];
const CAPTION: &[&str] = &["caption", "text", "sentence", "raw"];
const SPLIT: &[&str] = &["split"];
const LABELS: &[&str] = &["labels", "label"];
const ID: &[&str] = &["id", "image_id"];

struct Columns {
    image: usize,
    caption: usize,
    split: Option<usize>,
    labels: Option<usize>,
    id: Option<usize>,
}

/// Reads `file`.
pub(super) fn open(file: &Path) -> Result<Collection, DataError> {
    let text = files::read_text(file)?;
    let tabs = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    let malformed = |source| DataError::Csv { path: file.to_owned(), source };
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .from_reader(text.as_bytes());
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
        let find = |names: &[&str]| {
            let named = |name: &&str| {
                header.iter().position(|column| column.trim().eq_ignore_ascii_case(name))
            };
            names.iter().find_map(named)
        };
        let need = |names: &[&str]| {
            find(names).ok_or_else(|| DataError::MissingColumn {
                path: file.to_owned(),
                expected: names.join("` or `"),
                found: header.iter().map(str::to_owned).collect(),
            })
        };
        Ok(Self {
            image: need(IMAGE)?,
            caption: need(CAPTION)?,
            split: find(SPLIT),
            labels: find(LABELS),
            id: find(ID),
        })
    }

    fn row(&self, record: &::csv::StringRecord) -> Row {
        let field = |column: usize| record.get(column).unwrap_or_default().to_owned();
        let labels = self.labels.map(field).unwrap_or_default();
        let labels = labels.split(';').map(str::trim).filter(|label| !label.is_empty());
        Row {
            id: self.id.map(field),
            image: field(self.image),
            captions: vec![field(self.caption)],
            split: self.split.map(field),
            labels: labels.map(str::to_owned).collect(),
        }
    }
}
