//! JSON lines: `{"image": …, "caption": … or "captions": […], "split"?, "labels"?, "objects"?, "id"?}`.

use std::path::Path;

use serde::Deserialize;

use super::table::{Row, Table};
use super::{Collection, files};
use crate::{DataError, Place};

#[derive(Deserialize)]
struct Line {
    #[serde(alias = "path", alias = "file", alias = "filename")]
    image: Option<String>,
    #[serde(alias = "text")]
    caption: Option<String>,
    #[serde(alias = "texts")]
    captions: Option<Vec<String>>,
    split: Option<String>,
    #[serde(default, alias = "label")]
    labels: Labels,
    objects: Option<usize>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "labels: expected a string or an array of strings")]
enum Labels {
    One(String),
    Many(Vec<String>),
}

impl Default for Labels {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// Reads `file`; lines without anything are passed over.
pub(super) fn open(file: &Path) -> Result<Collection, DataError> {
    let mut table = Table::new(file);
    for (line, text) in (1..).zip(files::read_utf8(file)?.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let parsed = serde_json::from_str(text).map_err(|source| DataError::JsonLine {
            path: file.to_owned(),
            line,
            source,
        })?;
        table.add(line, row(file, line, parsed)?)?;
    }
    table.finish()
}

fn row(file: &Path, line: u64, parsed: Line) -> Result<Row, DataError> {
    let missing =
        |field| DataError::MissingField { path: file.to_owned(), place: Place::Line(line), field };
    let captions = match (parsed.captions, parsed.caption) {
        (None, None) => return Err(missing("caption")),
        (captions, caption) => captions.into_iter().flatten().chain(caption).collect(),
    };
    let labels = match parsed.labels {
        Labels::One(label) => vec![label],
        Labels::Many(labels) => labels,
    };
    Ok(Row {
        id: parsed.id,
        image: parsed.image.ok_or_else(|| missing("image"))?,
        captions,
        split: parsed.split,
        labels,
        objects: parsed.objects.map(|objects| objects.to_string()),
    })
}
